"""Imports run one way: each room imports only the rooms that `docs/architecture.md` says it may."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import hime

PACKAGE = Path(hime.__file__).parent
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

MAY_IMPORT = {
    "pictures": "",
    "faces": "pictures",
    "restoring": "faces pictures",
    "data": "faces pictures",
    "model": "",
    "losses": "model faces pictures",
    "systems": "losses model",
    "training": "systems losses model data restoring pictures",
    "evaluation": "training systems losses model data restoring faces pictures",
    "experiments": "evaluation training systems losses model data restoring faces pictures",
    "cluster": "evaluation data restoring faces pictures",
    "tools": "evaluation training systems losses model data restoring faces pictures",
    "cli": "tools cluster experiments evaluation training systems losses model data restoring faces pictures",
}
"""Room → the rooms that it may import, beside itself and `BENEATH`."""
BENEATH = {"hime", "errors", "files", "processors", "terminal"}
"""What every room may import: the modules at the top that import no room."""
USE = ("pictures", "faces", "restoring")
"""The rooms that work without PyTorch."""


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def imported(file: Path) -> set[str]:
    """The modules of ours, and the packages of others, that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"hime.{alias.name}" for alias in node.names] if node.module == "hime" else [node.module]
            names.update(whole)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_every_room_is_in_the_table() -> None:
    assert set(rooms()) == set(MAY_IMPORT)


def test_imports_run_one_way() -> None:
    wrong = []
    for room, allowed in MAY_IMPORT.items():
        for file in (PACKAGE / room).rglob("*.py"):
            for name in imported(file):
                parts = name.split(".")
                if parts[0] != "hime" or (len(parts) > 1 and parts[1].startswith("__")):
                    continue
                target = parts[1] if len(parts) > 1 else "hime"
                if target not in {room, *allowed.split(), *BENEATH} and target in rooms():
                    wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not wrong, "\n".join(sorted(wrong))


def test_nothing_under_use_imports_torch() -> None:
    torch = {"torch", "torchvision", "torchmetrics", "accelerate", "tensorboard", "onnx"}
    for room in USE:
        for file in (PACKAGE / room).rglob("*.py"):
            assert not torch & {name.split(".")[0] for name in imported(file)}, file


def test_the_table_in_the_docs_is_this_one() -> None:
    lines = dict(
        re.findall(r"^\| `(\w+)/` \|[^|]*\| ([^|]*?) \|$", ARCHITECTURE.read_text("utf-8"), re.MULTILINE)
    )
    told = {room: set(re.findall(r"`(\w+)`", allowed)) for room, allowed in lines.items()}
    assert told == {room: set(allowed.split()) for room, allowed in MAY_IMPORT.items()}


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6
