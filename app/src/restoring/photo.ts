/** A whole photograph: its faces found, known, restored and put back. The counterpart of `hime.restoring.photo`. */

import { embedded, match, meanEmbedding, type Reference } from "../faces/album";
import type { Box, Face } from "../faces/detection";
import { add, cut, extent, Frame, type Landmarks } from "../faces/headshot";
import { clamp, LANCZOS, resize, roundHalfEven, type Image } from "../pictures/arrays";
import { Problem } from "../problem";
import { LARGEST_SIDE } from "./any_size";
import { difference, MOST_REFERENCES, restoreFace, type Manner, type Means, type RestoredFace } from "./face";

/** Sides in pixels of the faces, with hair and neck, that are restored whatever they show. */
const LR_SIDES = [16, 128];
/** Pixels a side of what is kept of a face that was left. */
const LARGEST_LEFT = 256;
/** A picture is enlarged less where it would have more pixels. */
const MAX_RESULT_PIXELS = 64_000_000;

export interface RestoredPhoto {
  /** The whole picture, enlarged, with the restored faces. */
  readonly image: Image;
  /** The whole picture enlarged by Lanczos alone. */
  readonly plain: Image;
  readonly enlargement: number;
}

/** What the user has to choose from. */
export interface Choice {
  /** Of all faces, from left to right. */
  readonly boxes: readonly Box[];
  /** Whether it is to be restored although it is sharp for its size. */
  readonly evenSharp: boolean;
}

/** Faces were found, but none that is restored without a word from the user. */
export class Undecided extends Problem {
  constructor(
    message: string,
    readonly choice: Choice,
  ) {
    super(message);
  }
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
  manner: Manner,
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
    const lr = cut(image, frame, clamp(roundHalfEven(frame.side), 1, left === null ? LARGEST_SIDE : LARGEST_LEFT));
    const nothing = { detail: null, passes: [], restored: null, references: [], shares: [], scores: [] };
    return { box: face.box, frame, isPerson, left, sizeProblem, lr, ...nothing, fidelity: null, warning: null };
  });
  const chosen = faces.flatMap((face, number) => (face.left === null ? [number] : []));
  for (const number of chosen) {
    means.progress(chosen.length > 1 ? `Restoring face ${number + 1}` : "Restoring the face");
    const theirs = faces[number].isPerson ? references : [];
    faces[number] = await restoreFace(image, faces[number], found[number], theirs, means, manner);
  }
  if (faces.every(({ restored }) => restored === null)) throw nothingToDo(faces);
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
    const before = resize(lr, restored.width, restored.height, LANCZOS);
    add(result, difference(restored, before), frames[number], others, strangers);
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

/** Why a face of that size is left, in plain words. */
function sizeProblemOf(frame: Frame): string | null {
  const [smallest] = LR_SIDES;
  const side = roundHalfEven(frame.side);
  return side < smallest ? `too small (${side} pixels with hair and neck, ${smallest} at the least)` : null;
}

/** Why nothing is restored in a picture with these faces, and what to do. */
function nothingToDo(faces: readonly RestoredFace[]): Problem {
  const boxes = faces.map(({ box }) => box);
  const evenSharp = faces.some(({ detail }) => detail !== null);
  const unfit = faces.filter(({ left, sizeProblem, detail }) => left === sizeProblem || detail !== null);
  const reasons = [...new Set(unfit.map(({ left }) => left))];
  const told = `nothing to restore: the face is ${reasons.join("; the face is ")}`;
  if (evenSharp) return new Undecided(`${told}; choose it to restore it all the same`, { boxes, evenSharp });
  if (reasons.length > 0) return new Problem(told);
  const those = faces.length === 1 ? "its face is not" : `none of its ${faces.length} faces is`;
  return new Undecided(`${those} surely the person in the photos; choose the face to restore`, { boxes, evenSharp });
}

function centre(landmarks: Landmarks): number {
  return landmarks.reduce((sum, [x]) => sum + x, 0) / landmarks.length;
}

// ------------------------------------------------------------------------------------------- pictures

/** By Lanczos; always new. */
export function enlarge(image: Image, factor: number): Image {
  return resize(image, image.width * factor, image.height * factor, LANCZOS);
}
