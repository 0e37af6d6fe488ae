"""What a GPU makes of trainings (docs/scale.md): speed by preset, batch and setting, and their agreement.

    python comparisons/training_speed.py --out runs/training-speed.json

Every measurement is `hime bench --training` in a process of its own, so that one that fails is one line; none
takes longer than ``--seconds``. On a processor give ``--batches 8 --repeats 3``. ``agreement``: losses of 50
steps, compiled against single operations, and gone on with after 25 against uninterrupted: the largest
relative difference; LR headshots degraded on the device against one by one on the processor, without noise:
the mean difference in levels of 255 (there are codecs among the steps, see
tests/training/test_device_damage.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hime.files import write_json

SETTINGS: dict[str, tuple[str, ...]] = {
    "small-x8": ("compile=off", "compile=reduce-overhead"),
    "small-x4": ("compile=off", "compile=reduce-overhead"),
    "small-x4-real": ("degrade_on=cpu", "degrade_on=device"),
}
"""Presets, each with the settings between which it is measured; the last is what a GPU gets by default."""
WANTED = {"small-x8": 20_000, "small-x4": 20_000, "small-x4-real": 8_000}
"""Pairs a second on one H100."""


def bench(preset: str, changes: list[str], repeats: int, seconds: int) -> dict[str, Any]:
    """`hime bench --training` in a process of its own; ``{"error": …}`` where it fails."""
    command = [sys.executable, "-m", "hime", "bench", "--training", preset, "--json", f"--repeats={repeats}"]
    command += [f"--set={change}" for change in changes]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"error": f"longer than {seconds} s"}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def agreement(steps: int) -> dict[str, float]:
    """How far compiled, resumed and on the device are from what they stand for."""
    import torch

    from hime.data.people import DEMO_PEOPLE
    from hime.training.damage import Dirt, Noise
    from hime.training.degradation import lr_by, lr_on_device
    from hime.training.loop import train
    from hime.training.photo_recipe import draw_photo_recipe
    from hime.training.photos import load_photos
    from hime.training.presets import PRESETS, override

    sources = [(DEMO_PEOPLE, None)]
    config = override(PRESETS["small-x8"], [f"steps={steps}", "log_every=1", "precision=fp32"])
    compiled = override(config, ["compile=reduce-overhead"])

    def furthest(one: Sequence[tuple[int, float]], other: Sequence[tuple[int, float]]) -> float:
        return max(abs(a - b) / abs(b) for (_, a), (_, b) in zip(one, other, strict=True))

    with tempfile.TemporaryDirectory() as folder:
        plain = train(override(config, ["compile=off"]), sources, Path(folder, "plain")).losses
        whole = train(compiled, sources, Path(folder, "whole")).losses
        half = train(compiled, sources, Path(folder, "halves"), stop_at=steps // 2).losses
        rest = train(compiled, sources, Path(folder, "halves")).losses

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = load_photos(sources, 128, progress=False).images
    assert isinstance(images, torch.Tensor)
    recipes = []
    for seed in range(len(images)):
        recipe = draw_photo_recipe(torch.Generator().manual_seed(seed))
        quiet = [
            dataclasses.replace(step, everywhere=0.0, shot=0.0, blotches=0.0)
            if isinstance(step, Noise)
            else step
            for step in recipe.steps
            if not isinstance(step, Dirt)
        ]
        recipes.append(dataclasses.replace(recipe, steps=tuple(quiet)))
    here = torch.stack([lr_by(recipe, image, 32) for recipe, image in zip(recipes, images, strict=True)])
    there = lr_on_device(images.to(device), 32, recipes).cpu() * 255
    return {
        "compiled": furthest(whole, plain),
        "resumed": furthest([*half, *rest], whole),
        "degraded": float((there - here.float()).abs().mean()),
    }


def main() -> None:
    """All of it as JSON, and a table on standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/training-speed.json"))
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeats", type=int, default=40, help="steps of a measurement")
    parser.add_argument("--seconds", type=int, default=150, help="that a measurement may take")
    parser.add_argument("--presets", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"rows": rows}
    for preset in options.presets:
        for batch in options.batches:
            for setting in SETTINGS[preset]:
                found = bench(preset, [f"batch_size={batch}", setting], options.repeats, options.seconds)
                rows.append({"preset": preset, "batch": batch, "setting": setting, **found})
                told = found.get("error") or [
                    found["device"],
                    found["pairs_per_second"],
                    found["milliseconds"],
                    found["bound_by"],
                    f"{found['share_of_peak']:.1%} of peak, wanted {WANTED[preset]} pairs/s",
                ]
                print(preset, batch, setting, told, flush=True)
                write_json(options.out, result)  # what is measured stays, whatever comes
    result["agreement"] = agreement(steps=50)
    print("agreement", result["agreement"])
    write_json(options.out, result)


if __name__ == "__main__":
    main()
