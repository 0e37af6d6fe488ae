/** Faces found in pictures by YuNet (Wu et al. 2023), with five landmarks each. See `hime.faces.detection`. */

import { apply, type Affine, type Point } from "../pictures/affine";
import { clamp, crop, roundHalfEven, type Image } from "../pictures/arrays";
import { resizeForFaces, sides, warp } from "../pictures/opencv";
import { fetchBytes } from "../site/files";
import { openOnProcessor, Tensor, type InferenceSession } from "../site/runtime";
import { extent, Frame, type Landmarks } from "./headshot";

// How pictures are looked at, and what was measured of it, is told in hime.faces.detection.
/** Longest sides to which every picture is brought to look for faces of any size. */
export const DETECTION_SIDES = [160, 640];
/** Pictures are enlarged no more than this to look for faces. */
const MAXIMUM_FACTOR = 8;
/** Height in pixels from which the detector misses no face. */
const SURE_HEIGHT = 30;
/** Height in pixels of the faces that are looked for, of the box. */
const SMALLEST_HEIGHT = 15;
/** Pixels to which pictures are enlarged at the most to look for small faces. */
const WORK = 27_000_000;
/** Height in pixels of the faces taken from the levels finer than `DETECTION_SIDES`. */
const LARGEST_HEIGHT = 240;
/** From one of these levels to the next. */
const LEVEL_STEP = 4;
/** Sides in pixels of the parts in which these levels are looked at. */
const TILE = 1920;
/** How far these parts share the picture: a face is taken from the part that its centre lies deepest in. */
const TILE_OVERLAP = 256;
/** A face found is looked at once more, upright in the middle of a square of so many pixels … */
const REFINED_SIDE = 416;
/** … which is so many times the sides of its headshot. */
const REFINED_MARGIN = 1.3;
/** Radians: a face that lies so in its cut-out needs no other look. */
const STRAIGHT = 0.05;
const REFINEMENTS = 2;
/** Landmarks say where to look once more to such a part of the headshot's side: see `hime.faces.detection`. */
const STEADY = 4096;
const MINIMUM_SCORE = 0.6;
/** Two boxes whose intersection is more than this share of their union are one face. */
const OVERLAP = 0.3;
const STRIDES = [8, 16, 32];

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Face {
  /** May reach beyond the picture. */
  readonly box: Box;
  readonly landmarks: Landmarks;
  /** How sure the detector is, in [0.6, 1]. */
  readonly score: number;
}

export class Detector {
  private constructor(private readonly network: InferenceSession) {}

  /** Fetch the network from `folder`. */
  static async fetch(folder: string): Promise<Detector> {
    return new Detector(await openOnProcessor(await fetchBytes(`${folder}/yunet.onnx`)));
  }

  /**
   * The faces in a picture, the largest first.
   *
   * @param smallest height in pixels of the faces that must be found.
   */
  async detect(image: Image, smallest?: number): Promise<Face[]> {
    const search = this.search(image, smallest);
    for (;;) {
      const { value, done } = await search.next();
      if (done) return value;
    }
  }

  /** As `detect`; yields what it has found so far each time before it looks where looking takes long. */
  async *search(image: Image, smallest = SMALLEST_HEIGHT): AsyncGenerator<Face[], Face[]> {
    const longest = Math.max(image.width, image.height);
    const coarse: Face[] = [];
    for (const side of DETECTION_SIDES)
      coarse.push(...(await this.detectAt(image, Math.min(side / longest, MAXIMUM_FACTOR))));
    const factors: number[] = [];
    let factor = Math.min(SURE_HEIGHT / smallest, Math.max(1, Math.sqrt(WORK / (image.width * image.height))));
    for (; factor * longest > DETECTION_SIDES.at(-1)!; factor /= LEVEL_STEP) factors.push(factor);
    const refined = new Map<Face, Face>();
    const faces = async (found: readonly Face[]): Promise<Face[]> => {
      for (const face of distinct(found))
        if (!refined.has(face)) refined.set(face, await this.refine(image, face));
      // Once more after the refinement, which draws two halves of a face to the same whole.
      const whole = distinct(distinct(found).map((face) => refined.get(face)!));
      return whole.sort((one, other) => area(other.box) - area(one.box));
    };
    let fine: Face[] = [];
    for (const factor of factors.reverse()) {
      if (factor * longest > TILE) yield faces([...coarse, ...fine]);
      const level = await this.detectInTiles(image, factor);
      fine = [...level.filter(({ box }) => box.height * factor <= LARGEST_HEIGHT), ...fine]; // in Python's order
    }
    return faces([...coarse, ...fine]);
  }

  /** What `detectAt` gives of a picture of any size, but of faces larger than `TILE_OVERLAP`. */
  private async detectInTiles(image: Image, factor: number): Promise<Face[]> {
    const faces: Face[] = [];
    const [columns, rows] = [tiles(image.width, factor), tiles(image.height, factor)];
    for (const row of rows)
      for (const column of columns) {
        const part = crop(image, column.start, row.start, column.side, row.side);
        for (const { box, landmarks, score } of await this.detectAt(part, factor)) {
          const [left, top] = [box.left + column.start, box.top + row.start];
          if (!isWithin(left + box.width / 2, column) || !isWithin(top + box.height / 2, row)) continue;
          const moved = landmarks.map(([x, y]) => single([x + column.start, y + row.start]));
          faces.push({ box: { ...box, left, top }, landmarks: moved, score });
        }
      }
    return faces;
  }

  /** The faces found in the picture resized by `factor`, in coordinates of the picture itself. */
  async detectAt(image: Image, factor: number): Promise<Face[]> {
    const [width, height] = sides(image, factor);
    const resized = resizeForFaces(image, width, height);
    const [across, down] = [image.width / width, image.height / height];
    return (await this.look(resized)).map(({ box, landmarks, score }) => ({
      box: { left: box.left * across, top: box.top * down, width: box.width * across, height: box.height * down },
      landmarks: landmarks.map(([x, y]): Point => [moved(x, across), moved(y, down)]),
      score,
    }));
  }

  /** What the detector sees, as OpenCV's `FaceDetectorYN` takes it from the network's outputs. */
  private async look(image: Image): Promise<Face[]> {
    const [wide, high] = [Math.ceil(image.width / 32) * 32, Math.ceil(image.height / 32) * 32];
    const planes = new Float32Array(3 * wide * high);
    for (let row = 0; row < image.height; row++)
      for (let column = 0; column < image.width; column++)
        for (let channel = 0; channel < 3; channel++)
          planes[((2 - channel) * high + row) * wide + column] = image.data[(row * image.width + column) * 3 + channel];
    const input = new Tensor("float32", planes, [1, 3, high, wide]);
    const outputs = await this.network.run({ input });
    const values = (name: string): Float32Array => outputs[name].data as Float32Array;
    const found: Face[] = [];
    for (const stride of STRIDES) {
      const [classes, objects] = [values(`cls_${stride}`), values(`obj_${stride}`)];
      const [boxes, points] = [values(`bbox_${stride}`), values(`kps_${stride}`)];
      const columns = wide / stride;
      for (let place = 0; place < classes.length; place++) {
        const score = Math.sqrt(clamp(classes[place], 0, 1) * clamp(objects[place], 0, 1));
        if (score < MINIMUM_SCORE) continue;
        const [column, row] = [place % columns, Math.floor(place / columns)];
        const width = Math.exp(boxes[place * 4 + 2]) * stride;
        const height = Math.exp(boxes[place * 4 + 3]) * stride;
        const left = (column + boxes[place * 4]) * stride - width / 2;
        const top = (row + boxes[place * 4 + 1]) * stride - height / 2;
        const landmarks = Array.from({ length: 5 }, (_, index): Point => {
          const from = place * 10 + index * 2;
          return [(points[from] + column) * stride, (points[from + 1] + row) * stride];
        });
        found.push({ box: { left, top, width, height }, landmarks, score });
      }
    }
    return distinct(found, whole);
  }

  /** The face as it is found in an upright cut-out, or as it was if it is not found there. */
  async refine(image: Image, face: Face): Promise<Face> {
    for (let look = 0; look < REFINEMENTS; look++) {
      if (extent(face.landmarks) < 1) break;
      const original = Frame.of(steady(face.landmarks));
      const frame = original.sized(REFINED_MARGIN * original.side);
      const middle = (REFINED_SIDE - 1) / 2;
      const reach = REFINED_SIDE / REFINED_MARGIN / 8;
      const near = (await this.look(cutOut(image, frame))).filter(({ landmarks }) =>
        [0, 1].every((axis) => {
          const mean = landmarks.reduce((sum, point) => sum + point[axis], 0) / landmarks.length;
          return Math.abs(mean - middle) < reach;
        }),
      );
      if (near.length === 0) break;
      const best = near.reduce((one, other) => (other.score > one.score ? other : one));
      const toPicture = frame.fromCrop(REFINED_SIDE);
      const { left, top } = best.box;
      const [x, y] = apply(toPicture, [left + best.box.width / 2, top + best.box.height / 2]);
      const width = (best.box.width * frame.side) / REFINED_SIDE;
      const height = (best.box.height * frame.side) / REFINED_SIDE;
      face = {
        box: { left: x - width / 2, top: y - height / 2, width, height },
        landmarks: best.landmarks.map((point) => single(apply(toPicture, point))),
        score: best.score,
      };
      if (Math.abs(Frame.of(best.landmarks).angle) < STRAIGHT) break;
    }
    return face;
  }
}

/** The frame's part of the picture, upright, `REFINED_SIDE` a side; faster and less exact than `cut`. */
function cutOut(image: Image, frame: Frame): Image {
  const reach = frame.side; // more than half of the diagonal
  const left = clamp(Math.floor(frame.x - reach), 0, image.width - 1);
  const top = clamp(Math.floor(frame.y - reach), 0, image.height - 1);
  const right = clamp(Math.ceil(frame.x + reach), 1, image.width);
  const bottom = clamp(Math.ceil(frame.y + reach), 1, image.height);
  const part = crop(image, left, top, right - left, bottom - top);
  const [width, height] = sides(part, Math.min(1, REFINED_SIDE / frame.side));
  const [across, down] = [width / part.width, height / part.height];
  const [start, end, below] = frame
    .corners()
    .map(([x, y]): Point => [(x - left + 0.5) * across - 0.5, (y - top + 0.5) * down - 0.5])
    .map(single); // as OpenCV takes them
  const [a, d] = [(end[0] - start[0]) / REFINED_SIDE, (end[1] - start[1]) / REFINED_SIDE];
  const [b, e] = [(below[0] - end[0]) / REFINED_SIDE, (below[1] - end[1]) / REFINED_SIDE];
  const matrix: Affine = [a, b, start[0] + (a + b) / 2, d, e, start[1] + (d + e) / 2];
  return warp(resizeForFaces(part, width, height), matrix, REFINED_SIDE, REFINED_SIDE);
}

/** Of each face in the picture the surest; boxes are compared as `as` makes them. */
function distinct(faces: readonly Face[], as = (box: Box): Box => box): Face[] {
  const result: Face[] = [];
  for (const face of faces.toSorted((one, other) => other.score - one.score))
    if (result.every((other) => overlap(as(face.box), as(other.box)) <= OVERLAP)) result.push(face);
  return result;
}

/** A part of one side of a picture, and which of its faces are its own: with their middle between these. */
interface Tile {
  readonly start: number;
  readonly side: number;
  readonly from: number;
  readonly to: number;
}

function tiles(extent: number, factor: number): Tile[] {
  const shared = TILE_OVERLAP / factor;
  const count = Math.max(1, Math.ceil((extent - shared) / (TILE / factor - shared)));
  const side = Math.ceil((extent + (count - 1) * shared) / count);
  const starts = Array.from({ length: count }, (_, number) =>
    roundHalfEven((number * (extent - side)) / Math.max(1, count - 1)),
  );
  const borders = starts.slice(1).map((start, number) => (start + starts[number] + side) / 2);
  return starts.map((start, number) => ({
    start,
    side,
    from: borders[number - 1] ?? -Infinity,
    to: borders[number] ?? Infinity,
  }));
}

function isWithin(place: number, { from, to }: Tile): boolean {
  return from <= place && place < to;
}

/** Multiples of a power of two, see `STEADY`. */
function steady(landmarks: Landmarks): Landmarks {
  const step = 2 ** Math.floor(Math.log2(Frame.of(landmarks).side / STEADY));
  return landmarks.map(([x, y]): Point => [roundHalfEven(x / step) * step, roundHalfEven(y / step) * step]);
}

/** A place in the picture enlarged by `ratio`, reckoned in single precision as Python does. */
function moved(place: number, ratio: number): number {
  return Math.fround(Math.fround(Math.fround(place + 0.5) * Math.fround(ratio)) - 0.5);
}

/** In single precision, as Python keeps landmarks. */
function single([x, y]: Point): Point {
  return [Math.fround(x), Math.fround(y)];
}

/** Intersection over union. */
function overlap(one: Box, other: Box): number {
  const across = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const down = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  const common = Math.max(0, across) * Math.max(0, down);
  return common / (area(one) + area(other) - common);
}

function area(box: Box): number {
  return box.width * box.height;
}

/** The box in whole pixels, as OpenCV compares them. */
function whole({ left, top, width, height }: Box): Box {
  return { left: Math.trunc(left), top: Math.trunc(top), width: Math.trunc(width), height: Math.trunc(height) };
}
