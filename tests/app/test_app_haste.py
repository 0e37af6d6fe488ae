"""What is asked for while the page is at work: the last holds, and nothing old is shown as new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from in_browser import GATE, needs_browser, one_face, person, two_faces

pytestmark = needs_browser


@pytest.fixture
def slow(page: Any) -> Any:
    """The page, ready, with a worker that is as slow as the test says."""
    page.add_init_script(GATE)
    page.reload()
    page.get_by_text("Ready.").wait_for()
    return page


def hold(page: Any, call: str) -> None:
    """Let the worker wait with that call, and with all after it."""
    page.evaluate("call => { holds = call; }", call)


def release(page: Any) -> None:
    page.wait_for_function("() => isHeld()")
    page.evaluate("() => release()")


def used(page: Any) -> list[str]:
    """The photos that are shown as used."""
    return [
        str(label)
        for label in page.locator("#photos button").evaluate_all("all => all.map((b) => b.ariaLabel)")
    ]


def test_somebody_kept_takes_the_place_of_photos_that_are_still_read(
    slow: Any, demo_people: Path, tmp_path: Path
) -> None:
    slow.set_input_files("#photos-file", person(tmp_path, "ada", demo_people)[:1])
    slow.get_by_text("1 photo of the person").wait_for()
    slow.get_by_text("People kept on this device").first.click()
    slow.get_by_label("Name").fill("Ada")
    slow.get_by_role("button", name="Keep these photos").click()
    slow.get_by_text("Ada is kept").wait_for()
    hold(slow, "readPhotos")
    slow.set_input_files("#photos-file", person(tmp_path, "ben", demo_people))
    slow.get_by_role("button", name="Use the photos of Ada").click()
    release(slow)
    slow.get_by_text("The photos of Ada are used").wait_for()
    assert used(slow) == ["Remove ada1.png"]


def test_a_photo_taken_away_does_not_come_back(slow: Any, demo_people: Path, tmp_path: Path) -> None:
    photos = person(tmp_path, "ada", demo_people)
    slow.set_input_files("#photos-file", photos[:2])
    slow.get_by_text("2 photos of the person").wait_for()
    hold(slow, "readPhotos")
    slow.set_input_files("#photos-file", photos[2:])
    slow.get_by_role("button", name="Remove ada1.png").click()
    release(slow)
    slow.get_by_role("button", name="Remove ada3.png").wait_for()
    slow.get_by_role("button", name="Remove ada1.png").wait_for(state="detached")
    assert used(slow) == ["Remove ada2.png", "Remove ada3.png"]


@pytest.mark.parametrize("call", ["restore", "putBack"])
def test_the_result_of_a_picture_that_is_no_longer_given_is_dropped(
    slow: Any, demo_people: Path, tmp_path: Path, call: str
) -> None:
    slow.set_input_files("#picture-file", one_face(tmp_path, demo_people, None)[0])
    slow.get_by_text("1 face found.").wait_for()
    hold(slow, call)
    slow.get_by_role("button", name="Restore", exact=True).click()
    slow.wait_for_function("() => isHeld()")
    slow.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    release(slow)
    slow.get_by_text("2 faces: choose one to restore it.").wait_for()
    assert slow.locator("#picture-name").inner_text() == "two.png"
    assert slow.locator("#result").is_hidden()
    assert slow.evaluate("document.getElementById('whole').hidden")


def test_a_face_of_the_picture_before_chooses_nothing_in_the_new_one(
    slow: Any, demo_people: Path, tmp_path: Path
) -> None:
    """The old picture is still there to press on while the worker is busy."""
    slow.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    slow.get_by_text("2 faces: choose one to restore it.").wait_for()
    hold(slow, "restore")
    slow.get_by_role("button", name="Restore", exact=True).click()
    slow.wait_for_function("() => isHeld()")
    slow.set_input_files("#picture-file", one_face(tmp_path, demo_people, None)[0])
    slow.get_by_role("button", name="Restore face 2").first.click()
    release(slow)
    slow.get_by_text("1 face found.").wait_for()
    slow.get_by_role("button", name="Restore", exact=True).click()
    slow.get_by_text("1 of 1 face restored in").wait_for()


def test_a_face_pressed_while_others_are_looked_for_is_restored(
    slow: Any, demo_people: Path, tmp_path: Path
) -> None:
    """One that is found later, further left, has the number then that it had."""
    picture = PIL.Image.new("RGB", (2300, 700), (70, 90, 60))
    for name, side, place in (("ben", 34, (200, 300)), ("ada", 110, (1800, 260))):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB")
        picture.paste(face.resize((side, side), PIL.Image.Resampling.LANCZOS), place)
    picture.save(tmp_path / "wide.png")
    hold(slow, "look")
    slow.set_input_files("#picture-file", tmp_path / "wide.png")
    slow.wait_for_function("() => isHeld()")
    slow.evaluate("() => { release(); holds = 'look'; }")  # the second time
    slow.get_by_text("1 face so far").wait_for()
    slow.get_by_role("button", name="Restore face 1").click()
    release(slow)
    slow.get_by_text("1 of 2 faces restored in").wait_for()
    left, right = slow.locator("#faces article").all()
    assert "Left as it is: not asked for" in left.inner_text()
    assert right.locator("canvas").count() == 2


def test_a_face_pressed_after_the_person_became_another_is_restored(
    slow: Any, demo_people: Path, tmp_path: Path
) -> None:
    """Though they become another only when the worker comes to it."""
    slow.set_input_files("#photos-file", person(tmp_path, "ada", demo_people)[:1])
    slow.get_by_text("1 photo of the person").wait_for()
    slow.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    slow.get_by_text("1 of 2 faces restored in").wait_for()
    hold(slow, "restore")
    slow.get_by_role("button", name="Restore", exact=True).click()
    slow.wait_for_function("() => isHeld()")
    slow.get_by_role("button", name="Remove ada1.png").click()
    slow.get_by_role("button", name="Restore face 1").click()
    release(slow)
    slow.locator("#faces article").nth(1).get_by_text("not asked for").wait_for()


def test_a_file_has_the_name_of_the_picture_in_it(slow: Any, demo_people: Path, tmp_path: Path) -> None:
    slow.set_input_files("#picture-file", one_face(tmp_path, demo_people, None)[0])
    slow.get_by_role("button", name="Restore", exact=True).click()
    slow.get_by_text("1 of 1 face restored in").wait_for()
    hold(slow, "save")
    slow.get_by_role("button", name="Download as PNG").click()
    slow.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    with slow.expect_download() as download:
        release(slow)
    assert download.value.suggested_filename == "one-restored.png"
