"""The pages as they are written: the constants of Python, and imports that go one way."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hime.faces import (
    album,
    detection,
    embedding,
    face,
    headshot,
    look,
    matching,
    networks,
    refining,
    scanning,
)
from hime.restoring import any_size, card, detail, exported, hue, photo
from hime.restoring import face as restored_face

SOURCES = (Path(__file__).parents[2] / "app" / "src").resolve()


ROOMS = ("problem", "site", "pictures", "faces", "restoring", "worker", "page")
"""Each imports of those before it only; `faces` and `restoring` hold the namesakes of Python's modules."""
NAMESAKES = {
    "faces/album": (album, look, matching, face),
    "faces/detection": (detection, scanning, refining, networks),
    "faces/embedding": (embedding,),
    "faces/headshot": (headshot,),
    "restoring/any_size": (any_size,),
    "restoring/detail": (detail,),
    "restoring/exported": (exported, card),
    "restoring/face": (photo, restored_face),
    "restoring/hue": (hue,),
    "restoring/photo": (photo, restored_face),
}
"""What a page's module has the constants of."""


def test_numbers_are_those_of_python() -> None:
    """Every constant of the page's modules that those of Python have too."""
    pattern = re.compile(r"^(?:export )?const ([A-Z_]+)(?:: \w+)? = ([-\d./\s\[\],]+);", re.MULTILINE)
    compared = set()
    for name, modules in NAMESAKES.items():
        for constant, value in pattern.findall((SOURCES / f"{name}.ts").read_text()):
            for module in modules:
                if hasattr(module, constant):
                    assert np.array_equal(eval(value), getattr(module, constant)), constant
                    compared.add(constant)
    expected = (
        "SAME_PERSON DETECTION_SIDES TEMPLATE MASK_FULL LR_SIDES CARD_FORMAT SCATTER LINEAR SQUARE BIAS "
        "WORKING_SIDES SHARP_SIDE COLOUR_SMOOTHING MOST_REFERENCES LIKENESS_MARGIN HARDLY_LIKE LIKE TYPICAL "
        "QUALITY REPEATED"
    )
    assert compared >= set(expected.split())


def test_imports_go_one_way() -> None:
    files = sorted(SOURCES.rglob("*.ts"))
    imported = 0
    for file in files:
        room = ROOMS.index(_room(file))
        for found in re.findall(r'from "(\.[^"]+)"', file.read_text()):
            other = (file.parent / f"{found}.ts").resolve()
            assert other in files, f"{file}: {found}"
            assert other.parent == file.parent or ROOMS.index(_room(other)) < room, f"{file}: {found}"
            imported += 1
    assert imported > 50
    assert {_room(file) for file in files} == set(ROOMS)


def _room(file: Path) -> str:
    return file.relative_to(SOURCES).parts[0].removesuffix(".ts")
