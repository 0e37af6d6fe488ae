/** Live video: the camera's face at a reduced size against the restored one; its best frames are collected. */

import type { LiveFrame, ShownReference } from "../worker/answers";
import type { Engine } from "../worker/engine";
import { shot, startCamera, stopCamera } from "./camera";
import { button, drawn, element, keepFocus, make, whileDisabled } from "./dom";
import type { Photos } from "./photos";
import { run, showProblem } from "./status";

/** Frames over which the rate is taken. */
const RATE_FRAMES = 20;

export function startLive(engine: Engine, photos: Photos): void {
  const video = make("video", { muted: true, playsInline: true });
  const start = element<HTMLButtonElement>("live-start");
  const photo = element<HTMLButtonElement>("live-photo");
  const collect = element<HTMLInputElement>("live-collect");
  let stream: MediaStream | null = null;

  /** Until the camera is stopped: one that was started anew meanwhile has frames of its own. */
  async function frames(of: MediaStream): Promise<void> {
    await engine.collect(collect.checked);
    const times: number[] = [];
    while (stream === of) {
      const frame = await engine.live(await createImageBitmap(video));
      if (stream !== of) return;
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
    const list = element("live-collected");
    keepFocus(list, "button", () => list.replaceChildren(...shown), start);
  }

  function show(shown: MediaStream | null): void {
    stream = shown;
    const on = shown !== null;
    element("live-view").hidden = !on;
    photo.disabled = !on;
    start.textContent = on ? "Stop the camera" : "Start the camera";
    if (on) return;
    stopCamera(video);
    for (const id of ["live-rate", "live-unfit"]) element(id).textContent = "";
  }

  async function begin(): Promise<void> {
    if (stream !== null) return;
    const started = await startCamera(video);
    show(started);
    frames(started).catch((error: unknown) => {
      if (stream !== started) return; // stopped between two frames
      show(null);
      run(() => Promise.reject(error));
    });
  }

  start.addEventListener("click", () => {
    if (stream !== null) show(null);
    else void whileDisabled([start], () => run(begin));
  });
  photo.addEventListener("click", () => {
    shot(video).then((file) => photos.add([file]), showProblem); // now: later the camera may be off
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
