"""The light package works where PyTorch, and what comes with it, cannot be imported."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

ABSENT = {"torch", "torchmetrics", "torchvision", "accelerate", "tensorboard", "onnx"}
ABSENT |= {"ray", "pyarrow", "fsspec", "openvino"}
sys.meta_path.insert(0, Absent())
for module in MODULES:
    importlib.import_module(module)
from hime.cli import main
try:
    status = main(["--help"])
except SystemExit as stopped:
    status = stopped.code
assert not status, status
assert not ABSENT & {name.split(".")[0] for name in sys.modules}
"""

MODULES = [
    "hime",
    "hime.faces.album",
    "hime.restoring.headshots",
    "hime.restoring.photographs",
    "hime.restoring.restorer",
    "hime.tools.bench",
    "hime.cli",
    "hime.data",
    "hime.tools.demo",
    "hime.errors",
    "hime.evaluation",
    "hime.evaluation.evaluate",
    "hime.evaluation.intervals",
    "hime.evaluation.measures",
    "hime.evaluation.metrics",
    "hime.evaluation.sheet",
    "hime.evaluation.table",
    "hime.faces.detection",
    "hime.faces.embedding",
    "hime.faces.headshot",
    "hime.files",
    "hime.pictures.arrays",
    "hime.pictures.reading",
    "hime.pictures.sheet",
    "hime.pictures.writing",
    "hime.data.people",
    "hime.restoring.person",
    "hime.terminal",
]


def test_everything_under_use_does_without_torch() -> None:
    program = f"MODULES = {MODULES!r}\n{PROGRAM}"
    ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "restore" in ran.stdout


def test_restoring_does_not_load_scipy() -> None:
    """It takes a quarter of a second to import, of every command."""
    modules = (
        "hime.restoring.photo, hime.restoring.photographs, hime.restoring.video.restore, hime.faces.album"
    )
    program = f"import sys, {modules}; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
