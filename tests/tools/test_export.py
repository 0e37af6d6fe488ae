"""Exported graphs equal the network, for every architecture, size and reference count, or are not there."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hime import HimeError
from hime.evaluation.checkpoint import TorchBackend
from hime.model import HIME, HIMEConfig
from hime.restoring.card import FILES, GRAPHS, WEIGHTS, read_card
from hime.restoring.exported import OnnxBackend, read_weights
from hime.tools.export import TOLERANCE, export, export_model, largest_difference


def random_network(**changes: object) -> HIME:
    """A tiny network whose weights are all random: offsets of several pixels too."""
    config = {"channels": 8, "deformable_groups": 2, "lr_blocks": 1, "reference_blocks": 1}
    torch.manual_seed(0)
    model = HIME(HIMEConfig(**{**config, "reconstruction_blocks": 1, **changes}))  # type: ignore[arg-type]
    for name, parameter in model.named_parameters():
        if ".flow." not in name:  # whose own beginning gives flows of a part of a pixel
            torch.nn.init.normal_(parameter, std=0.1)
    return model.half().float()  # as exported models store it


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 2},
        {"scale": 8},
        {"null_reference": False},
        {"alignment": "conv", "aggregation": "average"},
        {"aggregation": "max"},
        {"alignment": "flow-guided"},
    ],
    ids=str,
)
def test_every_architecture_exports_and_equals_pytorch(changes: dict[str, object], tmp_path: Path) -> None:
    model = random_network(**changes)
    folder = export_model(model, tmp_path / "model")
    assert largest_difference(model, OnnxBackend(folder, threads=1)) <= TOLERANCE


@pytest.mark.parametrize("references", [0, 2, 7])
@pytest.mark.parametrize("size", [(9, 8), (11, 37), (32, 32)])
def test_equals_pytorch_at_sizes_that_the_exporter_did_not_check(
    tiny_network: HIME, tiny_model: Path, size: tuple[int, int], references: int
) -> None:
    height, width = size
    random = np.random.default_rng(1)
    lr = random.random((1, 3, height, width), dtype=np.float32)
    photos = random.random((references, 3, 4 * height, 4 * width), dtype=np.float32)
    with torch.no_grad():
        expected = tiny_network(torch.from_numpy(lr), torch.from_numpy(photos)[None])
    backend = OnnxBackend(tiny_model, threads=1)
    features = backend.encode(photos) if references else np.zeros((0, 8, height, width), np.float32)
    hr, scores = backend.restore(lr, features[np.newaxis])
    np.testing.assert_allclose(hr, expected.hr.clamp(0, 1).numpy(), atol=TOLERANCE)
    assert scores.shape == (1, references, height, width)
    np.testing.assert_allclose(scores, expected.scores[:, :, 0].numpy(), atol=TOLERANCE)


def test_the_card_says_what_the_model_is(tiny_network: HIME, tiny_model: Path) -> None:
    assert sorted(path.name for path in tiny_model.iterdir()) == ["README.md", "card.json", *FILES]
    card = json.loads((tiny_model / "card.json").read_text(encoding="utf-8"))
    assert (card["format"], card["weights"]) == (4, "float16")
    assert (card["name"], card["scale"], card["lr_size"]) == ("tiny-x4", 4, 8)
    assert card["parameters"] == sum(parameter.numel() for parameter in tiny_network.parameters())
    macs = card["macs"]
    assert (macs["lr"], macs["references"]) == ([8, 8], 3)
    assert macs["total"] == 3 * macs["encode_per_reference"] + macs["restore"]
    assert HIMEConfig(**card["architecture"]) == tiny_network.config
    assert card["training"]["preset"] == "tiny-x4"
    assert card["metrics"] == {"held_out_psnr": 20.5}
    assert (card["date"], card["licence"]) == ("2024-01-01", "none, they are random")


@pytest.fixture
def expanded(tiny_model: Path, tmp_path: Path) -> Path:
    """``tiny_model`` with its weights as the graphs see them."""
    folder = shutil.copytree(tiny_model, tmp_path / "expanded")
    weights = read_weights(tiny_model, read_card(tiny_model))
    (folder / WEIGHTS).write_bytes(weights.astype("<f4").tobytes())
    return folder


def test_graphs_are_valid_and_free_in_size(expanded: Path) -> None:
    for name in GRAPHS:
        onnx.checker.check_model(expanded / name, full_check=True)
        model = onnx.load(expanded / name)
        assert model.opset_import[0].version >= 17
    names = [axis.dim_param or axis.dim_value for axis in model.graph.input[1].type.tensor_type.shape.dim]
    assert names == ["B", "N", 8, "H", "W"]


def test_the_weights_lie_outside_of_the_graphs_in_order_and_once(
    tiny_network: HIME, tiny_model: Path, expanded: Path
) -> None:
    state = tiny_network.state_dict()
    expected = np.concatenate([weight.numpy().ravel() for weight in state.values()])
    np.testing.assert_array_equal(np.fromfile(tiny_model / WEIGHTS, "<f2"), expected)
    used = set()
    for name in GRAPHS:
        inside = onnx.load(tiny_model / name, load_external_data=False)
        assert all(tensor.data_location == tensor.EXTERNAL for tensor in inside.graph.initializer)
        for tensor in onnx.load(expanded / name).graph.initializer:
            weight = tensor.name.removeprefix("model.")
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), state[weight].numpy())
            used.add(weight)
    assert used == set(state)


def test_weights_that_are_equal_stay_apart(tiny_network: HIME, tmp_path: Path) -> None:
    fresh = HIME(tiny_network.config)  # many of its weights are all zeros
    folder = export_model(fresh, tmp_path / "fresh")
    assert (folder / WEIGHTS).stat().st_size == 2 * sum(weight.numel() for weight in fresh.parameters())
    assert largest_difference(fresh, OnnxBackend(folder, threads=1)) <= TOLERANCE


def test_a_checkpoint_behind_the_seam_gives_the_same(tiny_run: Path, tiny_model: Path) -> None:
    eager, exported = TorchBackend.load(tiny_run, device="cpu"), OnnxBackend(tiny_model, threads=1)
    different = {key for key in exported.card if exported.card[key] != eager.card.get(key)}
    assert different == {"name", "weights", "sha256"}
    random = np.random.default_rng(2)
    lr, photos = random.random((1, 3, 8, 8), np.float32), random.random((2, 3, 32, 32), np.float32)
    np.testing.assert_allclose(eager.encode(photos), exported.encode(photos), atol=TOLERANCE)
    for one, other in zip(
        *(each.restore(lr, each.encode(photos)[np.newaxis]) for each in (eager, exported)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_nothing_is_written_where_the_outputs_differ(tiny_model: Path, tmp_path: Path) -> None:
    broken = random_network()
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    with pytest.raises(HimeError, match="not written, ONNX Runtime differs"):
        export_model(broken, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_model_that_is_there(tmp_path: Path) -> None:
    folder = export_model(random_network(), tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    broken = random_network()
    with torch.no_grad():
        next(broken.parameters())[0] = torch.inf
    with pytest.raises(HimeError, match="not written"):
        export_model(broken, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_exported_model_is_replaced_whole_and_nothing_else_is(tmp_path: Path) -> None:
    folder = export_model(random_network(), tmp_path / "model")
    export_model(random_network(scale=2), folder, name="other")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "card.json", *FILES]
    assert OnnxBackend(folder, threads=1).card["name"] == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

    (folder / "note.txt").write_text("mine")
    with pytest.raises(HimeError, match=r"holds note\.txt too, .* choose another"):
        export_model(random_network(), folder)
    assert (folder / "note.txt").read_text() == "mine"
    assert OnnxBackend(folder, threads=1).card["name"] == "other"

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_text("mine")
    with pytest.raises(HimeError, match="no exported model; choose another"):
        export_model(random_network(), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.png"]
    with pytest.raises(HimeError, match="no exported model; choose another"):
        export_model(random_network(), tmp_path / "mine" / "photo.png")
    assert (tmp_path / "mine" / "photo.png").read_text() == "mine"


def test_a_full_disk_is_one_line_and_leaves_the_model_that_is_there(tmp_path: Path) -> None:
    """Wherever it is full: as PyTorch writes a graph, then as the weights are written."""
    folder = export_model(random_network(), tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    largest_graph = max(len(before[name]) for name in GRAPHS)
    program = """
import resource, sys
from hime.errors import HimeError
from hime.model import HIME, HIMEConfig
from hime.tools.export import export_model
changes = {"channels": 32, "deformable_groups": 2, "lr_blocks": 1, "reference_blocks": 1}
model = HIME(HIMEConfig(**changes, reconstruction_blocks=1))
assert 2 * sum(weight.numel() for weight in model.parameters()) > int(sys.argv[-1])
for limit in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        export_model(model, sys.argv[1])
    except HimeError as error:
        print(error)
"""
    command = [sys.executable, "-c", program, str(folder), "1000", str(largest_graph + 5000)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == 2 * [
        f"{folder}: cannot write there (File too large); choose another --out"
    ]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_taken_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose parent is a file, a name that is too long, a move that the system refuses."""
    (tmp_path / "file").touch()
    with pytest.raises(HimeError, match=r"cannot write there .* choose another --out"):
        export_model(random_network(), tmp_path / "file" / "model")
    with pytest.raises(HimeError, match=r"cannot write there .* choose another --out"):
        export_model(random_network(), tmp_path / (300 * "a"))

    def refused(self: Path, target: Path) -> Path:
        raise OSError(errno.EBUSY, "is in use")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(HimeError, match=r"model: cannot write there \(is in use\); choose another --out"):
        export_model(random_network(), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HimeError, match="no such checkpoint"):
        export(tmp_path / "nothing", tmp_path / "model")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(HimeError, match="not a readable safetensors file"):
        export(tmp_path / "pickle.pt", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_may_be_the_present_one_or_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export_model(random_network(), ".")
    assert OnnxBackend(tmp_path / "here", threads=1).card["name"] == "here"
    (tmp_path / "link").symlink_to(tmp_path / "here")
    export_model(random_network(scale=2), tmp_path / "link", name="other")
    assert OnnxBackend(tmp_path / "here", threads=1).card["name"] == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link"]


def test_the_network_that_is_exported_stays_as_it_is(tmp_path: Path) -> None:
    model = random_network().double().train()
    export_model(model, tmp_path / "model")
    assert model.training
    assert next(model.parameters()).dtype == torch.float64


# ---------------------------------------------------------------------------------------------- the dial


def test_the_card_names_the_other_end(tiny_model: Path, tiny_dial: Path, tmp_path: Path) -> None:
    card = json.loads((tiny_dial / "card.json").read_text(encoding="utf-8"))
    assert (card["reconstruction"], card["fidelity"]) == (tiny_model.name, 0)
    assert not {"reconstruction", "fidelity"} & read_card(tiny_model).keys()
    shutil.copytree(tiny_model, tmp_path / "plain")
    folder = export_model(random_network(), tmp_path / "other", reconstruction="plain", fidelity=0.25)
    assert (read_card(folder)["reconstruction"], read_card(folder)["fidelity"]) == ("plain", 0.25)


def test_an_end_that_does_not_fit_is_refused(tiny_network: HIME, tiny_model: Path, tiny_dial: Path) -> None:
    folder = tiny_model.parent
    before = sorted(folder.rglob("*"))

    def refused(out: Path, reconstruction: str | None, fidelity: float | None = None) -> str:
        with pytest.raises(HimeError) as caught:
            export_model(tiny_network, out, reconstruction=reconstruction, fidelity=fidelity)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    new = folder / "new"
    assert f"needs its reconstruction model, nothing, which is not there; put that into {folder}" in refused(
        new, "nothing"
    )
    assert "tiny-x4-p cannot be its reconstruction model, since it has a dial itself" in refused(
        new, tiny_dial.name
    )
    assert "give the name of another one" in refused(new, str(tiny_model))
    assert "give the name of another one" in refused(tiny_model, tiny_model.name)
    assert "needs the model at its other end" in refused(new, None, 0.5)
    assert "from 0 to 1" in refused(new, tiny_model.name, 1.5)
    assert sorted(folder.rglob("*")) == before


def test_an_end_of_another_scale_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "tiny-x4")
    with pytest.raises(HimeError, match="cannot be its reconstruction model, since it enlarges ×4, not ×2"):
        export_model(random_network(scale=2), tmp_path / "new", reconstruction="tiny-x4")
