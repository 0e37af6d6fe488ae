/** Live video: the camera's face at a reduced size against the restored one; its best frames are collected. */

import type { LiveFrame, ShownReference } from "../worker/answers";
import type { Engine } from "../worker/engine";
import { shot, startCamera, stopCamera } from "./camera";
import { button, drawn, element, make } from "./dom";
import type { Photos } from "./photos";
import { run } from "./status";

/** Frames over which the rate is taken. */
const RATE_FRAMES = 20;

export function startLive(engine: Engine, photos: Photos): void {
  const video = make("video", { muted: true, playsInline: true });
  const start = element<HTMLButtonElement>("live-start");
  const photo = element<HTMLButtonElement>("live-photo");
  const collect = element<HTMLInputElement>("live-collect");
  let running = false;

  async function frames(): Promise<void> {
    await engine.collect(collect.checked);
    const times: number[] = [];
    while (running) {
      const frame = await engine.live(await createImageBitmap(video));
      if (!running) return;
      if (frame !== null) {
        times.push(performance.now());
        if (times.length > RATE_FRAMES) times.shift();
        showPictures(frame);
        if (frame.collected !== null) showCollected(frame.collected);
      }
      element("live-rate").textContent = frame === null ? "No face in sight." : `${rate(times)}, ${used(frame.photos)}`;
      element("live-unfit").textContent = frame?.unfit ? `Not collected now: ${frame.unfit}.` : "";
      await new Promise(requestAnimationFrame); // as often as the screen shows it, at the most
    }
  }

  function showCollected(references: readonly ShownReference[]): void {
    const shown = references.map(({ name, crop }) => {
      const remove = (): void => void engine.removeCollected(name).then(showCollected);
      return make("li", { className: "photo" }, drawn(crop, `Photo ${name}`), button("Remove", remove, `Remove ${name}`));
    });
    element("live-collected").replaceChildren(...shown);
  }

  function show(on: boolean): void {
    running = on;
    element("live-view").hidden = !on;
    photo.disabled = !on;
    start.textContent = on ? "Stop the camera" : "Start the camera";
    if (on) return;
    stopCamera(video);
    for (const id of ["live-rate", "live-unfit"]) element(id).textContent = "";
  }

  start.addEventListener("click", () => {
    if (running) return show(false);
    run(async () => {
      await startCamera(video);
      show(true);
      frames().catch((error: unknown) => {
        show(false);
        run(() => Promise.reject(error));
      });
    });
  });
  photo.addEventListener("click", () => {
    run(async () => photos.add([await shot(video)]));
  });
  collect.addEventListener("change", () => void engine.collect(collect.checked));
}

function showPictures(frame: LiveFrame): void {
  for (const [id, picture] of [["live-before", frame.plain], ["live-after", frame.restored]] as const) {
    const canvas = element<HTMLCanvasElement>(id);
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.getContext("2d")!.putImageData(picture, 0, 0);
  }
}

/** @param times of the last frames, in milliseconds. */
function rate(times: readonly number[]): string {
  if (times.length < 2) return "";
  const each = (times.at(-1)! - times[0]) / (times.length - 1);
  return `${(1000 / each).toFixed(1)} frames a second`;
}

function used(photos: number): string {
  if (photos === 0) return "no photo yet";
  return photos === 1 ? "one photo" : `${photos} photos`;
}
