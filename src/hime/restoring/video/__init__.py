"""Videos: the far-away face made sharp by the same clip's near frames, and by photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hime.restoring.video.restore import Progress, RestoredClip, restore_video

__all__ = ["Progress", "RestoredClip", "restore_video"]


def __getattr__(name: str) -> Any:
    """All of it only when it is asked for: whether a file is a clip, every batch asks."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hime.restoring.video import restore

    return getattr(restore, name)
