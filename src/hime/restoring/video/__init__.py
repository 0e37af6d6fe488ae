"""Videos: the far-away face made sharp by the same clip's near frames, and by photos."""

from hime.restoring.video.restore import Progress, RestoredClip, restore_video

__all__ = ["Progress", "RestoredClip", "restore_video"]
