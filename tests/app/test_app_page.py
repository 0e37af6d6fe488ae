"""The page in a real browser: headless Chromium, real files, the real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from in_browser import (
    CHROMIUM,
    FLAGS,
    fetched_ahead,
    needs_browser,
    one_face,
    packed,
    person,
    restored,
    two_faces,
)

from hime.tools.serve import PAGE_MODEL

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
    page.get_by_text("Settings").click()
    page.get_by_label("Model").select_option("small-x8-p")
    page.locator("#licence").get_by_text("small-x8-p:").wait_for()
    assert page.locator("#fidelity").input_value() == "0"
    assert not [url for url in asked if "/small-x8/" in url]
    with page.expect_request("**/models/small-x8/weights.bin"):
        page.locator("#fidelity").fill("0.4")
    page.get_by_text("Ready.").wait_for()
    assert page.locator("#fidelity-value").inner_text() == "0.4"


def test_group_and_dial_offline(page: Any, demo_people: Path, tmp_path: Path) -> None:
    """What the first picture did not need is there all the same: SFace, the dial's other end."""
    fetched_ahead(page)
    page.context.set_offline(True)
    page.set_input_files("#photos-file", person(tmp_path, "ada", demo_people))
    page.get_by_text("3 photos of the person").wait_for()
    page.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    page.get_by_text("1 of 2 faces restored in").wait_for()
    assert "not the person in the photos" in page.locator("#faces article").first.inner_text()
    page.get_by_text("Settings").click()
    page.locator("#status").evaluate("status => { status.textContent = ''; }")
    page.locator("#fidelity").fill("1")
    page.get_by_text("1 of 2 faces restored in").wait_for()
    assert page.get_by_role("alert").inner_text() == ""
    assert page.locator("#fidelity").input_value() == "1"


def test_settings_show_what_is_open(page: Any) -> None:
    """Also where what was chosen cannot be fetched."""
    alert = page.get_by_role("alert").get_by_text("check the connection")
    page.get_by_text("Settings").click()
    page.get_by_label("Model").select_option("small-x8-p")
    page.locator("#licence").get_by_text("small-x8-p:").wait_for()
    page.context.set_offline(True)
    page.locator("#fidelity").fill("0.4")
    alert.wait_for()
    assert page.locator("#fidelity").input_value() == "0"
    assert page.locator("#fidelity-value").inner_text() == "0.0"
    page.get_by_label("Model").select_option(PAGE_MODEL)
    alert.wait_for(state="detached")  # that is kept
    page.locator("#licence").get_by_text(f"{PAGE_MODEL}:").wait_for()
    page.get_by_label("Model").select_option("small-x4-p")
    alert.wait_for()
    assert page.get_by_label("Model").input_value() == PAGE_MODEL
    assert page.locator("#licence").inner_text().startswith(f"{PAGE_MODEL}:")


def test_page_tells_what_cannot_be_used(page: Any, demo_people: Path, tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.jpg", tmp_path / "empty.png"
    broken.write_bytes((demo_people / "ada" / "0.webp").read_bytes()[:60])
    PIL.Image.new("RGB", (120, 90), (90, 120, 60)).save(empty)
    alert = page.get_by_role("alert")
    phone, brand = tmp_path / "img_1.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    phone.write_bytes(brand)
    (tmp_path / "img_2.HEIC").write_bytes(b"whatever")
    heic = "this browser does not open HEIC; save it as JPEG"
    for picture, told in (
        (broken, "broken.jpg: cannot be read"),  # a name stays as it is
        (phone, f"img_1.jpg: {heic}"),
        (tmp_path / "img_2.HEIC", f"img_2.HEIC: {heic}"),
        (empty, "No face found"),
    ):
        page.set_input_files("#picture-file", picture)
        page.get_by_role("button", name="Restore", exact=True).click()
        alert.get_by_text(told).wait_for()
        assert told in alert.inner_text()
        assert page.locator("#result").is_hidden()
    page.set_input_files("#photos-file", [broken, empty])
    page.locator("#rejected li").nth(1).wait_for()
    assert "no face found" in page.locator("#rejected").inner_text()


def test_what_keeps_the_page_from_starting_stays_told(browser: Any, address: str) -> None:
    context = browser.new_context(service_workers="block")  # what it asks for could not be kept from it
    context.route("**/models/models.json", lambda route: route.fulfill(status=404))
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/")
    page.get_by_role("alert").get_by_text("models/models.json is missing").wait_for()
    context.close()


def test_why_photos_cannot_be_looked_at_stays_told(
    browser: Any, address: str, demo_people: Path, tmp_path: Path
) -> None:
    context = browser.new_context(service_workers="block")
    context.route("**/faces/sface.onnx", lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/")
    page.get_by_text("Ready.").wait_for()
    with PIL.Image.open(two_faces(tmp_path, demo_people)) as two:
        two.resize((3 * two.width, 3 * two.height)).save(tmp_path / "group.png")
    page.set_input_files("#photos-file", tmp_path / "group.png")
    page.get_by_role("alert").get_by_text("faces/sface.onnx cannot be loaded").wait_for()
    context.close()


def test_where_nothing_can_be_kept_it_is_told_when_somebody_is_to_be(page: Any, demo_people: Path) -> None:
    page.add_init_script("indexedDB.open = () => { throw new DOMException('denied', 'SecurityError'); }")
    page.reload()
    page.get_by_text("Ready. Give a picture and photos of the person.").wait_for()
    alert = page.get_by_role("alert")
    assert alert.inner_text() == ""
    page.set_input_files("#photos-file", demo_people / "ada" / "1.webp")
    page.get_by_text("1 photo of the person").wait_for()
    page.get_by_text("People kept on this device").first.click()
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Keep these photos").click()
    alert.get_by_text("This browser keeps nothing for this page; allow it to store data").wait_for()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("NotAllowedError", "The camera may not be used; allow it for this page"),
        ("NotReadableError", "Another program uses the camera; close it there"),
        ("NotFoundError", "No camera can be used; connect one"),
    ],
)
def test_why_the_camera_shows_nothing_is_told(page: Any, error: str, told: str) -> None:
    page.evaluate(
        """error => {
          navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", error));
        }""",
        error,
    )
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_role("alert").get_by_text(f"{told}, or choose a file").wait_for()


def test_over_plain_http_a_camera_need_not_be_connected(driver: Any, address: str) -> None:
    rules = "--host-resolver-rules=MAP elsewhere.test 127.0.0.1"
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address.replace('localhost', 'elsewhere.test')}/")
    page.get_by_text("Ready.").wait_for()
    for opener in ("#live-start", "#picture-camera"):
        page.locator(opener).click()
        page.get_by_role("alert").get_by_text("the camera by HTTPS or on the machine itself only").wait_for()
    browser.close()


def test_a_photo_that_is_gone_ends_no_others(page: Any, demo_people: Path, tmp_path: Path) -> None:
    """Deleted after it was chosen: the page hears of the choice only then."""
    gone = tmp_path / "gone.webp"
    gone.write_bytes((demo_people / "ada" / "0.webp").read_bytes())
    page.evaluate("""addEventListener("change", (event) => {
      event.stopPropagation();
      const known = new DataTransfer();  // a clone knows its size, so that its slice is not just empty
      for (const file of event.target.files) known.items.add(structuredClone(file));
      event.target.files = known.files;
    }, { capture: true, once: true })""")
    page.set_input_files("#photos-file", [gone, demo_people / "ada" / "1.webp"])
    gone.unlink()
    page.dispatch_event("#photos-file", "change")
    page.locator("#rejected li").wait_for()
    assert "gone.webp is not used: cannot be read as a picture" in page.locator("#rejected").inner_text()
    assert page.locator("#photos li").count() == 1


def test_the_picture_is_shown_and_its_faces_are_there_to_choose(
    page: Any, demo_people: Path, tmp_path: Path
) -> None:
    page.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    page.get_by_text("2 faces: choose one to restore it.").wait_for()
    assert page.locator("#result").is_hidden()
    shown = page.locator("#given-picture canvas")
    box = shown.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(2, rel=0.02)
    assert shown.evaluate("node => [...node.getContext('2d').getImageData(3, 3, 1, 1).data]") == [
        70,
        90,
        60,
        255,
    ]
    faces = page.locator("#given-picture .face")
    for index, middle in enumerate((50 / 240, 180 / 240)):
        face = faces.nth(index).bounding_box()
        assert (face["x"] + face["width"] / 2 - box["x"]) / box["width"] == pytest.approx(middle, abs=0.04)
    page.get_by_role("button", name="Restore face 2").first.click()
    page.get_by_text("1 of 2 faces restored in").wait_for()
    assert "Left as it is: not asked for" in page.locator("#faces article").first.inner_text()
    page.set_input_files("#picture-file", one_face(tmp_path, demo_people, None)[0])
    page.get_by_text("1 face found.").wait_for()
    assert page.locator("#result").is_hidden()  # that was of the picture before


def test_a_face_chosen_is_not_that_of_the_next_person(page: Any, demo_people: Path, tmp_path: Path) -> None:
    """Nor once all are asked for; with other photos of the same person it is still."""
    ben, ada = page.locator("#faces article").nth(0), page.locator("#faces article").nth(1)
    photos = {name: person(tmp_path, name, demo_people) for name in ("ben", "ada")}
    page.set_input_files("#photos-file", photos["ben"][0])
    page.get_by_text("1 photo of the person").wait_for()
    page.get_by_text("People kept on this device").first.click()
    page.get_by_label("Name").fill("Ben")
    page.get_by_role("button", name="Keep these photos").click()
    page.get_by_text("Ben is kept").wait_for()
    page.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    ada.get_by_text("not the person in the photos").wait_for()
    for start_anew in ("Restore", "Use the photos of Ben"):
        page.get_by_role("button", name="Restore face 2").first.click()
        ben.get_by_text("not asked for").wait_for()
        page.get_by_role("button", name=start_anew, exact=True).click()
        ada.get_by_text("not the person in the photos").wait_for()
    page.get_by_role("button", name="Restore face 1").first.click()
    ada.get_by_text("not asked for").wait_for()
    page.set_input_files("#photos-file", photos["ben"][1])
    ben.get_by_text("ben2.png").wait_for()
    assert "not asked for" in ada.inner_text()
    for name in ("ben1.png", "ben2.png"):
        page.get_by_role("button", name=f"Remove {name}").click()
    page.set_input_files("#photos-file", photos["ada"][0])
    ben.get_by_text("not the person in the photos").wait_for()


def test_a_face_that_is_sharp_is_restored_if_asked_for(page: Any, demo_people: Path) -> None:
    page.set_input_files("#picture-file", demo_people.parent / "lisa" / "45cm.jpg")
    page.get_by_role("button", name="Restore", exact=True).click()
    alert = page.get_by_role("alert")
    alert.get_by_text("sharp for its size (396 pixels with hair and neck)").wait_for()
    alert.get_by_role("button", name="Face 1").click()
    page.get_by_text("1 of 1 face restored in").wait_for()
    assert "would: restored from 128." in page.locator("#faces").inner_text()


def test_the_example_needs_no_pictures_of_ones_own(page: Any) -> None:
    page.get_by_role("button", name="Try it with Lisa").click()
    page.get_by_text("1 of 1 face restored in").wait_for()
    assert page.locator("#photos li").count() == 5
    assert page.locator("#rejected li").count() == 0
    top = page.locator("#result").bounding_box()["y"]
    assert 0 <= top < 200  # the result comes first, and is in sight
    assert top < page.locator(".inputs").bounding_box()["y"]
    assert page.locator("#example-offer").is_hidden()


DRAG = """([kind, target, files]) => {
  const transfer = new DataTransfer();
  for (const [name, base64] of files)
    transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
  const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
  return document.querySelector(target).dispatchEvent(new DragEvent(kind, options));
}"""
"""Whether the browser would go on to do what it does with the files itself."""


def test_files_are_dropped_anywhere(page: Any, demo_people: Path, tmp_path: Path) -> None:
    picture, photos = one_face(tmp_path, demo_people, None)
    target = page.locator("#drop-target")
    assert target.is_hidden()
    for place, given in (("#photos-drop", photos), ("#picture-drop", [picture])):
        files = [packed(path) for path in given]
        page.evaluate(DRAG, ["dragenter", "footer", files])
        assert target.is_visible()
        size = target.bounding_box()
        assert (size["width"], size["height"]) == (1280, 720)
        assert page.evaluate(DRAG, ["drop", place, files]) is False
        assert target.is_hidden()
    page.get_by_text("1 of 1 face restored in").wait_for()
    assert page.locator("#faces figure").count() == len(photos)
    assert page.evaluate(DRAG, ["drop", "footer", [packed(picture)]]) is False  # it is not opened instead
    page.evaluate(DRAG, ["drop", "#picture-drop", [packed(picture), packed(photos[0])]])
    page.get_by_text("one.jpg (the first of 2 that were given; give the others one by one)").wait_for()


def test_person_is_kept_and_deleted(page: Any, address: str, demo_people: Path, tmp_path: Path) -> None:
    page.set_input_files("#photos-file", person(tmp_path, "ada", demo_people))
    page.get_by_text("3 photos of the person").wait_for()
    page.get_by_text("People kept on this device").first.click()
    may_go = page.get_by_text("or until it does so itself")
    assert may_go.is_visible()
    page.evaluate("""() => {
      const { storage } = navigator;
      storage.persist = () => (storage.persisted = async () => true)();
    }""")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Keep these photos").click()
    page.get_by_text("Ada is kept").wait_for()
    may_go.wait_for(state="hidden")
    page.get_by_role("button", name="Remove ada1.png").click()
    for name, told in (
        (" Ada ", "Ada is kept already; delete them first or take another name"),
        ("   ", "The person has no name; give one to keep the photos by"),
    ):
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Keep these photos").click()
        page.get_by_role("alert").get_by_text(told).wait_for()
    page.reload()
    page.get_by_text("Ready.").wait_for()
    assert page.locator("#photos li").count() == 0
    assert page.locator("#kept li").count() == 1
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


def focused(page: Any) -> str:
    """What has the keyboard's focus: its label, or else its id, its text or its tag."""
    found = page.evaluate(
        """() => {
          const { id, ariaLabel, innerText, tagName } = document.activeElement;
          return ariaLabel || id || (tagName === "BODY" ? "" : innerText.split("\\n")[0]);
        }"""
    )
    return str(found)


def test_the_keyboard_stays_where_it_was(page: Any, demo_people: Path, tmp_path: Path) -> None:
    """What is pressed is replaced by what it gives, or goes."""
    page.set_input_files("#picture-file", two_faces(tmp_path, demo_people))
    page.get_by_text("2 faces: choose one to restore it.").wait_for()
    page.locator("#given-picture .face").nth(1).press("Enter")
    page.get_by_text("1 of 2 faces restored in").wait_for()
    assert focused(page) == "Restore face 2"
    page.get_by_role("button", name="Restore this face").press("Enter")
    page.locator("#faces article").first.locator("canvas").first.wait_for()
    assert focused(page) == "Face 1"
    page.set_input_files("#photos-file", person(tmp_path, "ada", demo_people)[:2])
    page.locator("#photos li").nth(1).wait_for()
    for count, then in ((1, "Remove ada2.png"), (0, "photos-file")):
        page.get_by_role("button", name="Remove ada").first.press("Enter")
        page.wait_for_function("count => document.querySelectorAll('#photos li').length === count", arg=count)
        assert focused(page) == then


def test_the_keyboard_goes_on_from_an_answer(page: Any, demo_people: Path) -> None:
    page.set_input_files("#picture-file", demo_people.parent / "lisa" / "45cm.jpg")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("alert").get_by_role("button", name="Face 1").press("Enter")
    page.get_by_text("1 of 1 face restored in").wait_for()
    assert focused(page) == "restore"
