"""``hime info`` and ``hime bench``: what a model is, and how fast."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from hime.cli.arguments import Commands, add_device, add_set, add_threads, not_negative, path, positive
from hime.cli.models import is_preset, open_restorer
from hime.errors import HimeError
from hime.restoring.card import FILES, trainings_of
from hime.restoring.devices import PROCESSOR, installed_devices
from hime.restoring.exported import DEFAULT_MODEL, available_models
from hime.terminal import answer, shown


def add_info(commands: Commands) -> None:
    """The arguments of ``hime info``."""
    command = commands.add_parser(
        "info",
        help="what a model is",
        examples=["hime info", "hime info small-x8 --json", "hime info ttsr-x4 --costs 1"],
    )
    command.add_argument(
        "model", nargs="?", metavar="MODEL", help=f"also a preset, untrained; default: {DEFAULT_MODEL}"
    )
    command.add_argument("--json", action="store_true", help="the whole card")
    command.add_argument(
        "--readme", action="store_true", help="the page that goes beside the card, as `hime export` writes it"
    )
    command.add_argument(
        "--costs",
        type=not_negative,
        nargs="?",
        const=3,
        metavar="N",
        help="parameters and multiply-adds as others count them too, for 0 to N references; default: 3",
    )
    command.set_defaults(command=info, parser=command)


def info(options: argparse.Namespace) -> int:
    """``hime info``.

    Raises:
        HimeError: no such model, or it is to have a page and was not exported.
    """
    if options.readme and (options.json or options.costs is not None):
        other = "--json" if options.json else "--costs"
        options.parser.error(f"--readme prints the page alone; leave out it or {other}")
    models, devices = available_models(), installed_devices()
    default = DEFAULT_MODEL if DEFAULT_MODEL in models or not models else models[0]
    model = options.model or default
    card = card_of(model)
    if options.readme:
        if not set(FILES) <= card.get("sha256", {}).keys():
            raise HimeError(f"{model}: only an exported model has a page; run `hime export` first")
        from hime.tools.model_page import model_page

        answer(*model_page(card).splitlines())
        return 0
    counted = {}
    if options.costs is not None:
        from hime.evaluation.cost import costs, format_costs, network_of

        counted = {"costs": costs(network_of(card), options.costs)}
    if options.json:
        there = {"available": models, "devices": devices}
        text = json.dumps({**card, **counted, **there}, indent=2, ensure_ascii=False)
    else:
        told = [format_card(card), f"available: {', '.join(models) or 'none'}"]
        told.append(f"devices (--device): {', '.join(devices)}")
        if counted:
            told.insert(1, format_costs(counted["costs"]))
        text = "\n".join(told)
    answer(*text.split("\n"))
    return 0


def card_of(model: str) -> dict[str, Any]:
    """The card of a model that there is, or of a preset's network that has not been trained."""
    is_there = model in available_models() or Path(model).exists() or Path("runs", model).exists()
    if not is_there and is_preset(model):
        from hime.evaluation.checkpoint import untrained

        return untrained(model)
    return dict(open_restorer(model).card)


def format_card(card: dict[str, Any]) -> str:
    """A model's card as text."""
    macs = card["macs"]
    training = card.get("training", {})
    height, width = macs["lr"]
    lines = [
        f"{shown(card['name'])}: ×{card['scale']}, made for LR {card['lr_size']}×{card['lr_size']}",
        f"  {card['parameters'] / 1e6:.3f} M parameters",
        f"  {macs['total'] / 1e9:.3f} GMACs at LR {width}×{height} with {macs['references']} references "
        f"({macs['encode_per_reference'] / 1e9:.3f} to encode each, {macs['restore'] / 1e9:.3f} to restore)",
    ]
    if "frozen" in card:
        parts = (f"{shown(part)} {number / 1e6:.3f} M" for part, number in card["frozen"].items())
        lines.insert(2, f"  of these not trained: {', '.join(parts)}")
    if "reconstruction" in card:
        end = shown(card["reconstruction"])
        lines.append(f"  --fidelity 0 (its own pictures) to 1 (those of {end}), default {card['fidelity']:g}")
    for number, part in enumerate(reversed(trainings_of(training))):
        told = [key for key in ("preset", "data", "people", "photos", "steps") if key in part]
        lines.append(
            f"  {'before' if number else 'trained'}: "
            + ", ".join(f"{key} {_plain(part[key])}" for key in told)
        )
    lines += [f"  {key}: {_plain(card[key])}" for key in ("metrics", "date", "licence") if card.get(key)]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """A value of a card on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{shown(key)} {_plain(item)}" for key, item in value.items())
    return shown(" + ".join(map(str, value)) if isinstance(value, list) else str(value))


def add_bench(commands: Commands) -> None:
    """The arguments of ``hime bench``."""
    command = commands.add_parser(
        "bench",
        help="how fast a model, or a training, is on this machine",
        examples=["hime bench small-x4 --threads 1", "hime bench --training small-x8 --set batch_size=64"],
    )
    command.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, metavar="MODEL", help=f"default: {DEFAULT_MODEL}"
    )
    command.add_argument(
        "--training", action="store_true", help="of the preset MODEL: pairs a second, and what bounds them"
    )
    command.add_argument("--data", type=path, metavar="ROOT", help="of --training: people folder or pack")
    add_set(command, "the preset of --training")
    command.add_argument("--json", action="store_true", help="for other programs")
    command.add_argument("--repeats", type=positive, default=50, metavar="N", help="default: 50")
    add_device(command)
    add_threads(command)
    command.set_defaults(command=bench, parser=command, device=None)  # so that one that is given is noticed


def bench(options: argparse.Namespace) -> int:
    """``hime bench``."""
    if options.training:
        if options.device is not None:
            options.parser.error(
                "--device is for models; a training takes the GPU by itself, if there is one"
            )
        return bench_training(options)
    if options.set or options.data is not None:
        options.parser.error("--set and --data are for --training")
    from hime.tools.bench import bench as run_bench
    from hime.tools.bench import format_bench

    device = options.device or PROCESSOR
    result = run_bench(options.model, threads=options.threads, repeats=options.repeats, device=device)
    text = json.dumps(result, indent=2, ensure_ascii=False) if options.json else format_bench(result)
    answer(*text.split("\n"))
    return 0


def bench_training(options: argparse.Namespace) -> int:
    """``hime bench --training``."""
    import torch

    from hime.tools.bench_training import bench_training as run_bench
    from hime.tools.bench_training import format_bench_training

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    result = run_bench(options.model, options.set, steps=options.repeats, data=options.data)
    text = json.dumps(result, indent=2, ensure_ascii=False) if options.json else format_bench_training(result)
    answer(*text.split("\n"))
    return 0
