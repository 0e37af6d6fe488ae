"""The app in a real browser: headless Chromium, real files, the real server."""

from __future__ import annotations

import base64
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from hime import cli
from hime.images import read_image
from hime.serve import BUILT, HEADERS, POLICY, open_server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WITHIN = 2
"""Levels of 255 by which the browser's result may differ from Python's."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="the app is not built: make app"),
]

ENGINE = """
const worker = new Worker("worker.js", { type: "module" });
let calls = 0;
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
globalThis.file = async ([name, base64]) => ({
  name, content: new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]),
});
globalThis.image = async (file) => {
  const bitmap = await createImageBitmap((await globalThis.file(file)).content);
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def engine(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Evaluates an expression with the helpers of `ENGINE` and an argument."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/blank")  # nothing of the page runs, but its rules hold
    page.evaluate(f"() => {{ {ENGINE} }}")
    page.evaluate("address => call('start', address)", address)
    yield page.evaluate
    page.close()


@pytest.fixture(scope="module")
def shared_if_any() -> Path | None:
    folder = Path(os.environ.get("HIME_SHARED", Path(__file__).parent.parent.parent / "shared"))
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
    ("model", "size", "references"),
    [("small-x4", (32, 32), (1, 2, 3)), ("small-x4", (21, 33), (2, 5)), ("small-x4", (32, 32), ()), ("small-x8", (16, 16), (1, 2))],
)
def test_headshot_equals_python(
    engine: Any,
    demo_people: Path,
    tmp_path: Path,
    model: str,
    size: tuple[int, int],
    references: tuple[int, ...],
) -> None:
    lr = tmp_path / "lr.png"
    PIL.Image.open(demo_people / "ada" / "0.webp").convert("RGB").resize(size, PIL.Image.Resampling.BICUBIC).save(lr)
    photos = []
    for number in references:
        photos.append(tmp_path / f"{number}.png")
        PIL.Image.open(demo_people / "ada" / f"{number}.webp").convert("RGB").save(photos[-1])
    refs = ["--refs", *photos] if photos else []
    run("restore", lr, *refs, "--aligned", "--model", model, "--out", tmp_path / "out.png", "--report")
    png, shares = engine(
        """async ([model, lr, references]) => {
          await call("open", model);
          const photos = await Promise.all(references.map(image));
          const { image: restored, shares } = await call("restoreHeadshot", await image(lr), photos);
          return [await png(restored), shares];
        }""",
        [model, packed(lr), [packed(photo) for photo in photos]],
    )
    assert largest_difference(unpacked(png), read_image(tmp_path / "out.png")) <= WITHIN
    assert len(shares) == len(references)


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
    return folder / "lisa.png", [photos / f"lisa{number}.jpg" for number in (2, 3, 4)]


def real_group(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A photograph of several people, made small; other photos of one of them."""
    if shared is None:
        pytest.skip("no shared folder of photographs: set HIME_SHARED")
    source = shared / "photos" / "several_faces" / "7429_189620.jpg"
    group = PIL.Image.open(source).convert("RGB")
    group.resize((group.width // 4, group.height // 4), PIL.Image.Resampling.BICUBIC).save(folder / "group.png")
    return folder / "group.png", sorted((shared / "photos" / "people" / "7429").glob("*.jpg"))[:3]


@pytest.mark.parametrize("case", [one_face, several_faces, real_photo, real_group])
def test_photograph_equals_python(
    engine: Any, demo_people: Path, shared_if_any: Path | None, tmp_path: Path, case: Callable[..., Any]
) -> None:
    picture, photos = case(tmp_path, demo_people, shared_if_any)
    run("restore", picture, "--refs", *photos, "--crop", "--out", tmp_path / "face.png")
    run("restore", picture, "--refs", *photos, "--out", tmp_path / "whole.png")
    faces, whole, rejected = engine(
        """async ([picture, photos]) => {
          await call("open", "small-x4");
          const { references, rejected } = await call("readPhotos", await Promise.all(photos.map(file)), []);
          const result = await call("restore", Math.random(), await file(picture), references, null);
          const restored = result.faces.flatMap((face) => face.restored ? [face.restored] : []);
          return [await Promise.all(restored.map(png)), await png(result.image), rejected];
        }""",
        [packed(picture), [packed(photo) for photo in photos]],
    )
    assert rejected == []
    (face,) = (unpacked(png) for png in faces)
    assert largest_difference(face, read_image(tmp_path / "face.png")) <= WITHIN
    assert largest_difference(unpacked(whole), read_image(tmp_path / "whole.png")) <= WITHIN


def test_rules_of_the_page_are_those_of_the_server() -> None:
    assert POLICY in (BUILT / "index.html").read_text()
    assert HEADERS["Content-Security-Policy"].startswith(POLICY)
