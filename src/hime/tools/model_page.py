"""A model's page: its card as people read it, ``README.md`` in the form of the Hugging Face Hub.

Everything in it comes from ``card.json``, so that the same card gives the same page: `hime export` writes it,
``hime info MODEL --readme`` prints it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hime.errors import HimeError, how_to_install

try:
    from huggingface_hub import EvalResult, ModelCardData
except ModuleNotFoundError as error:
    raise HimeError(f"{error.name} is not installed: {how_to_install('hub')}") from error

from hime.restoring.card import FILES, TRAINING, is_count, trainings_of
from hime.terminal import shown

TASK = "image-to-image"
"""The Hub's name of what the models do."""
DATASETS = {
    "celeba": "CelebA",
    "lfw": "Labeled Faces in the Wild",
    "faces_more": "further photos of public persons from research collections",
}
"""Data sets as people call them, by the names of their folders; others are called as their folders."""
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0")
"""Licences as the Hub calls them; every other one is told in words."""
OTHER_LICENCE = "terms-of-the-training-data"
"""The Hub's ``license_name`` where a model's terms are those of what it was trained on."""

_DAMAGE = {
    "bicubic": "reduced cleanly (bicubic), as in the paper",
    "realistic": "with blur, noise and JPEG",
    "photos": "with all that photographs suffer",
    "frames": "as videos have them",
}
_CAUTION = """\
For small faces of people whose photos you may use. What the small picture does not show is put in from the \
photos and from what the model learnt: likely, not certain. **A restored face is no evidence of who somebody \
is or how somebody looked**; do not identify people with it. Photos of another age or pose, or with the face \
half hidden, help less."""
_TRAINED_ON_THE_FAMOUS = """\
Most people in the training data are well-known adults in press photographs: others, children above all, may \
come out less like themselves."""


def model_page(card: dict[str, Any]) -> str:
    """The page of a model.

    Args:
        card: as `hime.restoring.card.read_card` gives it.
    """
    parts = (
        f"---\n{_front_matter(card)}\n---",
        f"# {shown(card['name'])}",
        _summary(card),
        "## Use it",
        _use(card),
        "## For what, and for what not",
        " ".join((_CAUTION, _TRAINED_ON_THE_FAMOUS)) if set(_all_data(card)) & set(DATASETS) else _CAUTION,
        "## Measured",
        _measured(card),
        "## How it was made",
        _made(card),
        "## Licence",
        _licence(card),
        "## Files",
        _files(card),
    )
    return "\n\n".join(parts) + "\n"


def _front_matter(card: dict[str, Any]) -> str:
    """What the Hub reads, as YAML."""
    licence = str(card.get("licence", "")).lower()
    is_known = licence in LICENCES
    results = list(_results(card))
    data = ModelCardData(
        license=licence if is_known else "other",
        license_name=None if is_known else OTHER_LICENCE,
        library_name="hime-sr",
        pipeline_tag=TASK,
        tags=["onnx", "super-resolution", "face-restoration", "reference-based"],
        datasets=_all_data(card) or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=shown(card["name"]) if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml(line_break="\n"))


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """An inner part of a card, which `read_card` does not look into; {} where there is none."""
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _data(card: dict[str, Any]) -> list[str]:
    """The names of the folders of the last training's data."""
    return _folders(_part(card, "training"))


def _all_data(card: dict[str, Any]) -> list[str]:
    """…of all that the weights have been trained on, what they began with too."""
    return sorted({name for part in trainings_of(_part(card, "training")) for name in _folders(part)})


def _folders(training: dict[str, Any]) -> list[str]:
    names = training.get("data")
    return [shown(str(name)) for name in names] if isinstance(names, list) else []


def _held_out(card: dict[str, Any]) -> dict[str, float]:
    """What was measured on people held out of the training: figures by `hime.training.held_out`'s names."""
    found = _part(_part(card, "metrics"), "held_out")
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _results(card: dict[str, Any]) -> Iterator[EvalResult]:
    """The figures as the Hub's ``model-index`` has them."""
    figures = _held_out(card)
    told = {
        "with_references": ("psnr", "PSNR in dB, with photos of the person"),
        "without_references": ("psnr", "PSNR in dB, without photos"),
        "lpips": ("lpips", "LPIPS (AlexNet), with photos of the person"),
    }
    for key, (metric, name) in told.items():
        if key in figures:
            yield EvalResult(
                task_type=TASK,
                task_name="Headshot restoration",
                dataset_type="-".join(_data(card)) or "own",
                dataset_name=f"people held out of the training ({_data_in_words(card)})",
                metric_type=metric,
                metric_name=name,
                metric_value=figures[key],
            )


def _data_in_words(card: dict[str, Any]) -> str:
    return _in_words(_data(card))


def _in_words(names: list[str]) -> str:
    return " and ".join(DATASETS.get(name, name) for name in names) or "data of one's own"


def _summary(card: dict[str, Any]) -> str:
    config = _part(_part(card, "training"), "config")
    aim = "to look real" if _part(config, "loss").get("perceptual") else "for the least error (PSNR)"
    damage = _DAMAGE.get(str(config.get("degradation") or "bicubic"), "small")
    sides = config.get("lr_sizes")
    lr = f"{card['lr_size']}×{card['lr_size']}"
    if isinstance(sides, list) and sides and all(is_count(side, 1, 4096) for side in sides):
        lr = f"{min(sides)} to {max(sides)}"
    macs, dial = card["macs"], card.get("reconstruction")
    lines = [
        f"Restores a small headshot at {card['scale']}× its size with any number of photos of the same "
        f"person. Made for headshots of {lr} pixels, {damage}; trained {aim}.",
        "",
        f"{card['parameters'] / 1e6:.2f} million parameters, {macs['total'] / 1e9:.2f} billion "
        f"multiply-adds at {' × '.join(map(str, macs['lr']))} with {macs['references']} photos; "
        "runs on a processor with ONNX Runtime, without PyTorch.",
    ]
    if dial:
        lines += [
            "",
            f"It has a dial: at fidelity 0 its own pictures, at 1 those of `{shown(dial)}`, "
            f"between them a mixture; {card['fidelity']:g} if nothing is said.",
        ]
    return "\n".join(lines)


def _use(card: dict[str, Any]) -> str:
    name = shown(card["name"])
    return f"""\
```
pip install "hime-sr[faces,hub]"  # in a clone: pip install ".[faces,hub]"
hime restore party.jpg --refs mum/ --out restored/ --model hf:OWNER/{name}@REVISION
```

```python
import hime

restorer = hime.load("hf:OWNER/{name}@REVISION")  # or the path of this folder
restorer.set_references([photo, other_photo])  # uint8 H×W×3, framed like the headshot
restored = restorer.restore(headshot)  # uint8 H×W×3, sides from 8 pixels
```"""


def _measured(card: dict[str, Any]) -> str:
    figures = _held_out(card)
    rows = {
        "bicubic": "PSNR of the bicubic enlargement, dB",
        "without_references": "PSNR without photos, dB",
        "with_references": "PSNR with photos of the person, dB",
        "lpips": "LPIPS (AlexNet) with photos; 0 looks the same",
    }
    lines = [f"| {text} | {figures[key]:.4g} |" for key, text in rows.items() if key in figures]
    if not lines:
        return "Nothing is told in the card."
    told = f"On people held out of the training ({_data_in_words(card)}), damaged as in the training:"
    return "\n".join((told, "", "| | |", "|---|---|", *lines))


def _made(card: dict[str, Any]) -> str:
    training = _part(card, "training")
    made = _told(training)
    lines = [f"Trained with `hime train`: {made}." if made else "The card does not say how."]
    earlier = [_told(part) for part in trainings_of({"earlier": training.get("earlier")})]
    if earlier:
        lines.append(
            f"The weights began with those of another training ({'; before it '.join(earlier[::-1])})."
        )
    if card.get("date"):
        lines.append(f"Date: {shown(str(card['date']))}.")
    compared = _part(card, "architecture").get("system")
    method = "HIME (Xiang et al.)" if compared is None else f"{shown(str(compared))}, rebuilt to compare with"
    lines.append(f"Every setting is in `card.json`. Method: {method}.")
    return " ".join(lines)


def _told(training: dict[str, Any]) -> str:
    """What is told of one training, in words."""
    told = dict(zip(TRAINING, ("preset", "data", "people", "photos", "steps", "batch"), strict=True))
    return ", ".join(
        f"{text} {_in_words(_folders(training)) if key == 'data' else _plain(training[key])}"
        for key, text in told.items()
        if key in training
    )


def _plain(value: Any) -> str:
    return shown(f"{value:,}" if isinstance(value, int) else str(value))


def _licence(card: dict[str, Any]) -> str:
    licence = shown(str(card.get("licence") or "not told"))
    return f"The weights: {licence}. The code that made and runs them: Apache-2.0."


def _files(card: dict[str, Any]) -> str:
    lines = [f"| `{file}` | `{card['sha256'][file]}` |" for file in FILES]
    told = "`hime` compares them with these checksums, which are those of `card.json`, before it uses them."
    return "\n".join(("| file | SHA-256 |", "|---|---|", *lines, "", told))
