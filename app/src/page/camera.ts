/** The camera, for single pictures and for live video. */

import { Problem } from "../problem";
import { element, whileDisabled } from "./dom";

/** Why there is no picture and what to do, by the name of the browser's exception. */
const REASONS: Partial<Record<string, string>> = {
  NotAllowedError: "the camera may not be used; allow it for this page",
  NotReadableError: "another program uses the camera; close it there",
};

/** Let the video show the camera; `stopCamera` ends it. */
export async function startCamera(video: HTMLVideoElement): Promise<MediaStream> {
  if (!isSecureContext) {
    const where = "by HTTPS or on the machine itself only";
    throw new Problem(`browsers give a page the camera ${where}; open it so, or choose a file`);
  }
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    const reason = REASONS[error instanceof DOMException ? error.name : ""] ?? "no camera can be used; connect one";
    throw new Problem(`${reason}, or choose a file`);
  }
  stopCamera(video); // never two at a time: only the last could be stopped
  video.srcObject = stream;
  try {
    await video.play();
  } catch {
    stopCamera(video);
    throw new Problem("the camera shows no picture; try again, or choose a file");
  }
  return stream;
}

export function stopCamera(video: HTMLVideoElement): void {
  for (const track of (video.srcObject as MediaStream | null)?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

let pictures = 0;

/** What the camera shows now, as a file. */
export async function shot(video: HTMLVideoElement): Promise<File> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")!.drawImage(video, 0, 0);
  return new File([await canvas.convertToBlob()], `camera ${++pictures}.png`, { type: "image/png" });
}

const openers = ["picture-camera", "photos-camera"].map((id) => element<HTMLButtonElement>(id));

/** Let the user take a picture; null if none was taken. */
export async function takePicture(): Promise<File | null> {
  const dialog = element<HTMLDialogElement>("camera");
  const video = element<HTMLVideoElement>("camera-video");
  await whileDisabled(openers, () => startCamera(video)); // the dialog is the only one
  dialog.showModal();
  try {
    return await new Promise((resolve, reject) => {
      element("camera-take").onclick = () => shot(video).then(resolve, reject);
      element("camera-close").onclick = () => resolve(null);
      dialog.onclose = () => resolve(null); // however: a second Escape closes it without asking
    });
  } finally {
    stopCamera(video);
    dialog.onclose = null;
    dialog.close();
  }
}
