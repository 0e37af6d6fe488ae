"""The page in a real browser: headless Chromium, real files, the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
from in_browser import needs_browser, one_face, person, restored

pytestmark = needs_browser


def test_page_restores_offline_and_marks_the_file(page: Any, demo_people: Path, tmp_path: Path) -> None:
    picture, photos = one_face(tmp_path, demo_people, None)
    page.context.set_offline(True)  # all that one face needs is there
    restored(page, picture, photos)
    assert page.evaluate("crossOriginIsolated")
    assert page.locator("#photo canvas").count() == 2
    assert page.locator("#faces figure").count() == len(photos)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JPEG").click()
    saved = tmp_path / "saved.jpg"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "one-restored.jpg"
    with PIL.Image.open(saved) as result, PIL.Image.open(picture) as source:
        assert result.size == (source.width * 4, source.height * 4)
        assert b"compositeWithTrainedAlgorithmicMedia" in result.info["xmp"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as PNG").click()
    download.value.save_as(tmp_path / "saved.png")
    with PIL.Image.open(tmp_path / "saved.png") as result:
        result.load()
        assert "compositeWithTrainedAlgorithmicMedia" in str(result.info["xmp"])


def test_dial_fetches_its_other_end_when_turned(page: Any) -> None:
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Model").select_option("small-x8-p")
    page.locator("#licence").get_by_text("small-x8-p:").wait_for()
    assert page.locator("#fidelity").input_value() == "0"
    assert not [url for url in asked if "/small-x8/" in url]
    with page.expect_request("**/models/small-x8/weights.bin"):
        page.locator("#fidelity").fill("0.4")
    page.get_by_text("Ready.").wait_for()
    assert page.locator("#fidelity-value").inner_text() == "0.4"


def test_page_tells_what_cannot_be_used(page: Any, demo_people: Path, tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.png"
    broken.write_bytes((demo_people / "ada" / "0.webp").read_bytes()[:60])
    PIL.Image.new("RGB", (120, 90), (90, 120, 60)).save(empty)
    alert = page.get_by_role("alert")
    for picture, told in ((broken, "cannot be read"), (empty, "No face found")):
        page.set_input_files("#picture-file", picture)
        page.get_by_role("button", name="Restore", exact=True).click()
        alert.get_by_text(told).wait_for()
        assert page.locator("#result").is_hidden()
    page.set_input_files("#photos-file", [broken, empty])
    page.locator("#rejected li").nth(1).wait_for()
    assert "no face found" in page.locator("#rejected").inner_text()


def test_person_is_kept_and_deleted(page: Any, address: str, demo_people: Path, tmp_path: Path) -> None:
    page.set_input_files("#photos-file", person(tmp_path, "ada", demo_people))
    page.get_by_text("3 photos of the person").wait_for()
    page.get_by_text("People kept on this device").first.click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Keep these photos").click()
    page.get_by_text("Ada is kept").wait_for()
    page.reload()
    page.get_by_text("Ready.").wait_for()
    assert page.locator("#photos li").count() == 0
    page.get_by_text("People kept on this device").first.click()
    page.get_by_role("button", name="Use the photos of Ada").click()
    page.get_by_text("The photos of Ada are used").wait_for()
    assert page.locator("#photos li").count() == 3
    page.get_by_role("button", name="Delete Ada").click()
    page.get_by_text("Ada is deleted").wait_for()
    assert page.locator("#kept li").count() == 0


def test_page_fits_a_phone_and_works_by_keyboard(page: Any, demo_people: Path, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    restored(page, *one_face(tmp_path, demo_people, None))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    line = page.get_by_label("line between the plain enlargement").first
    line.focus()
    page.keyboard.press("End")
    assert line.input_value() == "100"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas")].filter((node) =>
          !(node.textContent.trim() || node.labels?.length || node.getAttribute("aria-label")))
          .map((node) => node.outerHTML)"""
    )
    assert unnamed == []
