"""A model's card: what it is, in JSON, with every field checked for what it must be before anybody uses it.

A folder with a model may come from anywhere, so nothing in its card is taken on trust: no number that is
none, no name that leads out of the folder.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hime.errors import HimeError
from hime.files import open_file

CARD_FORMAT = 4
GRAPHS = ("encode.onnx", "restore.onnx")
WEIGHTS = "weights.bin"
WEIGHT_TYPES = {"float16": "<f2", "float32": "<f4"}
"""How `WEIGHTS` may hold its numbers, in a card's words and in NumPy's. The graphs compute in float32."""
FILES = (*GRAPHS, WEIGHTS)
"""What an exported model is made of, beside its card."""

PAGE = "README.md"
"""The card as people read it, beside it."""

LARGEST_CARD = 1 << 20
"""Bytes; those of the package have up to 6,000."""
TRAINING = ("preset", "data", "people", "photos", "steps", "batch_size")
"""What a card's ``training`` tells of each training that its weights have been through: the names of the
data's folders, how many people and photos, how many steps of how many pairs."""
_RANGES = {
    "scale": (1, 16),
    "lr_size": (8, 4096),
    "feature_channels": (1, 4096),
    "parameters": (0, 10**12),
}
_COUNTS = ("references", "total", "encode_per_reference", "restore")
_ARCHITECTURE = 512
"""Largest number of channels, groups or blocks."""
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


def read_card(folder: Path) -> dict[str, Any]:
    """The card of an exported model.

    Raises:
        HimeError: missing, not JSON, of another format, or with a field that is not as it must be.
    """
    path = folder / "card.json"
    if not path.exists():
        raise HimeError(
            f"{folder}: holds no card.json, so it is no exported model; write one with `hime export`"
        )
    try:
        with open_file(path) as file:
            content = file.read(LARGEST_CARD + 1)
        if len(content) > LARGEST_CARD:
            raise ValueError(f"more than {LARGEST_CARD} bytes")
        card = json.loads(content)
    except HimeError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise HimeError(f"{path}: cannot be read ({error}); export the model again") from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise HimeError(
            f"{path}: card format {str(found)[:20]}, this version reads {CARD_FORMAT}; "
            "export the model again or update hime-sr"
        )
    if wrong := list(_wrong(card)):
        raise HimeError(f"{path}: lacks {', '.join(wrong)}; export the model again")
    return card


def _wrong(card: dict[str, Any]) -> Iterator[str]:
    """What is missing in a card or not as it must be."""
    if not is_name(card.get("name")):
        yield "name"
    for field, (least, most) in _RANGES.items():
        if not is_count(card.get(field), least, most):
            yield field
    macs = card.get("macs")
    if not isinstance(macs, dict):
        yield "macs"
    else:
        lr = macs.get("lr")
        if not isinstance(lr, list) or len(lr) != 2 or not all(is_count(side, 1, 4096) for side in lr):
            yield "macs.lr"
        yield from (f"macs.{field}" for field in _COUNTS if not is_count(macs.get(field), 0, 10**18))
    checksums = card.get("sha256")
    if not isinstance(checksums, dict) or not all(_is_checksum(checksums.get(file)) for file in FILES):
        yield "sha256"
    if card.get("weights") not in tuple(WEIGHT_TYPES):
        yield f"weights, one of {', '.join(WEIGHT_TYPES)}"
    if "reconstruction" in card or "fidelity" in card:
        if not is_name(card.get("reconstruction")):
            yield "the name of its reconstruction model"
        fidelity = card.get("fidelity")
        if not isinstance(fidelity, float) or not 0 <= fidelity <= 1:
            yield "fidelity"
    if not isinstance(card.get("training", {}), dict):
        yield "training"
    architecture = card.get("architecture", {})
    if not isinstance(architecture, dict) or not all(map(_is_choice, architecture.values())):
        yield "architecture"
    if not _is_finite(card):
        yield "numbers that are numbers"


def trainings_of(training: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a card's or a checkpoint's ``training`` tells of, what its weights began with first.

    Of each, `TRAINING` as far as it is told; of ``earlier`` nothing that is not of that form. The first has
    ``init`` too where that is known: what it began with, of which nothing is told; None: fresh weights.
    """
    earlier, config = training.get("earlier"), training.get("config")
    before = [each for each in earlier if isinstance(each, dict)] if isinstance(earlier, list) else []
    if not before and isinstance(config, dict) and "init" in config:
        training = {**training, "init": config["init"]}
    parts = ({key: each[key] for key in (*TRAINING, "init") if key in each} for each in (*before, training))
    return [part for part in parts if part.keys() - {"init"}]


def is_name(value: object) -> bool:
    """Whether it can be a model's name and its folder's: one part of a path, none that leads elsewhere."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or value in (".", ".."):
        return False
    return not set(value) & set("/\\:\0")


def is_count(value: object, least: int, most: int) -> bool:
    """Whether it is a whole number in that range; JSON's ``true`` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_checksum(value: object) -> bool:
    return isinstance(value, str) and _CHECKSUM.fullmatch(value) is not None


def _is_choice(value: object) -> bool:
    """Whether it can be a field of `hime.model.network.HIMEConfig`."""
    if isinstance(value, bool | str | None):
        return True
    return is_count(value, 0, _ARCHITECTURE) or (isinstance(value, float) and math.isfinite(value))


def _is_finite(value: object) -> bool:
    """Whether all numbers anywhere in it are some: JSON as Python reads it knows NaN and infinity."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
