"""The demo: people who let their photographs be shown, restored by the models that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hime import faces
from hime.errors import HimeError
from hime.files import write_atomically
from hime.tools.demo.headshots import MODELS, load_models, restore_headshots
from hime.tools.demo.photograph import PHOTO, restore_photograph

__all__ = ["MODELS", "PHOTO", "demo"]


def demo(out: Path | str = "demo", photo: str = PHOTO, models: Sequence[str | Path] = MODELS) -> str:
    """Restore a photograph of Lisa and the headshots of London; write a sheet of each, and table.txt.

    What goes into OUT: lisa.png (sheet) with given.jpg, lisa/ (her other photos) and restored.jpg, which it
    is made of; london.png (sheet). Without the extra ``faces`` Lisa's photograph is left out.

    Args:
        out: folder for the results; made if missing.
        photo: which of Lisa's photographs is made small and restored from the others.
        models: names or exported folders, for the headshots.

    Returns:
        The figures, and where the pictures lie.

    Raises:
        HimeError: no such photograph or model, two models of one name, or ``out`` cannot be written to.
    """
    out = Path(out)
    restorers = load_models(models)  # what is wrong with one is told before anything is written
    try:
        faces.require()
        left_out = None
    except HimeError as error:
        left_out = f"Lisa's photograph is left out: {error}"
    lisa = left_out or restore_photograph(out, photo)
    text = f"{lisa}\n\n{restore_headshots(out, restorers)}"
    write_atomically(out / "table.txt", lambda file: file.write_text(text + "\n", encoding="utf-8"))
    return text
