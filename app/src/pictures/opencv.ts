/** What the face networks see, resampled with OpenCV's numbers. */

import type { Affine } from "./affine";
import { clamp, newImage, roundHalfEven, type Image } from "./arrays";

/** The sides of the picture scaled by `factor`, in whole pixels. */
export function sides(image: Image, factor: number): [width: number, height: number] {
  const side = (extent: number): number => Math.max(1, roundHalfEven(extent * factor));
  return [side(image.width), side(image.height)];
}

/** OpenCV's `resize`: by area where the picture shrinks, linearly where it grows. */
export function resizeForFaces(image: Image, width: number, height: number): Image {
  if (width === image.width && height === image.height) return image;
  return width <= image.width && height <= image.height
    ? byArea(image, width, height)
    : linearly(image, width, height);
}

/** Which part of an output sample is which input sample. */
interface Share {
  readonly to: number;
  readonly from: number;
  /** In single precision. */
  readonly weight: number;
}

/** In ascending order. */
function shares(from: number, to: number): Share[] {
  const scale = 1 / (to / from);
  const result: Share[] = [];
  const add = (target: number, source: number, weight: number): unknown =>
    result.push({ to: target, from: source, weight: Math.fround(weight) });
  for (let target = 0; target < to; target++) {
    const begin = target * scale;
    const end = begin + scale;
    const extent = Math.min(scale, from - begin);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(begin), last);
    if (first - begin > 1e-3) add(target, first - 1, (first - begin) / extent);
    for (let source = first; source < last; source++) add(target, source, 1 / extent);
    if (end - last > 1e-3) add(target, last, Math.min(Math.min(end - last, 1), extent) / extent);
  }
  return result;
}

/** With OpenCV's order of operations in single precision, which decides how halves are rounded. */
function byArea(image: Image, width: number, height: number): Image {
  if (image.width % width === 0 && image.height % height === 0)
    return byWholePixels(image, image.width / width, image.height / height);
  const across = shares(image.width, width);
  const down = shares(image.height, height);
  const result = newImage(width, height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even
  const row = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  down.forEach(({ to, from, weight }, index) => {
    row.fill(0);
    const begin = from * image.width;
    for (const share of across) {
      const source = (begin + share.from) * 3;
      const target = share.to * 3;
      row[target] += Math.fround(image.data[source] * share.weight);
      row[target + 1] += Math.fround(image.data[source + 1] * share.weight);
      row[target + 2] += Math.fround(image.data[source + 2] * share.weight);
    }
    for (let place = 0; place < row.length; place++) sum[place] += Math.fround(row[place] * weight);
    if (down[index + 1]?.to === to) return;
    levels.set(sum, to * row.length);
    sum.fill(0);
  });
  return result;
}

function byWholePixels(image: Image, across: number, down: number): Image {
  const result = newImage(image.width / across, image.height / down);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even …
  const half = across === 2 && down === 2 ? 0.125 : 0; // … which OpenCV does not here
  const share = Math.fround(1 / (across * down));
  for (let row = 0, place = 0; row < result.height; row++)
    for (let column = 0; column < result.width; column++)
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let y = row * down; y < (row + 1) * down; y++) {
          const begin = (y * image.width + column * across) * 3 + channel;
          for (let x = 0; x < across; x++) sum += image.data[begin + x * 3];
        }
        levels[place++] = Math.fround(sum * share) + half;
      }
  return result;
}

/** Of each output sample the input sample before it, and in fixed point of 11 bits the shares of it and the next. */
interface Between {
  readonly before: Int32Array;
  readonly share: Int32Array;
  readonly next: Int32Array;
}

function between(from: number, to: number): Between {
  const scale = 1 / (to / from);
  const result = { before: new Int32Array(to), share: new Int32Array(to), next: new Int32Array(to) };
  for (let index = 0; index < to; index++) {
    const place = Math.fround((index + 0.5) * scale - 0.5);
    const before = Math.floor(place);
    const rest = Math.fround(place - before);
    result.before[index] = before;
    result.share[index] = roundHalfEven(Math.fround(1 - rest) * 2048);
    result.next[index] = roundHalfEven(rest * 2048);
  }
  return result;
}

function linearly(image: Image, width: number, height: number): Image {
  const across = between(image.width, width);
  const down = between(image.height, height);
  const result = newImage(width, height);
  const near = across.before.map((place) => clamp(place, 0, image.width - 1) * 3);
  const far = across.before.map((place) => clamp(place + 1, 0, image.width - 1) * 3);
  const widened = (row: number): Int32Array => {
    const values = new Int32Array(width * 3);
    const begin = clamp(row, 0, image.height - 1) * image.width * 3;
    for (let column = 0, place = 0; column < width; column++) {
      const [one, other] = [begin + near[column], begin + far[column]];
      const [share, next] = [across.share[column], across.next[column]];
      values[place++] = (image.data[one] * share + image.data[other] * next) >> 4;
      values[place++] = (image.data[one + 1] * share + image.data[other + 1] * next) >> 4;
      values[place++] = (image.data[one + 2] * share + image.data[other + 2] * next) >> 4;
    }
    return values;
  };
  let upperRow = NaN;
  let upper: Int32Array = new Int32Array();
  let lower = upper;
  for (let row = 0, place = 0; row < height; row++) {
    if (down.before[row] !== upperRow) {
      upper = down.before[row] === upperRow + 1 ? lower : widened(down.before[row]);
      upperRow = down.before[row];
      lower = widened(upperRow + 1);
    }
    const [share, next] = [down.share[row], down.next[row]];
    for (let column = 0; column < upper.length; column++)
      result.data[place++] = (((upper[column] * share) >> 16) + ((lower[column] * next) >> 16) + 2) >> 2;
  }
  return result;
}

/**
 * The values at `matrix`·(x, y, 1) for each pixel, bilinear, the border repeated: OpenCV's `warpAffine`, with its
 * order of operations in single precision (a level more or less moves a face by a hundredth of a pixel).
 */
export function warp(image: Image, matrix: Affine, width: number, height: number): Image {
  const [a, b, c, d, e, f] = matrix.map(Math.fround);
  const { data } = image;
  const result = newImage(width, height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even
  for (let row = 0, place = 0; row < height; row++) {
    const startX = Math.fround(Math.fround(b * row) + c);
    const startY = Math.fround(Math.fround(e * row) + f);
    for (let column = 0; column < width; column++) {
      const x = Math.fround(a * column + startX);
      const y = Math.fround(d * column + startY);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [right, below] = [Math.fround(x - left), Math.fround(y - top)];
      const near = clamp(left, 0, image.width - 1) * 3;
      const far = clamp(left + 1, 0, image.width - 1) * 3;
      const upper = clamp(top, 0, image.height - 1) * image.width * 3;
      const lower = clamp(top + 1, 0, image.height - 1) * image.width * 3;
      for (let channel = 0; channel < 3; channel++) {
        const over = mixed(data[upper + near + channel], data[upper + far + channel], right);
        const under = mixed(data[lower + near + channel], data[lower + far + channel], right);
        levels[place++] = mixed(over, under, below);
      }
    }
  }
  return result;
}

function mixed(one: number, other: number, share: number): number {
  return Math.fround(Math.fround(other - one) * share + one);
}
