"""What the tests share: the folder of data that is not part of the repository, and the demo people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from hime.data.people import DEMO_PEOPLE

if TYPE_CHECKING:
    from hime.model import HIME

# A busy machine is no fault of the code under test.
settings.register_profile("hime", deadline=None)
settings.load_profile("hime")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of photos and weights that may not be shipped: ``HIME_SHARED``, or beside the repository."""
    folder = Path(os.environ.get("HIME_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "faces").is_dir():
        pytest.skip(f"{folder} holds no faces/; set HIME_SHARED to the folder that does")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is learned of photos lies in a folder of the tests, not in the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIME_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def demo_people() -> Path:
    """The people folder that comes with the package."""
    return DEMO_PEOPLE


@pytest.fixture(scope="session")
def tiny_network() -> HIME:
    """A ×4 network of a few thousand weights, all of them random: also the offsets, which start at zero."""
    import torch

    from hime.model import small

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = small(
            4, channels=8, deformable_groups=2, lr_blocks=1, reference_blocks=1, reconstruction_blocks=2
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.half().float().eval()  # as exported models store it


@pytest.fixture(scope="session")
def tiny_run(tiny_network: HIME, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the weights of ``tiny_network``, trained (it says) for targets of 32 pixels."""
    import dataclasses
    import json

    from hime.training.checkpoint import save_released

    run = tmp_path_factory.mktemp("runs") / "tiny"
    metadata = {
        "architecture": json.dumps(dataclasses.asdict(tiny_network.config)),
        "preset": "tiny-x4",
        "training": json.dumps({"preset": "tiny-x4", "config": {"hr_size": 32}, "steps": 0}),
        "metrics": json.dumps({"held_out_psnr": 20.5}),
        "date": "2024-01-01",
        "licence": "none, they are random",
    }
    save_released(run / "best.safetensors", tiny_network.state_dict(), metadata)
    return run


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path) -> Path:
    """``tiny_run`` exported; not to be changed."""
    from hime.tools.export import export

    return export(tiny_run, tiny_run.parent / "exported" / "tiny-x4")


@pytest.fixture(scope="session")
def tiny_perception_network(tiny_network: HIME) -> HIME:
    """``tiny_network`` with every weight moved a little, as if it had been trained on."""
    import copy

    import torch

    model = copy.deepcopy(tiny_network)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.half().float()


@pytest.fixture(scope="session")
def tiny_dial(tiny_perception_network: HIME, tiny_model: Path) -> Path:
    """``tiny_perception_network`` exported, with ``tiny_model`` at the other end; not to be changed."""
    from hime.tools.export import export_model

    folder = tiny_model.with_name("tiny-x4-p")
    return export_model(tiny_perception_network, folder, reconstruction=tiny_model.name)


@pytest.fixture
def weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of LPIPS and of the perceptual loss at hand."""
    folder = shared / "weights"
    for name in ("alexnet", "squeezenet1_1", "vgg19"):
        if not (folder / f"{name}_features.safetensors").is_file():
            pytest.skip(f"{folder} holds no {name}_features.safetensors")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(folder))
