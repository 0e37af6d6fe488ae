"""How fast a model is on this machine, and how much of what the machine could do that is.

Images a second depend on the machine; the share of its fp32 matrix-product peak, measured in the same run,
says how well the time is used: share = 2 · MACs / (seconds · peak). The peak is that of the fastest library
at hand, since they differ by a factor of two on some processors. Times are of the networks alone, from arrays
to arrays, without files.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from hime.errors import how_to_install
from hime.evaluation.provenance import LIBRARIES, provenance
from hime.pictures.arrays import FloatArray
from hime.processors import usable_threads
from hime.restoring.devices import PROCESSOR, precision
from hime.restoring.exported import DEFAULT_MODEL, Backend, OnnxBackend, find_model

Product = Callable[[FloatArray, FloatArray], object]

REFERENCES = 3
BATCH_SIZE = 8
"""Pairs a training step."""
WARM_UP = 3
"""Calls before the clock starts."""
_PRODUCT = base64.b64decode(
    "CAg6YQoRCgFhCgFiEgFjIgZNYXRNdWwSB3Byb2R1Y3RaFQoBYRIQCg4IARIKCgMSAW4KAxIBbloVCgFiEhAKDggBEg"
    "oKAxIBbgoDEgFuYhUKAWMSEAoOCAESCgoDEgFuCgMSAW5CBAoAEBE="
)
"""An ONNX model of one node, c = MatMul(a, b) on n×n; written out, since `onnx` is not needed here."""


def bench(
    model: str | Path = DEFAULT_MODEL,
    *,
    threads: int | None = None,
    repeats: int = 50,
    matrix_sizes: tuple[int, ...] = (1024, 1536, 2048),
    device: str = PROCESSOR,
) -> dict[str, Any]:
    """Measure an exported model; PyTorch and training too where PyTorch is installed.

    Args:
        model: name or folder of an exported model.
        threads: processor threads for everything; those this process may use by default.
        repeats: timed calls, of which the median counts (a fifth of them for training steps).
        matrix_sizes: sides of the square fp32 matrix products, of which the fastest is the peak.
        device: a further one to run the model on, call by call in turn with the processor; the peak is the
            processor's all the same.

    Returns:
        ``provenance``, ``model``, ``scale``, ``lr`` (height, width), ``references``, ``threads``, ``device``,
        ``precision`` (that the device computes in); ``peak`` (``gflops``, ``by``, ``side``, and ``all``:
        GFLOP/s by library); ``onnxruntime`` (on the processor), ``on_device`` (None for the processor) and
        ``pytorch`` (None without it), each ``cold`` (references encoded and headshot restored) and ``warm``
        (headshot restored) with ``milliseconds``, ``images_per_second``, ``gmacs``, ``share_of_peak``;
        ``training`` (None without PyTorch): ``fp32`` and ``bf16`` with ``pairs_per_second``, ``batch_size``,
        and ``share_of_peak`` of ``peak_gflops``, that of products in the same precision; a step counts as
        three restorations, since its backward pass does the work of two; ``training_takes``: which of the two
        `hime train` takes on this machine, and the layout, that of both figures.

    Raises:
        HimeError: no such model, it is damaged, or as for another device than the processor.
    """
    threads = threads or usable_threads()
    backends = _opened(find_model(model), threads, device)
    card = backends["onnxruntime"].card
    result: dict[str, Any] = {
        "provenance": provenance(),
        "model": card["name"],
        "scale": card["scale"],
        "lr": card["macs"]["lr"],
        "references": REFERENCES,
        "threads": threads,
        "device": device,
        "precision": precision(device),
        "on_device": None,
    }
    products: dict[str, Product] = {"onnxruntime": _onnxruntime_product(threads)}
    products["numpy (its own threads)"] = np.matmul
    if importlib.util.find_spec("torch") is None:
        peak = _peak(products, matrix_sizes)
        shares = _shares(_time_backends(backends, repeats), card, peak)
        return {**result, "peak": peak, **shares, **dict.fromkeys(("pytorch", "training", "training_takes"))}

    import torch

    from hime.training.arithmetic import of_machine

    arithmetic, reason = of_machine(torch.device("cpu"))
    products["torch"] = lambda left, right: torch.mm(torch.from_numpy(left), torch.from_numpy(right))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        peak = _peak(products, matrix_sizes)
        measured = _time_backends(backends, repeats)
        measured |= _time_backends({"pytorch": _torch_backend(card)}, repeats)
        peaks = {"fp32": peak["gflops"], "bf16": _bf16_peak(matrix_sizes)}
        training = {
            kind: _time_training(card, kind, arithmetic.channels_last, max(1, repeats // 5), gflops)
            for kind, gflops in peaks.items()
        }
    finally:
        torch.set_num_threads(before)
    return {
        **result,
        "peak": peak,
        **_shares(measured, card, peak),
        "training": training,
        "training_takes": f"{arithmetic} ({reason})",
    }


def _opened(folder: Path, threads: int, device: str) -> dict[str, Backend]:
    """The model on the processor, and on the further device if there is one."""
    backends: dict[str, Backend] = {"onnxruntime": OnnxBackend(folder, threads)}
    if device != PROCESSOR:
        backends["on_device"] = OnnxBackend(folder, threads, device)
    return backends


def format_bench(result: dict[str, Any]) -> str:
    """The result of `bench` as text."""
    height, width = result["lr"]
    scale, peak = result["scale"], result["peak"]
    machine = result["provenance"]["machine"]
    versions = ", ".join(f"{library} {machine[library]}" for library in LIBRARIES if machine[library])
    lines = [
        f"{result['model']}: {width}×{height} → {width * scale}×{height * scale}, "
        f"{result['references']} references, {result['threads']} threads, device {result['device']}",
        f"{machine['processor']}, {' '.join(machine['vector_units'])}; {versions}",
        f"fp32 matrix-product peak: {peak['gflops']:.1f} GFLOP/s ({peak['by']}, {peak['side']}²); best of "
        + ", ".join(f"{library} {rate:.1f}" for library, rate in peak["all"].items()),
        "",
        f"{'':<20}{'ms':>8}{'images/s':>10}{'GMACs':>8}{'of peak':>9}",
    ]
    on_device = f"{result['device']} {result['precision']}"
    for key, label in (("onnxruntime", "ONNX Runtime"), ("on_device", on_device), ("pytorch", "PyTorch")):
        for state in ("cold", "warm"):
            if result[key] is not None:
                row = result[key][state]
                lines.append(
                    f"{label + ' ' + state:<20}{row['milliseconds']:>8.2f}{row['images_per_second']:>10.1f}"
                    f"{row['gmacs']:>8.3f}{row['share_of_peak']:>9.0%}"
                )
    lines += ["cold: references encoded, headshot restored; warm: references encoded before"]
    if result["on_device"] is not None:
        cold, warm = (
            result["onnxruntime"][state]["milliseconds"] / result["on_device"][state]["milliseconds"]
            for state in ("cold", "warm")
        )
        lines.append(f"{on_device}: {cold:.2f} times as fast as ONNX Runtime cold, {warm:.2f} times warm")
    if result["training"] is None:
        lines.append(f"PyTorch and training: not installed ({how_to_install('train')})")
    else:
        rates = ", ".join(
            f"{row['pairs_per_second']:.1f} {name} ({row['share_of_peak']:.0%} of "
            f"{row['peak_gflops']:.0f} GFLOP/s)"
            for name, row in result["training"].items()
        )
        lines.append(f"training, batch {BATCH_SIZE}, pairs/s: {rates}")
        lines.append(f"hime train takes {result['training_takes']}")
    return "\n".join(lines)


def median_seconds(*works: Callable[[], object], repeats: int) -> list[float]:
    """Median wall time of each of ``works`` over ``repeats`` calls, after some that are not timed.

    They are called in turn, so that what else the machine does slows all of them alike.
    """
    times: list[list[float]] = [[] for _ in works]
    for call in range(min(WARM_UP, repeats) + repeats):
        for work, own in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if call >= min(WARM_UP, repeats):
                own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


def _time_backends(backends: dict[str, Backend], repeats: int) -> dict[str, dict[str, float]]:
    """Seconds cold and warm of each, at the size of the card's MACs."""
    card = next(iter(backends.values())).card
    height, width = card["macs"]["lr"]
    scale = int(card["scale"])
    random = np.random.default_rng(0)
    lr: FloatArray = random.random((1, 3, height, width), dtype=np.float32)
    photos: FloatArray = random.random((REFERENCES, 3, scale * height, scale * width), dtype=np.float32)

    def cold(backend: Backend) -> Callable[[], object]:
        return lambda: backend.restore(lr, backend.encode(photos)[np.newaxis])

    def warm(backend: Backend) -> Callable[[], object]:
        features = backend.encode(photos)[np.newaxis]
        return lambda: backend.restore(lr, features)

    seconds = {
        state: median_seconds(*map(work, backends.values()), repeats=repeats)
        for state, work in (("cold", cold), ("warm", warm))
    }
    return {
        name: {state: times[place] for state, times in seconds.items()} for place, name in enumerate(backends)
    }


def _shares(
    seconds: dict[str, dict[str, float]], card: dict[str, Any], peak: dict[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    work = {"cold": _macs(card), "warm": card["macs"]["restore"]}
    return {
        name: {
            state: {
                "milliseconds": round(1e3 * taken, 3),
                "images_per_second": round(1 / taken, 2),
                "gmacs": round(work[state] / 1e9, 4),
                "share_of_peak": round(2 * work[state] / taken / (1e9 * peak["gflops"]), 4),
            }
            for state, taken in times.items()
        }
        for name, times in seconds.items()
    }


def _macs(card: dict[str, Any]) -> int:
    """Multiply-adds of a headshot restored with its references encoded."""
    macs = card["macs"]
    return int(REFERENCES * macs["encode_per_reference"] + macs["restore"])


def _peak(products: dict[str, Product], sides: tuple[int, ...]) -> dict[str, Any]:
    """The fastest square product, each the best of several: noise can only hide a peak."""
    rates: dict[tuple[str, int], float] = {}
    for side in sides:
        left, right = np.random.default_rng(0).random((2, side, side), dtype=np.float32)
        for library, multiply in products.items():
            rates[library, side] = _gflops(side, functools.partial(multiply, left, right))
    by, side = max(rates, key=lambda pair: rates[pair])
    best = {library: max(rates[library, side] for side in sides) for library in products}
    return {"gflops": rates[by, side], "by": by, "side": side, "all": best}


def _bf16_peak(sides: tuple[int, ...]) -> float:
    """GFLOP/s of PyTorch's fastest square product in bf16."""
    import torch

    matrices = {side: torch.rand(2, side, side).bfloat16() for side in sides}
    return max(_gflops(side, functools.partial(torch.mm, *pair)) for side, pair in matrices.items())


def _gflops(side: int, multiply: Callable[[], object]) -> float:
    """GFLOP/s of a square product, the best of several."""
    fastest = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        multiply()
        fastest = min(fastest, time.perf_counter() - start)
    return round(2 * side**3 / fastest / 1e9, 2)


def _onnxruntime_product(threads: int) -> Product:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(_PRODUCT, options, providers=["CPUExecutionProvider"])
    return lambda left, right: session.run(None, {"a": left, "b": right})


def _torch_backend(card: dict[str, Any]) -> Backend:
    """The card's network in PyTorch on the processor, with fresh weights: they do not change the time."""
    from hime.evaluation.checkpoint import TorchBackend
    from hime.evaluation.cost import network_of

    return TorchBackend(network_of(card), card, device="cpu")


def _time_training(
    card: dict[str, Any], precision: str, channels_last: bool, steps: int, gflops: float
) -> dict[str, float]:
    """Pairs a second of training steps: forward, backward, clipping and Adam, not the drawing of data."""
    import torch

    from hime.evaluation.cost import network_of
    from hime.losses.objective import Objective
    from hime.training.batches import Batch
    from hime.training.presets import TrainingConfig
    from hime.training.steps import generator_step

    height, width = card["macs"]["lr"]
    scale = int(card["scale"])
    config = TrainingConfig()
    model = network_of(card)
    model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=1e-6, fused=True)
    objective = Objective(config.loss)
    batch = Batch(
        lr=torch.rand(BATCH_SIZE, 3, height, width),
        hr=torch.rand(BATCH_SIZE, 3, scale * height, scale * width),
        references=torch.rand(BATCH_SIZE, REFERENCES, 3, scale * height, scale * width),
        present=torch.ones(BATCH_SIZE, REFERENCES, dtype=torch.bool),
    )

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss, _, _ = generator_step(model, batch, objective)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    (seconds,) = median_seconds(step, repeats=steps)
    rate = BATCH_SIZE / seconds
    return {
        "pairs_per_second": round(rate, 2),
        "batch_size": BATCH_SIZE,
        "share_of_peak": round(6 * _macs(card) * rate / (1e9 * gflops), 4),
        "peak_gflops": gflops,
    }
