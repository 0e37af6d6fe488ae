"""What models may be run on: the processor, by ONNX Runtime or by OpenVINO, or what another of ONNX Runtime's
execution providers knows.

Each provider but the processor's comes with a build of ONNX Runtime of its own, which takes the place of the
plain one; OpenVINO lies beside it (`hime.restoring.openvino`). What a device makes of a model is compared
with what ONNX Runtime makes of it on the processor before it is used (`check_same`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from hime.errors import HimeError, how_to_install
from hime.pictures.arrays import FloatArray, resize, to_planes
from hime.restoring import openvino

Chain = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Headshot 1×3×H×W and photos N×3×sH×sW → picture and score maps, as a model makes them."""

PROCESSOR = "cpu"
OPENVINO = "openvino"
TOLERANCE = 1 / 255
"""By how much a picture, or a score map, may differ from the processor's: one level of 8 bits."""
ROUNDED_PICTURE, ROUNDED_SCORES = 0.5 / 255, 0.01
"""By how much they may where a device computes in bfloat16: root mean square. In a single value the models
that look real then differ by up to 7 levels, since they make what is noise into this detail or that. Half a
level costs 0.02 dB at a PSNR of 31 dB; the released models differ by 0.08 (reconstruction) to 0.35 levels.
One value alone that is 110 levels wrong is refused."""
TRIED_REFERENCES = 2
"""Photos in the trial; with more than one the weighing of photos is tried too."""


@dataclass(frozen=True)
class Device:
    """Something that models run on.

    Attributes:
        provider: ONNX Runtime's name for it; None if it goes without ONNX Runtime.
        package: what brings it.
    """

    provider: str | None
    package: str


DEVICES = {
    PROCESSOR: Device("CPUExecutionProvider", "onnxruntime"),
    "cuda": Device("CUDAExecutionProvider", "onnxruntime-gpu"),
    "coreml": Device("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "directml": Device("DmlExecutionProvider", "onnxruntime-directml"),
    OPENVINO: Device(None, "hime-sr[openvino]"),
}


def check_installed(device: str) -> None:
    """See that a device is there.

    Raises:
        HimeError: no such device, or nothing that is installed knows it.
    """
    if device not in DEVICES:
        raise HimeError(f"there is no device {device}; choose one of {', '.join(DEVICES)}")
    if _is_installed(device):
        return
    if device == OPENVINO:
        raise HimeError(f"device openvino: OpenVINO is not installed; say {how_to_install('openvino')}")
    raise HimeError(
        f"device {device}: this ONNX Runtime is built without it; "
        f"pip uninstall onnxruntime, then pip install {DEVICES[device].package}"
    )


def installed_devices() -> list[str]:
    """Names of the devices that are there."""
    return [device for device in DEVICES if _is_installed(device)]


def _is_installed(device: str) -> bool:
    if device == OPENVINO:
        return openvino.is_installed()
    return DEVICES[device].provider in onnxruntime.get_available_providers()


def engine(device: str) -> tuple[str, str]:
    """What runs models on it, and the package of that."""
    name = openvino.ENGINE if device == OPENVINO else "ONNX Runtime"
    return name, "openvino" if device == OPENVINO else "onnxruntime"


def precision(device: str) -> str:
    """What it computes in: ``"bf16"``, bfloat16 and float32 mixed, or ``"fp32"``."""
    return "bf16" if device == OPENVINO and openvino.has_bfloat16() else "fp32"


def providers(device: str) -> list[str]:
    """What ONNX Runtime is to be asked for; what the device cannot do, the processor does."""
    asked = [DEVICES[device].provider, DEVICES[PROCESSOR].provider]
    return list(dict.fromkeys(provider for provider in asked if provider))


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
        HimeError: the device's picture or score maps differ by more than `TOLERANCE` in any value (where it
            computes in bfloat16, by more than `ROUNDED_PICTURE` or `ROUNDED_SCORES` root mean square), or are
            no numbers.
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
        own - expected for own, expected in zip(on_device(lr, photos), on_processor(lr, photos), strict=True)
    ]
    if precision(device) == "bf16":
        picture, scores = (float(np.sqrt(np.mean(each**2))) for each in differences)
        if not (picture <= ROUNDED_PICTURE and scores <= ROUNDED_SCORES):  # also not a number
            raise HimeError(
                f"{card['name']}: differs on device {device} from the processor's by {255 * picture:.1f} "
                f"levels of 255, its score maps by {scores:.1%} (root mean square); use --device cpu"
            )
        return
    largest = float(np.max([np.abs(each).max() for each in differences]))
    if not largest <= TOLERANCE:  # also not a number
        raise HimeError(
            f"{card['name']}: differs on device {device} from the processor's by up to "
            f"{255 * largest:.1f} levels of 255; use --device cpu"
        )
