/**
 * The geometry between a photograph and the headshots that the model works on: `hime.faces.headshot`, number by number.
 *
 * Coordinates are pixels, x to the right and y down, pixel centres at whole numbers.
 */

import { inverse, type Affine, type Point } from "../pictures/affine";
import { clamp, newImage, reduce, reduceValues, resize, roundHalfEven, type Image, type Values } from "../pictures/arrays";
import { sample } from "../pictures/scipy";
import { Problem } from "../problem";

/** Eye on the picture's left, eye on its right, tip of the nose, corners of the mouth on the left and right. */
export type Landmarks = readonly Point[];

/** The mask is 1 up to this distance from the centre, in halves of a side, and falls to 0 at 1. */
const MASK_FULL = 0.72;
/** Of the norm that distance is measured in: a square with round corners. */
const MASK_EXPONENT = 4;
/** Over how much difference of the distances two faces are faded into each other. */
const OVERLAP = 0.15;
/** A headshot that has this share of pixels fewer along a side is not worth antialiasing. */
const TOLERANCE = 0.1;

/** A square in a picture, maybe turned, maybe reaching beyond the picture. */
export class Frame {
  constructor(
    readonly x: number,
    readonly y: number,
    /** In pixels. */
    readonly side: number,
    /** Radians, of the upper side; positive goes down to the right. */
    readonly angle: number,
  ) {}

  /** The frame of the face with these landmarks. */
  static of(points: Landmarks): Frame {
    if (extent(points) < 1) throw new Problem("the landmarks of a face fall together");
    const eyes = middle(points[0], points[1]);
    const mouth = middle(points[3], points[4]);
    const [right, down] = [points[1][0] - points[0][0], points[1][1] - points[0][1]];
    const [over, below] = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
    const side = 2 * Math.max(2 * Math.hypot(right, down), 1.8 * Math.hypot(over, below));
    return new Frame(eyes[0] + 0.1 * over, eyes[1] + 0.1 * below, side, Math.atan2(down, right));
  }

  /** The same square in the picture enlarged by `factor`. */
  scaled(factor: number): Frame {
    const [x, y] = [(this.x + 0.5) * factor - 0.5, (this.y + 0.5) * factor - 0.5];
    return new Frame(x, y, this.side * factor, this.angle);
  }

  /** The same middle with another side. */
  sized(side: number): Frame {
    return new Frame(this.x, this.y, side, this.angle);
  }

  /** Upper left, upper right, lower right and lower left. */
  corners(): Point[] {
    const [cosine, sine] = [(Math.cos(this.angle) * this.side) / 2, (Math.sin(this.angle) * this.side) / 2];
    const corner = (u: number, v: number): Point => [this.x + u * cosine - v * sine, this.y + u * sine + v * cosine];
    return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
  }

  /** Pixels of the headshot of `size`×`size` → pixels of the picture. */
  fromCrop(size: number): Affine {
    const [cosine, sine] = [(Math.cos(this.angle) * this.side) / size, (Math.sin(this.angle) * this.side) / size];
    const half = (size - 1) / 2;
    return [cosine, -sine, this.x - (cosine - sine) * half, sine, cosine, this.y - (sine + cosine) * half];
  }

  /** Pixels of the picture → pixels of the headshot of `size`×`size`. */
  toCrop(size: number): Affine {
    return inverse(this.fromCrop(size));
  }
}

/** The longer side of the upright box around the points. */
export function extent(points: Landmarks): number {
  const [across, down] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return Math.max(Math.max(...across) - Math.min(...across), Math.max(...down) - Math.min(...down));
}

function middle(one: Point, other: Point): Point {
  return [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
}

/** The headshot in that frame, `size`×`size`: antialiased where it shrinks, the picture's border repeated. */
export function cut(image: Image, frame: Frame, size: number): Image {
  const reduction = Math.max(1, Math.floor(frame.side / (2 * size))); // by area first: whole pixels, and fast
  let { part, left, top } = around(image, frame, reduction);
  if (reduction > 1) part = reduce(part, reduction);
  const grid = size * Math.max(1, Math.ceil(frame.side / (reduction * size) - TOLERANCE));
  const [a, b, c, d, e, f] = frame.fromCrop(grid);
  const [x, y] = [(0.5 - left) / reduction - 0.5, (0.5 - top) / reduction - 0.5];
  const matrix: Affine = [a / reduction, b / reduction, c / reduction + x, d / reduction, e / reduction, f / reduction + y];
  const values = sample(part, matrix, grid, grid);
  const turned = newImage(grid, grid);
  new Uint8ClampedArray(turned.data.buffer).set(values.data); // rounds half to even
  return resize(turned, size, size);
}

/**
 * Add to a picture, in place, how a restored headshot differs from the plain one.
 *
 * @param canvas changed.
 * @param difference S×S, in levels: −255 to 255.
 * @param frame where the headshot lies, in pixels of the canvas.
 * @param others faces that are put in too: the one is faded into the other.
 * @param strangers faces that must stay as they are.
 */
export function add(
  canvas: Image,
  difference: Values,
  frame: Frame,
  others: readonly Frame[],
  strangers: readonly Frame[],
): void {
  const shrunk = Math.max(1, roundHalfEven(frame.side));
  if (shrunk < (1 - TOLERANCE) * difference.width) difference = reduceValues(difference, shrunk, shrunk);
  const corners = frame.corners();
  const [across, down] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const left = Math.max(0, Math.floor(Math.min(...across)));
  const right = Math.min(canvas.width, Math.ceil(Math.max(...across)) + 1);
  const top = Math.max(0, Math.floor(Math.min(...down)));
  const bottom = Math.min(canvas.height, Math.ceil(Math.max(...down)) + 1);
  if (left >= right || top >= bottom) return;
  const [a, b, c, d, e, f] = frame.toCrop(difference.width);
  const matrix: Affine = [a, b, c + a * left + b * top, d, e, f + d * left + e * top];
  const [width, height] = [right - left, bottom - top];
  const change = sample(difference, matrix, width, height);
  const weight = mask(frame, left, top, width, height, others, strangers);
  const levels = new Uint8ClampedArray(canvas.data.buffer, canvas.data.byteOffset, canvas.data.length);
  for (let row = 0; row < height; row++) {
    let place = ((top + row) * canvas.width + left) * 3;
    for (let column = 0; column < width; column++) {
      const index = row * width + column;
      for (let channel = 0; channel < 3; channel++, place++)
        levels[place] = levels[place] + change.data[index * 3 + channel] * weight[index];
    }
  }
}

/** How much of the headshot each pixel takes: 1 over the face with hair and jaw, 0 from the border on. */
function mask(
  frame: Frame,
  left: number,
  top: number,
  width: number,
  height: number,
  others: readonly Frame[],
  strangers: readonly Frame[],
): Float32Array {
  const own = distances(frame, left, top, width, height);
  const weight = own.map((distance) => ease((1 - distance) / (1 - MASK_FULL)));
  for (const other of others) {
    const theirs = distances(other, left, top, width, height);
    for (let index = 0; index < weight.length; index++)
      weight[index] *= ease(0.5 + (theirs[index] - own[index]) / (2 * OVERLAP));
  }
  for (const stranger of strangers) {
    const theirs = distances(stranger, left, top, width, height);
    for (let index = 0; index < weight.length; index++) weight[index] *= ease((theirs[index] - own[index]) / OVERLAP);
  }
  return weight;
}

/** Of each pixel of the part from the frame's centre: 1 on the border, in the middle of each side. */
function distances(frame: Frame, left: number, top: number, width: number, height: number): Float32Array {
  const result = new Float32Array(width * height);
  const [cosine, sine] = [(Math.cos(frame.angle) * 2) / frame.side, (Math.sin(frame.angle) * 2) / frame.side];
  for (let row = 0, place = 0; row < height; row++) {
    const y = top + row - frame.y;
    for (let column = 0; column < width; column++) {
      const x = left + column - frame.x;
      const [u, v] = [x * cosine + y * sine, y * cosine - x * sine];
      result[place++] = (u ** MASK_EXPONENT + v ** MASK_EXPONENT) ** (1 / MASK_EXPONENT);
    }
  }
  return result;
}

/** 0 up to 0, 1 from 1 on, smooth between. */
function ease(value: number): number {
  value = clamp(value, 0, 1);
  return value * value * (3 - 2 * value);
}

/** The part that the frame needs, the picture's border repeated; its sides are multiples of `multiple`. */
function around(image: Image, frame: Frame, multiple: number): { part: Image; left: number; top: number } {
  const margin = 4 * multiple; // what the kernels reach
  const corners = frame.corners();
  const range = (values: number[]): [start: number, length: number] => {
    const start = Math.floor(Math.min(...values)) - margin;
    const length = Math.ceil((Math.ceil(Math.max(...values)) + margin - start) / multiple) * multiple;
    return [start, length];
  };
  const [left, width] = range(corners.map(([x]) => x));
  const [top, height] = range(corners.map(([, y]) => y));
  const part = newImage(width, height);
  for (let row = 0, place = 0; row < height; row++) {
    const begin = clamp(top + row, 0, image.height - 1) * image.width;
    for (let column = 0; column < width; column++) {
      const from = (begin + clamp(left + column, 0, image.width - 1)) * 3;
      part.data[place++] = image.data[from];
      part.data[place++] = image.data[from + 1];
      part.data[place++] = image.data[from + 2];
    }
  }
  return { part, left, top };
}
