/** What the face networks see, resampled with OpenCV's numbers. */

import { clamp, newImage, roundHalfEven, type Image } from "./image";
import type { Affine } from "./headshot";

/** OpenCV's `resize`: by area where the picture shrinks, linearly where it grows. */
export function resizeForFaces(image: Image, width: number, height: number): Image {
  if (width === image.width && height === image.height) return image;
  return width <= image.width && height <= image.height
    ? byArea(image, width, height)
    : linearly(image, width, height);
}

interface Share {
  readonly from: number;
  readonly weight: number;
}

/** Of each output sample the input samples that it covers, and by how much. */
function covered(from: number, to: number): Share[][] {
  const scale = from / to;
  return Array.from({ length: to }, (_, index) => {
    const begin = index * scale;
    const end = begin + scale;
    const extent = Math.min(scale, from - begin);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(begin), last);
    const shares: Share[] = [];
    if (first - begin > 1e-3) shares.push({ from: first - 1, weight: (first - begin) / extent });
    for (let place = first; place < last; place++) shares.push({ from: place, weight: 1 / extent });
    if (end - last > 1e-3)
      shares.push({ from: last, weight: Math.min(Math.min(end - last, 1), extent) / extent });
    return shares;
  });
}

function byArea(image: Image, width: number, height: number): Image {
  const across = covered(image.width, width);
  const down = covered(image.height, height);
  const result = newImage(width, height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even …
  const half = image.width === 2 * width && image.height === 2 * height ? 0.125 : 0; // … which OpenCV does not here
  const sums = new Float64Array(image.width * 3);
  for (let row = 0, place = 0; row < height; row++) {
    sums.fill(0);
    for (const { from, weight } of down[row]) {
      const begin = from * image.width * 3;
      for (let index = 0; index < sums.length; index++) sums[index] += image.data[begin + index] * weight;
    }
    for (const shares of across)
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (const { from, weight } of shares) sum += sums[from * 3 + channel] * weight;
        levels[place++] = sum + half;
      }
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
  const widened = (row: number): Int32Array => {
    const values = new Int32Array(width * 3);
    const begin = clamp(row, 0, image.height - 1) * image.width;
    for (let column = 0; column < width; column++) {
      const from = (begin + clamp(across.before[column], 0, image.width - 1)) * 3;
      const next = (begin + clamp(across.before[column] + 1, 0, image.width - 1)) * 3;
      for (let channel = 0; channel < 3; channel++)
        values[column * 3 + channel] =
          image.data[from + channel] * across.share[column] + image.data[next + channel] * across.next[column];
    }
    return values;
  };
  let upperRow = NaN;
  let upper: Int32Array = new Int32Array();
  let lower = upper;
  for (let row = 0; row < height; row++) {
    if (down.before[row] !== upperRow) {
      upperRow = down.before[row];
      upper = widened(upperRow);
      lower = widened(upperRow + 1);
    }
    const [share, next] = [down.share[row], down.next[row]];
    for (let place = 0; place < width * 3; place++)
      result.data[row * width * 3 + place] =
        ((((upper[place] >> 4) * share) >> 16) + (((lower[place] >> 4) * next) >> 16) + 2) >> 2;
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
