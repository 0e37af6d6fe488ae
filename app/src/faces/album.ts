/** Albums: which photos of a person can be used as references, and whose face is whose. See `hime.faces.album`. */

import { apply } from "../pictures/affine";
import { clamp, resize, roundHalfEven, type Image } from "../pictures/arrays";
import type { Detector, Face } from "./detection";
import { similarity, unitVector, type Embedder } from "./embedding";
import { cut, extent, Frame, type Landmarks } from "./headshot";

// The limits, and where they come from, are those of hime.faces.album.
export const SAME_PERSON = 0.38;
const STRANGER = 0.3;
const MINIMUM_SIDE = 64;
const MAXIMUM_SIDE = 512;
const SMALLEST_FACE = 45;
const MAXIMUM_YAW = 0.77;
const NOSE_LENGTH = 0.45;
const MINIMUM_SHARPNESS = 0.03;
const DARKEST_LIGHTS = 70;
const BLOWN_OUT = 0.25;
const MAIN_FACE = 2;
const MOST_FACES = 16;
const LOOK_SIDE = 128;
/** From the brows to the chin in a headshot of that side: no hair, no background. */
const INNER_FACE = { top: 40, bottom: 104, left: 36, right: 92 };

/** A usable photo of a person; what is kept of a person on the device. */
export interface Reference {
  readonly name: string;
  /** The aligned headshot, from 64 to 512 pixels a side. */
  readonly crop: Image;
  /** In pixels of the crop. */
  readonly landmarks: Landmarks;
  /** Null while nobody had to be told apart. */
  readonly embedding: Float32Array | null;
  /** From 0 to 1: how sharp and large the face is. */
  readonly quality: number;
  /** See `yawOf`. */
  readonly yaw: number;
}

/** A photo looked at, and the reason why it is not used, if it is not. */
export interface Look {
  readonly reference: Reference;
  readonly side: number;
  readonly problem: string | null;
}

/** How far a face looks to the side, from −1 to 1, 0 frontal, negative towards the picture's left. */
export function yawOf(points: Landmarks): number {
  const { angle } = Frame.of(points);
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const along = points.map(([x, y]) => x * cosine + y * sine);
  const way = along[2] - ((along[0] + along[1]) / 2 + (along[3] + along[4]) / 2) / 2;
  return Math.sin(Math.atan2(way, NOSE_LENGTH * (along[1] - along[0])));
}

/** The faces of a photo of the person that can be looked at, the largest first. */
export async function facesOf(photo: Image, detector: Detector): Promise<Face[]> {
  const found = await detector.detect(photo, SMALLEST_FACE);
  return found.slice(0, MOST_FACES).filter((face) => extent(face.landmarks) >= 1);
}

export function look(name: string, image: Image, face: Face): Look {
  const frame = Frame.of(face.landmarks);
  const { side } = frame;
  const crop = cut(image, frame, clamp(roundHalfEven(side), MINIMUM_SIDE, MAXIMUM_SIDE));
  const toCrop = frame.toCrop(crop.width);
  const landmarks = face.landmarks.map((point) => apply(toCrop, point));
  const grey = luminance(resize(crop, LOOK_SIDE, LOOK_SIDE));
  const inner = innerFace(grey);
  const sharpness = variance(innerFace(laplace(grey))) / Math.max(1, variance(inner));
  const yaw = yawOf(face.landmarks);
  const quality = Math.sqrt(
    Math.min(1, sharpness / (10 * MINIMUM_SHARPNESS)) * Math.min(1, side / (4 * MINIMUM_SIDE)),
  );
  let problem: string | null = null;
  if (side < MINIMUM_SIDE)
    problem = `the face is too small (${roundHalfEven(side)} pixels, at least ${MINIMUM_SIDE} are needed)`;
  else if (Math.abs(yaw) > MAXIMUM_YAW) problem = "looks away";
  else if (percentile(inner, 0.95) < DARKEST_LIGHTS) problem = "underexposed";
  else if (inner.filter((value) => value > 247).length / inner.length > BLOWN_OUT) problem = "overexposed";
  else if (sharpness < MINIMUM_SHARPNESS) problem = "blurred";
  return { reference: { name, crop, landmarks, embedding: null, quality, yaw }, side, problem };
}

/** The references with an embedding each. */
export async function embedded(references: readonly Reference[], embedder: Embedder): Promise<Reference[]> {
  const result: Reference[] = [];
  for (const reference of references) {
    const embedding = reference.embedding ?? (await embedder.embed(reference.crop, reference.landmarks));
    result.push({ ...reference, embedding });
  }
  return result;
}

/**
 * The person's face in each photo; the person is who is in most photos.
 *
 * @param photos of each its faces, the largest first, with embeddings.
 * @returns for each photo the number of the face, or why there is none.
 */
export function personsFaces(photos: readonly (readonly Look[])[]): (number | string)[] {
  const embedding = (of: Look): Float32Array => of.reference.embedding!;
  const isPortrait = (looks: readonly Look[]): boolean =>
    looks.length === 1 || looks[0].side >= MAIN_FACE * looks[1].side;
  const best = (looks: readonly Look[], like: Float32Array): number => {
    const cosines = looks.map((candidate) => similarity(embedding(candidate), like));
    return cosines.indexOf(Math.max(...cosines));
  };
  const portraits = photos.filter(isPortrait);
  const candidates = portraits.length > 0 ? portraits.map((looks) => looks[0]) : photos.flat();
  const ranked = candidates.map((candidate) => {
    const agreeing = photos
      .map((looks) => looks[best(looks, embedding(candidate))])
      .filter((other) => similarity(embedding(other), embedding(candidate)) >= SAME_PERSON);
    const sum = agreeing.reduce((total, other) => total + similarity(embedding(other), embedding(candidate)), 0);
    return { candidate, agreeing, sum };
  });
  if (ranked.length === 0) return [];
  const first = ranked.reduce((one, other) =>
    other.agreeing.length > one.agreeing.length ||
    (other.agreeing.length === one.agreeing.length && other.sum > one.sum)
      ? other
      : one,
  );
  if (portraits.length === 0) {
    const rival = ranked.some(
      (other) =>
        other.agreeing.length === first.agreeing.length &&
        similarity(embedding(other.candidate), embedding(first.candidate)) < SAME_PERSON,
    );
    if (first.agreeing.length < 2 || rival)
      return photos.map(() => "several faces, and no photo of the person alone that would tell whose is meant");
  }
  return photos.map((looks) => {
    const { agreeing } = first;
    const others = agreeing.length === 1 ? agreeing : agreeing.filter((other) => !looks.includes(other));
    const mean = meanEmbedding(others.map(embedding));
    const number = best(looks, mean);
    const cosine = similarity(embedding(looks[number]), mean);
    if (cosine >= (isPortrait(looks) ? STRANGER : SAME_PERSON)) return number;
    return isPortrait(looks)
      ? "another person than in the other photos"
      : "several faces, none of them surely the person's";
  });
}

/** The mean of embeddings, of length 1. */
export function meanEmbedding(embeddings: readonly Float32Array[]): Float32Array {
  return unitVector(
    embeddings[0].map((_, index) => embeddings.reduce((sum, embedding) => sum + embedding[index], 0)),
  );
}

/** How much more like the face, or the person on all photos, counts than a difference of 1 in yaw. */
const LIKE = 2.0;
const TYPICAL = 2.0;
const QUALITY = 0.1;
const REPEATED = 0.3;

/**
 * The best references for a face that looks there, the best first: by pose, by likeness to the face (null: not known)
 * and to the person, then by quality and variety.
 */
export function chooseReferences(
  references: readonly Reference[],
  yaw: number,
  count: number,
  face: Float32Array | null,
): Reference[] {
  const chosen: Reference[] = [];
  const rest = [...references];
  const known = references.flatMap(({ embedding }) => (embedding ? [embedding] : []));
  const person = known.length > 0 ? meanEmbedding(known) : null;
  const cosine = (one: Float32Array | null, other: Float32Array | null): number => (one && other ? similarity(one, other) : 0);
  const cost = ({ embedding, quality, yaw: own }: Reference): number => {
    const repeated = Math.max(0, ...chosen.map((other) => cosine(embedding, other.embedding)));
    const like = LIKE * cosine(embedding, face) + TYPICAL * cosine(embedding, person);
    return Math.abs(own - yaw) + REPEATED * repeated - like - QUALITY * quality;
  };
  while (rest.length > 0 && chosen.length < count) {
    const costs = rest.map(cost);
    chosen.push(...rest.splice(costs.indexOf(Math.min(...costs)), 1));
  }
  return chosen;
}

/** Which of the faces of one picture is the person's; −1 if none is. */
export function match(embeddings: readonly Float32Array[], person: Float32Array): number {
  const cosines = embeddings.map((embedding) => similarity(embedding, person));
  const most = Math.max(...cosines);
  return most >= SAME_PERSON ? cosines.indexOf(most) : -1;
}

/** BT.601, of a picture of `LOOK_SIDE`×`LOOK_SIDE`. */
function luminance({ data }: Image): Float32Array {
  return Float32Array.from(
    { length: data.length / 3 },
    (_, place) => 0.299 * data[place * 3] + 0.587 * data[place * 3 + 1] + 0.114 * data[place * 3 + 2],
  );
}

function laplace(grey: Float32Array): Float32Array {
  const last = LOOK_SIDE - 1;
  const at = (row: number, column: number): number =>
    grey[clamp(row, 0, last) * LOOK_SIDE + clamp(column, 0, last)];
  return grey.map((value, place) => {
    const [row, column] = [Math.floor(place / LOOK_SIDE), place % LOOK_SIDE];
    return at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1) - 4 * value;
  });
}

function innerFace(values: Float32Array): Float32Array {
  const { top, bottom, left, right } = INNER_FACE;
  const width = right - left;
  return Float32Array.from(
    { length: (bottom - top) * width },
    (_, place) => values[(top + Math.floor(place / width)) * LOOK_SIDE + left + (place % width)],
  );
}

function variance(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

function percentile(values: Float32Array, share: number): number {
  const sorted = values.toSorted();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}
