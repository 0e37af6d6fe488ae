"""The app in a real browser: headless Chromium, real files, the real server."""

from __future__ import annotations

import base64
import functools
import gzip
import http.server
import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageCms
import pytest

from hime import cli, faces, restorer
from hime.faces import album, headshot
from hime.faces.album import read_person
from hime.pictures.reading import read_image
from hime.restoring import photo
from hime.restoring.exported import PRETRAINED, read_card
from hime.tools.serve import BUILT, HEADERS, PAGE_MODEL, POLICY, open_server, site

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SOURCES = Path(__file__).parents[2] / "app" / "src"
WITHIN = 2
"""Levels of 255 by which the browser's result may differ from Python's."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="the app is not built: make app"),
]

ENGINE = """
const worker = new Worker("worker.js", { type: "module" });
let calls = 0;
globalThis.runsOn = [];
worker.addEventListener("message", ({ data }) => data.runsOn && runsOn.push(data.runsOn));
globalThis.call = (name, ...parameters) => new Promise((resolve, reject) => {
  const id = ++calls;
  const listen = ({ data }) => {
    if (data.id !== id) return;
    worker.removeEventListener("message", listen);
    data.error ? reject(new Error(data.error.message)) : resolve(data.result);
  };
  worker.addEventListener("message", listen);
  worker.postMessage({ id, name, parameters });
});
globalThis.file = ([name, base64]) =>
  new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name);
globalThis.image = async (file) => {
  const bitmap = await createImageBitmap(globalThis.file(file));
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { width, height, data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return { width, height, data: Uint8Array.from(data.filter((_, index) => index % 4 !== 3)) };
};
globalThis.png = async ({ width, height, data }) => {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  const step = data.length / width / height;
  for (let place = 0; place < width * height; place++)
    for (let channel = 0; channel < 3; channel++) rgba[place * 4 + channel] = data[place * step + channel];
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
};
"""
"""What the tests use of the worker without the page: its calls, and pictures to and fro."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = open_server(0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def engine(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Evaluates an expression with the helpers of `ENGINE` and an argument."""
    page = engine_page(browser, address)
    yield page.evaluate
    page.close()


def engine_page(browser: Any, address: str) -> Any:
    """Nothing of the page runs, but its rules hold."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/blank")
    page.evaluate(f"() => {{ {ENGINE} }}")
    page.evaluate("address => call('start', address)", address)
    return page


@pytest.fixture(scope="module")
def shared_if_any() -> Path | None:
    folder = Path(os.environ.get("HIME_SHARED", Path(__file__).parents[3] / "shared"))
    return folder if (folder / "photos").is_dir() else None


def packed(path: Path) -> tuple[str, str]:
    return path.name, base64.b64encode(path.read_bytes()).decode()


def unpacked(png: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def run(*arguments: str | Path) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize(
    ("model", "size", "references", "fidelity"),
    [
        ("small-x4", (32, 32), (1, 2, 3), None),
        ("small-x4", (21, 33), (2, 5), None),
        ("small-x4", (32, 32), (), None),
        ("small-x8", (16, 16), (1, 2), None),
        ("small-x4-p", (32, 32), (1, 2), 0.4),
        ("small-x8-p", (16, 16), (1, 2), 1.0),
    ],
)
def test_headshot_equals_python(
    engine: Any,
    demo_people: Path,
    tmp_path: Path,
    model: str,
    size: tuple[int, int],
    references: tuple[int, ...],
    fidelity: float | None,
) -> None:
    engine("([model, fidelity]) => call('open', model, fidelity ?? undefined)", [model, fidelity])
    lr, photos = headshots(tmp_path, demo_people, size, references)
    dial = [] if fidelity is None else ["--fidelity", str(fidelity)]
    assert restored_as_by_python(engine, tmp_path, lr, photos, "--model", model, *dial)


def headshots(
    folder: Path, demo_people: Path, size: tuple[int, int], references: tuple[int, ...]
) -> tuple[Path, list[Path]]:
    """A demo person's headshot of that size, and those photos."""
    lr = folder / "lr.png"
    headshot = PIL.Image.open(demo_people / "ada" / "0.webp").convert("RGB")
    headshot.resize(size, PIL.Image.Resampling.BICUBIC).save(lr)
    photos = []
    for number in references:
        photos.append(folder / f"{number}.png")
        PIL.Image.open(demo_people / "ada" / f"{number}.webp").convert("RGB").save(photos[-1])
    return lr, photos


def restored_as_by_python(
    evaluate: Callable[..., Any], folder: Path, lr: Path, photos: list[Path], *options: str
) -> bool:
    """Whether the model that is open gives what `hime restore --aligned` gives with these options."""
    refs = ["--refs", *photos] if photos else []
    run("restore", lr, *refs, "--aligned", *options, "--out", folder / "out.png")
    png, shares = evaluate(
        """async ([lr, references]) => {
          const photos = await Promise.all(references.map(image));
          const { image: restored, shares } = await call("restoreHeadshot", await image(lr), photos);
          return [await png(restored), shares];
        }""",
        [packed(lr), [packed(photo) for photo in photos]],
    )
    same = largest_difference(unpacked(png), read_image(folder / "out.png")) <= WITHIN
    return same and len(shares) == len(photos)


def test_graphics_card_gives_the_same(driver: Any, address: str, demo_people: Path, tmp_path: Path) -> None:
    """WebGPU, here computed by the processor, so that it is taken only by a slowing clock."""
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = engine_page(browser, address)
    page.workers[0].evaluate(
        "() => { let [now, step] = [0, 1024]; performance.now = () => (now += step *= 0.9); }"
    )
    page.evaluate("call('open', 'small-x8')")
    told = page.evaluate(
        """async () => {
          for (const start = Date.now(); runsOn.length < 2 && Date.now() < start + 120_000; )
            await new Promise((resolve) => setTimeout(resolve, 50));
          return runsOn.at(-1);
        }"""
    )
    assert told.startswith("Runs on the graphics card: the same results")
    lr, photos = headshots(tmp_path, demo_people, (16, 16), (1,))  # shapes of the trial: ready for them
    assert restored_as_by_python(page.evaluate, tmp_path, lr, photos, "--model", "small-x8")
    browser.close()


def person(folder: Path, name: str, demo_people: Path) -> list[Path]:
    """Photos of one of the demo people, larger than they are framed."""
    photos = []
    for number in (1, 2, 3):
        photo = PIL.Image.new("RGB", (300, 260), (90, 100, 120))
        photo.paste(PIL.Image.open(demo_people / name / f"{number}.webp").convert("RGB"), (80, 60))
        photos.append(folder / f"{name}{number}.png")
        photo.save(photos[-1])
    return photos


def one_face(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A small turned face in a picture, as JPEG, and photos of the person."""
    picture = PIL.Image.new("RGB", (170, 130), (70, 90, 60))
    face = PIL.Image.open(demo_people / "ada" / "0.webp").convert("RGB").resize((44, 44))
    picture.paste(face.rotate(12, expand=False, fillcolor=(70, 90, 60)), (60, 40))
    picture.save(folder / "one.jpg", quality=95)
    return folder / "one.jpg", person(folder, "ada", demo_people)


def several_faces(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """Three people, of whom the second is wanted."""
    picture = PIL.Image.new("RGB", (330, 120), (120, 110, 90))
    for number, (name, side) in enumerate((("ben", 70), ("ada", 48), ("eva", 60))):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((side, side))
        picture.paste(face, (20 + 105 * number, 30))
    picture.save(folder / "several.png")
    return folder / "several.png", person(folder, "ada", demo_people)


def real_photo(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A photograph made small, and others of the same person as they are."""
    if shared is None:
        pytest.skip("no shared folder of photographs: set HIME_SHARED")
    photos = shared / "photos" / "lisa"
    small = PIL.Image.open(photos / "lisa1.jpg").convert("RGB")
    small.resize((96, 128), PIL.Image.Resampling.BICUBIC).save(folder / "lisa.png")
    return folder / "lisa.png", [photos / f"lisa{number}.jpg" for number in (2, 3)]


def real_group(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A photograph of several people, made small; other photos of one of them."""
    if shared is None:
        pytest.skip("no shared folder of photographs: set HIME_SHARED")
    source = shared / "photos" / "several_faces" / "7429_189620.jpg"
    group = PIL.Image.open(source).convert("RGB")
    group.resize((group.width // 4, group.height // 4), PIL.Image.Resampling.BICUBIC).save(
        folder / "group.png"
    )
    return folder / "group.png", sorted((shared / "photos" / "people" / "7429").glob("*.jpg"))[:2]


@pytest.mark.parametrize("case", [one_face, several_faces, real_photo, real_group])
def test_photograph_equals_python(
    engine: Any, demo_people: Path, shared_if_any: Path | None, tmp_path: Path, case: Callable[..., Any]
) -> None:
    picture, photos = case(tmp_path, demo_people, shared_if_any)
    run("restore", picture, "--refs", *photos, "--crop", "--out", tmp_path / "face.png")
    run("restore", picture, "--refs", *photos, "--out", tmp_path / "whole.png")
    faces, whole, rejected = engine(
        """async ([model, picture, photos]) => {
          await call("open", model);
          await call("setReferences", []);
          const { references, rejected } = await call("readPhotos", photos.map(file));
          await call("setReferences", references);
          const key = Math.random();
          let [faces, isComplete] = [[], false];
          while (!isComplete) ({ faces, isComplete } = await call("restore", key, file(picture), null));
          const restored = faces.flatMap((face) => face.restored ? [face.restored] : []);
          const whole = await call("putBack");
          return [await Promise.all(restored.map(png)), await png(whole.image), rejected];
        }""",
        [PAGE_MODEL, packed(picture), [packed(photo) for photo in photos]],
    )
    assert rejected == []
    (face,) = (unpacked(png) for png in faces)
    assert largest_difference(face, read_image(tmp_path / "face.png")) <= WITHIN
    assert largest_difference(unpacked(whole), read_image(tmp_path / "whole.png")) <= WITHIN


@pytest.mark.parametrize(("sides", "calls"), [((110, 22), [1, 2]), ((22, 22), [2])])
def test_large_picture_gives_the_first_face_before_all_are_found(
    engine: Any, demo_people: Path, tmp_path: Path, sides: tuple[int, int], calls: list[int]
) -> None:
    """Of what is seen at a glance at once; where nothing is, the first answer is the whole one."""
    picture = PIL.Image.new("RGB", (2200, 1400), (120, 110, 90))
    for number, (name, side) in enumerate(zip(("ada", "ben"), sides, strict=True)):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((side, side))
        picture.paste(face, (300 + 1300 * number, 700))
    picture.save(tmp_path / "large.png")
    answers = engine(
        """async ([model, picture]) => {
          await call("open", model);
          await call("setReferences", []);
          const [key, answers] = [Math.random(), []];
          while (!answers.at(-1)?.isComplete) answers.push(await call("restore", key, file(picture), null));
          return answers.map(({ faces }) => faces.map(({ box, restored }) => [box.left, restored.width]));
        }""",
        [PAGE_MODEL, packed(tmp_path / "large.png")],
    )
    assert [len(faces) for faces in answers] == calls
    for (left, width), start, side in zip(answers[-1], (300, 1600), sides, strict=True):
        assert start - side / 2 < left < start + side
        assert width == pytest.approx(4 * side, rel=0.35)


def test_pictures_are_upright_and_in_srgb(engine: Any, demo_people: Path, tmp_path: Path) -> None:
    """As Python reads them, for every orientation of EXIF and with a profile that swaps red and blue."""
    upright = PIL.Image.open(person(tmp_path, "ada", demo_people)[0])
    turns = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    files = []
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[PIL.ExifTags.Base.Orientation] = orientation
        stored = upright.transpose(turns[orientation]) if orientation in turns else upright
        files.append(tmp_path / f"orientation{orientation}.jpg")
        stored.save(files[-1], quality=95, subsampling=0, exif=exif)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    files.append(tmp_path / "profile.png")
    PIL.Image.merge("RGB", upright.split()[::-1]).save(files[-1], icc_profile=swapped)
    for file in files:
        crop = engine(
            """async (photo) => {
              await call("setReferences", []);
              const { references } = await call("readPhotos", [file(photo)]);
              return png(references[0].crop);
            }""",
            packed(file),
        )
        (reference,) = read_person([file]).references
        assert reference.crop is not None
        assert largest_difference(unpacked(crop), reference.crop) <= WITHIN, file.name


def test_numbers_are_those_of_python() -> None:
    """Every constant of the page's modules that their namesakes in Python have too."""
    pattern = re.compile(r"^(?:export )?const ([A-Z_]+)(?:: \w+)? = ([-\d./\s\[\],]+);", re.MULTILINE)
    compared = set()
    for module in (album, faces, headshot, photo, restorer):
        source = (SOURCES / f"{module.__name__.rpartition('.')[2]}.ts").read_text()
        for name, value in pattern.findall(source):
            if hasattr(module, name):
                assert np.array_equal(eval(value), getattr(module, name)), name
                compared.add(name)
    assert compared >= {"SAME_PERSON", "DETECTION_SIDES", "TEMPLATE", "MASK_FULL", "LR_SIDES", "CARD_FORMAT"}


def test_exported_site_is_whole_and_small(tmp_path: Path) -> None:
    run("app", "--export", tmp_path / "site")
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 64_000_000
    assert "Content-Security-Policy" in (tmp_path / "site" / "_headers").read_text()
    for name in ("index.html", "worker.js", "faces/sface.onnx", "models/models.json"):
        assert (tmp_path / "site" / name).is_file()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Of Python's own server, without its log."""

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_static_host_serves_threads_and_offline_from_the_second_visit_on(
    browser: Any, demo_people: Path, tmp_path: Path
) -> None:
    """From a subfolder of a web server that sends no headers of ours, and is gone after the first visit."""
    run("app", "--export", tmp_path / "public" / "faces")
    handler = functools.partial(QuietHandler, directory=tmp_path / "public")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{server.server_address[1]}/faces/")
        page.get_by_text("Ready.").wait_for()
        assert not page.evaluate("crossOriginIsolated")
        assert "one thread" in page.locator("#runs-on").inner_text()
        restored(page, *one_face(tmp_path, demo_people, None))
        server.shutdown()
    page.reload()
    page.get_by_text("Ready.").wait_for()
    assert page.evaluate("crossOriginIsolated")
    restored(page, *one_face(tmp_path, demo_people, None))
    page.get_by_label("Model").select_option("small-x8")  # never loaded
    page.get_by_role("alert").get_by_text("check the connection").wait_for()
    page.close()


def test_rules_of_the_page_are_those_of_the_server() -> None:
    assert POLICY in (BUILT / "index.html").read_text()
    assert HEADERS["Content-Security-Policy"].startswith(POLICY)


# ------------------------------------------------------------------------------------------- the page


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, ready; fails on whatever it asks of any other host, and on errors in its scripts."""
    context = browser.new_context(permissions=["camera"], accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    asked: list[str] = []
    problems: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.goto(f"{address}/")
    opened.get_by_text("Ready.").wait_for()
    yield opened
    elsewhere = [url for url in asked if not url.startswith((f"{address}/", f"blob:{address}/", "data:"))]
    context.close()
    assert elsewhere == []
    assert problems == []


def restored(page: Any, picture: Path, photos: list[Path]) -> None:
    """Give the page a person and a picture, and wait for the result."""
    page.set_input_files("#photos-file", photos)
    page.get_by_text(f"{len(photos)} photos of the person").wait_for()
    page.set_input_files("#picture-file", picture)
    page.get_by_text("restored in").wait_for()


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


def test_first_visit_loads_only_what_it_uses(
    browser: Any, address: str, demo_people: Path, tmp_path: Path
) -> None:
    """Compressed as a web server would, with the first result."""
    context = browser.new_context()
    asked: set[str] = set()
    context.on("request", lambda request: asked.add(request.url.removeprefix(f"{address}/") or "index.html"))
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/")
    page.get_by_text("Ready.").wait_for()
    restored(page, *one_face(tmp_path, demo_people, None))
    context.close()
    card = read_card(PRETRAINED / PAGE_MODEL)
    needed = {PAGE_MODEL} | ({card["reconstruction"]} if card.get("fidelity") else set())
    assert {Path(file).parent.name for file in asked if file.endswith("weights.bin")} == needed
    assert not [file for file in asked if "sface" in file or "jspi" in file]  # one person, no WebGPU
    files = site()
    loaded = [files[file] for file in asked if file in files]
    raw = [file.read_bytes() if isinstance(file, Path) else file for file in loaded]
    assert 4_000_000 < sum(len(gzip.compress(content, 6)) for content in raw) <= 12_000_000


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
