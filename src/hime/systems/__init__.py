"""The systems that the paper compares HIME with, rebuilt: one file a system.

Each is an ``nn.Module`` of the same form as HIME (`System`): training, evaluation and cost take either, and
export takes those that ONNX can hold. ``docs/systems.md`` says what each is, what was replaced and why, and
compares the counts.
"""

from collections.abc import Mapping
from typing import Any

from hime.model import HIME, HIMEConfig
from hime.model.system import Restored, System
from hime.systems.base import ComparedSystem, SystemConfig, SystemName, SystemOutput
from hime.systems.dfdnet import DFDNet
from hime.systems.fsrnet import FSRNet
from hime.systems.gwainet import GWAInet
from hime.systems.pfsr import PFSR
from hime.systems.psfrgan import PSFRGAN
from hime.systems.sparnet import SPARNet
from hime.systems.srntt import SRNTT
from hime.systems.ttsr import TTSR

SYSTEMS: dict[SystemName, type[ComparedSystem]] = {
    "srntt": SRNTT,
    "ttsr": TTSR,
    "sparnet": SPARNet,
    "psfrgan": PSFRGAN,
    "dfdnet": DFDNet,
    "pfsr": PFSR,
    "fsrnet": FSRNet,
    "gwainet": GWAInet,
}


Architecture = HIMEConfig | SystemConfig
"""What a network is built from."""


def build(architecture: Architecture) -> System:
    """The network with fresh weights; what a compared system takes from VGG-19 comes with `System.prepare`.

    Raises:
        HimeError: it cannot be built like that.
    """
    if isinstance(architecture, HIMEConfig):
        return HIME(architecture)
    return SYSTEMS[architecture.system](architecture)


def architecture_of(fields: Mapping[str, Any]) -> Architecture:
    """What ``dataclasses.asdict`` made of an architecture, as checkpoints and cards hold it.

    Raises:
        TypeError: these are no fields of one.
        KeyError: a system that is not known here.
    """
    if "system" not in fields:
        return HIMEConfig(**fields)
    _ = SYSTEMS[fields["system"]]
    return SystemConfig(**fields)


__all__ = [
    "SYSTEMS",
    "Architecture",
    "ComparedSystem",
    "Restored",
    "System",
    "SystemConfig",
    "SystemName",
    "SystemOutput",
    "architecture_of",
    "build",
]
