"""The page of a restored clip: true to what was done, closed to all that is not in it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest

from hime.restoring.restorer import Restorer
from hime.restoring.video import restore_video
from hime.restoring.video.cast import ClipReference, RestoredRole
from hime.restoring.video.report import FACE_SIDE, Explanation, Look, write_clip_report
from hime.restoring.video.restore import Progress
from restoring.test_report import HOSTILE, Page

GREY = np.full((FACE_SIDE, FACE_SIDE, 3), 128, np.uint8)


def found(*likeness: tuple[float | None, float | None]) -> Explanation:
    looks = [Look(62.5 + 0.5 * n, GREY, GREY, *each) for n, each in enumerate(likeness)]
    return Explanation([(look.seconds, GREY, GREY) for look in looks], {0: looks})


def role(name: str = "ada", status: str = "restored", photo: str = "ada.jpg") -> RestoredRole:
    frame = ClipReference(None, 3.25, 0.0, 0.5, 140.0)
    named = ClipReference(photo, None, 0.0, 0.5, 200.0)
    object.__setattr__(frame, "candidate", type("Held", (), {"crop": GREY}))
    object.__setattr__(named, "photo", type("Held", (), {"crop": None}))
    return RestoredRole(name, status, 12, 40, (frame, named))


def written(path: Path, seen: Explanation, faces: list[RestoredRole], damage: str | None = None) -> Page:
    return Page(write_clip_report(path, "call.mp4", seen, faces, damage))


def test_the_page_tells_what_was_done(tmp_path: Path) -> None:
    seen = found((0.5, 0.6), (0.5, 0.75), (0.5, 0.41), (None, None))
    faces = [role(), RestoredRole("ben", "left: not in the clip", 0, 0, ())]
    page = written(tmp_path / "page.html", seen, faces, "does not decode from 9.0 s on (cut off)")
    for expected in (
        "1 of 2 people restored.",
        "The clip does not decode from 9.0 s on (cut off).",
        "restored in 12 of the 40 frames with this face",
        "0.50 → 0.60 (medians of 3 looks)",
        "Less like than given in 1 of 3 looks: at 1:03.5.",
        "the clip at 0:03.2, 140 pixels",
        "photo ada.jpg",
        "no picture is kept",
        "ben: not in the clip",
        "4 moments in which faces were restored",
    ):
        assert expected in page.text
    assert len(page.all("circle")) == 1
    assert [path["class"] for path in page.all("path")] == ["given", "restored"]
    assert [image.get("data-time") for image in page.all("img") if "data-time" in image][:2] == [
        "1:02.5",
        "1:03.0",
    ]
    assert next(each for each in page.all("input") if each.get("id") == "moment")["max"] == "3"


def test_only_what_is_in_the_page_may_be_loaded_or_run(tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", found((0.1, 0.2)), [role()])
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[tag].encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    for _, attributes in page.elements:
        assert not any(name == "style" or name.startswith("on") for name in attributes)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_hold(tmp_path: Path, name: str) -> None:
    seen = found((0.5, 0.6))
    harmless = written(tmp_path / "harmless.html", seen, [role(), RestoredRole("b", "left", 0, 1, ())])
    page = Page(
        write_clip_report(
            tmp_path / "page.html",
            name,
            seen,
            [role(name, name, name), RestoredRole(name, name, 0, 1, ())],
            None,
        )
    )
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]


def test_a_clip_restored_is_explained(walking: Path, restorer: Restorer, tmp_path: Path) -> None:
    steps: list[Progress] = []
    report = tmp_path / "page.html"
    clip = restore_video(
        walking, [], restorer, tmp_path / "out.mp4", enlargement=2, report=report, progress=steps.append
    )
    page = Page(report)
    (face,) = clip.faces
    assert f"restored in {face.frames} of the {face.seen} frames" in page.text
    assert len([image for image in page.all("img") if image["alt"] == "Reference"]) == len(face.references)
    moments = [image for image in page.all("img") if "data-time" in image]
    assert moments
    assert all((image["width"], image["height"]) == ("640", "480") for image in moments)
    assert {step.step for step in steps} == {"looking", "restoring", "explaining"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "page.html"]
