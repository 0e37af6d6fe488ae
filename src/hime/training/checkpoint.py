"""Checkpoints: safetensors only, nothing that could run code when it is read.

Two forms. A *released* checkpoint (RUN/best.safetensors) holds the averaged weights under the names of
``System.state_dict()``. A *state* (RUN/last.safetensors) holds all that a training needs to go on: ``ema.…``,
and for every network that is trained (``model``, and ``discriminator`` where there is one) its weights,
``model/weights.…``, and Adam's memory, ``model/exp_avg.…``, ``model/exp_avg_sq.…`` and ``model/adam_step.…``.
Both describe themselves in their metadata, which are strings: ``format``, ``architecture`` (JSON of
``HIMEConfig`` or ``SystemConfig``), ``preset``, ``training`` (JSON: the configuration, the data), ``metrics``
(JSON), ``step``, ``date``, ``licence``.

Exported models (`hime.tools.export`) hold the same weights and are read too, so that what is released is
there once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hime.errors import HimeError
from hime.files import write_atomically
from hime.model.system import System
from hime.restoring.card import WEIGHTS, read_card
from hime.restoring.exported import available_models, find_model, read_weights
from hime.systems import Architecture, architecture_of, build
from hime.terminal import some_of

RELEASED, STATE = "hime-checkpoint-1", "hime-state-2"
LAST, BEST, CONFIG = "last.safetensors", "best.safetensors", "config.json"
MOMENTS = ("exp_avg", "exp_avg_sq")


class Trained(NamedTuple):
    """A network in training and its optimiser, Adam."""

    network: nn.Module
    optimiser: torch.optim.Optimizer


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """A training after ``step`` steps; ``metadata`` as above, ``tensors`` by their names in the file."""

    step: int
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        HimeError: the folder cannot be written to, or the disk is full.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        write_atomically(path, lambda temporary: save_file(plain, temporary, dict(metadata)))
    except SafetensorError as error:
        raise HimeError(f"{path}: cannot write there ({error}); make room for it") from error


def save_released(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the released form: ``weights`` named as ``System.state_dict()`` names them."""
    save_tensors(path, weights, {**metadata, "format": RELEASED})


def save_state(
    path: Path,
    step: int,
    networks: Mapping[str, Trained],
    ema: Mapping[str, Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write all that a training needs to go on after ``step``; ``networks`` by the names in the file."""
    tensors = {f"ema.{name}": tensor for name, tensor in ema.items()}
    for label, (network, optimiser) in networks.items():
        tensors |= {f"{label}/weights.{name}": tensor for name, tensor in network.state_dict().items()}
        for name, parameter in network.named_parameters():
            memory = optimiser.state.get(parameter)
            if memory:  # a parameter that never had a gradient (trained without references) has none
                tensors |= {f"{label}/{moment}.{name}": memory[moment] for moment in MOMENTS}
                tensors[f"{label}/adam_step.{name}"] = memory["step"]
    save_tensors(path, tensors, {**metadata, "format": STATE, "step": str(step)})


def load_state(path: Path) -> TrainingState:
    """Read what ``save_state`` wrote.

    Raises:
        HimeError: not such a file.
    """
    tensors, metadata = read_tensors(path)
    return TrainingState(_step_of(metadata, path), tensors, metadata)


def read_step(path: Path) -> int:
    """After how many steps ``save_state`` wrote a file; its tensors are not read.

    Raises:
        HimeError: not such a file.
    """
    with _opened(path) as file:
        return _step_of(dict(file.metadata() or {}), path)


def _step_of(metadata: Mapping[str, str], path: Path) -> int:
    if metadata.get("format") != STATE:
        raise HimeError(f"{path}: holds no training state ({STATE}); choose another --out")
    return int(metadata["step"])


def restore_state(
    state: TrainingState, networks: Mapping[str, Trained], ema: Mapping[str, Tensor], path: Path
) -> None:
    """Put a state into networks, their optimisers and the averaged weights, in place.

    Raises:
        HimeError: the state is another network's.
    """
    averages = section(state.tensors, "ema")
    check_names(ema, averages, path)
    for name, average in ema.items():
        average.copy_(averages[name])
    for label, (network, optimiser) in networks.items():
        load_weights(network, section(state.tensors, f"{label}/weights"), path)
        moments = {moment: section(state.tensors, f"{label}/{moment}") for moment in (*MOMENTS, "adam_step")}
        for name, parameter in network.named_parameters():
            if name in moments["adam_step"]:
                memory = optimiser.state[parameter]
                for moment in MOMENTS:  # in the parameter's own memory format, as Adam would make them
                    memory[moment] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                    memory[moment].copy_(moments[moment][name])
                fused = optimiser.param_groups[0].get("fused")
                memory["step"] = moments["adam_step"][name].to(parameter.device if fused else "cpu")


def load_model(path: Path | str) -> tuple[System, dict[str, str]]:
    """Read a network from a run folder (its best, else the average of its last), from a checkpoint, or from
    an exported model, which may be given by its name: as text, since a ``Path`` is never a name.

    Returns:
        The network in evaluation mode on the CPU, and the file's metadata.

    Raises:
        HimeError: no such file, not a checkpoint of ours, or weights that do not fit its architecture.
    """
    # As it was given: Path makes of ./small-x4, a run folder, the name of a model of the package.
    if path in available_models() or (Path(path) / "card.json").is_file():
        return _load_exported(find_model(path))
    path = Path(path)
    if path.is_dir():
        path = next((path / name for name in (BEST, LAST) if (path / name).exists()), path / BEST)
    tensors, metadata = read_tensors(path)
    if metadata.get("format") not in (RELEASED, STATE):
        raise HimeError(f"{path}: no checkpoint of hime (its metadata lack format={RELEASED})")
    model = build(read_architecture(metadata, path))
    load_weights(model, section(tensors, "ema") if metadata["format"] == STATE else tensors, path)
    return model.eval(), metadata


def _load_exported(folder: Path) -> tuple[System, dict[str, str]]:
    card = read_card(folder)
    metadata = {field: json.dumps(card.get(field, {})) for field in ("architecture", "training", "metrics")}
    metadata |= {field: str(card.get(field, "")) for field in ("date", "licence")}
    model = build(read_architecture(metadata, folder))
    values = torch.from_numpy(read_weights(folder, card))
    state = model.state_dict()
    lengths = [weight.numel() for weight in state.values()]
    if sum(lengths) != len(values):
        raise HimeError(
            f"{folder / WEIGHTS}: {len(values)} weights, its architecture has {sum(lengths)}; "
            "export the model again"
        )
    for weight, part in zip(state.values(), values.split(lengths), strict=True):
        weight.copy_(part.view_as(weight))
    return model.eval(), metadata


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a safetensors file.

    Raises:
        HimeError: missing, or anything else than safetensors: pickles are never loaded.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file as `safe_open` has it; what goes wrong with it in the block is told in one line."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise HimeError(
            f"{path}: no such checkpoint; give a run folder, a .safetensors file or an exported model"
        ) from None
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HimeError(
            f"{path}: not a readable safetensors file ({reason}); "
            "other formats, pickles (.pt) above all, are not loaded"
        ) from error


def read_architecture(metadata: Mapping[str, str], path: Path) -> Architecture:
    """The architecture in a checkpoint's metadata.

    Raises:
        HimeError: it is missing or of another version.
    """
    try:
        fields = json.loads(metadata["architecture"])
        return architecture_of(fields)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise HimeError(
            f"{path}: its architecture cannot be read ({error}); use the version that wrote it"
        ) from error


def section(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors below ``name.``, without it."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load ``weights`` into ``model``; every name and shape must agree.

    Raises:
        HimeError: they do not.
    """
    check_names(model.state_dict(), weights, path)
    model.load_state_dict(dict(weights))


def check_names(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights of another network with one line that gives an example.

    Raises:
        HimeError: a name is missing or too many, or a shape differs.
    """
    problems = [f"{name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name} is unknown" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & found.keys()
        if expected[name].shape != found[name].shape
    ]
    if problems:
        raise HimeError(f"{path}: weights of another network ({some_of(sorted(problems), 1)})")
