"""Metrics against their definitions; evaluation with methods whose results are known beforehand."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from hime.errors import HimeError
from hime.evaluation.evaluate import References, evaluate, format_table, parse_references
from hime.evaluation.metrics import psnr, ssim
from hime.images import Image, downscale, read_target, upscale
from hime.people import ListEntry, make_list, read_list

# --------------------------------------------------------------------------------------- metrics


@given(st.integers(1, 255))
def test_psnr_of_a_constant_difference(difference: int) -> None:
    dark, light = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), difference, np.uint8)
    assert psnr(dark, light) == pytest.approx(20 * math.log10(255 / difference))
    assert psnr(light, dark) == psnr(dark, light)


@given(hnp.arrays(np.uint8, (9, 7, 3)), hnp.arrays(np.uint8, (9, 7, 3)))
def test_psnr_equals_scikit_image(image: Image, truth: Image) -> None:
    with np.errstate(divide="ignore"):
        assert psnr(image, truth) == pytest.approx(peak_signal_noise_ratio(truth, image))


def test_psnr_of_equal_pictures_is_infinite() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    assert psnr(image, image) == math.inf


def ssim_by_definition(image: Image, truth: Image) -> float:
    """Wang et al. 2004, equation 13, channel by channel."""
    total = []
    for channel in range(3):
        x, y = image[:, :, channel].astype(float), truth[:, :, channel].astype(float)

        def blur(values: np.ndarray) -> np.ndarray:
            return gaussian_filter(values, 1.5, truncate=3.5)  # 11 taps

        mean_x, mean_y = blur(x), blur(y)
        variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        covariance = blur(x * y) - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
        total.append(similarity[5:-5, 5:-5].mean())  # where the window lies inside the picture
    return float(np.mean(total))


def test_ssim_follows_its_definition(demo_people: Path) -> None:
    truth = read_target(demo_people / "eva" / "1.webp", 128)
    image = upscale(downscale(truth, 4), 4)
    assert ssim(image, truth) == pytest.approx(ssim_by_definition(image, truth), abs=1e-6)
    assert ssim(truth, truth) == pytest.approx(1)
    assert 0.5 < ssim(image, truth) < 0.95


def test_metrics_refuse_what_cannot_be_compared() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    for metric in (psnr, ssim):
        with pytest.raises(HimeError, match="of one size"):
            metric(image, image[:12])
        with pytest.raises(HimeError, match="the truth must be a uint8 array"):
            metric(image, image / 255)
    with pytest.raises(HimeError, match="at least 11 pixels"):
        ssim(image[:10], image[:10])


# ------------------------------------------------------------------------------------ evaluation


@dataclass
class Answer:
    """What the methods below give back."""

    image: Image
    shares: list[float]


@dataclass
class MeanOfReferences:
    """Restores to the mean of its references, to bicubic without any; remembers what it was given."""

    name: str = "mean"
    scale: int = 4
    given: list[list[Image]] = field(default_factory=list)
    inputs: list[Image] = field(default_factory=list)

    def set_references(self, images: Sequence[Image]) -> None:
        self.given.append(list(images))

    def restore(self, lr: Image) -> Answer:
        self.inputs.append(lr)
        references = self.given[-1]
        if not references:
            return Answer(upscale(lr, self.scale), [])
        mean = np.rint(np.mean(references, axis=0)).astype(np.uint8)
        return Answer(mean, [1 / len(references)] * len(references))


def run(
    root: Path, entries: Sequence[ListEntry], references: References, method: MeanOfReferences | None = None
):
    return evaluate(
        method or MeanOfReferences(), root, entries, lr_size=32, list_name="demo.jsonl", references=references
    )


def test_result_holds_the_documented_fields(demo_people: Path) -> None:
    entries = read_list(demo_people / "list.jsonl")
    method = MeanOfReferences()
    result = run(demo_people, entries, 3, method)
    assert {
        key: result[key] for key in ("model", "list", "scale", "lr_size", "references", "images", "failed")
    } == {
        "model": "mean",
        "list": "demo.jsonl",
        "scale": 4,
        "lr_size": 32,
        "references": 3,
        "images": 6,
        "failed": [],
    }
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for number, (entry, image) in enumerate(zip(entries, result["per_image"], strict=True)):
        truth = read_target(demo_people / entry.input, 128)
        photos = [read_target(demo_people / name, 128) for name in entry.references]
        assert np.array_equal(method.inputs[number], downscale(truth, 4))
        assert all(np.array_equal(*pair) for pair in zip(method.given[number], photos, strict=True))
        expected = np.rint(np.mean(photos, axis=0)).astype(np.uint8)
        baseline = upscale(downscale(truth, 4), 4)
        assert image == {
            "input": entry.input,
            "references": list(entry.references),
            "shares": [0.3333] * 3,
            "bicubic": {
                "psnr": pytest.approx(psnr(baseline, truth), abs=1e-4),
                "ssim": pytest.approx(ssim(baseline, truth), abs=1e-4),
            },
            "mean": {
                "psnr": pytest.approx(psnr(expected, truth), abs=1e-4),
                "ssim": pytest.approx(ssim(expected, truth), abs=1e-4),
            },
        }
    for name in ("bicubic", "mean"):
        for metric in ("psnr", "ssim"):
            mean = np.mean([image[name][metric] for image in result["per_image"]])
            assert result["methods"][name][metric] == pytest.approx(mean, abs=1e-3)
    # Rendered faces shrunk four times: a pinned figure, so that a change of the degradation shows here.
    assert result["methods"]["bicubic"]["psnr"] == pytest.approx(28.257, abs=0.01)


def test_numbers_of_references(demo_people: Path) -> None:
    entries = read_list(demo_people / "list.jsonl")
    without = run(demo_people, entries, 0)
    assert without["methods"]["mean"] == without["methods"]["bicubic"]
    assert [image["references"] for image in without["per_image"]] == [[]] * 6
    two = run(demo_people, entries, 2)
    assert [tuple(image["references"]) for image in two["per_image"]] == [
        entry.references[:2] for entry in entries
    ]
    with pytest.raises(HimeError, match=r"demo.jsonl: ada/4.webp has 3 references, not 4"):
        run(demo_people, entries, 4)


def test_blank_references_are_as_many_and_grey(demo_people: Path) -> None:
    method = MeanOfReferences()
    result = run(demo_people, read_list(demo_people / "list.jsonl"), "blank", method)
    assert [len(images) for images in method.given] == [3] * 6
    assert all(
        (image == 128).all() and image.shape == (128, 128, 3) for images in method.given for image in images
    )
    assert result["references"] == "blank"
    assert [image["references"] for image in result["per_image"]] == [[]] * 6


def test_wrong_references_are_the_next_persons(demo_people: Path) -> None:
    entries = make_list(demo_people, ["ada", "ben", "eva"], references=2, inputs_per_person=2)
    result = run(demo_people, entries, "wrong")
    following = [2, 2, 4, 4, 0, 0]  # the first entry after it that is another person's, round the end
    assert [tuple(image["references"]) for image in result["per_image"]] == [
        entries[number].references for number in following
    ]
    with pytest.raises(HimeError, match="nobody but ada has 2 references"):
        run(demo_people, entries[:2], "wrong")


def test_a_bad_file_is_listed_and_the_others_measured(demo_people: Path, tmp_path: Path) -> None:
    root = tmp_path / "people"
    shutil.copytree(demo_people, root)
    entries = read_list(root / "list.jsonl")
    whole = run(root, entries, 3)
    (root / entries[1].input).write_bytes(b"words")
    (root / entries[3].references[2]).unlink()
    result = run(root, entries, 3)
    assert result["images"] == 4
    assert [failure["input"] for failure in result["failed"]] == [entries[1].input, entries[3].input]
    assert str(root / entries[1].input) in result["failed"][0]["error"]
    assert str(root / entries[3].references[2]) in result["failed"][1]["error"]
    assert result["per_image"] == [whole["per_image"][number] for number in (0, 2, 4, 5)]
    table = format_table(result)
    assert "2 failed:" in table
    assert str(root / entries[1].input) in table


def test_nothing_measured_gives_null(tmp_path: Path) -> None:
    result = run(tmp_path, [ListEntry("abe/1.jpg", ())], 0)
    assert result["images"] == 0
    assert result["methods"]["mean"] == {"psnr": None, "ssim": None}
    assert "–" in format_table(result)


def test_an_exact_restoration_gives_null_in_json(demo_people: Path) -> None:
    entries = [ListEntry("ada/0.webp", ("ada/0.webp",)), ListEntry("ada/1.webp", ("ada/0.webp",))]
    result = run(demo_people, entries, 1)
    assert result["per_image"][0]["mean"] == {"psnr": None, "ssim": 1.0}
    assert result["per_image"][1]["mean"]["psnr"] > 0
    assert result["methods"]["mean"]["psnr"] is None
    json.dumps(result, allow_nan=False)


def test_requests_that_make_no_sense_are_refused(demo_people: Path) -> None:
    with pytest.raises(HimeError, match=r"demo\.jsonl: no entry"):
        run(demo_people, [], 3)
    with pytest.raises(HimeError, match="cannot be named bicubic"):
        run(demo_people, read_list(demo_people / "list.jsonl"), 3, MeanOfReferences(name="bicubic"))


def test_format_table_and_parse_references(demo_people: Path) -> None:
    result = run(demo_people, read_list(demo_people / "list.jsonl"), 1)
    heading, columns, bicubic, mean = format_table(result).split("\n")
    assert heading == "demo.jsonl: 6 images, 32→128, 1 reference"
    assert columns.split() == ["PSNR", "SSIM"]
    for line, name in ((bicubic, "bicubic"), (mean, "mean")):
        figures = result["methods"][name]
        assert line.split() == [name, f"{figures['psnr']:.3f}", f"{figures['ssim']:.4f}"]
        assert len(line) == len(columns)
    assert format_table({**result, "references": "wrong"}).startswith(
        "demo.jsonl: 6 images, 32→128, wrong references"
    )
    assert [parse_references(text) for text in ("0", "3", "12", "blank", "wrong")] == [
        0,
        3,
        12,
        "blank",
        "wrong",
    ]
    for text in ("-1", "2.5", "", "all"):
        with pytest.raises(HimeError, match="a number from 0 up, blank or wrong"):
            parse_references(text)
