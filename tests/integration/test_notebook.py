"""The notebook runs from its first cell to its last, and is kept without what it shows."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbclient
import nbformat
import PIL.Image
import pytest

from hime import HimeError, faces

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"


def test_the_notebook_runs(tmp_path: Path) -> None:
    try:
        faces.require()
    except HimeError as error:
        pytest.skip(str(error))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        PIL.Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert [picture.size for picture in pictures] == [(240, 320), (240, 320), (620, 200), (128, 128)]
    assert (tmp_path / "demo" / "notebook" / "restored.jpg").is_file()
