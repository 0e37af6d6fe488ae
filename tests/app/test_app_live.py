"""The live page: which frames the worker collects, and the page with Chromium's fake camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageFilter
import pytest
from in_browser import CHROMIUM, FLAGS, engine_page, needs_browser, packed, person

from hime.tools.serve import PAGE_MODEL

pytestmark = needs_browser


@pytest.fixture
def engine(browser: Any, address: str) -> Iterator[Any]:
    """A page with a worker of its own: nothing is collected yet, and time passes as the test says."""
    page = engine_page(browser, address)
    page.workers[0].evaluate("() => { globalThis.now = 0; performance.now = () => globalThis.now; }")
    page.evaluate("model => call('open', model)", PAGE_MODEL)
    yield page
    page.close()


class Camera:
    """Pictures of demo people as frames, to the worker, a second apart."""

    def __init__(self, page: Any, demo_people: Path, folder: Path) -> None:
        self.page, self.demo_people, self.path = page, demo_people, folder / "frame.png"

    def __call__(self, name: str, number: int, side: int, blur: float = 0, size: int = 480) -> dict[str, Any]:
        """What the worker says of a frame in which that photo has that side."""
        face = PIL.Image.open(self.demo_people / name / f"{number}.webp").convert("RGB")
        return self.shows(face.resize((side, side)), blur, size)

    def shows(self, face: PIL.Image.Image, blur: float = 0, size: int = 480) -> dict[str, Any]:
        frame = PIL.Image.new("RGB", (size * 4 // 3, size), (90, 100, 120))
        frame.paste(face, ((frame.width - face.width) // 2, (size - face.height) // 2))
        frame.filter(PIL.ImageFilter.GaussianBlur(blur)).save(self.path)
        self.page.workers[0].evaluate("() => { globalThis.now += 1000; }")
        answer = self.page.evaluate(
            """async (picture) => {
              const bitmap = await createImageBitmap(file(picture));
              const { collected, photos, unfit, restored } = await call("live", bitmap);
              const shown = collected?.map(({ name, crop }) => [name, crop.width]) ?? null;
              return { collected: shown, photos, unfit, side: restored.width };
            }""",
            packed(self.path),
        )
        assert answer["side"] == 128
        return dict(answer)


@pytest.fixture
def camera(engine: Any, demo_people: Path, tmp_path: Path) -> Camera:
    """Of the worker, which collects."""
    engine.evaluate("() => call('collect', true)")
    return Camera(engine, demo_people, tmp_path)


def until_collected(show: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Show a frame until the network that tells people apart is there: the first time it is fetched."""
    for _ in range(2000):
        answer = show()
        if answer["collected"]:
            return answer
    raise AssertionError("nothing is collected")


def sides(answer: dict[str, Any]) -> Sequence[int]:
    return [side for _, side in answer["collected"]]


def test_near_sharp_frames_of_different_poses_are_collected(camera: Camera) -> None:
    far = camera("ada", 0, 100)
    assert (far["collected"], far["photos"], far["unfit"]) == (None, 0, None)
    blurred = camera("ada", 0, 300, blur=12)
    assert (blurred["collected"], blurred["unfit"]) == (None, "blurred")
    near = until_collected(lambda: camera("ada", 0, 150))
    assert (near["photos"], near["unfit"]) == (1, None)
    assert sides(near) == [pytest.approx(150, rel=0.15)]
    nearer = camera("ada", 0, 300)  # better: takes its place
    assert sides(nearer) == [pytest.approx(300, rel=0.15)]
    assert camera("ada", 0, 310)["collected"] is None  # hardly better
    for number, count in ((1, 2), (2, 3), (3, 4)):  # looks to the right, to the left, further to the right
        assert len(sides(camera("ada", number, 300))) == count
    for number in (0, 1, 2, 3):  # nothing new
        seen = camera("ada", number, 290)
        assert (seen["collected"], seen["photos"], seen["unfit"]) == (None, 4, None)
    assert camera("ada", 0, 90)["photos"] == 4  # used when the face is far again


def test_frames_are_of_one_person(camera: Camera, engine: Any, demo_people: Path, tmp_path: Path) -> None:
    ((name, _),) = until_collected(lambda: camera("fay", 0, 300))["collected"]
    stranger = camera("carl", 3, 300)
    assert (stranger["collected"], stranger["unfit"]) == (None, "another person than in the photos")
    assert engine.evaluate("name => call('removeCollected', name)", name) == []
    assert len(sides(camera("carl", 3, 300))) == 1  # with nobody kept anybody may be the person
    photos = [packed(photo) for photo in person(tmp_path, "fay", demo_people)]
    engine.evaluate(
        """async (photos) => {
          const { references } = await call("readPhotos", photos.map(file));
          await call("setReferences", references);
        }""",
        photos,
    )
    assert camera("carl", 3, 90)["photos"] == 4  # with those given by hand


def test_a_frame_taken_away_stays_away_for_a_while(camera: Camera, engine: Any) -> None:
    ((name, _),) = until_collected(lambda: camera("ada", 0, 300))["collected"]
    assert engine.evaluate("name => call('removeCollected', name)", name) == []
    again = camera("ada", 0, 305)
    assert (again["collected"], again["photos"]) == ([], 0)
    assert len(sides(camera("ada", 1, 300))) == 1  # another pose
    ((name, _), (other, _)) = until_collected(lambda: camera("ada", 0, 305))["collected"]
    assert name != other


def test_collecting_stops_and_goes_on(camera: Camera, engine: Any) -> None:
    until_collected(lambda: camera("ada", 0, 300))
    engine.evaluate("() => call('collect', false)")
    stopped = camera("ada", 1, 300)
    assert (stopped["collected"], stopped["photos"]) == (None, 1)
    engine.evaluate("() => call('collect', true)")
    assert len(sides(camera("ada", 1, 300))) == 2


def test_few_are_kept_of_many(camera: Camera, shared: Path) -> None:
    """All photos of somebody real: of ever more poses never more than five."""
    people = [folder for folder in (shared / "faces" / "lfw").iterdir() if folder.is_dir()]
    photos = sorted(max(people, key=lambda folder: len(list(folder.iterdir()))).iterdir())[:30]
    counts = []
    for photo in photos:
        answer = camera.shows(PIL.Image.open(photo).convert("RGB").resize((260, 260)))
        counts.append(answer["photos"])
    assert max(counts) == counts[-1] == 5
    assert counts == sorted(counts)


# ------------------------------------------------------------------------------------------- the page


@pytest.fixture(scope="module")
def camera_of_ada(demo_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a camera sees of a demo person who turns her head, as Chromium's fake camera plays it."""
    frames = []
    for number in (1, 2):
        picture = PIL.Image.new("RGB", (320, 240), (90, 100, 120))
        face = PIL.Image.open(demo_people / "ada" / f"{number}.webp").convert("RGB")
        picture.paste(face.resize((200, 200)), (60, 20))
        luma, *colour = picture.convert("YCbCr").split()
        halves = [plane.resize((160, 120)).tobytes() for plane in colour]
        frames.append(b"FRAME\n" + luma.tobytes() + b"".join(halves))
    path = tmp_path_factory.mktemp("camera") / "ada.y4m"
    path.write_bytes(b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420\n" + 10 * frames[0] + 10 * frames[1])
    return path


@pytest.fixture
def live_page(driver: Any, address: str, camera_of_ada: Path) -> Iterator[Any]:
    """The page, ready, before that camera; fails on errors in its scripts."""
    camera = f"--use-file-for-fake-video-capture={camera_of_ada}"
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, camera])
    page = browser.new_page()
    page.set_default_timeout(120_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{address}/")
    page.get_by_text("Ready.").wait_for()
    yield page
    browser.close()
    assert problems == []


def test_live_shows_frames_or_that_no_face_is_in_sight(page: Any) -> None:
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("No face in sight.").wait_for()  # Chromium's own test pattern
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#live-view").is_hidden()


def test_live_restores_with_photos_given_by_hand(live_page: Any) -> None:
    live_page.get_by_label("Collect the best frames").uncheck()
    live_page.get_by_role("button", name="Start the camera").click()
    live_page.get_by_text("frames a second, no photo yet").wait_for()
    live_page.get_by_role("button", name="Take a photo of the person").click()
    live_page.get_by_text("1 photo of the person").wait_for()
    live_page.get_by_text("frames a second, one photo").wait_for()
    assert live_page.evaluate("document.getElementById('live-after').width") == 128
    assert live_page.locator("#live-collected li").count() == 0


@pytest.mark.parametrize("offline", [False, True])
def test_live_collects_its_photos(live_page: Any, offline: bool) -> None:
    """Two poses, shown; one taken away; with no more collected the other stays."""
    live_page.context.set_offline(offline)
    live_page.get_by_role("button", name="Start the camera").click()
    live_page.get_by_text("frames a second, 2 photos").wait_for()
    frames = live_page.locator("#live-collected li")
    assert frames.locator("canvas").count() == 2
    live_page.get_by_label("Collect the best frames").uncheck()
    frames.get_by_role("button").first.click()
    live_page.get_by_text("frames a second, one photo").wait_for()
    assert frames.count() == 1
    live_page.get_by_role("button", name="Stop the camera").click()
    assert frames.count() == 1
    live_page.get_by_label("Collect the best frames").check()
    live_page.get_by_role("button", name="Start the camera").click()
    live_page.get_by_text("frames a second, 2 photos").wait_for()


CAMERAS = """() => {
  globalThis.cameras = [];
  globalThis.asked = 0;
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (...how) => {
    asked += 1;
    const stream = await ask(...how);
    cameras.push(stream);
    return stream;
  };
}"""
"""Remembers the cameras that the page opens."""
PRESS = "ids => { for (const id of ids) document.getElementById(id).click(); }"
ALL_OFF = "() => cameras.every((stream) => stream.getTracks().every((track) => track.readyState === 'ended'))"


def test_camera_is_off_after_it_was_started_in_haste(page: Any) -> None:
    page.evaluate(CAMERAS)
    page.evaluate(PRESS, ["live-start", "live-start"])
    page.get_by_text("No face in sight.").wait_for()
    page.wait_for_function("() => !document.getElementById('result').hasAttribute('aria-busy')")
    assert page.evaluate("asked") == 1
    assert not page.evaluate(ALL_OFF)
    page.get_by_role("button", name="Stop the camera").click()
    assert page.evaluate(ALL_OFF)


@pytest.mark.parametrize("close", ["document.getElementById('camera-close').click()", "camera.close()"])
def test_camera_is_off_after_its_dialog(page: Any, close: str) -> None:
    """However it is closed, and however often it was opened."""
    page.evaluate(CAMERAS)
    page.evaluate(PRESS, ["picture-camera", "picture-camera", "photos-camera"])
    page.get_by_role("button", name="Take the picture").wait_for()
    assert page.evaluate("asked") == 1
    page.evaluate(close)
    page.wait_for_function(ALL_OFF)
    assert page.locator("#camera").is_hidden()
    page.get_by_role("button", name="Use the camera").first.click()  # and again
    page.get_by_role("button", name="Take the picture").click()
    page.get_by_text("camera 1.png").wait_for()
    assert page.evaluate("asked") == 2
    assert page.evaluate(ALL_OFF)


def test_camera_that_shows_nothing_is_off(page: Any) -> None:
    page.evaluate(CAMERAS)
    page.evaluate("() => { HTMLMediaElement.prototype.play = () => Promise.reject(new DOMException('no')); }")
    alert = page.get_by_role("alert").get_by_text("The camera shows no picture")
    for number, name in ((1, "Use the camera"), (2, "Start the camera")):
        page.get_by_role("button", name=name).first.click()
        alert.wait_for()
        page.wait_for_function("number => cameras.length === number", arg=number)
        page.wait_for_function(ALL_OFF)
