/** Live video: of each frame the largest face, at the size that a poor line leaves of it, restored. */

import type { Reference } from "../faces/album";
import type { Detector } from "../faces/detection";
import { cut, extent, Frame } from "../faces/headshot";
import { fromBitmap, toRgba } from "../pictures/files";
import { enlarge, matched, MOST_REFERENCES } from "../restoring/photo";
import type { Restorer } from "../restoring/restorer";
import type { LiveFrame } from "./answers";

/** Longest side of live video, and that at which faces are looked for in it. */
const PICTURE = 640;
const DETECTION = 160;
/** What a poor line leaves of the face. */
const SIDE = 32;
/** How much of the last frame's place is kept while the face stays where it was. */
const STEADINESS = 0.7;

export class Live {
  private last: Frame | null = null;

  /** The largest face at `SIDE` pixels, enlarged, and restored; null without a face. `bitmap` is closed. */
  async restore(
    bitmap: ImageBitmap,
    detector: Detector,
    restorer: Restorer,
    references: readonly Reference[],
  ): Promise<LiveFrame | null> {
    const factor = Math.min(1, PICTURE / Math.max(bitmap.width, bitmap.height));
    const image = fromBitmap(bitmap, Math.round(bitmap.width * factor), Math.round(bitmap.height * factor));
    bitmap.close();
    const found = await detector.detectAt(image, DETECTION / Math.max(image.width, image.height));
    const [face] = found.sort((one, other) => other.box.width - one.box.width);
    if (face === undefined || extent(face.landmarks) < 1) {
      this.last = null;
      return null;
    }
    this.last = steadied(Frame.of(face.landmarks), this.last);
    const lr = cut(image, this.last, SIDE);
    restorer.setReferences(references.slice(0, MOST_REFERENCES).map(({ crop }) => crop)); // encoded once
    const plain = enlarge(lr, restorer.scale);
    const { image: result } = await restorer.restore(lr);
    return { plain: toRgba(plain), restored: toRgba(matched(result, plain)) };
  }
}

/** The frame, calmed by the one before it unless the face has moved far. */
function steadied(frame: Frame, last: Frame | null): Frame {
  if (last === null || Math.hypot(frame.x - last.x, frame.y - last.y) > 0.1 * frame.side) return frame;
  const mix = (now: number, before: number): number => (1 - STEADINESS) * now + STEADINESS * before;
  return new Frame(
    mix(frame.x, last.x),
    mix(frame.y, last.y),
    mix(frame.side, last.side),
    mix(frame.angle, last.angle),
  );
}
