"""Evaluation with methods whose results are known beforehand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hime.data.people import ListEntry, make_list, read_list
from hime.errors import HimeError
from hime.evaluation.evaluate import References, Variant, evaluate, parse_references
from hime.evaluation.measures import Distortion, Figures, Measure, Sample
from hime.evaluation.metrics import psnr, ssim
from hime.evaluation.sheet import Sheet
from hime.evaluation.table import format_table
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_target


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


DISTORTION = (Distortion(),)


def run(
    root: Path,
    entries: Sequence[ListEntry],
    references: References,
    *methods: MeanOfReferences | Variant,
    measures: Sequence[Measure] = DISTORTION,
    sheet: Sheet | None = None,
):
    return evaluate(
        methods or [MeanOfReferences()],
        root,
        entries,
        lr_size=32,
        list_name="demo.jsonl",
        references=references,
        measures=measures,
        sheet=sheet,
    )


def test_result_holds_the_documented_fields(demo_people: Path) -> None:
    entries = read_list(demo_people / "list.jsonl")
    method = MeanOfReferences()
    result = run(demo_people, entries, 3, method)
    expected = {
        "model": "mean",
        "models": ["mean"],
        "list": "demo.jsonl",
        "scale": 4,
        "lr_size": 32,
        "references": 3,
        "degradation": "bicubic",
        "luminance": False,
        "images": 6,
        "people": 6,
        "failed": [],
    }
    figures = {"methods", "intervals", "differences", "per_image"}
    assert {key: value for key, value in result.items() if key not in figures} == expected
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for number, (entry, image) in enumerate(zip(entries, result["per_image"], strict=True)):
        truth = read_target(demo_people / entry.input, 128)
        photos = [read_target(demo_people / name, 128) for name in entry.references]
        assert np.array_equal(method.inputs[number], downscale(truth, 4))
        assert all(np.array_equal(*pair) for pair in zip(method.given[number], photos, strict=True))
        mean = np.rint(np.mean(photos, axis=0)).astype(np.uint8)
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
                "psnr": pytest.approx(psnr(mean, truth), abs=1e-4),
                "ssim": pytest.approx(ssim(mean, truth), abs=1e-4),
            },
        }
    for name in ("bicubic", "mean"):
        for metric in ("psnr", "ssim"):
            values = [image[name][metric] for image in result["per_image"]]
            assert result["methods"][name][metric] == pytest.approx(np.mean(values), abs=1e-3)
            low, high = result["intervals"][name][metric]
            assert min(values) <= low < np.mean(values) < high <= max(values)
    # Rendered faces shrunk four times: a pinned figure, so that a change of the degradation shows here.
    assert result["methods"]["bicubic"]["psnr"] == pytest.approx(28.257, abs=0.01)


def test_several_methods_on_the_same_inputs(demo_people: Path) -> None:
    entries = make_list(demo_people, ["ada", "ben", "eva"], references=2, inputs_per_person=2)
    first, second = MeanOfReferences("first"), MeanOfReferences("second")
    third = MeanOfReferences("first")  # the same model again, but without references
    result = run(demo_people, entries, 2, first, second, Variant(third, "first@0", 0))
    assert (result["model"], result["models"]) == ("first", ["first", "second", "first@0"])
    assert list(result["methods"]) == ["bicubic", "first", "second", "first@0"]
    assert result["methods"]["first"] == result["methods"]["second"]
    assert result["methods"]["first@0"] == result["methods"]["bicubic"]
    assert [len(images) for images in third.given] == [0] * 6
    alone = run(demo_people, entries, 2, MeanOfReferences("first"))
    assert result["methods"]["first"] == alone["methods"]["first"]
    assert result["intervals"]["first"] == alone["intervals"]["first"]
    pairs = [(each["method"], each["minus"]) for each in result["differences"]]
    to_bicubic = [(name, "bicubic") for name in result["models"]]
    assert pairs == [*to_bicubic, ("second", "first"), ("first@0", "first")]
    for each in result["differences"]:
        for metric, mean in each["mean"].items():
            methods = result["methods"]
            expected = methods[each["method"]][metric] - methods[each["minus"]][metric]
            assert mean == pytest.approx(expected, abs=2e-4)
            assert each["interval"][metric][0] <= mean <= each["interval"][metric][1]
    same = result["differences"][3]
    assert (same["mean"]["psnr"], same["interval"]["psnr"]) == (0, [0, 0])  # image by image there is none
    assert Variant(first, "other").scale == 4


def test_a_variant_takes_some_of_the_references() -> None:
    method = MeanOfReferences()
    pictures = [np.full((4, 4, 3), level, np.uint8) for level in range(3)]
    for variant in (Variant(method, "all"), Variant(method, "two", 2), Variant(method, "second", 1, 1)):
        variant.set_references(pictures)
    Variant(method, "second", 1, 1).set_references(pictures[:1])
    assert [[int(each.max()) for each in given] for given in method.given] == [[0, 1, 2], [0, 1], [1], []]


def test_luminance_is_said(demo_people: Path) -> None:
    entries = read_list(demo_people / "list.jsonl")
    result = run(demo_people, entries, 0, measures=[Distortion(luminance=True)])
    assert result["luminance"]
    assert "PSNR and SSIM on luminance" in format_table(result)
    assert result["methods"]["bicubic"]["psnr"] > run(demo_people, entries, 0)["methods"]["bicubic"]["psnr"]


@dataclass
class ByName:
    """Measures what was said beforehand; None stands for what cannot be measured."""

    given: list[float | None]
    metrics: tuple[str, ...] = ("identity", "identity_references")
    samples: list[Sample] = field(default_factory=list)

    def __call__(self, images: Sequence[Image], sample: Sample) -> list[Figures]:
        value = self.given[len(self.samples)]
        self.samples.append(sample)
        return [{"identity": value, "identity_references": value} for _ in images]


def test_what_cannot_be_measured_is_left_out_and_counted(demo_people: Path) -> None:
    entries = read_list(demo_people / "list.jsonl")
    measure = ByName([0.5, None, 0.7, None, 0.9, 0.9])
    result = run(demo_people, entries, 1, measures=[*DISTORTION, measure])
    assert result["no_face"] == 2
    assert result["truth"] == {"identity_references": 0.75}
    for name in ("bicubic", "mean"):
        assert result["methods"][name]["identity"] == 0.75
        assert [image[name]["identity"] for image in result["per_image"]] == measure.given
        assert list(result["methods"][name]) == ["psnr", "ssim", "identity", "identity_references"]
    table = format_table(result)
    assert "no face found in 2 photos" in table
    assert "the photos themselves: 0.7500 to references" in table
    # The list's references, also those that no method gets.
    assert [sample.references for sample in measure.samples] == [
        tuple(demo_people / name for name in entry.references) for entry in entries
    ]
    nowhere = run(demo_people, entries, 1, measures=[ByName([None] * 6)])
    assert nowhere["methods"]["mean"] == {"identity": None, "identity_references": None}
    assert nowhere["intervals"]["mean"] == {"identity": None, "identity_references": None}
    assert nowhere["truth"] == {"identity_references": None}
    assert "–" in format_table(nowhere)


def test_the_sheet_shows_what_was_measured(demo_people: Path) -> None:
    entries = read_list(demo_people / "all.jsonl")
    sheet = Sheet(len(entries), rows=4)
    assert [number for number in range(30) if sheet.shows(number)] == [0, 10, 19, 29]
    run(demo_people, entries, 2, MeanOfReferences("first"), sheet=sheet)
    picture = sheet.draw()
    columns, side = 6, 128  # LR, bicubic, first, truth, two references
    assert picture.shape[1] >= columns * side
    assert 4 * side < picture.shape[0] < 4 * (side + 70)
    assert (picture[:18] < 100).any()  # the headings stand above the first row
    truth = read_target(demo_people / entries[10].input, 128)
    for image in (
        truth,
        upscale(downscale(truth, 4), 4),
        downscale(truth, 4).repeat(4, axis=0).repeat(4, axis=1),
        read_target(demo_people / entries[10].references[1], 128),
    ):
        assert holds(picture, image)
    assert not holds(picture, read_target(demo_people / entries[11].input, 128))


def holds(picture: Image, part: Image) -> bool:
    """Whether ``part`` lies somewhere in ``picture``, pixel by pixel."""
    rows, columns = (picture.shape[axis] - part.shape[axis] + 1 for axis in (0, 1))
    corners = np.argwhere((picture[:rows, :columns] == part[0, 0]).all(axis=2))
    height, width = part.shape[:2]
    return any(np.array_equal(picture[y : y + height, x : x + width], part) for y, x in corners)


def test_a_sheet_of_fewer_entries_than_rows() -> None:
    sheet = Sheet(3, rows=12)
    assert all(sheet.shows(number) for number in range(3))
    with pytest.raises(HimeError, match="at least one picture"):
        sheet.draw()


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
    assert result["failed"][0]["error"].startswith(f"{entries[1].input}: ")
    assert result["failed"][1]["error"].startswith(f"{entries[3].references[2]}: ")
    assert str(tmp_path) not in str(result)  # it is shown to others
    assert result["per_image"] == [whole["per_image"][number] for number in (0, 2, 4, 5)]
    table = format_table(result)
    assert "2 failed:" in table
    assert f"  {entries[1].input}: " in table


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
    assert result["intervals"]["mean"]["psnr"] is None
    assert result["differences"][0]["mean"]["psnr"] is None
    json.dumps(result, allow_nan=False)
    exact = run(demo_people, entries[:1], 1, MeanOfReferences("one"), MeanOfReferences("two"))
    assert exact["differences"][2]["mean"] == {"psnr": None, "ssim": 0}


def test_requests_that_make_no_sense_are_refused(demo_people: Path) -> None:
    with pytest.raises(HimeError, match=r"demo\.jsonl: no entry"):
        run(demo_people, [], 3)
    with pytest.raises(HimeError, match="cannot be named bicubic"):
        run(demo_people, read_list(demo_people / "list.jsonl"), 3, MeanOfReferences(name="bicubic"))
    entries = read_list(demo_people / "list.jsonl")
    for name in ("input", "references", "shares", "passes"):  # keys of per_image beside the methods'
        with pytest.raises(HimeError, match=f"cannot be named {name}"):
            run(demo_people, entries, 3, MeanOfReferences(name=name))
    with pytest.raises(HimeError, match="two models are named mean"):
        run(demo_people, entries, 3, MeanOfReferences(), MeanOfReferences())
    with pytest.raises(HimeError, match="models of one scale can be compared, not mean ×4, other ×8"):
        run(demo_people, entries, 3, MeanOfReferences(), MeanOfReferences("other", scale=8))
    with pytest.raises(HimeError, match="give a model"):
        evaluate([], demo_people, entries, lr_size=32, list_name="demo.jsonl")


def test_format_table_and_parse_references(demo_people: Path) -> None:
    result = run(demo_people, read_list(demo_people / "list.jsonl"), 1)
    heading, columns, *rows, note = format_table(result).split("\n")
    assert heading == "demo.jsonl: 6 images of 6 people, 32→128, 1 reference"
    assert columns.split() == ["PSNR", "SSIM"]
    assert note == "below each mean: its 95 % interval, over people"
    (difference,) = result["differences"]
    expected = [
        ("bicubic", "", result["methods"]["bicubic"], result["intervals"]["bicubic"]),
        ("mean", "", result["methods"]["mean"], result["intervals"]["mean"]),
        ("mean − bicubic", "+", difference["mean"], difference["interval"]),
    ]
    assert len(rows) == 2 * len(expected)
    for (label, sign, means, intervals), line, below in zip(expected, rows[::2], rows[1::2], strict=True):
        assert line.startswith(label)
        assert line.removeprefix(label).split() == [
            f"{means['psnr']:{sign}.3f}",
            f"{means['ssim']:{sign}.4f}",
        ]
        (low, high), (lower, higher) = intervals["psnr"], intervals["ssim"]
        assert below.split() == [
            f"{low:{sign}.3f}…{high:{sign}.3f}",
            f"{lower:{sign}.4f}…{higher:{sign}.4f}",
        ]
        assert len(line) == len(below) == len(columns)
    assert format_table({**result, "references": "wrong"}).startswith(
        "demo.jsonl: 6 images of 6 people, 32→128, wrong references"
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
