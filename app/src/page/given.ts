/** The picture as it was given, and the faces found on it, to choose from. */

import type { Box } from "../faces/detection";
import { button, element, keepFocus, make } from "./dom";

/** Longest side at which it is shown, in pixels. */
const SHOWN = 1600;

export class Given {
  private width = 0;
  private height = 0;
  private readonly stage = element("given-picture");

  /**
   * Show a picture, without faces yet. One that the browser cannot read is not shown: who restores it says why.
   *
   * @param many how many were given at once, of which this is the first.
   */
  async show(file: File, many: number): Promise<void> {
    element("given").hidden = true;
    element("given-faces").textContent = "";
    const first = `the first of ${many} that were given; give the others one by one`;
    element("picture-name").textContent = many === 1 ? file.name : `${file.name} (${first})`;
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (bitmap === null) return;
    [this.width, this.height] = [bitmap.width, bitmap.height];
    const scale = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
    const width = Math.max(1, Math.round(bitmap.width * scale));
    const height = Math.max(1, Math.round(bitmap.height * scale));
    const canvas = make("canvas", { width, height, role: "img", ariaLabel: `${file.name}, as it was given` });
    const context = canvas.getContext("2d")!;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    this.stage.style.setProperty("--shape", String(width / height));
    this.stage.replaceChildren(canvas);
    element("given").hidden = false;
  }

  /**
   * Mark the faces that were found, each a button.
   *
   * @param choose restore the face in that place.
   */
  mark(boxes: readonly Box[], isComplete: boolean, choose: (place: Box) => void): void {
    const faces = boxes.map((box, number) => {
      const { left, top, width, height } = box;
      const face = button(String(number + 1), () => choose(box), `Restore face ${number + 1}`);
      face.className = "face";
      face.style.left = `${(100 * left) / this.width}%`;
      face.style.top = `${(100 * top) / this.height}%`;
      face.style.width = `${(100 * width) / this.width}%`;
      face.style.height = `${(100 * height) / this.height}%`;
      return face;
    });
    keepFocus(this.stage, "button", () => {
      for (const old of this.stage.querySelectorAll("button")) old.remove();
      this.stage.append(...faces);
    });
    const count = boxes.length === 1 ? "1 face" : `${boxes.length} faces`;
    element("given-faces").textContent = !isComplete
      ? `${count} so far …`
      : boxes.length > 1
        ? `${count}: choose one to restore it.`
        : `${boxes.length === 0 ? "no face" : count} found.`;
  }
}
