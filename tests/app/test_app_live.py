"""The live page, with the fake camera of Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from in_browser import CHROMIUM, FLAGS, needs_browser

pytestmark = needs_browser


def test_live_shows_frames_or_that_no_face_is_in_sight(page: Any) -> None:
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("No face in sight.").wait_for()  # Chromium's own test pattern
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#live-view").is_hidden()


@pytest.fixture(scope="module")
def camera_of_ada(demo_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a camera sees of a demo person, as Chromium's fake camera plays it: YUV 4:2:0 frames."""
    picture = PIL.Image.new("RGB", (320, 240), (90, 100, 120))
    picture.paste(PIL.Image.open(demo_people / "ada" / "1.webp").convert("RGB").resize((200, 200)), (60, 20))
    luma, blue, red = (np.asarray(plane) for plane in picture.convert("YCbCr").split())
    frame = luma.tobytes() + blue[::2, ::2].tobytes() + red[::2, ::2].tobytes()
    path = tmp_path_factory.mktemp("camera") / "ada.y4m"
    path.write_bytes(b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420\n" + 10 * (b"FRAME\n" + frame))
    return path


def test_live_restores_what_the_camera_sees(driver: Any, address: str, camera_of_ada: Path) -> None:
    camera = f"--use-file-for-fake-video-capture={camera_of_ada}"
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, camera])
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/")
    page.get_by_text("Ready.").wait_for()
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("frames a second").wait_for()
    page.get_by_role("button", name="Take a photo of the person").click()
    page.get_by_text("1 photo of the person").wait_for()
    page.get_by_text("one photo").wait_for()
    assert page.evaluate("document.getElementById('live-after').width") == 128
    browser.close()
