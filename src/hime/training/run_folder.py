"""The run folder: what a training is (config.json), its state and its best weights, and one owner.

RUN/config.json says what is trained, RUN/last.safetensors holds the whole state, RUN/best.safetensors the
averaged weights that did best on the held-out people, RUN/tensorboard the curves and sample sheets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hime.errors import HimeError
from hime.files import TEMPORARY, held, write_json
from hime.model import HIMEConfig
from hime.restoring.card import trainings_of
from hime.systems import SystemConfig
from hime.training.arithmetic import Arithmetic, Settled
from hime.training.checkpoint import (
    BEST,
    CONFIG,
    LAST,
    load_model,
    load_state,
    read_step,
    restore_state,
    save_released,
    save_state,
)
from hime.training.held_out import Evaluation
from hime.training.networks import Networks
from hime.training.presets import TrainingConfig

NEWER_FINGERPRINTS = ("targets_fingerprint", "labels_fingerprint")
"""Of ``data`` in config.json: not in runs that were begun before November 27, 2026."""


@dataclasses.dataclass(frozen=True)
class Description:
    """What is trained and on what: the contents of config.json, and of the checkpoints' metadata.

    ``data``: ``photos`` and ``people`` trained on, ``sources`` (names of the roots), ``fingerprint`` of all
    photos, ``targets`` and theirs if they are restricted, that of the labels if there are some, ``distinct``
    people if folders are given several times, ``flip`` if it is not "even" and there are no references.
    ``arithmetic``: precision and layout in words, and why.
    ``earlier``: what the weights of ``init`` had been trained on before, see `earlier_trainings`.
    """

    preset: str
    config: TrainingConfig
    data: dict[str, Any]
    arithmetic: str
    earlier: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The contents of config.json."""
        contents = {
            "format": "hime-run-1",
            "preset": self.preset,
            "arithmetic": self.arithmetic,
            "config": dataclasses.asdict(self.config),
            "architecture": dataclasses.asdict(self.config.architecture),
            "data": self.data,
            "earlier": self.earlier,
        }
        plain: dict[str, Any] = json.loads(json.dumps(contents))  # tuples become lists, as in the file
        return plain

    def metadata(self, step: int, evaluations: Sequence[Evaluation]) -> dict[str, str]:
        """What checkpoints say of themselves after ``step`` steps."""
        # A checkpoint travels; where other files lay does not matter, and tells of the machine.
        init, labels = (path and Path(path).name for path in (self.config.init, self.config.labels))
        config = dataclasses.replace(self.config, init=init, labels=labels)
        training = {
            "preset": self.preset,
            "data": self.data["sources"],
            "people": self.data["people"],
            "photos": self.data["photos"],
            "fingerprint": self.data["fingerprint"],
            "steps": step,
            "batch_size": config.batch_size,
            "hr_size": config.hr_size,
            "config": dataclasses.asdict(config),
        }
        if self.earlier:
            training["earlier"] = self.earlier
        metrics = {"held_out": dataclasses.asdict(evaluations[-1])} if evaluations else {}
        return {
            "architecture": json.dumps(dataclasses.asdict(config.architecture)),
            "preset": self.preset,
            "training": json.dumps(training),
            "metrics": json.dumps(metrics),
            "step": str(step),
            "date": datetime.date.today().isoformat(),
            "licence": config.licence,
        }


def earlier_trainings(init: str | None) -> list[dict[str, Any]]:
    """What the weights that a training starts from have been trained on, the first training first.

    Of each what its checkpoint or card tells of `hime.restoring.card.TRAINING`; whoever has the weights must
    know whose photos they have seen.

    Raises:
        HimeError: ``init`` cannot be read.
    """
    if init is None:
        return []
    return trainings_of(json.loads(load_model(init)[1].get("training", "{}")))


class RunFolder:
    """A run folder at ``path``, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def has_state(self) -> bool:
        """Whether there is a training to go on with."""
        return (self.path / LAST).exists()

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder; a second training there would overwrite this one's state.

        Raises:
            HimeError: another one holds it, or it cannot be written to.
        """
        with held(self.path, f"{self}: another training is running there; choose another --out"):
            for leftover in (*self.path.glob(".*.safetensors"), *self.path.glob(f"{TEMPORARY}.json")):
                leftover.unlink()  # of a process killed while it wrote
            yield

    def recorded(self) -> dict[str, Any] | None:
        """config.json of the training that there is to go on with; None if there is none.

        Raises:
            HimeError: it cannot be read.
        """
        path = self.path / CONFIG
        if not (path.exists() and self.has_state):
            return None
        try:
            recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = [recorded.get(part) for part in ("config", "data")] if isinstance(recorded, dict) else []
            if len(known) < 2 or not all(isinstance(part, dict) for part in known):
                raise ValueError("not what a training writes there")
            if recorded["config"].get("precision") not in ("bf16", "fp32"):
                raise ValueError("no precision that a training is begun in")
        except (OSError, ValueError, RecursionError) as error:
            raise HimeError(f"{path}: cannot be read ({error}); choose another --out") from error
        # A run of an older version lacks newer keys; it was trained as their defaults say.
        architecture = recorded.get("architecture")
        if isinstance(architecture, dict):
            kind = SystemConfig if "system" in architecture else HIMEConfig
            recorded["architecture"] = _filled(architecture, _defaults(kind))
        recorded["config"] = _filled(recorded["config"], dataclasses.asdict(TrainingConfig()))
        return recorded

    def begun_in(self) -> Settled | None:
        """The arithmetic of the training that there is to go on with.

        Raises:
            HimeError: config.json cannot be read.
        """
        recorded = self.recorded()
        if recorded is None:
            return None
        config = recorded["config"]
        arithmetic = Arithmetic(config["precision"], config["channels_last"])
        return Settled(arithmetic, recorded.get("arithmetic", str(arithmetic)))

    def earlier(self, init: str | None) -> list[dict[str, Any]]:
        """`earlier_trainings` of ``init``; of a training that there is to go on with, as it began.

        One that an older version began tells of nothing: who knows what lay at ``init`` then.

        Raises:
            HimeError: config.json, or ``init``, cannot be read.
        """
        recorded = self.recorded()
        if recorded is None:
            return earlier_trainings(init)
        known: list[dict[str, Any]] = recorded.get("earlier", [])
        return known

    def claim(self, description: Description, change_steps: bool) -> None:
        """Write config.json; where there is a state already, only if it was trained with the same.

        Raises:
            HimeError: it was not. With ``change_steps`` the number of steps may differ, but not be less than
                are done.
        """
        ours, theirs = description.as_json(), self.recorded()
        if theirs is not None:
            allowed = {"preset", "arithmetic", "config.compile"}
            allowed |= {"config.steps"} if change_steps else set()
            # A run of an older version does not tell them.
            allowed |= {f"data.{key}" for key in NEWER_FINGERPRINTS if key not in theirs["data"]}
            allowed |= {"earlier"} - theirs.keys()
            different = [key for key in _differences(theirs, ours) if key not in allowed]
            if different:
                raise HimeError(
                    f"{self.path / CONFIG}: this run was started with other values of "
                    f"{', '.join(key.removeprefix('config.') for key in different)}; "
                    "use those, or choose another --out (and init=RUN to start from its weights)"
                )
            done, steps = read_step(self.path / LAST), description.config.steps
            if steps < done:
                raise HimeError(
                    f"{self}: {done} steps are done, --steps {steps} is less; give at least {done}, "
                    "or choose another --out"
                )
        write_json(self.path / CONFIG, ours)

    def resume(self, networks: Networks) -> tuple[int, list[Evaluation]]:
        """Put the state into ``networks``: the steps done, and what was measured. 0 if there is no state.

        Raises:
            HimeError: the state is damaged or another network's.
        """
        if not self.has_state:
            return 0, []
        path = self.path / LAST
        state = load_state(path)
        restore_state(state, networks.trained, networks.average.state_dict(), path)
        return state.step, [Evaluation(**entry) for entry in json.loads(state.metadata["evaluations"])]

    def save(
        self, networks: Networks, description: Description, step: int, evaluations: Sequence[Evaluation]
    ) -> None:
        """Write the state after ``step`` steps, whole or not at all."""
        entries = json.dumps([dataclasses.asdict(entry) for entry in evaluations])
        metadata = {**description.metadata(step, evaluations), "evaluations": entries}
        save_state(self.path / LAST, step, networks.trained, networks.average.state_dict(), metadata)

    def save_best(
        self, networks: Networks, description: Description, step: int, evaluations: Sequence[Evaluation]
    ) -> None:
        """Write the averaged weights as the best known."""
        metadata = description.metadata(step, evaluations)
        save_released(self.path / BEST, networks.average.state_dict(), metadata)


def _defaults(kind: type[HIMEConfig | SystemConfig]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}


def _filled(recorded: Any, defaults: Any) -> Any:
    """What was recorded, with the defaults of keys that it lacks, in its parts too; as JSON gives it."""
    if isinstance(recorded, dict) and isinstance(defaults, dict):
        return {
            **recorded,
            **{key: _filled(recorded.get(key, value), value) for key, value in defaults.items()},
        }
    return json.loads(json.dumps(recorded))


def _differences(theirs: Any, ours: Any, prefix: str = "") -> list[str]:
    """The dotted keys whose values differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return [
            name
            for key in keys
            for name in _differences(theirs.get(key), ours.get(key), f"{prefix}.{key}" if prefix else key)
        ]
    return [] if theirs == ours else [prefix]
