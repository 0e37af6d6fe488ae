"""The restorer: sizes, numbers of references, the cache, and what it says of models it cannot use."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hime
from hime import HimeError, Restorer
from hime.pictures.arrays import FloatArray, Image, from_planes, resize, to_planes
from hime.restoring.card import WEIGHTS
from hime.restoring.devices import installed_devices
from hime.restoring.exported import PRETRAINED, Backend, OnnxBackend, find_model
from hime.restoring.restorer import CACHED_FEATURES, References, centre_crop


def picture(height: int, width: int, seed: int = 0) -> Image:
    """Smooth random colours."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(2, height // 4), max(2, width // 4), 3), dtype=np.uint8)
    return resize(coarse, height, width)


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return hime.load(tiny_model, threads=1)


class CountingBackend:
    """A model that notes how many references it has encoded at every call, and how often it has restored."""

    def __init__(self, folder: Path, reconstruction: Backend | None = None) -> None:
        self.backend = OnnxBackend(folder, threads=1)
        self.card: dict[str, Any] = self.backend.card
        self.reconstruction = reconstruction
        self.encoded: list[int] = []
        self.restored = 0
        self.together: list[int] = []

    def encode(self, references: FloatArray) -> FloatArray:
        self.encoded.append(len(references))
        return self.backend.encode(references)

    def restore(self, lr: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        self.restored += 1
        self.together.append(len(lr))
        return self.backend.restore(lr, features)


# ------------------------------------------------------------------------------------------- restoring


@pytest.mark.parametrize("references", [0, 1, 3, 6])
@pytest.mark.parametrize("size", [(8, 8), (8, 13), (17, 9), (24, 40)])
def test_any_size_and_any_number_of_references(
    restorer: Restorer, size: tuple[int, int], references: int
) -> None:
    height, width = size
    restorer.set_references([picture(50, 60 + number, number) for number in range(references)])
    restored = restorer.restore(picture(height, width))
    assert restored.image.dtype == np.uint8
    assert restored.image.shape == (4 * height, 4 * width, 3)
    assert len(restored.scores) == len(restored.shares) == references
    for scores, share in zip(restored.scores, restored.shares, strict=True):
        assert scores.shape == size
        assert scores.min() >= 0
        assert share == pytest.approx(scores.mean())
    assert sum(restored.shares) <= 1 + 1e-5


def test_gives_what_the_two_graphs_give(restorer: Restorer, tiny_model: Path) -> None:
    lr, reference = picture(12, 10), picture(48, 40, 1)
    backend = OnnxBackend(tiny_model, threads=1)
    hr, scores = backend.restore(to_planes(lr), backend.encode(to_planes(reference))[np.newaxis])
    restorer.set_references([reference])
    restored = restorer.restore(lr)
    np.testing.assert_array_equal(restored.image, from_planes(hr))
    np.testing.assert_array_equal(restored.scores[0], scores[0, 0])


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_references_does_not_matter(restorer: Restorer, order: list[int]) -> None:
    photos = [picture(40, 40, seed) for seed in range(1, 5)]
    lr = picture(10, 10)
    restorer.set_references(photos)
    straight = restorer.restore(lr)
    restorer.set_references([photos[number] for number in order])
    shuffled = restorer.restore(lr)
    assert shuffled.shares == pytest.approx([straight.shares[number] for number in order], abs=1e-5)
    difference = shuffled.image.astype(int) - straight.image
    assert np.abs(difference).max() <= 1  # sums in another order may round to the next level


def test_references_change_the_result_and_can_be_taken_away(restorer: Restorer) -> None:
    lr = picture(16, 16)
    restorer.set_references([])
    without = restorer.restore(lr)
    restorer.set_references([picture(64, 64, 1)])
    assert (restorer.restore(lr).image != without.image).any()
    restorer.set_references([])
    np.testing.assert_array_equal(restorer.restore(lr).image, without.image)


def test_references_are_the_callers_no_longer_once_set(restorer: Restorer) -> None:
    lr, photo = picture(8, 8), picture(32, 32, 1)
    restorer.set_references([photo])
    expected = restorer.restore(lr).image
    restorer.set_references([photo])
    photo[:] = 0
    np.testing.assert_array_equal(restorer.restore(lr).image, expected)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_together_they_become_what_they_become_alone(device: str) -> None:
    """Of four people, of two sizes, with two, one and no photos; a dial between its ends."""
    if device not in installed_devices():
        pytest.skip('OpenVINO is not installed: pip install "hime-sr[openvino]"')
    restorer = hime.load("small-x4-p", threads=1, fidelity=0.5, device=device)
    photos = [picture(50, 50, seed) for seed in range(8)]
    people = [References(photos[2 * i : 2 * i + count]) for i, count in enumerate((2, 2, 1, 0))]
    headshots = [picture(20, 20, 11), picture(20, 20, 12), picture(20, 20, 13), picture(20, 20, 14)]
    headshots += [picture(16, 20, 15), picture(16, 20, 16), picture(16, 20, 17)]
    owners = [*people, people[0], people[1], people[0]]
    together = restorer.restore_together(headshots, owners)
    for lr, references, found in zip(headshots, owners, together, strict=True):
        alone = restorer.restore(lr, references)
        assert np.abs(found.image.astype(int) - alone.image).max() <= 1
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-3)
        assert found.shares == pytest.approx(alone.shares, abs=1e-3)


def test_those_alike_go_through_in_one_call(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CountingBackend(tiny_model)
    restorer = Restorer(backend)
    restorer.set_references([picture(32, 32)])
    other = References([picture(40, 40, 1)])
    headshots = [picture(8, 8), picture(8, 8, 1), picture(8, 9), picture(8, 8, 2), picture(8, 8, 3)]
    owners = [None, other, None, References(), other]
    restorer.restore_together(headshots, owners)
    assert backend.together == [3, 1, 1]
    monkeypatch.setattr("hime.restoring.restorer.TOGETHER", 2 * 8 * 8 * 2)
    restorer.restore_together(headshots, owners)
    assert backend.together[3:] == [2, 1, 1, 1]
    assert restorer.restore_together([], []) == []


def test_encodes_a_person_once_a_size(tiny_model: Path) -> None:
    backend = CountingBackend(tiny_model)
    restorer = Restorer(backend)
    restorer.set_references([picture(40, 40, 1), picture(40, 40, 2)])
    for _ in range(3):
        restorer.restore(picture(8, 8))
    assert backend.encoded == [2]
    restorer.restore(picture(8, 9))
    restorer.restore(picture(8, 8))
    assert backend.encoded == [2, 2]
    restorer.set_references([picture(40, 40, 3)])
    restorer.restore(picture(8, 8))
    assert backend.encoded == [2, 2, 1]
    restorer.set_references([])
    restorer.restore(picture(8, 8))
    assert backend.encoded == [2, 2, 1]


def test_keeps_the_sizes_used_last(tiny_model: Path) -> None:
    backend = CountingBackend(tiny_model)
    restorer = Restorer(backend)
    restorer.set_references([picture(40, 40, 1)])
    for width in range(8, 8 + CACHED_FEATURES):
        restorer.restore(picture(8, width))
    restorer.restore(picture(8, 8))  # used again: the second becomes the oldest
    restorer.restore(picture(8, 30))
    assert len(backend.encoded) == CACHED_FEATURES + 1
    restorer.restore(picture(8, 8))
    assert len(backend.encoded) == CACHED_FEATURES + 1
    restorer.restore(picture(8, 9))
    assert len(backend.encoded) == CACHED_FEATURES + 2


# ------------------------------------------------------------------------------------------- references


@given(
    rows=st.integers(1, 60), columns=st.integers(1, 60), height=st.integers(8, 64), width=st.integers(8, 64)
)
def test_centre_crop_is_the_largest_middle_part_of_that_aspect(
    rows: int, columns: int, height: int, width: int
) -> None:
    y, x = np.mgrid[:rows, :columns].astype(np.uint8)
    image = np.stack([y, x, x], axis=2)
    cropped = centre_crop(image, height, width)
    kept_rows, kept_columns = cropped.shape[:2]
    assert kept_rows == rows or kept_columns == columns
    if kept_rows < rows:
        assert abs(kept_rows - columns * height / width) <= 1
    if kept_columns < columns:
        assert abs(kept_columns - rows * width / height) <= 1
    above, left = int(cropped[0, 0, 0]), int(cropped[0, 0, 1])
    assert 0 <= (rows - kept_rows) - 2 * above <= 1
    assert 0 <= (columns - kept_columns) - 2 * left <= 1


def test_a_reference_of_another_aspect_is_cut_around_its_middle(restorer: Restorer) -> None:
    lr, wide = picture(8, 8), picture(40, 70, 1)
    restorer.set_references([wide])
    expected = restorer.restore(lr).image
    restorer.set_references([wide[:, 15:55]])
    np.testing.assert_array_equal(restorer.restore(lr).image, expected)


# --------------------------------------------------------------------------------------------- the dial


def test_the_ends_of_the_dial_are_the_two_models(tiny_model: Path, tiny_dial: Path, tmp_path: Path) -> None:
    lr, photos = picture(12, 10), [picture(48, 40, 1), picture(40, 40, 2)]
    alone = shutil.copytree(tiny_dial, tmp_path / "alone")
    change_card(alone, reconstruction=None, fidelity=None)
    for fidelity, folder in ((0, alone), (1, tiny_model)):
        end, expected = hime.load(tiny_dial, 1, fidelity), hime.load(folder, 1)
        assert (end.fidelity, expected.fidelity) == (fidelity, None)
        results = []
        for restorer in (end, expected):
            restorer.set_references(photos)
            results.append(restorer.restore(lr))
        np.testing.assert_array_equal(results[0].image, results[1].image)
        np.testing.assert_array_equal(results[0].scores, results[1].scores)


@given(fidelity=st.floats(0, 1))
def test_between_the_ends_the_pictures_are_mixed(tiny_dial: Path, fidelity: float) -> None:
    lr, photo = picture(12, 10), picture(48, 40, 1)
    perception = OnnxBackend(tiny_dial, threads=1)
    assert perception.reconstruction is not None
    shares = (1 - fidelity, fidelity)
    hr, scores = 0.0, 0.0
    for share, end in zip(shares, (perception, perception.reconstruction), strict=True):
        one = end.restore(to_planes(lr), end.encode(to_planes(photo))[np.newaxis])
        hr, scores = hr + share * one[0].astype(np.float64), scores + share * one[1].astype(np.float64)
    restorer = Restorer(perception, fidelity)
    restorer.set_references([photo])
    restored = restorer.restore(lr)
    expected = 255 * hr[0].transpose(1, 2, 0)  # rounded once, so never further off than half a level
    assert np.abs(restored.image - expected).max() <= 0.5 + 1e-4
    np.testing.assert_allclose(restored.scores[0], scores[0, 0], atol=1e-6)


def test_only_the_models_that_are_needed_run_and_the_references_stay(
    tiny_model: Path, tiny_dial: Path
) -> None:
    reconstruction = CountingBackend(tiny_model)
    perception = CountingBackend(tiny_dial, reconstruction)
    restorer = Restorer(perception)
    restorer.set_references([picture(40, 40, 1), picture(40, 40, 2)])
    assert restorer.fidelity == 0
    turns = ((0.0, (1, 0)), (np.float64(0.5), (1, 1)), (0.2, (1, 1)), (1.0, (0, 1)), (0.0, (1, 0)))
    pictures = []
    for fidelity, counts in turns:
        perception.restored = reconstruction.restored = 0
        restorer.fidelity = fidelity
        restored = restorer.restore(picture(10, 10))
        pictures.append(restored.image)
        assert restorer.fidelity == fidelity
        assert len(restored.shares) == 2
        assert (perception.restored, reconstruction.restored) == counts
        assert len(restorer.backends) == sum(counts)
    assert perception.encoded == reconstruction.encoded == [2]  # once each, however the dial is turned
    np.testing.assert_array_equal(pictures[0], pictures[-1])
    assert all((one != other).any() for one, other in itertools.pairwise(pictures))


def test_the_ends_may_differ_in_architecture(tiny_model: Path, tmp_path: Path) -> None:
    import torch

    from hime.model import small
    from hime.tools.export import export_model

    shutil.copytree(tiny_model, tmp_path / "tiny-x4")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        wider = small(
            4, channels=12, deformable_groups=2, lr_blocks=0, reference_blocks=1, reconstruction_blocks=1
        )
    folder = export_model(wider, tmp_path / "wider", reconstruction="tiny-x4")
    restorer = hime.load(folder, 1, fidelity=0.5)
    for photos in ([], [picture(40, 40, 1)]):
        restorer.set_references(photos)
        assert restorer.restore(picture(9, 11)).image.shape == (36, 44, 3)


def test_the_dial_starts_where_the_card_says(tiny_model: Path, tiny_dial: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / tiny_model.name)
    folder = shutil.copytree(tiny_dial, tmp_path / "copy")
    change_card(folder, fidelity=0.25)
    assert hime.load(folder, threads=1).fidelity == 0.25
    assert hime.load(folder, threads=1, fidelity=0).fidelity == 0


def test_a_place_off_the_dial_is_refused_and_the_old_one_stays(tiny_dial: Path) -> None:
    restorer = hime.load(tiny_dial, threads=1, fidelity=0.5)
    for fidelity in (-0.01, 1.01, float("nan")):
        with pytest.raises(HimeError, match="fidelity must be from 0 to 1"):
            restorer.fidelity = fidelity
        with pytest.raises(HimeError, match="fidelity must be from 0 to 1"):
            hime.load(tiny_dial, fidelity=fidelity)
    assert restorer.fidelity == 0.5


def test_a_model_without_a_dial_names_the_one_with(
    tiny_model: Path, tiny_dial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = hime.load(tiny_model, threads=1)
    assert restorer.fidelity is None
    with pytest.raises(HimeError, match=r"^tiny-x4 has no dial.*with --reconstruction$"):
        restorer.fidelity = 1.0
    monkeypatch.setattr("hime.restoring.exported.PRETRAINED", tiny_dial.parent)
    with pytest.raises(HimeError, match=r"^tiny-x4 has no dial.*use tiny-x4-p$"):
        hime.load("tiny-x4", fidelity=0.5)


def test_the_other_end_must_be_there_where_it_is_needed(
    tiny_model: Path, tiny_dial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_dial, tmp_path / "copy")
    beside = tmp_path / tiny_model.name
    missing = rf"^tiny-x4-p: .* needs its reconstruction model, tiny-x4, which is not there; .*{beside}$"
    restorer = hime.load(folder, threads=1)
    assert restorer.fidelity == 0  # which needs no other end
    with pytest.raises(HimeError, match=missing):
        restorer.fidelity = 1
    assert restorer.fidelity == 0
    with pytest.raises(HimeError, match=missing):
        hime.load(folder, fidelity=0.5)
    shutil.copytree(tiny_model, beside)
    (beside / WEIGHTS).write_bytes((tiny_dial / WEIGHTS).read_bytes())
    with pytest.raises(HimeError, match=r"tiny-x4.weights\.bin: differs from the checksum"):
        hime.load(folder, fidelity=0.5)
    shutil.rmtree(beside)
    monkeypatch.setattr("hime.restoring.exported.PRETRAINED", tiny_model.parent)
    assert hime.load(folder, threads=1, fidelity=0.5).fidelity == 0.5


# ----------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (np.zeros((7, 20, 3), np.uint8), "20×7 pixels"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\)"),
    ],
)
def test_refuses_what_is_no_headshot(restorer: Restorer, lr: Any, message: str) -> None:
    with pytest.raises(HimeError, match=message):
        restorer.restore(lr)


def test_a_bad_reference_leaves_those_set_before(restorer: Restorer) -> None:
    restorer.set_references([picture(32, 32, 1)])
    with pytest.raises(HimeError, match="reference 2"):
        restorer.set_references([picture(32, 32, 2), np.zeros((3, 3), np.uint8)])
    assert len(restorer.restore(picture(8, 8)).shares) == 1


def test_a_model_is_found_by_folder_and_by_each_of_its_files(tiny_model: Path) -> None:
    for path in (tiny_model, *tiny_model.iterdir()):
        assert find_model(path) == tiny_model
        assert find_model(str(path)) == tiny_model


def test_a_path_where_nothing_lies_may_be_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But text that says where a folder lies is refused as written, and a folder goes before a name."""
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("small-x4")) == find_model("small-x4") == PRETRAINED / "small-x4"
    with pytest.raises(HimeError, match=r"^\./small-x4: no such model; give .*, small-x4,"):
        find_model("./small-x4")
    (tmp_path / "small-x4").mkdir()
    assert find_model(Path("small-x4")) == find_model("./small-x4") == Path("small-x4")


def test_an_unknown_model_lists_those_there_are(tmp_path: Path) -> None:
    names = ", ".join(hime.available_models()) or "none"
    with pytest.raises(HimeError, match=f"no-such-model: no such model.*one of: {names}"):
        hime.load("no-such-model")
    (tmp_path / "text").write_text("not a model")
    with pytest.raises(HimeError, match="not an exported model"):
        hime.load(tmp_path / "text")
    with pytest.raises(HimeError, match=r"holds no card\.json"):
        hime.load(tmp_path)


def change_card(folder: Path, **changes: object) -> None:
    """Give fields of the card other values; None takes them out."""
    card = {**json.loads((folder / "card.json").read_text()), **changes}
    kept = {key: value for key, value in card.items() if value is not None}
    (folder / "card.json").write_text(json.dumps(kept))


def damage_card(folder: Path) -> None:
    (folder / "card.json").write_text("{")


def old_card(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    change_card(folder, format=1)


def dial_of_weights(folder: Path) -> None:
    change_card(folder, reconstruction={"name": "tiny-x4", "weights": "0" * 64})


def short_card(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["sha256"], card["parameters"], card["macs"]["total"]
    (folder / "card.json").write_text(json.dumps(card))


def no_graph(folder: Path) -> None:
    (folder / "encode.onnx").unlink()


def truncate_graph(folder: Path) -> None:
    path = folder / "restore.onnx"
    path.write_bytes(path.read_bytes()[:-100])


def truncate_weights(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-4])


def few_weights(folder: Path) -> None:
    truncate_weights(folder)
    card = json.loads((folder / "card.json").read_text())
    checksum = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    change_card(folder, sha256={**card["sha256"], WEIGHTS: checksum})


def text_for_graph(folder: Path) -> None:
    (folder / "restore.onnx").write_text("text")
    card = json.loads((folder / "card.json").read_text())
    card["sha256"]["restore.onnx"] = hashlib.sha256(b"text").hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_card, r"card\.json: cannot be read .*export the model again"),
        (old_card, r"card format 1, this version reads 4; export the model again"),
        (dial_of_weights, r"lacks the name of its reconstruction model, fidelity; export the model again"),
        (short_card, r"lacks parameters, macs\.total, sha256"),
        (no_graph, r"encode\.onnx: no such file"),
        (truncate_graph, r"restore\.onnx: differs from the checksum"),
        (truncate_weights, r"weights\.bin: differs from the checksum"),
        (few_weights, r"restore\.onnx: ONNX Runtime cannot load it"),
        (text_for_graph, r"restore\.onnx: ONNX Runtime cannot load it"),
    ],
)
def test_a_damaged_model_is_refused_with_one_line(
    tiny_model: Path, tmp_path: Path, damage: Any, message: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "copy")
    damage(folder)
    with pytest.raises(HimeError, match=message) as caught:
        hime.load(folder)
    assert "\n" not in str(caught.value)


def test_no_more_memory_is_asked_for_than_the_files_are_large(tiny_model: Path) -> None:
    tracemalloc.start()
    try:
        hime.load(tiny_model, threads=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20


def test_threads_are_at_least_one(tiny_model: Path) -> None:
    with pytest.raises(HimeError, match="at least 1"):
        hime.load(tiny_model, threads=0)


# ------------------------------------------------------------------------------------- without PyTorch


def test_restores_where_pytorch_cannot_be_imported(tiny_model: Path) -> None:
    program = """
import sys
for name in ("torch", "torchvision", "accelerate", "safetensors", "onnx"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
import numpy, hime, hime.cli, hime.restoring.photographs, hime.tools.bench, hime.tools.demo
import hime.evaluation.evaluate
restorer = hime.load(sys.argv[1], threads=1)
restorer.set_references([numpy.zeros((32, 32, 3), numpy.uint8)])
print(restorer.restore(numpy.zeros((8, 8, 3), numpy.uint8)).image.shape)
"""
    command = [sys.executable, "-c", program, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(32, 32, 3)"


# -------------------------------------------------------------------------------------- released models

RELEASED = sorted(
    card.parent
    for place in (PRETRAINED, Path(__file__).parents[2] / "models")
    for card in place.glob("*/card.json")
)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_released_models_restore_the_demo_people(folder: Path, demo_people: Path) -> None:
    from hime.data.people import read_list
    from hime.evaluation.degradation import Realistic
    from hime.evaluation.evaluate import evaluate
    from hime.evaluation.measures import Distortion

    restorer = hime.load(folder)
    assert restorer.name == folder.name
    is_realistic = restorer.card["training"]["config"].get("degradation") in ("realistic", "photos")
    if is_perceptual := restorer.fidelity is not None:
        restorer.fidelity = 0
    entries = read_list(demo_people / "list.jsonl")
    result = evaluate(
        [restorer],
        demo_people,
        entries,
        lr_size=restorer.card["lr_size"],
        list_name="demo",
        references=3,
        degradation=Realistic("medium") if is_realistic else None,
        measures=[Distortion()],
    )
    assert not result["failed"]
    gain = 0.3 if is_perceptual else 1.0  # a perception-oriented model gives PSNR away
    assert result["methods"][folder.name]["psnr"] > result["methods"]["bicubic"]["psnr"] + gain
    for references in (0, 1, 5):
        restorer.set_references([picture(90, 90, seed) for seed in range(references)])
        assert restorer.restore(picture(11, 20)).image.shape == (11 * restorer.scale, 20 * restorer.scale, 3)
