"""``hime evaluate``, and what it measures on: ``hime make-list`` and ``hime prepare``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hime
from hime.cli.arguments import (
    Commands,
    add_device,
    add_fidelity,
    add_targets,
    add_threads,
    not_negative,
    path,
    positive,
)
from hime.cli.bulk import add_engine, pool_of, refuse_ray_options
from hime.cli.models import common_lr_size, open_method, portable
from hime.errors import HimeError
from hime.files import check_writable, write_json
from hime.pictures.formats import SUFFIXES
from hime.pictures.writing import write_image
from hime.processors import limit_threads
from hime.restoring.batch import model_digest
from hime.terminal import complain, say

if TYPE_CHECKING:
    from hime.data.people import ListEntry
    from hime.data.placing import Placing
    from hime.evaluation.degradation import Realistic
    from hime.evaluation.evaluate import Degradation, Evaluation, Method, References
    from hime.evaluation.given import Given
    from hime.restoring.restorer import Restorer

SHEET_IMAGES = 12
"""Inputs on a contact sheet, if nothing is said."""


def add_evaluate(commands: Commands) -> None:
    """The arguments of ``hime evaluate``."""
    command = commands.add_parser(
        "evaluate",
        help="measure one or more models on an evaluation list",
        examples=[
            "hime evaluate small-x4 small-x4-p --data faces/celeba --list test.jsonl --sheet sheet.png"
        ],
    )
    command.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="name, exported folder, run folder or .safetensors; MODEL@N gets N references at most",
    )
    command.add_argument("--data", required=True, type=path, metavar="ROOT", help="people folder")
    command.add_argument("--list", required=True, type=path, metavar="LIST.jsonl", help="of `hime make-list`")
    command.add_argument(
        "--references",
        type=_references,
        default=3,
        metavar="0|1|2|3|blank|wrong",
        help="how many of the list's; grey ones; or another person's; default: 3",
    )
    command.add_argument(
        "--lr-size", type=positive, metavar="PIXELS", help="side of the LR inputs; default: the model's own"
    )
    add_fidelity(
        command, "of the models with a dial, called `MODEL, fidelity F` then; default: 0, the model itself"
    )
    command.add_argument(
        "--degradation",
        default="bicubic",
        metavar="LEVEL",
        help="of the inputs: bicubic, the default, or blur, resizing, noise and JPEG: mild, medium, strong; "
        "with --given-size one must be named, of mild, moderate, gfpgan, codeformer, instantrestore, severe",
    )
    command.add_argument(
        "--given-size",
        type=positive,
        metavar="PIXELS",
        help="hand the damaged pictures over at the truth's size, this one, as others' lists do; needs "
        "--degradation",
    )
    command.add_argument(
        "--working-size",
        nargs="+",
        type=_working_size,
        metavar="auto|PIXELS",
        help="with --given-size: from how many pixels a side to restore; several are compared; default: "
        "auto, by the detail that each picture has",
    )
    command.add_argument("--seed", type=int, default=0, help="of the degradation; default: 0")
    command.add_argument(
        "--luminance", action="store_true", help="PSNR and SSIM on luminance (BT.601) instead of RGB"
    )
    command.add_argument("--out", type=path, metavar="FILE.json", help="write all figures")
    command.add_argument(
        "--sheet",
        type=path,
        metavar="FILE.png",
        help="write a contact sheet: LR, all methods, truth, references",
    )
    command.add_argument(
        "--sheet-images", type=positive, metavar="N", help=f"inputs on the sheet; default: {SHEET_IMAGES}"
    )
    add_device(command)
    add_threads(command)
    add_engine(command)
    command.set_defaults(command=evaluate, parser=command)


def _references(text: str) -> Any:
    from hime.evaluation.evaluate import parse_references

    try:
        return parse_references(text)
    except HimeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _working_size(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def evaluate(options: argparse.Namespace) -> int:
    """``hime evaluate``."""
    from hime.data.people import read_list
    from hime.evaluation.provenance import provenance
    from hime.evaluation.sheet import Sheet
    from hime.evaluation.table import format_table

    _check(options)
    for place in (options.out, options.sheet):
        if place is not None:
            check_writable(place)
    entries = read_list(options.list)
    if entries and not any(os.path.lexists(options.data / entry.input) for entry in entries):
        raise HimeError(f"{options.data}: holds none of the photos of {options.list}; check --data")
    # As many workers as there are: each takes one thread, unless more are asked for.
    threads = options.threads or (1 if options.engine == "ray" else None)
    asked = Asked(
        tuple(options.models), options.data, tuple(entries), options.list.name, threads, options.fidelity,
        options.references, options.lr_size, options.degradation, options.given_size,
        tuple(options.working_size or [None]), options.seed, options.luminance, options.device,
    )  # fmt: skip
    limit_threads(threads)
    opened = asked.open()
    for line in opened.missing:
        complain(f"hime: {line}")
    # Of what is measured, not of what lies there hours later.
    source = provenance(options.data, list=options.list)
    sheet = None if options.sheet is None else Sheet(len(entries), options.sheet_images or SHEET_IMAGES)
    result = opened.evaluation.run(sheet) if options.engine == "local" else _in_bulk(options, asked, opened)
    if not result["images"]:
        told = f"none of its {len(entries)} photos in {options.data} can be measured"
        raise HimeError(f"{options.list}: {told}; the first: {result['failed'][0]['error']}")
    say(*format_table(result).split("\n"))
    if options.out is not None:
        write_json(options.out, {"provenance": source, **result})
    if sheet is not None:
        write_image(options.sheet, sheet.draw())
    return 1 if result["failed"] else 0


def _check(options: argparse.Namespace) -> None:
    """Whether the arguments go together; else the parser says what not, and stops (status 2)."""
    if options.sheet is not None and options.sheet.suffix.lower() not in SUFFIXES:
        raise HimeError(f"{options.sheet}: a contact sheet is one of {', '.join(SUFFIXES)}")
    if options.sheet is None and options.sheet_images is not None:
        options.parser.error("--sheet-images is for --sheet; leave it out, or give --sheet FILE.png")
    if options.given_size is None and options.working_size is not None:
        options.parser.error("--working-size is for --given-size")
    if options.given_size is not None and options.lr_size is not None:
        options.parser.error("--lr-size or --given-size, not both")
    if options.engine == "ray":
        if options.sheet is not None:
            options.parser.error("--sheet is not for --engine ray; leave out one of them")
        if options.out is None:
            options.parser.error("--engine ray keeps what is done beside the figures; give --out FILE.json")
    refuse_ray_options(options)


@dataclass(frozen=True)
class Opened:
    """What is measured, opened; ``missing`` is told of measures that cannot be."""

    evaluation: Evaluation
    restorers: list[Restorer]
    missing: list[str]


@dataclass(frozen=True)
class Asked:
    """What is to be measured, as the command line has it; may be sent to another process."""

    models: tuple[str, ...]
    data: Path
    entries: tuple[ListEntry, ...]
    list_name: str
    threads: int | None
    fidelity: float | None
    references: References
    lr_size: int | None
    degradation: str
    given_size: int | None
    working_size: tuple[int | None, ...]
    seed: int
    luminance: bool
    device: str

    def open(self) -> Opened:
        """Open models and measures.

        Raises:
            HimeError: a model or what it is measured with is missing, or they cannot be compared.
        """
        from hime.evaluation.evaluate import Evaluation, check_methods
        from hime.evaluation.measures import available_measures

        opened = [
            open_method(model, self.threads, self.fidelity or 0.0, self.device) for model in self.models
        ]
        methods = [method for method, _ in opened]
        restorers = [restorer for _, restorer in opened]
        if self.fidelity is not None and all(restorer.fidelity is None for restorer in restorers):
            raise HimeError("none of the models has a dial; leave out --fidelity")
        degradation: Degradation | None
        if self.given_size is None:
            lr_size = self.lr_size or common_lr_size(restorers)
            degradation = open_degradation(self.degradation, self.seed)
        else:
            methods = any_size_methods(opened, self.working_size)
            lr_size, degradation = self.given_size, open_given(self.degradation, self.seed)
        check_methods(methods)  # before anything is downloaded for the measures
        measures, missing = available_measures(self.luminance)
        evaluation = Evaluation(
            methods, self.data, self.entries, lr_size, self.list_name, self.references, degradation, measures
        )
        return Opened(evaluation, restorers, missing)

    def open_evaluation(self) -> Evaluation:
        """Open what a worker needs."""
        return self.open().evaluation


def _in_bulk(options: argparse.Namespace, asked: Asked, opened: Opened) -> dict[str, Any]:
    """``hime evaluate --engine ray``."""
    from hime.cluster import require

    require()
    from hime.cluster.evaluation import evaluate as evaluate_in_bulk
    from hime.evaluation.provenance import source_digest

    made = {
        "version": hime.__version__,
        "code": source_digest(),
        "models": " ".join(model_digest(restorer) for restorer in opened.restorers),
        "metrics": " ".join(opened.evaluation.metrics),
        "asked": str(replace(asked, entries=(), threads=None)),
    }
    models = tuple(map(portable, asked.models))
    elsewhere = replace(asked, models=models, data=asked.data.absolute())
    folder = options.out.with_name(f"{options.out.name}.job")
    return evaluate_in_bulk(
        elsewhere.open_evaluation, opened.evaluation, made, folder, pool_of(options, options.threads)
    )


def any_size_methods(
    opened: Sequence[tuple[Method, Restorer]], working_sizes: Sequence[int | None]
) -> list[Method]:
    """Each model with each working size, None being its own choice."""
    from hime.evaluation.evaluate import Variant
    from hime.evaluation.given import AnySize

    found: list[Method] = []
    for method, restorer in opened:
        references = method.references if isinstance(method, Variant) else None
        for working in working_sizes:
            told = "" if working is None else f", {working} px"
            found.append(Variant(AnySize(restorer, working), method.name + told, references))
    return found


def open_given(level: str, seed: int) -> Given:
    """What ``--degradation`` and ``--seed`` ask for with ``--given-size``."""
    from hime.evaluation.given import Given

    return Given(level, seed)


def open_degradation(name: str, seed: int) -> Realistic | None:
    """What ``--degradation`` and ``--seed`` ask for; None: bicubic."""
    if name == "bicubic":
        return None
    from hime.evaluation.degradation import Realistic

    return Realistic(name, seed)


def add_make_list(commands: Commands) -> None:
    """The arguments of ``hime make-list``."""
    command = commands.add_parser(
        "make-list",
        help="choose inputs and references for all methods",
        examples=["hime make-list --data faces/celeba --people test.txt --out test.jsonl"],
    )
    command.add_argument("--data", required=True, type=path, metavar="ROOT", help="people folder")
    command.add_argument("--people", required=True, type=path, metavar="LIST", help="a person a line")
    command.add_argument("--references", type=not_negative, default=3, metavar="N", help="default: 3")
    command.add_argument("--inputs", type=positive, default=5, metavar="N", help="a person; default: 5")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    add_targets(command)
    command.add_argument("--out", required=True, type=path, metavar="LIST.jsonl")
    command.set_defaults(command=make_list)


def make_list(options: argparse.Namespace) -> int:
    """``hime make-list``."""
    from hime.data.people import make_list as choose
    from hime.data.people import photos_of, read_people, read_targets, short_of_photos, write_list

    people = read_people(options.people)
    short = set(short_of_photos(photos_of(options.data, people), options.references))
    for name in sorted(short):
        complain(f"left out: {name}, who has fewer than {options.references + 1} photos")
    kept = [name for name in people if name not in short]
    if not kept:
        raise HimeError(f"{options.people}: nobody has that many photos; ask for fewer --references")
    targets = None if options.targets is None else read_targets(options.targets)
    entries = choose(options.data, kept, options.references, options.inputs, options.seed, targets)
    if not entries:
        raise HimeError(f"{options.targets}: none of these photos is one of the people's; check ROOT's name")
    write_list(options.out, entries)
    count = len({entry.person for entry in entries})
    say(f"{options.out}: {len(entries)} inputs of {count} people, {options.references} references each")
    return 0


def add_prepare(commands: Commands) -> None:
    """The arguments of ``hime prepare``."""
    command = commands.add_parser(
        "prepare",
        help="make a people folder, a split and a list of a data set as it is distributed",
        description="Writes DIR/PERSON/PICTURE, DIR/train.txt, DIR/test.txt and DIR/test.jsonl. The same "
        "command goes on where it was stopped. Out of celeba's and lfw's photographs, headshots are cut.",
        examples=["hime prepare celebamask-hq --root CelebAMask-HQ/ --out faces/celebamask-hq"],
    )
    command.add_argument("dataset", metavar="DATASET", help="celebamask-hq, celeba, lfw, ffhq-ref or folder")
    command.add_argument(
        "--root", required=True, type=path, metavar="ROOT", help="where pictures and index files lie"
    )
    command.add_argument("--out", required=True, type=path, metavar="DIR", help="people folder to write")
    command.add_argument(
        "--size", type=positive, metavar="N", help="copies of N×N pixels, as PNG; default: symbolic links"
    )
    command.add_argument("--hard-links", action="store_true", help="in place of symbolic ones")
    command.add_argument(
        "--references", type=not_negative, default=3, metavar="N", help="of an input; default: 3"
    )
    command.add_argument("--inputs", type=positive, default=5, metavar="N", help="a person; default: 5")
    command.add_argument("--seed", type=int, default=0, help="of split and list; default: 0")
    command.add_argument(
        "--partial", action="store_true", help="go on though pictures are missing or unusable"
    )
    command.add_argument(
        "--lists-only", action="store_true", help="write the lists from the index, without any picture"
    )
    command.add_argument(
        "--pack",
        type=positive,
        nargs="?",
        const=0,
        metavar="N",
        help="also pack the photos at N×N pixels (default: --size, or 128) into DIR/pack-N: few large files, "
        "which `hime train --data DIR/pack-N` does not hold in memory",
    )
    add_engine(command)
    command.set_defaults(command=prepare, parser=command, goes_on=True)


def _placer(options: argparse.Namespace) -> Placing:
    """Puts pictures into place on Ray; what is done is noted in the people folder."""
    from hime.cluster import require

    require()
    from hime.cluster.preparing import Placer

    return Placer(options.out, pool_of(options, threads=1))


def prepare(options: argparse.Namespace) -> int:
    """``hime prepare``."""
    from hime.data import prepare as run_preparation

    if options.size is not None and options.hard_links:
        options.parser.error("--size makes copies; leave out it or --hard-links")
    if options.pack is not None and options.lists_only:
        options.parser.error("--lists-only reads no photo to pack; leave out it or --pack")
    packed_size = options.pack or options.size or 128
    if options.size is not None and options.size < packed_size:
        options.parser.error(f"copies of --size {options.size} cannot be packed at {packed_size} pixels")
    refuse_ray_options(options)
    prepared = run_preparation(
        options.dataset,
        options.root,
        options.out,
        size=options.size,
        hard_links=options.hard_links,
        references=options.references,
        inputs_per_person=options.inputs,
        seed=options.seed,
        partial=options.partial,
        lists_only=options.lists_only,
        placing=None if options.engine == "local" else _placer(options),
    )
    say(*str(prepared).split("\n"))
    if not prepared.is_done:
        raise HimeError(
            f"{options.root}: no lists written, since pictures are missing or unusable; "
            "put them right, or go on without them: --partial"
        )
    say(f"{options.out}: train.txt, test.txt, test.jsonl; details in prepared.json")
    if options.pack is not None:
        from hime.data.pack import write_pack

        pack = write_pack(options.out, options.out / f"pack-{packed_size}", packed_size)
        say(f"{pack.folder}: {len(pack.photos)} photos in {len(pack.shards)} files, for `hime train --data`")
        complain(*(f"left out: {line}" for line in pack.skipped))
    return 0
