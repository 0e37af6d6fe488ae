"""A face found in a picture, with what others need of it, made once and when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hime.faces.embedding import embedding_of
from hime.faces.face import Face
from hime.faces.headshot import cut
from hime.pictures.arrays import FloatArray, Image


@dataclass(frozen=True, eq=False)
class FoundFace(Face):
    """A face and the picture that it is in; who keeps it keeps the picture in memory.

    Attributes:
        picture: uint8 H×W×3, sRGB; not to be changed.
    """

    picture: Image

    @cached_property
    def embedding(self) -> FloatArray:
        """See `hime.faces.embed`."""
        return embedding_of(self.picture, self.landmarks)

    def headshot(self, largest: int) -> Image:
        """The face cut out of the picture upright, with hair and neck: uint8 S×S×3.

        S is the side that it has in the picture, at most ``largest``.
        """
        return cut(self.picture, self.frame, min(max(1, round(self.frame.side)), largest))
