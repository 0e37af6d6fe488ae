"""What ONNX Runtime may run a model on: the processor, or what one of its other execution providers knows.

Each provider but the processor's comes with a build of ONNX Runtime of its own, which takes the place of the
plain one. What a device makes of a model is compared with what the processor makes of it before it is used
(`check_same`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from hime.errors import HimeError
from hime.pictures.arrays import resize, to_planes

FloatArray = npt.NDArray[np.float32]
Chain = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Headshot 1×3×H×W and photos N×3×sH×sW → picture and score maps, as a model makes them."""

PROCESSOR = "cpu"
TOLERANCE = 1 / 255
"""By how much a picture, or a score map, may differ from the processor's: one level of 8 bits."""
TRIED_REFERENCES = 2
"""Photos in the trial; with more than one the weighing of photos is tried too."""


@dataclass(frozen=True)
class Device:
    """Something that models run on.

    Attributes:
        provider: ONNX Runtime's name for it.
        package: what brings it.
        options: of the provider; ``{threads}`` stands for how many threads there may be.
    """

    provider: str
    package: str
    options: dict[str, str] = field(default_factory=dict)


DEVICES = {
    PROCESSOR: Device("CPUExecutionProvider", "onnxruntime"),
    "cuda": Device("CUDAExecutionProvider", "onnxruntime-gpu"),
    "coreml": Device("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "directml": Device("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": Device(
        "OpenVINOExecutionProvider",
        "onnxruntime-openvino",
        {"device_type": "CPU", "num_of_threads": "{threads}"},
    ),
}


def providers(device: str, threads: int) -> list[tuple[str, dict[str, str]]]:
    """What ONNX Runtime is to be asked for; what the device cannot do, the processor does.

    Raises:
        HimeError: no such device, or ONNX Runtime was built without it.
    """
    if device not in DEVICES:
        raise HimeError(f"there is no device {device}; choose one of {', '.join(DEVICES)}")
    chosen, processor = DEVICES[device], DEVICES[PROCESSOR]
    if chosen.provider not in onnxruntime.get_available_providers():
        raise HimeError(
            f"device {device}: this ONNX Runtime is built without it; "
            f"pip uninstall onnxruntime, then pip install {chosen.package}"
        )
    options = {name: value.format(threads=threads) for name, value in chosen.options.items()}
    asked: list[tuple[str, dict[str, str]]] = [(chosen.provider, options)]
    return asked if chosen.provider == processor.provider else [*asked, (processor.provider, {})]


def configure(options: onnxruntime.SessionOptions, device: str) -> None:
    """What a device asks of a session."""
    if device == "directml":  # as its documentation says
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL


def check_used(session: onnxruntime.InferenceSession, device: str) -> None:
    """ONNX Runtime goes on without a provider that cannot start; that is not what was asked for.

    Raises:
        HimeError: the session does without the device.
    """
    if session.get_providers()[0] != DEVICES[device].provider:
        raise HimeError(
            f"device {device}: is installed, but cannot be started; check its driver, or use --device cpu"
        )


def check_same(card: dict[str, Any], device: str, on_device: Chain, on_processor: Chain) -> None:
    """Restore the same picture on both, at the size that the model is for.

    Raises:
        HimeError: the device's picture or score maps differ by more than `TOLERANCE`, or are no numbers.
    """
    scale = int(card["scale"])
    height, width = card["macs"]["lr"]
    random = np.random.default_rng(0)

    def planes(height: int, width: int) -> FloatArray:
        """A picture with coarse and fine detail, as photographs have it."""
        coarse = random.integers(0, 256, (max(2, height // 4), max(2, width // 4), 3), np.uint8)
        fine = random.normal(0, 8, (height, width, 3))
        picture = (resize(coarse, height, width) + fine).clip(0, 255)
        return to_planes(picture.astype(np.uint8))

    lr = planes(height, width)
    photos = np.concatenate([planes(scale * height, scale * width) for _ in range(TRIED_REFERENCES)])
    differences = [
        float(np.abs(own - expected).max())
        for own, expected in zip(on_device(lr, photos), on_processor(lr, photos), strict=True)
    ]
    largest = float(np.max(differences))
    if not largest <= TOLERANCE:  # also not a number
        raise HimeError(
            f"{card['name']}: differs on device {device} from the processor's by up to "
            f"{255 * largest:.1f} levels of 255; use --device cpu"
        )
