"""What the tests of the app share: when they run, the worker without its page, pictures to give it."""

from __future__ import annotations

import base64
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from hime import cli
from hime.restoring.card import FILES, read_card
from hime.restoring.exported import PRETRAINED
from hime.tools.serve import BUILT, PAGE_MODEL

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
WITHIN = 2
"""Levels of 255 by which the browser's result may differ from Python's."""

needs_browser = [
    pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="the app is not built: make app"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
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


def engine_page(browser: Any, address: str) -> Any:
    """Nothing of the page runs, but its rules hold."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/blank")
    page.evaluate(f"() => {{ {ENGINE} }}")
    page.evaluate("address => call('start', address)", address)
    return page


def packed(path: Path) -> tuple[str, str]:
    return path.name, base64.b64encode(path.read_bytes()).decode()


def unpacked(png: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def run(*arguments: str | Path) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 0


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


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


def restored(page: Any, picture: Path, photos: list[Path]) -> None:
    """Give the page a person and a picture, and wait for the result."""
    page.set_input_files("#photos-file", photos)
    page.get_by_text(f"{len(photos)} photos of the person").wait_for()
    page.set_input_files("#picture-file", picture)
    page.get_by_text("restored in").wait_for()


def two_faces(folder: Path, demo_people: Path) -> Path:
    """Ben left of Ada, both small."""
    picture = PIL.Image.new("RGB", (240, 120), (70, 90, 60))
    for name, left in (("ben", 20), ("ada", 150)):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((60, 60))
        picture.paste(face, (left, 30))
    picture.save(folder / "two.png")
    return folder / "two.png"


def fetched_ahead(page: Any) -> None:
    """Wait until the page's worker has what pictures may need later."""
    other = read_card(PRETRAINED / PAGE_MODEL)["reconstruction"]
    page.workers[0].evaluate(
        """async (files) => {
          const there = () => performance.getEntriesByType("resource").map(({ name }) => name);
          const isThere = (file) => there().some((name) => name.endsWith(file));
          const end = Date.now() + 120_000;
          while (!files.every(isThere)) {
            if (Date.now() > end) throw new Error("not fetched ahead");
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }""",
        ["/faces/sface.onnx", *(f"/models/{other}/{file}" for file in ("card.json", *FILES))],
    )


GATE = """
const Real = Worker;
let held = null;
globalThis.holds = null;
globalThis.isHeld = () => held !== null;
globalThis.release = () => {
  const calls = held;
  held = globalThis.holds = null;
  for (const call of calls) call();
};
globalThis.Worker = class extends Real {
  postMessage(...message) {
    const call = () => super.postMessage(...message);
    if (held === null && message[0].name === globalThis.holds) held = [];
    if (held === null) call();
    else held.push(call);
  }
};
"""
"""What lets a test make the worker slow: from the call that `holds` names on, all wait until `release`."""
