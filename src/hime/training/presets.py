"""What a training is: typed configurations, the named presets, and changes to them from the command line."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

import torch

from hime.errors import HimeError
from hime.losses.objective import LossWeights
from hime.model import HIMEConfig, large, small
from hime.model.system import System
from hime.systems import SYSTEMS, Architecture, SystemConfig, SystemName, build
from hime.training.degradation import DegradationName

SEEDS = (-(2**63), 2**64 - 1)
"""The smallest and the largest that PyTorch's generators take."""
MOST = 2**31 - 1
"""Of what is counted: what PyTorch and NumPy hold anywhere."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceSampling:
    """How the references of a training pair are drawn.

    ``count_weights[n]`` is the (relative) probability that the pairs of a step have n references. They are
    other photos of the person, all different, drawn by softmax(similarity / temperature); the temperature
    goes geometrically from its first to its second value over ``anneal_steps`` (None: the whole training),
    so that the most similar photos come first; ``temperature=None`` draws uniformly. Each drawn photo then
    becomes a plain grey, black or white one with probability ``blank``, another person's photo with
    probability ``wrong``. With probability ``wrong_person`` all references of a pair are of one other person:
    what a network sees to whom somebody else's album is given.

    ``misalignment``: each reference is turned by up to so many radians, scaled by up to such a share, and
    shifted to either side and up or down by up to half such a share of its side, as faces found in photos
    are; 0 leaves them as they are.

    ``flip``: "even" mirrors the target and its references together with probability ½, "uneven" mirrors
    one of the two (the paper's Table 7 b), "none" nothing.
    """

    count_weights: tuple[float, ...] = (0.1, 0.3, 0.2, 0.4)
    temperature: tuple[float, float] | None = (0.02, 0.4)
    anneal_steps: int | None = None
    blank: float = 0.03
    wrong: float = 0.05
    wrong_person: float = 0.0
    misalignment: float = 0.0
    flip: Literal["even", "uneven", "none"] = "even"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in ("blank", "wrong", "wrong_person", "misalignment"):
            if not 0 <= getattr(self, name) <= 1:
                raise HimeError(f"sampling.{name}={getattr(self, name)}: give a number from 0 to 1")
        if self.temperature is not None and not all(0 < each < math.inf for each in self.temperature):
            raise HimeError(f"sampling.temperature={self.temperature}: give two numbers above 0, or none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training, complete but for the photos; saved as RUN/config.json.

    Learning rates are Adam's, gradients are clipped by their total norm, times are in seconds.
    """

    model: Literal["small", "large"] | SystemName = "small"
    """HIME of either size, or a compared system."""
    scale: Literal[2, 4, 8] = 4
    model_changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of ``HIMEConfig``, or ``SystemConfig``, that differ from the named model's."""
    init: str | None = None
    """Run folder, checkpoint or exported model (by name or path) whose weights the training starts from;
    None: fresh weights. A narrower network's are widened (see `hime.training.widening`)."""
    flow_init: Literal["spynet"] | None = None
    """Where a flow-guided network has its optical flow from, unless ``init`` brings one: SpyNet's public
    weights (see `hime.losses.frozen.spynet_weights`), or None: drawn like the others."""
    flow_rate: float = 1.0
    """The optical flow's learning rate as a multiple of the network's; 0 leaves the flow as it is."""

    hr_size: int = 128
    """Side in pixels at which photos are held in memory."""
    lr_sizes: tuple[int, ...] | None = None
    """LR sides, one of which is drawn for each step (a side given twice, twice as often); None: always
    ``hr_size`` / ``scale``."""
    window: int | None = None
    """Side in HR pixels of the windows that pairs are cut to: one place for a target and its references,
    drawn for each pair. None: whole photos. Held-out people are always evaluated on whole photos."""
    degradation: DegradationName = "bicubic"
    """How LR headshots come from photos: simply reduced, as faces that were small in a good picture (both in
    `hime.training.degradation`), or through all that photos suffer, or slightly, as frames of a clip
    (`hime.training.photo_recipe`)."""
    degrade_on: Literal["auto", "cpu", "device"] = "auto"
    """Where that is done: pair by pair on the processor, the same bits everywhere, or for a batch at once on
    the device that trains (`hime.training.device_damage`), the same but for rounding and the noise that is
    drawn; "auto": on a GPU that, else on the processor. Held-out people's are the processor's always."""
    references: int = 3
    """The most references of a pair; 0 trains the network without any."""
    sampling: ReferenceSampling = dataclasses.field(default_factory=ReferenceSampling)
    batch_size: int = 8
    """Pairs a step, over all processes."""
    labels: str | None = None
    """File with landmarks and parts of the training photos' faces, for the systems that learn from them, see
    `hime.training.labels`; None: the terms of the loss that need them are left out. Not with ``window``."""
    held_out_fraction: float = 0.03
    """Share of the training people that only the periodic evaluation sees."""

    steps: int = 100_000
    learning_rate: float = 5e-4
    final_learning_rate: float = 1e-6
    warmup_steps: int = 200
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    loss: LossWeights = dataclasses.field(default_factory=LossWeights)
    discriminator: Literal["patch", "unet"] = "patch"
    """Which one judges, where there is an adversarial loss."""
    discriminator_channels: int = 32
    discriminator_rate: float = 1.0
    """The discriminator's learning rate as a multiple of the network's."""
    discriminator_warmup_steps: int | None = None
    """Of the discriminator's rate; None: ``warmup_steps`` too. Weights that have been through an adversarial
    training come without their discriminator: with few steps here and many there it catches up with them."""
    precision: Literal["bf16", "fp32", "auto"] = "auto"
    """Of the networks' passes; weights and losses are fp32 always. "auto": what the machine is good at, see
    `hime.training.arithmetic`."""
    channels_last: bool | Literal["auto"] = "auto"
    """The layout of feature maps in memory; "auto" likewise."""
    compile: Literal["auto", "off", "reduce-overhead"] = "auto"
    """Whether steps are compiled, on a GPU into CUDA graphs (see `hime.training.compiling`); "auto": there
    only. A run may go on with another value."""
    seed: int = 0

    evaluate_every: int = 2000
    evaluation_pairs: int = 128
    checkpoint_seconds: float = 60.0
    log_every: int = 100
    licence: str = "the terms of the training data apply to these weights"
    """Note for the model card."""

    def __post_init__(self) -> None:
        """Refuse values that no training can have."""
        counts = ("hr_size", "batch_size", "steps", "evaluate_every", "evaluation_pairs", "log_every")
        for name in (*counts, "discriminator_channels"):
            if not 1 <= getattr(self, name) <= MOST:
                raise HimeError(f"{name}={getattr(self, name)}: give at least 1, at most {MOST}")
        for name in ("references", "warmup_steps", "final_learning_rate", "weight_decay", "flow_rate"):
            if not getattr(self, name) >= 0:
                raise HimeError(f"{name}={getattr(self, name)}: give at least 0")
        if self.discriminator_warmup_steps is not None and self.discriminator_warmup_steps < 0:
            raise HimeError(
                f"discriminator_warmup_steps={self.discriminator_warmup_steps}: give at least 0, or none"
            )
        for name in ("learning_rate", "discriminator_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise HimeError(f"{name}={getattr(self, name)}: give more than 0")
        if not SEEDS[0] <= self.seed <= SEEDS[1]:
            raise HimeError(f"seed={self.seed}: give a number from {SEEDS[0]} to {SEEDS[1]}")
        if not all(0 <= decay < 1 for decay in (*self.betas, self.ema_decay)):
            raise HimeError(f"betas={self.betas}, ema_decay={self.ema_decay}: give 0 up to, not including, 1")
        if self.lr_sizes is not None and not (
            self.lr_sizes and min(self.lr_sizes) >= 8 and max(self.lr_sizes) * self.scale <= self.hr_size
        ):
            raise HimeError(
                f"lr_sizes={','.join(map(str, self.lr_sizes))}: give sides from 8 to hr_size / scale = "
                f"{self.hr_size // self.scale}"
            )
        if self.hr_size % self.scale:
            raise HimeError(f"hr_size={self.hr_size} is no multiple of scale={self.scale}")
        if self.window is not None and (
            self.lr_sizes is not None or self.window % self.scale or not 0 < self.window <= self.hr_size
        ):
            raise HimeError(
                f"window={self.window}: give a multiple of scale={self.scale} up to hr_size={self.hr_size}, "
                "without lr_sizes"
            )
        if self.window is not None and self.loss.identity:
            raise HimeError("loss.identity needs whole faces: set window=none, or loss.identity=0")
        if self.window is not None and self.labels is not None and self.learns_from_labels:
            raise HimeError(f"labels={self.labels} are of whole faces: set window=none, or labels=none")
        if not 0 <= self.held_out_fraction < 1:
            raise HimeError(f"held_out_fraction={self.held_out_fraction}: give 0 … 1")
        weights = self.sampling.count_weights
        drawn_by = torch.tensor(weights, dtype=torch.float32).tolist()  # 1e39 is infinite there, 1e-46 is 0
        are_some = all(0 <= weight < math.inf for weight in drawn_by) and sum(drawn_by) > 0  # not NaN either
        if self.references and (len(weights) != self.references + 1 or not are_some):
            raise HimeError(
                f"sampling.count_weights={','.join(map(str, weights))}: give {self.references + 1} numbers, "
                f"the probabilities of 0 … {self.references} references"
            )

    @property
    def lr_size(self) -> int:
        """Side of the LR headshots that the network is made for: of those trained with, the middle one."""
        return sorted(self.lr_sizes)[len(self.lr_sizes) // 2] if self.lr_sizes else self.hr_size // self.scale

    @property
    def learns_from_labels(self) -> bool:
        """Whether the system has terms of its loss that ``labels`` are for; others leave them unused."""
        return any(system == self.model and kind.labels for system, kind in SYSTEMS.items())

    @property
    def pair_sampling(self) -> ReferenceSampling:
        """``sampling`` as pairs are drawn with it; of that, without references there is only the flip."""
        if self.references:
            return self.sampling
        # Not the rest: it would draw numbers that nothing is made of, and a seed's pairs would be others.
        return ReferenceSampling(count_weights=(1.0,), flip=self.sampling.flip)

    @property
    def architecture(self) -> Architecture:
        """The network that is trained."""
        if self.model == "small" or self.model == "large":
            builder = {"small": small, "large": large}[self.model]
            return dataclasses.replace(builder(self.scale).config, **self.model_changes)
        config = SystemConfig(system=self.model, scale=self.scale, hr_size=self.hr_size)
        return dataclasses.replace(config, **self.model_changes)


PERCEPTION = LossWeights(
    pixel=1.0, correlation=0.1, perceptual=0.2, adversarial=0.05, perceptual_layers=("conv3_4",)
)
"""L_P. λ_rec and λ_cor are section 5.1's. λ_per is not (0.01 there): it belongs to features of a certain
scale, which ours do not have (see `PerceptualLoss`). Layer and λ_per, λ_adv (0.1 there) were chosen by short
trainings on the held-out people (docs/experiments.md)."""

FINE_TUNING: dict[str, Any] = {"loss": PERCEPTION, "learning_rate": 2e-4, "steps": 20_000}
"""Perception-oriented training starts from a reconstruction model: give it as ``init``."""

FLOW: dict[str, Any] = {"flow_init": "spynet", "flow_rate": 0.1}
"""The large model's optical flow has been trained by others: it goes on at a lower rate."""

SIZE_64: dict[str, Any] = {"scale": 4, "hr_size": 256, "window": 128, "evaluation_pairs": 64}
"""64→256, trained on windows as large as the photos of 32→128."""

REAL: dict[str, Any] = {
    "hr_size": 256,
    "lr_sizes": (16, 24, 32, 32, 32, 48, 64),
    "degradation": "photos",
    "sampling": ReferenceSampling(misalignment=0.04),
}
"""Faces as they are found in photos: small in different ways, of different sizes, and not quite aligned
(0.04: five pixels of 256, 2.3 degrees). Needs photos of 256 pixels. Starts from the bicubic model."""

VIDEO: dict[str, Any] = {"degradation": "frames"}
"""Faces in clips. Give folders of frames, a person's in one, beside those of photos: their references are
then of the same session, which is where these models take the most from."""

PRESETS: dict[str, TrainingConfig] = {
    "small-x2": TrainingConfig(model="small", scale=2),
    "small-x4": TrainingConfig(model="small", scale=4),
    "small-x8": TrainingConfig(model="small", scale=8),
    "small-x4-64": TrainingConfig(model="small", **SIZE_64),
    "large-x2": TrainingConfig(model="large", scale=2, **FLOW),
    "large-x4": TrainingConfig(model="large", scale=4, **FLOW),
    "large-x8": TrainingConfig(model="large", scale=8, **FLOW),
    "large-x4-64": TrainingConfig(model="large", **SIZE_64, **FLOW),
    "small-x4-p": TrainingConfig(model="small", scale=4, **FINE_TUNING),
    "small-x8-p": TrainingConfig(model="small", scale=8, **FINE_TUNING),
    "small-x4-64-p": TrainingConfig(model="small", **SIZE_64, **FINE_TUNING),
    "large-x4-p": TrainingConfig(model="large", scale=4, **FLOW, **FINE_TUNING),
    "large-x8-p": TrainingConfig(model="large", scale=8, **FLOW, **FINE_TUNING),
    "large-x4-64-p": TrainingConfig(model="large", **SIZE_64, **FLOW, **FINE_TUNING),
    "small-x4-video": TrainingConfig(model="small", scale=4, **VIDEO),
    "large-x4-video": TrainingConfig(model="large", scale=4, **FLOW, **VIDEO),
    "small-x4-video-p": TrainingConfig(model="small", scale=4, **VIDEO, **FINE_TUNING),
    "large-x4-video-p": TrainingConfig(model="large", scale=4, **FLOW, **VIDEO, **FINE_TUNING),
    "small-x4-real": TrainingConfig(model="small", scale=4, **REAL),
    "small-x4-real-p": TrainingConfig(model="small", scale=4, **REAL, **FINE_TUNING),
}
"""Table 1's twelve models, (32, ×4), (64, ×4: ``-64``), (16, ×8); ×2; ×4 for real pictures and for clips."""

ONE_REFERENCE: dict[str, Any] = {
    "references": 1,
    "sampling": ReferenceSampling(count_weights=(0.0, 1.0)),
}
"""For systems that look at one: drawn as ours are, and always there."""

COMPARED: dict[str, Any] = {"learning_rate": 2e-4, "evaluation_pairs": 32}
"""Of the compared systems: they were published with rates of 1e-4 to 2.5e-4 (PFSR, whose weights are scaled
in use, with 1e-3), and their evaluation takes long. All else is as in our own trainings: the photos, the
pairs drawn, the batch, Adam, the pixel loss."""

WHOLE_64: dict[str, Any] = {**SIZE_64, "window": None, "batch_size": 4}
"""64→256 for systems that are built for whole pictures."""


def _compared(model: SystemName, scale: Literal[4, 8], references: int = 0, /, **more: Any) -> TrainingConfig:
    of_references = ONE_REFERENCE if references else {"references": 0}
    return TrainingConfig(**{"model": model, "scale": scale, **of_references, **COMPARED, **more})


SYSTEM_PRESETS: dict[str, TrainingConfig] = {
    "srntt-x4": _compared("srntt", 4, 1),
    "ttsr-x4": _compared("ttsr", 4, 1),
    "sparnet-x4": _compared("sparnet", 4),
    "psfrgan-x4": _compared("psfrgan", 4),
    "dfdnet-x4": _compared("dfdnet", 4),
    "srntt-x4-64": _compared("srntt", 4, 1, **SIZE_64),
    "ttsr-x4-64": _compared("ttsr", 4, 1, **SIZE_64),
    "sparnet-x4-64": _compared("sparnet", 4, **SIZE_64),
    "psfrgan-x4-64": _compared("psfrgan", 4, **WHOLE_64),
    "dfdnet-x4-64": _compared("dfdnet", 4, **WHOLE_64),
    "pfsr-x8": _compared("pfsr", 8, learning_rate=1e-3),
    "fsrnet-x8": _compared("fsrnet", 8),
    "gwainet-x8": _compared("gwainet", 8, 1),
    "sparnet-x8": _compared("sparnet", 8),
    "psfrgan-x8": _compared("psfrgan", 8),
}
"""The systems that Table 1 compares, reconstruction-oriented, by setting as ours are."""

PRESETS |= SYSTEM_PRESETS | {
    f"{name}-p": dataclasses.replace(
        config,
        loss=dataclasses.replace(PERCEPTION, identity=0.1) if config.model == "gwainet" else PERCEPTION,
        steps=FINE_TUNING["steps"],
    )
    for name, config in SYSTEM_PRESETS.items()
}
"""And perception-oriented, to start from a reconstruction-oriented one: with L_P, and what is the system's
own (texture, transferal and, of GWAInet, identity loss)."""


def preset(name: str) -> TrainingConfig:
    """The preset called ``name``.

    Raises:
        HimeError: there is none; the message lists them.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise HimeError(f"no preset {name!r}: choose one of {', '.join(PRESETS)}") from None


def build_model(config: TrainingConfig) -> System:
    """The network of ``config`` with fresh weights."""
    return build(config.architecture)


def override(config: TrainingConfig, changes: Sequence[str]) -> TrainingConfig:
    """``config`` with changes such as ``steps=1000``, ``sampling.temperature=none``, ``model.channels=24``.

    ``sampling.…`` and ``loss.…`` reach into those parts, ``model.…`` changes a field of ``HIMEConfig`` or,
    for a compared system, of ``SystemConfig``.
    Tuples are written with commas, None as ``none``, switches as ``true`` or ``false``.

    Raises:
        HimeError: no such key (the message lists them), or a value of the wrong kind.
    """
    of_model = HIMEConfig if config.model in ("small", "large") else SystemConfig
    parts: dict[str, type] = {"model": of_model, "sampling": ReferenceSampling, "loss": LossWeights}
    values: dict[str, dict[str, Any]] = {"": {}, **{part: {} for part in parts}}
    for change in changes:
        key, equals, text = (piece.strip() for piece in change.partition("="))
        if not equals:
            raise HimeError(f"--set {change}: write KEY=VALUE")
        part, _, field = key.rpartition(".")
        if part not in values:
            part, field = "", key
        values[part][field] = _parse(text, _field_type(parts.get(part, TrainingConfig), field, key), key)
    # All at once, since some are right only together: references and sampling.count_weights.
    return dataclasses.replace(
        config,
        model_changes={**config.model_changes, **values["model"]},
        sampling=dataclasses.replace(config.sampling, **values["sampling"]),
        loss=dataclasses.replace(config.loss, **values["loss"]),
        **values[""],
    )


def _field_type(owner: type, field: str, key: str) -> Any:
    sections = ("sampling", "loss", "model_changes")
    settable = {name: kind for name, kind in typing.get_type_hints(owner).items() if name not in sections}
    if owner in (HIMEConfig, SystemConfig):
        for name in ("scale", "hr_size", "system"):  # the training's own
            settable.pop(name, None)
    if field not in settable:
        prefix = key.rpartition(".")[0]
        more = "" if prefix else ", model.…, sampling.…, loss.…"
        raise HimeError(f"--set {key}: no such key; there are {', '.join(settable)}{more}")
    return settable[field]


def _parse(text: str, kind: Any, key: str) -> Any:
    """``text`` as a value of the annotated type ``kind``."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if type(None) in choices and text.lower() == "none":
            return None
        kind, *more = (choice for choice in choices if choice is not type(None))
        words = [word for choice in more for word in typing.get_args(choice)]  # of bool | Literal["auto"]
        if text in words:
            return text
        try:
            return _parse(text, kind, key)
        except HimeError as error:
            raise HimeError(" or ".join([str(error), *words])) from None
    if origin is Literal:
        for choice in choices:
            if text == str(choice):
                return choice
        raise HimeError(f"--set {key}={text}: give one of {', '.join(map(str, choices))}")
    if origin is tuple:
        parts = [part for part in text.strip("()").split(",") if part.strip()]
        if choices[-1] is not Ellipsis and len(parts) != len(choices):
            raise HimeError(f"--set {key}={text}: give {len(choices)} numbers with commas between them")
        return tuple(_parse(part.strip(), choices[0], key) for part in parts)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise HimeError(f"--set {key}={text}: give true or false")
        return text.lower() == "true"
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        noun = {int: "a whole number", float: "a number"}[kind]
        raise HimeError(f"--set {key}={text}: give {noun}") from None
