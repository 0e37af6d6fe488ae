"""The measures of traits, on drawn pictures and on the rendered people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

import traits
from hime.data.people import DEMO_PEOPLE
from hime.evaluation.measures import Sample
from hime.faces.detection import detect
from hime.pictures.arrays import Image, downscale, upscale
from hime.pictures.reading import read_image

SIDE = 256


@pytest.fixture
def fay() -> Image:
    """Rendered, with green eyes and two moles that are marked in this picture."""
    return read_image(DEMO_PEOPLE / "fay" / "5.webp")


def moles(truth: Image, *images: Image, marked: list[traits.Place], at: str = "fay/5.webp") -> list[tuple]:
    found = traits.Moles({"fay/5": marked})(images, Sample(truth, (), DEMO_PEOPLE / at))
    return [(each["moles"], each["made_up"]) for each in found]


def with_spot(image: Image, place: traits.Place, levels: float, radius: float = 2.0) -> Image:
    """The picture with a soft dark spot."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    spot = levels * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / radius**2)
    return np.rint(np.clip(image - spot[..., np.newaxis], 0, 255)).astype(np.uint8)


def smooth_face(fay: Image) -> tuple[Image, list[traits.Place]]:
    """The face with its skin blurred until nothing is on it, and three places on the skin."""
    blurred = upscale(downscale(fay, 16), 16)
    is_skin = traits.skin(SIDE, detect(fay)[0].landmarks)
    plain = np.where(is_skin[..., np.newaxis], blurred, fay)
    depth = np.argwhere(is_skin)
    inner = [
        (float(x), float(y))
        for y, x in depth[:: len(depth) // 40]
        if is_skin[y - 7 : y + 8, x - 7 : x + 8].all()
    ]
    assert len(inner) >= 3
    return plain, [inner[0], inner[len(inner) // 2], inner[-1]]


def test_a_spot_that_stays_is_kept_and_one_that_goes_is_not(fay: Image) -> None:
    plain, places = smooth_face(fay)
    truth = plain
    for place in places:
        truth = with_spot(truth, place, 60)
    one_left = with_spot(plain, places[1], 60)
    faint = plain
    for place in places:
        faint = with_spot(faint, place, 20)  # a third of the contrast
    moved = with_spot(plain, (places[1][0] + 2, places[1][1]), 60)
    far = with_spot(plain, (places[1][0] + 6, places[1][1]), 60)
    third = pytest.approx(1 / 3)
    measured = moles(truth, truth, plain, one_left, faint, moved, far, marked=places)
    assert measured == [(1, 0), (0, 0), (third, 0), (0, 0), (third, 0), (0, 1)]


def test_spots_that_the_truth_has_not_are_made_up(fay: Image) -> None:
    plain, places = smooth_face(fay)
    made = with_spot(with_spot(plain, places[0], 60), places[2], 60)
    truth = with_spot(plain, places[1], 60)
    weak = with_spot(truth, places[0], 10)
    assert moles(truth, with_spot(made, places[1], 60), weak, marked=[places[1]]) == [(1, 2), (1, 0)]


def test_a_picture_half_the_size_is_measured_alike(fay: Image) -> None:
    plain, places = smooth_face(fay)
    truth = with_spot(plain, places[0], 120, radius=4)
    small = [downscale(image, 2) for image in (truth, plain)]
    assert moles(small[0], *small, marked=[places[0]]) == [(1, 0), (0, 0)]


def test_what_is_not_marked_is_not_measured(fay: Image) -> None:
    assert moles(fay, fay, marked=[(116, 170)], at="fay/4.webp") == [(None, None)]
    grey = np.full_like(fay, 128)
    assert moles(grey, grey, marked=[(116, 170)]) == [(None, None)]


@pytest.mark.parametrize("name", traits.MARKED)
def test_every_marked_mole_is_one(name: str) -> None:
    image = read_image(DEMO_PEOPLE / f"{name}.webp")
    sample = Sample(image, (), DEMO_PEOPLE / f"{name}.webp")
    blurred = upscale(downscale(image, 8), 8)
    kept, gone = traits.Moles()([image, blurred], sample)
    assert (kept["moles"], kept["made_up"]) == (1, 0)
    assert gone["moles"] == 0


def test_a_known_change_of_colour_is_measured(fay: Image) -> None:
    irises = traits.irises_in(fay)
    assert irises is not None
    lab = rgb2lab(fay)
    for iris in irises:
        lab[iris] += (0, 6, -8)
    changed = np.rint(lab2rgb(lab) * 255).astype(np.uint8)
    lab = rgb2lab(fay)
    lab[~(irises[0] | irises[1])] += (5, 5, 5)  # what is no iris does not count
    elsewhere = np.rint(lab2rgb(lab) * 255).astype(np.uint8)
    same, other, around = traits.EyeColour()([fay, changed, elsewhere], Sample(fay, ()))
    assert same == {"eye": 0, "eye_hue": 0}
    assert other["eye"] == pytest.approx(10, abs=0.7)
    assert other["eye_hue"] == pytest.approx(10, abs=0.7)
    assert around["eye"] == pytest.approx(0, abs=0.3)
    darker = rgb2lab(fay) - (7, 0, 0)
    (shade,) = traits.EyeColour()([np.rint(lab2rgb(darker) * 255).astype(np.uint8)], Sample(fay, ()))
    assert shade["eye"] == pytest.approx(7, abs=0.7)
    assert shade["eye_hue"] < 1.5


def test_eyes_are_found_where_they_look() -> None:
    y, x = np.mgrid[:64, :64]
    luminance = np.where(np.hypot(x - 34, y - 30) <= 4, 40.0, 200.0)
    mask = traits.iris_at(luminance, (31.5, 31), 4.0)
    assert mask.sum() > 10
    assert (luminance[mask] == 40).all()


def test_eye_colours_tell_people_apart() -> None:
    """Fay's eyes are green, Ben's brown."""
    lab = {
        name: traits.colours(image, irises).mean(axis=0)
        for name in ("fay/0", "fay/4", "ben/0", "ben/2")
        for image in [read_image(DEMO_PEOPLE / f"{name}.webp")]
        if (irises := traits.irises_in(image)) is not None
    }
    assert len(lab) == 4
    assert np.linalg.norm((lab["fay/0"] - lab["fay/4"])[1:]) < 8
    assert np.linalg.norm((lab["ben/0"] - lab["ben/2"])[1:]) < 8
    assert np.linalg.norm((lab["fay/0"] - lab["ben/0"])[1:]) > 10


def test_the_tables(
    demo_people: Path,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)  # it would be for good
    out = tmp_path / "eyes"
    demo = ["--data", str(demo_people), "--list", str(demo_people / "list.jsonl")]
    assert traits.main([str(tiny_model), *demo, "--lr-size", "32", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert told == (out / "traits.md").read_text(encoding="utf-8")
    result = json.loads((out / "traits.json").read_text(encoding="utf-8"))
    assert result["models"][:2] == ["tiny-x4", "tiny-x4@0"]
    assert 0 < result["yardstick"]["same person, Δab"] < result["yardstick"]["other people, Δab"]
    for name in ("bicubic", *result["models"]):
        assert told.count(f"\n| {name} | {result['methods'][name]['eye']:.2f} (") == 1
    with pytest.raises(SystemExit):
        traits.main([str(tiny_model), "--data", str(demo_people), "--out", str(out)])


def test_of_one_person_there_are_no_intervals_and_of_none_no_figures() -> None:
    means = {"eye": 2.5, "eye_hue": None}
    result = {
        "list": "one.jsonl", "images": 1, "people": 1, "lr_size": 32, "scale": 4, "references": 3,
        "degradation": "bicubic", "models": ["m"], "methods": {"bicubic": means, "m": means},
        "intervals": {"bicubic": dict.fromkeys(means), "m": dict.fromkeys(means)},
    }  # fmt: skip
    assert traits.format_markdown(result).splitlines()[-1] == "| m | 2.50 | – |"
