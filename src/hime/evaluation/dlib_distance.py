"""A second opinion on likeness, by a face network that no training here has seen.

Needs the packages dlib-bin and face-recognition-models, which are no extra of this one: see
``comparisons/README.md``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hime.evaluation.measures import Figures, Sample
from hime.pictures.arrays import Image, upscale


class DlibDistance:
    """``dlib``: Euclidean distance between dlib's 128 numbers of the face and those of the truth's face.

    Detector, five landmarks and network are dlib's, so nothing is shared with the identity by SFace. As
    there, the landmarks are found in the truth and serve for all pictures of it; None where no face is found.
    All are enlarged to twice their size, since the detector knows faces from 80 pixels on.

    Raises:
        ModuleNotFoundError: dlib-bin or face-recognition-models is missing.
    """

    metrics = ("dlib",)

    def __init__(self) -> None:
        import dlib

        models = package_folder("face_recognition_models") / "models"
        self._detect = dlib.get_frontal_face_detector()
        self._find = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._embed = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        ).compute_face_descriptor

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        """The figures of each image."""
        truth = upscale(sample.truth, 2)
        faces = self._detect(truth)
        if not faces:
            return [{"dlib": None} for _ in images]
        landmarks = self._find(truth, max(faces, key=lambda face: face.area()))
        own = np.array(self._embed(truth, landmarks))
        others = [np.array(self._embed(upscale(image, 2), landmarks)) for image in images]
        return [{"dlib": float(np.linalg.norm(other - own))} for other in others]


def package_folder(name: str) -> Path:
    """Where an installed package lies, without importing it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return Path(spec.submodule_search_locations[0])
