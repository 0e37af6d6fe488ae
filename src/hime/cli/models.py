"""Models as the commands name them: exported, run folders and checkpoints, with a dial, with ``@N``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hime.errors import HimeError, how_to_install
from hime.restoring.devices import PROCESSOR
from hime.restoring.exported import available_models
from hime.restoring.hub import is_address
from hime.restoring.restorer import Restorer, load

if TYPE_CHECKING:
    from hime.evaluation.evaluate import Method


def open_restorer(
    model: str | Path,
    threads: int | None = None,
    fidelity: float | None = None,
    device: str = PROCESSOR,
) -> Restorer:
    """A restorer of an exported model, or of a run folder or ``.safetensors`` checkpoint (needs PyTorch).

    A preset's name stands for the run folder that ``hime train`` writes by default.

    Raises:
        HimeError: no such model, it is damaged, has no dial for that ``fidelity``, or the device is
            not there, or not for it.
    """
    path = Path(model)
    is_named = model in available_models()  # a run folder of the same name is ./NAME
    if not is_named and (path.suffix == ".safetensors" or any(path.glob("*.safetensors"))):
        if device != PROCESSOR:
            raise HimeError(f"{model}: is run by PyTorch; --device is for exported models (`hime export`)")
        import torch

        from hime.evaluation.checkpoint import TorchBackend

        if threads is not None:
            torch.set_num_threads(threads)
        return Restorer(TorchBackend.load(path), fidelity)
    if not (is_named or path.exists()):
        run = Path("runs") / str(model)  # where `hime train NAME` writes
        if any(run.glob("*.safetensors")):
            return open_restorer(run, threads, fidelity, device)
        if is_preset(str(model)):
            raise HimeError(f"{model}: not trained yet, and no {run}; run `hime train {model}` first")
        if not _has_torch() and not is_address(model):
            names = ", ".join(available_models()) or "none"
            raise HimeError(
                f"{model}: no such model; give a folder that `hime export` wrote, or one of: {names}; the "
                f"presets of `hime train` need PyTorch: {how_to_install('train')}"
            )
    return load(model, threads, fidelity, device)


def is_preset(name: str) -> bool:
    """Whether ``hime train`` knows the name; False without PyTorch."""
    if not _has_torch():
        return False
    from hime.training.presets import PRESETS

    return name in PRESETS


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def open_measured(
    model: str | Path, threads: int | None = None, fidelity: float = 0.0, device: str = PROCESSOR
) -> Restorer:
    """A restorer whose dial, if it has one, stands at ``fidelity``: by default it is the model itself.

    Raises:
        HimeError: as `open_restorer`.
    """
    restorer = open_restorer(model, threads, device=device)
    if restorer.fidelity is not None:
        restorer.fidelity = fidelity
    return restorer


def open_method(
    model: str, threads: int | None = None, fidelity: float = 0.0, device: str = PROCESSOR
) -> tuple[Method, Restorer]:
    """A model to evaluate, and its restorer; MODEL@N gets N references at most.

    Raises:
        HimeError: as `open_restorer`.
    """
    from hime.evaluation.evaluate import Variant

    name, limit = _limited(model)
    restorer = open_measured(name, threads, fidelity, device)
    place = f", fidelity {restorer.fidelity:g}" if restorer.fidelity else ""
    if not limit and not place:
        return restorer, restorer
    most = int(limit.removeprefix("@")) if limit else None
    return Variant(restorer, f"{restorer.name}{limit}{place}", most), restorer


def _limited(model: str) -> tuple[str, str]:
    """What is before the ``@N`` of a model, and that."""
    name, _, count = model.rpartition("@")
    is_limited = bool(name) and count.isdecimal() and not Path(model).exists()
    return (name, f"@{count}") if is_limited else (model, "")


def portable(model: str) -> str:
    """A model called as a process whose current folder is another one opens the same: from the root on what
    lies on the disk, a packaged one by its name. ``@N`` stays.
    """
    name, limit = _limited(model)
    if name in available_models():
        return model
    path, run = Path(name), Path("runs", name)
    if not path.exists():
        if not any(run.glob("*.safetensors")):
            return model
        path = run
    return f"{path.absolute()}{limit}"


def common_lr_size(restorers: Sequence[Restorer]) -> int:
    """The LR size that the models are made for.

    Raises:
        HimeError: it is not the same for all.
    """
    sizes = [int(restorer.card["lr_size"]) for restorer in restorers]
    if len(set(sizes)) > 1:
        raise HimeError(f"the models are made for LR sizes {', '.join(map(str, sizes))}; give --lr-size")
    return sizes[0]
