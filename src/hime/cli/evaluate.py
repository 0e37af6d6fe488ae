"""``hime evaluate``, and what it measures on: ``hime make-list`` and ``hime prepare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hime.cli.arguments import (
    Commands,
    add_device,
    add_fidelity,
    add_targets,
    add_threads,
    not_negative,
    positive,
)
from hime.cli.models import common_lr_size, open_method
from hime.errors import HimeError
from hime.files import check_writable, write_json
from hime.pictures.formats import SUFFIXES
from hime.pictures.writing import write_image
from hime.processors import limit_threads
from hime.terminal import complain, say

if TYPE_CHECKING:
    from hime.evaluation.degradation import Realistic
    from hime.evaluation.evaluate import Degradation, Method
    from hime.evaluation.given import Given
    from hime.restoring.restorer import Restorer


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
    command.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    command.add_argument("--list", required=True, type=Path, metavar="LIST.jsonl", help="of `hime make-list`")
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
        help="of the inputs: bicubic, or blur, resizing, noise and JPEG: mild, medium, strong; with "
        "--given-size mild, moderate, gfpgan, codeformer, instantrestore, severe; default: bicubic",
    )
    command.add_argument(
        "--given-size",
        type=positive,
        metavar="PIXELS",
        help="hand the damaged pictures over at the truth's size, this one, as others' lists do",
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
    command.add_argument("--out", type=Path, metavar="FILE.json", help="write all figures")
    command.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="write a contact sheet: LR, all methods, truth, references",
    )
    command.add_argument(
        "--sheet-images", type=positive, default=12, metavar="N", help="inputs on the sheet; default: 12"
    )
    add_device(command)
    add_threads(command)
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
    from hime.evaluation.evaluate import check_methods
    from hime.evaluation.evaluate import evaluate as run_evaluation
    from hime.evaluation.measures import available_measures
    from hime.evaluation.provenance import provenance
    from hime.evaluation.sheet import Sheet
    from hime.evaluation.table import format_table

    if options.sheet is not None and options.sheet.suffix.lower() not in SUFFIXES:
        raise HimeError(f"{options.sheet}: a contact sheet is one of {', '.join(SUFFIXES)}")
    for path in (options.out, options.sheet):
        if path is not None:
            check_writable(path)
    entries = read_list(options.list)
    limit_threads(options.threads)
    fidelity = options.fidelity or 0.0
    opened = [open_method(model, options.threads, fidelity, options.device) for model in options.models]
    methods = [method for method, _ in opened]
    if options.fidelity is not None and all(restorer.fidelity is None for _, restorer in opened):
        raise HimeError("none of the models has a dial; leave out --fidelity")
    degradation: Degradation | None
    if options.given_size is None:
        if options.working_size is not None:
            options.parser.error("--working-size is for --given-size")
        lr_size = options.lr_size or common_lr_size([restorer for _, restorer in opened])
        degradation = open_degradation(options.degradation, options.seed)
    else:
        if options.lr_size is not None:
            options.parser.error("--lr-size or --given-size, not both")
        methods = any_size_methods(opened, options.working_size or [None])
        lr_size, degradation = options.given_size, open_given(options.degradation, options.seed)
    check_methods(methods)  # before anything is downloaded for the measures
    measures, missing = available_measures(options.luminance)
    for line in missing:
        complain(f"hime: {line}")
    sheet = None if options.sheet is None else Sheet(len(entries), options.sheet_images)
    result = run_evaluation(
        methods,
        options.data,
        entries,
        lr_size=lr_size,
        list_name=options.list.name,
        references=options.references,
        degradation=degradation,
        measures=measures,
        sheet=sheet,
    )
    say(*format_table(result).split("\n"))
    if options.out is not None:
        write_json(options.out, {"provenance": provenance(options.data, list=options.list), **result})
    if sheet is not None:
        write_image(options.sheet, sheet.draw())
    return 1 if result["failed"] else 0


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
    command.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    command.add_argument("--people", required=True, type=Path, metavar="LIST", help="a person a line")
    command.add_argument("--references", type=not_negative, default=3, metavar="N", help="default: 3")
    command.add_argument("--inputs", type=positive, default=5, metavar="N", help="a person; default: 5")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    add_targets(command)
    command.add_argument("--out", required=True, type=Path, metavar="LIST.jsonl")
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
        "--root", required=True, type=Path, metavar="ROOT", help="where pictures and index files lie"
    )
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="people folder to write")
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
    command.set_defaults(command=prepare, parser=command)


def prepare(options: argparse.Namespace) -> int:
    """``hime prepare``."""
    from hime.data import prepare as run_preparation

    if options.size is not None and options.hard_links:
        options.parser.error("--size makes copies; leave out it or --hard-links")
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
    )
    say(*str(prepared).split("\n"))
    if not prepared.is_done:
        raise HimeError(
            f"{options.root}: no lists written, since pictures are missing or unusable; "
            "put them right, or go on without them: --partial"
        )
    say(f"{options.out}: train.txt, test.txt, test.jsonl; details in prepared.json")
    return 0
