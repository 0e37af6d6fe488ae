/** Live video: the camera's face at a reduced size against the restored one, side by side. */

import type { Engine } from "../worker/engine";
import { shot, startCamera, stopCamera } from "./camera";
import { element, make } from "./dom";
import type { Photos } from "./photos";
import { run } from "./status";

/** Frames over which the rate is taken. */
const RATE_FRAMES = 20;

export function startLive(engine: Engine, photos: Photos): void {
  const video = make("video", { muted: true, playsInline: true });
  const start = element<HTMLButtonElement>("live-start");
  const photo = element<HTMLButtonElement>("live-photo");
  const rate = element("live-rate");
  const [before, after] = ["live-before", "live-after"].map((id) => element<HTMLCanvasElement>(id));
  let running = false;

  async function frames(): Promise<void> {
    const times: number[] = [];
    while (running) {
      const bitmap = await createImageBitmap(video);
      const frame = await engine.live(bitmap);
      if (!running) return;
      if (frame === null) rate.textContent = "No face in sight.";
      else {
        for (const [canvas, picture] of [[before, frame.plain], [after, frame.restored]] as const) {
          canvas.width = picture.width;
          canvas.height = picture.height;
          canvas.getContext("2d")!.putImageData(picture, 0, 0);
        }
        times.push(performance.now());
        if (times.length > RATE_FRAMES) times.shift();
        const { count } = photos;
        const each = (times.at(-1)! - times[0]) / Math.max(1, times.length - 1);
        const speed = times.length > 1 ? `${(1000 / each).toFixed(1)} frames a second` : "";
        rate.textContent = `${speed}, ${count === 0 ? "no photo yet" : count === 1 ? "one photo" : `${count} photos`}`;
      }
      await new Promise(requestAnimationFrame); // as often as the screen shows it, at the most
    }
  }

  function show(on: boolean): void {
    running = on;
    element("live-view").hidden = !on;
    photo.disabled = !on;
    start.textContent = on ? "Stop the camera" : "Start the camera";
    if (!on) {
      stopCamera(video);
      rate.textContent = "";
    }
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
}
