/** A headshot of any size and any sharpness, restored. The counterpart of `hime.restoring.any_size`. */

import { LANCZOS, newImage, resize, type Image } from "../pictures/arrays";
import { measure, type Detail } from "./detail";
import type { Restoration, Restorer } from "./restorer";

// What they mean, and where they come from, stands in hime.restoring.any_size.
const WORKING_SIDES = [24, 32, 48, 64, 96, 128];
const OVERSAMPLING = 1.5;
const SHARP_SIDE = 100;
const SHARP_NOISE = 12;
const SHARP_BLOCKS = 0.4;
const WORTH_REDUCING = 1.2;
const WORTH_A_PASS = 1.25;
export const LARGEST_SIDE = 512;

/** What came out of one headshot; `scores` and `shares` are the first pass's, empty if it was left. */
export interface AnySizeRestoration extends Restoration {
  /** What the first pass restored; the headshot itself if it was left. */
  readonly lr: Image;
  readonly detail: Detail;
  /** LR side of each pass; none: the headshot is sharp for its size and was left as it is. */
  readonly passes: readonly number[];
}

/** The side to reduce a headshot to; its own if that is to be restored; null if it is sharp and to stay. */
export function workingSide(detail: Detail, side: number, evenSharp: boolean): number | null {
  const wanted = OVERSAMPLING * detail.side;
  const largest = WORKING_SIDES.at(-1)!;
  if (side > largest && !evenSharp && isSharp(detail)) return null;
  const sides = WORKING_SIDES.filter((smaller) => smaller * WORTH_REDUCING <= side);
  if (side <= largest || sides.length === 0) sides.push(side);
  const distance = (each: number): number => Math.abs(Math.log(each / wanted));
  return sides.reduce((best, each) => (distance(each) < distance(best) ? each : best));
}

function isSharp({ side, noise, blocks }: Detail): boolean {
  return noise <= SHARP_NOISE && blocks <= SHARP_BLOCKS && side >= SHARP_SIDE;
}

/**
 * Restore a headshot with the references set in the restorer.
 *
 * @param atLeast pixels a side that are wanted; what passes restore ends at `LARGEST_SIDE`.
 * @param evenSharp restore also what is sharp for its size.
 */
export async function restoreAnySize(
  headshot: Image,
  restorer: Restorer,
  atLeast: number,
  evenSharp: boolean,
): Promise<AnySizeRestoration> {
  const own = headshot.width;
  const detail = measure(headshot);
  const chosen = workingSide(detail, own, evenSharp);
  if (chosen === null) return { image: headshot, scores: [], shares: [], lr: headshot, detail, passes: [] };
  const side = Math.max(restorer.scale * chosen, Math.min(LARGEST_SIDE, Math.max(own, atLeast)));
  const lr = chosen === own ? headshot : resize(headshot, chosen, chosen);
  const first = await restorer.restore(lr);
  const passes = [chosen];
  let picture = first.image;
  while (Math.min(side, LARGEST_SIDE) > WORTH_A_PASS * picture.width) {
    const further = Math.ceil(Math.min(side, LARGEST_SIDE, 2 * picture.width) / restorer.scale);
    picture = finer(picture, (await restorer.restore(resize(picture, further, further))).image);
    passes.push(further);
  }
  return { ...first, image: to(picture, side), lr, detail, passes };
}

/** From 0, what is there already, to 1, the restored picture; between them both are mixed. */
export function mixed(plain: Image, restored: Image, strength: number): Image {
  return combined(restored, (place) => (1 - strength) * plain.data[place] + strength * restored.data[place]);
}

/** The picture with what a larger version of it has besides: all that the picture cannot hold. */
function finer(picture: Image, larger: Image): Image {
  const side = larger.width;
  const coarse = to(to(larger, picture.width), side);
  const enlarged = to(picture, side);
  return combined(larger, (place) => enlarged.data[place] + larger.data[place] - coarse.data[place]);
}

/** A picture of the same size with these levels, clipped and rounded (half to even). */
function combined({ width, height }: Image, level: (place: number) => number): Image {
  const result = newImage(width, height);
  const levels = new Uint8ClampedArray(result.data.buffer);
  for (let place = 0; place < levels.length; place++) levels[place] = level(place);
  return result;
}

/** By Lanczos; the same picture if it has that side. */
function to(image: Image, side: number): Image {
  return image.width === side ? image : resize(image, side, side, LANCZOS);
}
