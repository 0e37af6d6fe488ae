/** A whole photograph: its faces found, known, restored and put back. The counterpart of `hime.restoring.photo`. */

import { chooseReferences, embedded, match, meanEmbedding, yawOf, type Reference } from "../faces/album";
import type { Box, Face } from "../faces/detection";
import { similarity, type Embedder } from "../faces/embedding";
import { add, cut, extent, Frame, type Landmarks } from "../faces/headshot";
import { apply } from "../pictures/affine";
import { clamp, LANCZOS, newImage, resize, roundHalfEven, type Image, type Values } from "../pictures/arrays";
import { blur } from "../pictures/scipy";
import { Problem } from "../problem";
import type { Model, Restorer } from "./restorer";

/** Sides in pixels of the faces, with hair and neck, that are restored. */
const LR_SIDES = [16, 128];
/** A picture is enlarged less where it would have more pixels. */
const MAX_RESULT_PIXELS = 64_000_000;
/** How many photos of a person are used at most. */
export const MOST_REFERENCES = 5;
/** Standard deviation, in sides of the headshot, of the blur: what is coarser than it is the photo's own. */
const COLOUR_SMOOTHING = 1 / 8;
/** A loss of likeness up to this is no reason for a warning. */
const LIKENESS_MARGIN = 0.02;

export interface RestoredFace {
  readonly box: Box;
  /** Of its headshot, in pixels of the input. */
  readonly frame: Frame;
  readonly isPerson: boolean;
  /** Why it was left as it is, in plain words; null if it was restored. */
  readonly left: string | null;
  /** Why a face of its size cannot be restored, if so. */
  readonly sizeProblem: string | null;
  readonly lr: Image;
  readonly restored: Image | null;
  readonly references: readonly Reference[];
  readonly shares: readonly number[];
  readonly scores: readonly Float32Array[];
  readonly fidelity: number | null;
  readonly warning: string | null;
}

export interface RestoredPhoto {
  /** The whole picture, enlarged, with the restored faces. */
  readonly image: Image;
  /** The whole picture enlarged by Lanczos alone. */
  readonly plain: Image;
  readonly enlargement: number;
}

/** Faces were found, but none that can be restored without a word from the user. */
export class NotKnown extends Problem {
  constructor(
    message: string,
    /** Of all faces, from left to right. */
    readonly boxes: readonly Box[],
  ) {
    super(message);
  }
}

export interface Means {
  readonly embedder: Embedder;
  readonly model: Model;
  readonly restorer: Restorer;
  /** Told of what is being done. */
  progress(step: string): void;
}

/** Faces that can be restored or named, from left to right. */
export function fromLeftToRight(faces: readonly Face[]): Face[] {
  return faces
    .filter((face) => extent(face.landmarks) >= 1)
    .sort((one, other) => centre(one.landmarks) - centre(other.landmarks));
}

/**
 * Restore the person's face in a photograph, or everybody's if there is no photo of anybody.
 *
 * @param found the faces in it, from left to right.
 * @param onlyFace restore only the face of that number, from 0, whoever it seems to be.
 * @returns what became of each face.
 */
export async function restoreFaces(
  image: Image,
  found: readonly Face[],
  references: readonly Reference[],
  means: Means,
  onlyFace: number | null,
): Promise<RestoredFace[]> {
  if (found.length === 0) throw new Problem("no face found; give a larger picture, or one that shows a face");
  // One face against photos of one person needs nobody told apart.
  if (references.length > MOST_REFERENCES || (references.length > 0 && found.length > 1)) {
    means.progress("Telling people apart");
    references = await embedded(references, means.embedder);
  }
  const whose = await whoseFace(image, found, references, means, onlyFace);

  const faces = found.map((face, number): RestoredFace => {
    const frame = Frame.of(face.landmarks);
    const isPerson = number === whose;
    let left: string | null = null;
    if (onlyFace !== null) left = number === onlyFace ? null : "not asked for";
    else if (references.length > 0 && !isPerson) left = "not the person in the photos";
    const sizeProblem = sizeProblemOf(frame);
    left ??= sizeProblem;
    const side = clamp(roundHalfEven(frame.side), 1, 2 * LR_SIDES[1]);
    const lr = cut(image, frame, side);
    const none = { restored: null, references: [], shares: [], scores: [], fidelity: null, warning: null };
    return { box: face.box, frame, isPerson, left, sizeProblem, lr, ...none };
  });
  const chosen = faces.flatMap((face, number) => (face.left === null ? [number] : []));
  if (chosen.length === 0) throw nothingToDo(faces);
  for (const number of chosen) {
    means.progress(chosen.length > 1 ? `Restoring face ${number + 1}` : "Restoring the face");
    faces[number] = await restoreFace(faces[number], found[number], faces[number].isPerson ? references : [], means);
  }
  return faces;
}

/** The picture, `scale` times as large (or less, if it is large), with the faces that were restored in it. */
export function putBack(image: Image, faces: readonly RestoredFace[], scale: number): RestoredPhoto {
  let enlargement = scale;
  while (enlargement > 1 && image.width * image.height * enlargement ** 2 > MAX_RESULT_PIXELS) enlargement /= 2;
  const plain = enlarge(image, enlargement);
  const result: Image = { ...plain, data: plain.data.slice() };
  const frames = faces.map(({ frame }) => frame.scaled(enlargement));
  const strangers = frames.filter((_, number) => faces[number].restored === null);
  faces.forEach(({ restored, lr }, number) => {
    if (restored === null) return;
    const others = frames.filter((_, other) => other !== number && faces[other].restored !== null);
    add(result, difference(restored, enlarge(lr, scale)), frames[number], others, strangers);
  });
  return { image: result, plain, enlargement };
}

/** The number of the person's face; −1 for none. */
async function whoseFace(
  image: Image,
  found: readonly Face[],
  references: readonly Reference[],
  means: Means,
  onlyFace: number | null,
): Promise<number> {
  if (references.length === 0) return -1;
  if (onlyFace !== null) return onlyFace;
  const known = references.flatMap(({ embedding }) => (embedding ? [embedding] : []));
  if (known.length === 0) return found.length === 1 ? 0 : -1; // nobody had to be told apart
  const embeddings: Float32Array[] = [];
  for (const face of found) embeddings.push(await means.embedder.embed(image, face.landmarks));
  return match(embeddings, meanEmbedding(known));
}

/** The face restored, once more with the dial at 1 if it became less like the person. */
async function restoreFace(
  face: RestoredFace,
  found: Face,
  references: readonly Reference[],
  means: Means,
): Promise<RestoredFace> {
  const chosen = chooseReferences(references, yawOf(found.landmarks), MOST_REFERENCES);
  const result = await attempt(face, chosen, means.restorer);
  if (!(await isLessLike(result, found, references, means))) return result;
  const { fidelity } = means.restorer;
  if (fidelity === null || fidelity >= 1)
    return { ...result, warning: "less like the person than the input was: look at it with care" };
  const again = await attempt(face, chosen, await means.model.restorer(1));
  const still = (await isLessLike(again, found, references, means))
    ? ", which is less like too: look at it with care"
    : "";
  return { ...again, warning: `less like the person than the input was, so the milder result was taken${still}` };
}

async function attempt(face: RestoredFace, chosen: readonly Reference[], restorer: Restorer): Promise<RestoredFace> {
  restorer.setReferences(chosen.map(({ crop }) => crop));
  const { image, shares, scores } = await restorer.restore(face.lr);
  const restored = matched(image, enlarge(face.lr, restorer.scale));
  return { ...face, restored, references: chosen, shares, scores, fidelity: restorer.fidelity };
}

/** Whether it lost likeness to the person; no, where nobody had to be told apart. */
async function isLessLike(
  face: RestoredFace,
  found: Face,
  references: readonly Reference[],
  means: Means,
): Promise<boolean> {
  const known = references.flatMap(({ embedding }) => (embedding ? [embedding] : []));
  if (face.restored === null || known.length === 0) return false;
  const person = meanEmbedding(known);
  const toCrop = Frame.of(found.landmarks).toCrop(face.restored.width);
  const landmarks = found.landmarks.map((point) => apply(toCrop, point));
  const plain = resize(face.lr, face.restored.width, face.restored.height, LANCZOS);
  const before = similarity(await means.embedder.embed(plain, landmarks), person);
  const after = similarity(await means.embedder.embed(face.restored, landmarks), person);
  return after < before - LIKENESS_MARGIN;
}

/** Why a face of that size is left, in plain words. */
function sizeProblemOf(frame: Frame): string | null {
  const [smallest, largest] = LR_SIDES;
  const side = roundHalfEven(frame.side);
  if (side < smallest) return `too small (${side} pixels with hair and neck, ${smallest} at the least)`;
  if (side > largest)
    return `large enough already (${side} pixels with hair and neck; up to ${largest} are restored)`;
  return null;
}

function nothingToDo(faces: readonly RestoredFace[]): Problem {
  const unfit = faces.filter(({ left, sizeProblem }) => left === sizeProblem);
  const reasons = [...new Set(unfit.map(({ left }) => left))];
  if (reasons.length > 0) return new Problem(`nothing to restore: the face is ${reasons.join("; the face is ")}`);
  const those = faces.length === 1 ? "its face is not" : `none of its ${faces.length} faces is`;
  return new NotKnown(
    `${those} surely the person in the photos; choose the face to restore`,
    faces.map(({ box }) => box),
  );
}

function centre(landmarks: Landmarks): number {
  return landmarks.reduce((sum, [x]) => sum + x, 0) / landmarks.length;
}

// ------------------------------------------------------------------------------------------- pictures

/** By Lanczos; always new. */
export function enlarge(image: Image, factor: number): Image {
  return resize(image, image.width * factor, image.height * factor, LANCZOS);
}

function difference(one: Image, other: Image): Values {
  return { ...one, data: Float32Array.from(one.data, (value, place) => value - other.data[place]) };
}

/** The restored headshot with the colours and the shading of the input, as `plain` shows them. */
export function matched(restored: Image, plain: Image): Image {
  const coarse = blur(difference(restored, plain), COLOUR_SMOOTHING * restored.height);
  const result = newImage(restored.width, restored.height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even
  for (let place = 0; place < levels.length; place++) levels[place] = restored.data[place] - coarse.data[place];
  return result;
}
