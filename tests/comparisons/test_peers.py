"""The comparison with peers: what needs none of their packages, and each of them where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import peers
from hime.data.people import read_list, write_list
from hime.evaluation.dlib_distance import DlibDistance
from hime.evaluation.measures import Sample
from hime.evaluation.metrics import psnr
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_image, read_target


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The comparison takes one thread, for good; other tests compare with processes that have all."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def truth(demo_people: Path) -> Image:
    """A demo person, 128×128."""
    return read_target(demo_people / read_list(demo_people / "list.jsonl")[0].input, 128)


def nearest(planes: peers.FloatArray) -> peers.FloatArray:
    """A network: each pixel a square, twice as far from black."""
    return 2 * planes.repeat(4, axis=2).repeat(4, axis=3)


def test_a_peer_is_a_method_that_knows_no_references(truth: Image) -> None:
    lr = downscale(truth, 4)
    peer = peers.Peer("nearest", nearest)
    peer.set_references([truth])
    restored = peer.restore(lr)
    expected = np.minimum(255, 2 * lr.astype(int)).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(restored.image, expected)
    assert (peer.scale, restored.shares) == (4, ())


def test_timing_changes_nothing(truth: Image) -> None:
    lr = downscale(truth, 4)
    peer = peers.Peer("nearest", nearest)
    timed = peers.Timed(peer)
    timed.set_references([])
    np.testing.assert_array_equal(timed.restore(lr).image, peer.restore(lr).image)
    assert (timed.name, timed.scale, len(timed.times)) == ("nearest", 4, 1)


def test_one_table_for_all(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))  # LPIPS is not what this is about
    chosen, out = tmp_path / "list.jsonl", tmp_path / "out"
    write_list(chosen, read_list(demo_people / "list.jsonl")[:2])
    command = ["small-x4", "small-x4@0", "--data", str(demo_people), "--list", str(chosen), "--out", str(out)]
    assert peers.main(command) == 0
    told = capsys.readouterr()
    result = json.loads((out / "peers.json").read_text(encoding="utf-8"))
    installed = [peer.name for peer in peers.available_peers()[0]]
    assert result["models"] == ["small-x4", "small-x4@0", *installed]
    assert list(result["seconds"]) == result["models"]
    assert min(result["seconds"].values()) > 0
    table = (out / "peers.md").read_text(encoding="utf-8")
    assert told.out == table
    assert "list.jsonl: 2 images of 2 people, 32→128, 3 references, bicubic\n" in table
    for name in ("bicubic", *result["models"]):
        assert table.count(f"\n| {name} | {result['methods'][name]['psnr']:.3f} |") == 1
    for name in set(peers.PEERS) - set(installed):
        assert f"peers: {name} is left out: " in told.err
    assert read_image(out / "sheet.png").size


def test_models_of_another_scale_are_refused(
    demo_people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = ["--data", str(demo_people), "--list", str(demo_people / "list.jsonl")]
    command = ["small-x8", "small-x4", *demo, "--out", str(tmp_path / "out")]
    assert peers.main(command) == 1
    assert "made for LR sizes 16, 32; give --lr-size" in capsys.readouterr().err
    assert peers.main([*command, "--lr-size", "32"]) == 1
    assert "models of one scale can be compared" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", peers.PEERS)
def test_each_peer_enlarges_the_picture_it_is_given(name: str, truth: Image) -> None:
    try:
        peer = peers.Peer(name, peers.PEERS[name]())
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: comparisons/requirements.txt")
    lr = downscale(truth, 4)
    restored = peer.restore(lr).image
    assert restored.shape == truth.shape
    assert psnr(downscale(restored, 4), lr) > 20
    np.testing.assert_array_equal(peer.restore(lr).image, restored)
    if name != "Real-ESRGAN":  # which was not trained to come close
        assert psnr(restored, truth) > psnr(upscale(lr, 4), truth)


def test_dlib_tells_people_apart(shared: Path) -> None:
    try:
        measure = DlibDistance()
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: comparisons/requirements.txt")
    root = shared / "faces" / "lfw"
    person, other = sorted(path for path in root.iterdir() if len(list(path.iterdir())) > 2)[:2]
    truth, same = (read_target(path, 128) for path in sorted(person.iterdir())[:2])
    stranger = read_target(min(other.iterdir()), 128)
    blurred = upscale(downscale(truth, 4), 4)
    itself, near, alike, far = (
        figures["dlib"] for figures in measure([truth, blurred, same, stranger], Sample(truth, ()))
    )
    assert itself == 0
    assert near < 0.6 < far
    assert alike < far
    grey = np.full_like(truth, 128)
    assert measure([truth], Sample(grey, ())) == [{"dlib": None}]
