"""Restore a small headshot with the person's own photos.

The public surface: `load` a model, give it the person's photos with `Restorer.set_references`, and
`Restorer.restore` headshots. `HimeError` is raised for input that cannot be used. Nothing here needs PyTorch.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from hime.errors import HimeError
from hime.restoring.exported import available_models
from hime.restoring.restorer import Restoration, Restorer, load

try:
    __version__ = version("hime-sr")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = ["HimeError", "Restoration", "Restorer", "__version__", "available_models", "load"]
