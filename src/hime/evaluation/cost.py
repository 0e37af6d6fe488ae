"""Parameters and multiply-adds of a network, with everything counted.

Counted: convolutions, matrix products, and the interpolations that other counts leave out: deformable
sampling and warping (4 multiply-adds an output value), bilinear (4) and bicubic (16) resizing. Not counted,
as usual: activations, sums and products value by value, pooling.

`breakdown` tells what other conventions make of the same network: those that count modules alone, as the
usual tools (and the paper's Table 1) do, and those that count products value by value too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hime.errors import HimeError
from hime.model.system import System
from hime.systems import architecture_of, build

SETTINGS = {2: (64,), 4: (32, 64), 8: (16,)}
"""LR sizes that a scale is measured at: the settings (LR, s) of Table 1, and one for ×2."""


@dataclass(frozen=True)
class Cost:
    """What one network costs for one headshot.

    Attributes:
        parameters: all of them.
        lr: height and width of the LR headshot.
        references: how many of them ``macs_total`` is for.
        macs_total: multiply-adds with nothing cached: ``references`` × encode + restore.
        macs_encode_per_reference: multiply-adds to encode one reference.
        macs_restore: multiply-adds for a headshot when the references are encoded.
    """

    parameters: int
    lr: tuple[int, int]
    references: int
    macs_total: int
    macs_encode_per_reference: int
    macs_restore: int

    def as_card(self) -> dict[str, Any]:
        """The field ``macs`` of a model's card."""
        return {
            "lr": list(self.lr),
            "references": self.references,
            "total": self.macs_total,
            "encode_per_reference": self.macs_encode_per_reference,
            "restore": self.macs_restore,
        }


def count(model: System, lr: tuple[int, int] = (32, 32), references: int = 3) -> Cost:
    """Count ``model`` for an LR headshot of ``lr`` (height, width) and that many references."""
    place = next(model.parameters())
    scale = model.config.scale
    headshot = torch.zeros(1, 3, *lr, device=place.device, dtype=place.dtype)
    photo = torch.zeros(1, 3, scale * lr[0], scale * lr[1], device=place.device, dtype=place.dtype)
    features = photo.new_zeros(1, references, model.feature_channels, *lr)
    encode = macs(lambda: model.encode(photo))
    restore = macs(lambda: model.restore(headshot, features, None))
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        lr=lr,
        references=references,
        macs_total=references * encode + restore,
        macs_encode_per_reference=encode,
        macs_restore=restore,
    )


@dataclass(frozen=True)
class Breakdown:
    """Multiply-adds by what makes them.

    Attributes:
        modules: of convolution and linear modules, what the usual tools count.
        functions: of convolutions and matrix products outside of modules: here, bicubic enlargement.
        sampling: of deformable sampling and warping.
        resizing: of bilinear and bicubic resizing.
        products: value by value, one each: masks, scores and weights of the aggregation, normalisation.
    """

    modules: int
    functions: int
    sampling: int
    resizing: int
    products: int

    @property
    def total(self) -> int:
        """All but ``products``: the convention of this project's figures (`Cost`)."""
        return self.modules + self.functions + self.sampling + self.resizing

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(*(one + two for one, two in zip(self._values(), other._values(), strict=True)))

    def __mul__(self, times: int) -> Breakdown:
        return Breakdown(*(times * value for value in self._values()))

    def _values(self) -> tuple[int, ...]:
        return self.modules, self.functions, self.sampling, self.resizing, self.products


def breakdown(model: System, lr: tuple[int, int] = (32, 32), references: int = 3) -> Breakdown:
    """As `count`, nothing cached, told apart by what makes the multiply-adds."""
    place = next(model.parameters())
    scale = model.config.scale
    headshot = torch.zeros(1, 3, *lr, device=place.device, dtype=place.dtype)
    photos = headshot.new_zeros(1, references, 3, scale * lr[0], scale * lr[1])
    modules = 0

    def counted(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal modules
        assert isinstance(module.weight, Tensor)
        # A transposed convolution spreads each input value, another one gathers each output value.
        values = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        modules += values.numel() * module.weight[0].numel()

    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    counting = [module for module in model.modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(counted) for module in counting]
    try:
        by_operation = _count(lambda: model(headshot, photos))
    finally:
        for hook in hooks:
            hook.remove()
    sampling = by_operation.pop(torch.ops.aten.grid_sampler_2d, 0)
    products = sum(by_operation.pop(operation, 0) for operation in _PRODUCTS)
    resizing = sum(by_operation.pop(operation, 0) for operation in _RESIZING)
    return Breakdown(modules, sum(by_operation.values()) - modules, sampling, resizing, products)


def network_of(card: Mapping[str, Any]) -> System:
    """The network that a card describes, with fresh weights: costs do not depend on them.

    Raises:
        HimeError: the card does not tell the architecture, or one that this version cannot build.
    """
    try:
        return build(architecture_of(card["architecture"]))
    except (KeyError, TypeError) as error:
        raise HimeError(
            f"{card['name']}: its card tells no architecture ({error}); export it again"
        ) from None


def parameters_without_normalisation(model: nn.Module) -> int:
    """Parameters but those of normalisation layers, which Table 1 leaves out. HIME has none of these."""
    layers = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    own = (module for module in model.modules() if isinstance(module, layers))
    left_out = sum(parameter.numel() for module in own for parameter in module.parameters(recurse=False))
    return sum(parameter.numel() for parameter in model.parameters()) - left_out


def frozen_parts(model: nn.Module) -> dict[str, int]:
    """The parameters that are not trained, by the part of the network that they lie in."""
    found: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            part = name.partition(".")[0]
            found[part] = found.get(part, 0) + parameter.numel()
    return found


def costs(model: System, most_references: int = 3) -> dict[str, Any]:
    """What ``model`` costs by every convention: parameters, and multiply-adds for each LR size of `SETTINGS`
    and 0 to ``most_references`` references.

    Returns:
        ``{"parameters", "parameters_without_normalisation", "macs": [{"lr", "references", "modules",
        "functions", "sampling", "resizing", "total", "products"}]}``; as in the card, ``total`` is the sum of
        all before it.
    """
    rows = []
    scale = model.config.scale
    for side in (model.config.hr_size // scale,) if model.is_of_one_size else SETTINGS[scale]:
        without, one, two = (breakdown(model, (side, side), references) for references in range(3))
        for references in range(most_references + 1):
            # From the first on, each costs the same; with none, what serves all of them is saved too.
            found = one + (two + one * -1) * (references - 1) if references else without
            row = {"lr": [side, side], "references": references, **asdict(found)}
            products = row.pop("products")
            rows.append(row | {"total": found.total, "products": products})
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_without_normalisation": parameters_without_normalisation(model),
        "macs": rows,
    }


def format_costs(costs: dict[str, Any]) -> str:
    """`costs` as a table, in millions."""
    columns = ("modules", "functions", "sampling", "resizing", "total", "products")
    lines = [
        f"parameters {costs['parameters'] / 1e6:.3f} M, "
        f"without normalisation {costs['parameters_without_normalisation'] / 1e6:.3f} M",
        "million multiply-adds; total is all but the products value by value",
        f"{'LR':>6}{'references':>12}" + "".join(f"{column:>11}" for column in columns),
    ]
    for row in costs["macs"]:
        height, width = row["lr"]
        values = "".join(f"{row[column] / 1e6:>11.2f}" for column in columns)
        lines.append(f"{f'{width}×{height}':>6}{row['references']:>12}" + values)
    return "\n".join(lines)


def macs(work: Callable[[], object]) -> int:
    """Multiply-adds of everything that ``work`` runs in PyTorch, forward only."""
    counted = _count(work)
    return sum(count for operation, count in counted.items() if operation not in _PRODUCTS)


def _count(work: Callable[[], object]) -> dict[Any, int]:
    """Multiply-adds of what ``work`` runs by operation, products value by value included."""
    rules = _INTERPOLATIONS | dict.fromkeys(_PRODUCTS, _an_output_value(1))
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=rules) as counter:
        work()
    counted = counter.get_flop_counts().get("Global", {})
    return {operation: flops // 2 for operation, flops in counted.items()}  # PyTorch: a multiply-add is two


def _an_output_value(multiply_adds: int) -> Callable[..., int]:
    """A rule of the counter: so many multiply-adds for each value of the output."""

    def flops(*_shapes: object, out_shape: tuple[int, ...], **_options: object) -> int:
        return 2 * multiply_adds * torch.Size(out_shape).numel()

    return flops


_INTERPOLATIONS = {
    torch.ops.aten.grid_sampler_2d: _an_output_value(4),
    torch.ops.aten.upsample_bilinear2d: _an_output_value(4),
    torch.ops.aten.upsample_bicubic2d: _an_output_value(16),
    torch.ops.aten._upsample_bilinear2d_aa: _an_output_value(4),
    torch.ops.aten._upsample_bicubic2d_aa: _an_output_value(16),
}

_RESIZING = tuple(_INTERPOLATIONS.keys() - {torch.ops.aten.grid_sampler_2d})
_PRODUCTS = (torch.ops.aten.mul, torch.ops.aten.div)
