"""Restore a small headshot with the person's own photos.

Headshots: `load` a model, give it the person's photos with `Restorer.set_references`, and `Restorer.restore`.
Whole photographs (extra ``faces``): `read_person` looks at somebody's photos, `read_picture` reads a
photograph, `restore_photo` restores who is known in it, `write_picture` writes the result as that photograph.
Videos (extras ``faces`` and ``video``): `restore_video` restores far-away faces from the clip's near frames.
`HimeError` is raised for input that cannot be used. Nothing here needs PyTorch. All of it may be called from
several threads at once; a restorer's references are then given with each headshot (`Restorer`).
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

# Before anything imports ONNX Runtime, which otherwise gives this user a number and reports to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from hime.errors import HimeError
from hime.pictures.reading import read_image, read_picture
from hime.pictures.writing import write_image, write_picture
from hime.restoring.exported import available_models
from hime.restoring.restorer import Restoration, Restorer, load

if TYPE_CHECKING:
    from hime.faces.album import read_person
    from hime.restoring.photo import restore_photo
    from hime.restoring.video.restore import restore_video

try:
    __version__ = version("hime-sr")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "HimeError",
    "Restoration",
    "Restorer",
    "__version__",
    "available_models",
    "load",
    "read_image",
    "read_person",
    "read_picture",
    "restore_photo",
    "restore_video",
    "write_image",
    "write_picture",
]

_WHEN_ASKED_FOR = {
    "read_person": "hime.faces.album",
    "restore_photo": "hime.restoring.photo",
    "restore_video": "hime.restoring.video.restore",
}
"""What looks at faces: who has headshots does not need it."""


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHEN_ASKED_FOR[name]), name)
