"""Faces: found, told apart, framed as headshots, kept as albums. Needs the extra ``faces``, never PyTorch.

All functions may be called from several threads at once: each has networks of its own.

    from hime.faces import detect, embed, similarity
    face, = detect(photo)
    similarity(embed(photo, face.landmarks), embed(other, detect(other)[0].landmarks))

Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
"""

from hime.faces.detection import detect
from hime.faces.embedding import embed, similarity
from hime.faces.face import Face
from hime.faces.found import FoundFace
from hime.faces.networks import require

__all__ = ["Face", "FoundFace", "detect", "embed", "require", "similarity"]
