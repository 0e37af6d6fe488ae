/** The camera, for single pictures and for live video. */

import { Problem } from "../problem";
import { element } from "./dom";

export async function startCamera(video: HTMLVideoElement): Promise<MediaStream> {
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    const reason = denied ? "the camera may not be used; allow it for this page" : "no camera can be used; connect one";
    throw new Problem(`${reason}, or choose a file`);
  }
  video.srcObject = stream;
  await video.play();
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

/** Let the user take a picture; null if none was taken. */
export async function takePicture(): Promise<File | null> {
  const dialog = element<HTMLDialogElement>("camera");
  const video = element<HTMLVideoElement>("camera-video");
  await startCamera(video);
  dialog.showModal();
  try {
    return await new Promise((resolve, reject) => {
      element("camera-take").onclick = () => shot(video).then(resolve, reject);
      element("camera-close").onclick = () => resolve(null);
      dialog.oncancel = () => resolve(null);
    });
  } finally {
    stopCamera(video);
    dialog.close();
  }
}
