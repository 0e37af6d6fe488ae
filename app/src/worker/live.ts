/** Live video: of each frame the largest face, at the size that a poor line leaves of it, restored. */

import type { Reference } from "../faces/album";
import { DETECTION_SIDES, type Detector, type Face } from "../faces/detection";
import type { Embedder } from "../faces/embedding";
import { cut, extent, Frame } from "../faces/headshot";
import type { Image } from "../pictures/arrays";
import { fromBitmap, toRgba } from "../pictures/files";
import { matched, MOST_REFERENCES } from "../restoring/face";
import { enlarge } from "../restoring/photo";
import type { Restorer } from "../restoring/restorer";
import type { LiveFrame, ShownReference } from "./answers";
import { Collection } from "./collecting";

/** Longest side of live video, and of the frames that are collected. */
const PICTURE = 640;
const COLLECTED = 1920;
/** What a poor line leaves of the face. */
const SIDE = 32;
/** How much of the last frame's place is kept while the face stays where it was. */
const STEADINESS = 0.7;

/** What is looked with, and the photos of the person that were given by hand. */
interface Means {
  readonly detector: Detector;
  readonly embedder: Embedder;
  readonly photos: readonly Reference[];
}

export class Live {
  readonly collection = new Collection();
  private last: Frame | null = null;
  private shown: readonly Reference[] = [];

  /** The largest face at `SIDE` pixels, enlarged, and restored; null without a face. `bitmap` is closed. */
  async restore(bitmap: ImageBitmap, restorer: Restorer, means: Means): Promise<LiveFrame | null> {
    try {
      const image = atMost(bitmap, PICTURE);
      const face = await largestFace(image, means.detector);
      if (face === null) {
        this.last = null;
        return null;
      }
      await this.collect(bitmap, face, image.width, means);
      this.last = steadied(Frame.of(face.landmarks), this.last);
      const lr = cut(image, this.last, SIDE);
      const references = [...this.collection.references, ...means.photos].slice(0, MOST_REFERENCES);
      restorer.setReferences(references.map(({ crop }) => crop)); // encoded once
      const plain = enlarge(lr, restorer.scale);
      const { image: result } = await restorer.restore(lr);
      const restored = matched(result, plain);
      return { plain: toRgba(plain), restored: toRgba(restored), photos: references.length, ...this.news() };
    } finally {
      bitmap.close();
    }
  }

  /** @param face in the frame reduced to `width`. */
  private async collect(bitmap: ImageBitmap, face: Face, width: number, means: Means): Promise<void> {
    const scale = Math.min(1, COLLECTED / Math.max(bitmap.width, bitmap.height)) * (bitmap.width / width);
    const landmarks = face.landmarks.map(([x, y]) => [(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5] as const);
    const take = (): [Image, Face] => [atMost(bitmap, COLLECTED), { ...face, landmarks }];
    await this.collection.watch(Frame.of(landmarks).side, take, means);
  }

  private news(): Pick<LiveFrame, "collected" | "unfit"> {
    const { references, unfit } = this.collection;
    const isNew =
      references.length !== this.shown.length || references.some(({ crop }, index) => crop !== this.shown[index].crop);
    this.shown = references;
    return { collected: isNew ? references.map(shown) : null, unfit };
  }
}

/** Found at a glance: near ones in the coarse levels of the detector already. */
async function largestFace(image: Image, detector: Detector): Promise<Face | null> {
  for (const side of DETECTION_SIDES) {
    const found = await detector.detectAt(image, side / Math.max(image.width, image.height));
    const [face] = found.sort((one, other) => other.box.width - one.box.width);
    if (face !== undefined && extent(face.landmarks) >= 1) return face;
  }
  return null;
}

export function shown({ name, crop }: Reference): ShownReference {
  return { name, crop: toRgba(crop) };
}

/** The bitmap, reduced where its longest side is longer. */
function atMost(bitmap: ImageBitmap, longest: number): Image {
  const factor = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  return fromBitmap(bitmap, Math.round(bitmap.width * factor), Math.round(bitmap.height * factor));
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
