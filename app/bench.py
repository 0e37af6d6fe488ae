"""How fast the app is in headless Chromium on this machine, and how much it loads: ``python app/bench.py``.

Prints one JSON object: ``transferred`` (bytes of a first visit that restores one face, compressed as a web
server would, and raw, without what is fetched ahead for pictures to come: `AHEAD`), ``ready`` (seconds from
opening the page), ``first_result`` and ``whole_picture`` (from giving a picture of 600×800 pixels to its
face, and to all of it), ``large`` (the same of 4000×3000 pixels), ``first_calls`` and ``warm`` (32 → 128
pixels with three references encoded before, the median of the 4th to the 30th call, and of 30 after
`WARM_SECONDS` of such calls), ``live`` (frames a second), ``site`` (bytes on disk).
"""

import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import PIL.Image
from playwright.sync_api import Page, sync_playwright

from hime.data.people import DEMO_PEOPLE
from hime.restoring.card import read_card
from hime.restoring.exported import PRETRAINED
from hime.tools.serve import PAGE_MODEL, export_site, open_server

OTHER = read_card(PRETRAINED / PAGE_MODEL)["reconstruction"]
AHEAD = ("faces/sface.onnx", f"models/{OTHER}/")
REPEATS = 30
LIVE_SECONDS = 15
WARM_SECONDS = 10
"""Until then a browser runs what it compiled in a hurry, while it compiles the 14 MB of the run time well."""

WARM = """async ([repeats, warming]) => {
  const worker = new Worker("worker.js", { type: "module" });
  const call = (name, ...parameters) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) =>
      data.error ? reject(new Error(data.error.message)) : resolve(data.result);
    worker.postMessage({ id: 1, name, parameters });
  });
  const image = (side) => {
    const data = Uint8Array.from({ length: side * side * 3 }, (_, index) => (index * 7) % 256);
    return { width: side, height: side, data };
  };
  const models = await call("start", location.origin);
  await call("open", models[0].name);
  const references = [128, 129, 130].map(image);
  await call("restoreHeadshot", image(32), references);
  const timed = async () => {
    const start = performance.now();
    await call("restoreHeadshot", image(32), null);
    return (performance.now() - start) / 1000;
  };
  const series = async () => {
    const seconds = [];
    for (let repeat = 0; repeat < repeats; repeat++) seconds.push(await timed());
    return seconds;
  };
  const first = (await series()).slice(3);
  const end = performance.now() + 1000 * warming;
  while (performance.now() < end) await timed();
  const warm = await series();
  worker.terminate();
  return [first, warm];
}"""


def pictures(folder: Path) -> tuple[list[Path], list[Path], Path]:
    """Two photographs with a small face, three photos of the person, and a camera's video."""
    photos = [DEMO_PEOPLE / "ada" / f"{number}.webp" for number in (1, 2, 3)]
    headshot = PIL.Image.open(DEMO_PEOPLE / "ada" / "0.webp").convert("RGB")
    photograph = PIL.Image.new("RGB", (600, 800), (90, 100, 120))
    photograph.paste(headshot.resize((56, 56)), (280, 300))
    photograph.save(folder / "photograph.jpg", quality=92)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    large = PIL.Image.fromarray(noise).resize((4000, 3000), PIL.Image.Resampling.BICUBIC)
    large.paste(headshot.resize((110, 110)), (1500, 1200))
    large.save(folder / "large.jpg", quality=92)
    frame = PIL.Image.new("RGB", (640, 480), (90, 100, 120))
    frame.paste(PIL.Image.open(photos[0]).convert("RGB").resize((300, 300)), (170, 90))
    luma, blue, red = frame.convert("YCbCr").split()
    half = [plane.resize((320, 240)).tobytes() for plane in (blue, red)]
    video = folder / "camera.y4m"
    header = b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420\n"
    video.write_bytes(header + 10 * (b"FRAME\n" + luma.tobytes() + b"".join(half)))
    return [folder / "photograph.jpg", folder / "large.jpg"], photos, video


def measure(
    page: Page, address: str, site: Path, photographs: list[Path], photos: list[Path]
) -> dict[str, object]:
    """All figures but the site's size."""
    asked: set[str] = set()
    page.context.on(
        "request", lambda request: asked.add(urlsplit(request.url).path.lstrip("/") or "index.html")
    )
    start = time.perf_counter()
    page.goto(address)
    page.get_by_text("Ready.").wait_for()
    ready = time.perf_counter() - start
    give(page, photos)
    first, whole = restoring(page, photographs[0])
    used = [name for name in sorted(asked) if not name.startswith(AHEAD)]
    files = [site / name for name in used if (site / name).is_file()]
    transferred = {
        "raw": sum(file.stat().st_size for file in files),
        "compressed": sum(len(gzip.compress(file.read_bytes(), 6)) for file in files),
        "files": {file.relative_to(site).as_posix(): file.stat().st_size for file in files},
    }
    page.reload()
    page.get_by_text("Ready.").wait_for()
    give(page, photos)
    large = restoring(page, photographs[1])
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_text("frames a second").wait_for()
    time.sleep(LIVE_SECONDS)
    rate = page.locator("#live-rate").inner_text()
    page.get_by_role("button", name="Stop the camera").click()
    first_calls, warm = map(statistics.median, page.evaluate(WARM, [REPEATS, WARM_SECONDS]))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "browser": page.context.browser.version if page.context.browser else None,
        "ready": round(ready, 2),
        "first_result": round(first, 2),
        "whole_picture": round(whole, 2),
        "large": {"first_result": round(large[0], 2), "whole_picture": round(large[1], 2)},
        "first_calls": round(first_calls, 4),
        "warm": round(warm, 4),
        "live": float(rate.split()[0]),
        "transferred": transferred,
    }


def give(page: Page, photos: list[Path]) -> None:
    """Give the person's three photos."""
    page.set_input_files("#photos-file", photos)
    page.get_by_text("3 photos of the person").wait_for()


def restoring(page: Page, photograph: Path) -> tuple[float, float]:
    """Seconds from giving a photograph to its first face, and to all of it."""
    start = time.perf_counter()
    page.set_input_files("#picture-file", photograph)
    page.locator("#faces canvas").first.wait_for()
    first = time.perf_counter() - start
    page.get_by_text("restored in").wait_for()
    return first, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, open_server(0) as server, sync_playwright() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site = export_site(Path(name) / "site")
        photographs, photos, video = pictures(Path(name))
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", *flags, f"--use-file-for-fake-video-capture={video}"],
        )
        page = browser.new_page()
        page.set_default_timeout(300_000)
        result = measure(page, f"http://localhost:{server.server_address[1]}/", site, photographs, photos)
        result["site"] = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
        browser.close()
        server.shutdown()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
