/** One face restored: a headshot and the person's photos in, the headshot restored out. See `hime.restoring.face`. */

import { chooseReferences, meanEmbedding, yawOf, type Reference } from "../faces/album";
import type { Box, Face } from "../faces/detection";
import { similarity, type Embedder } from "../faces/embedding";
import { Frame } from "../faces/headshot";
import { apply } from "../pictures/affine";
import { LANCZOS, newImage, resize, roundHalfEven, type Image, type Values } from "../pictures/arrays";
import { blur } from "../pictures/scipy";
import { Problem } from "../problem";
import { mixed, restoreAnySize } from "./any_size";
import type { Detail } from "./detail";
import { keepHue } from "./hue";
import type { Model, Restorer } from "./restorer";

/** How many photos of a person are used at most. */
export const MOST_REFERENCES = 5;
/** Standard deviation, in sides of the headshot, of the blur: what is coarser than it is the photo's own. */
const COLOUR_SMOOTHING = 1 / 8;
/** A loss of likeness up to this is no reason for a warning. */
const LIKENESS_MARGIN = 0.02;
/** Below it, a face that was said to be the person's may be somebody else's. */
const HARDLY_LIKE = 0.1;

export interface RestoredFace {
  readonly box: Box;
  /** Of its headshot, in pixels of the input. */
  readonly frame: Frame;
  readonly isPerson: boolean;
  /** Why it was left as it is, in plain words; null if it was restored. */
  readonly left: string | null;
  /** Why a face of its size cannot be restored, if so. */
  readonly sizeProblem: string | null;
  /** The headshot as it is in the input. */
  readonly lr: Image;
  /** What it shows; null if it was not looked at. */
  readonly detail: Detail | null;
  /** The sides in pixels that it was restored from, one after another. */
  readonly passes: readonly number[];
  readonly restored: Image | null;
  readonly references: readonly Reference[];
  readonly shares: readonly number[];
  /** Of the first pass. */
  readonly scores: readonly Float32Array[];
  readonly fidelity: number | null;
  readonly warning: string | null;
}

export interface Means {
  readonly embedder: Embedder;
  readonly model: Model;
  readonly restorer: Restorer;
  /** Told of what is being done. */
  progress(step: string): void;
}

/** What the user can say about it. */
export interface Manner {
  /** Restore also what is sharp for its size. */
  readonly evenSharp: boolean;
  /** From 0, nothing is changed, to 1; between them the face is mixed with what it was. */
  readonly strength: number;
}

/** The face of a picture restored, once more with the dial at 1 if it became less like the person. */
export async function restoreFace(
  image: Image,
  face: RestoredFace,
  found: Face,
  references: readonly Reference[],
  means: Means,
  manner: Manner,
): Promise<RestoredFace> {
  const chosen = await chosenFor(image, found, references, means);
  const result = await attempt(face, chosen, means.restorer, manner);
  const likeness = await likenessOf(result, found, references, means);
  const told = (warning: string | null) => [doubt(likeness), warning].filter((each) => each !== null).join("; ") || null;
  if (!isLess(likeness)) return { ...result, warning: told(null) };
  const { fidelity } = means.restorer;
  if (fidelity === null || fidelity >= 1)
    return { ...result, warning: told("less like the person than the input was: look at it with care") };
  const milder = await means.model.restorer(1).catch(unlessMissing);
  if (milder === null) {
    const warning = "less like the person than the input was, and the milder model cannot be loaded: look at it with care";
    return { ...result, warning: told(warning) };
  }
  const again = await attempt(face, chosen, milder, manner);
  const still = isLess(await likenessOf(again, found, references, means))
    ? ", which is less like too: look at it with care"
    : "";
  const warning = `less like the person than the input was, so the milder result was taken${still}`;
  return { ...again, warning: told(warning) };
}

/** All photos where there are few; else the best for it, for which the face is looked at too. */
async function chosenFor(
  image: Image,
  found: Face,
  references: readonly Reference[],
  { embedder }: Means,
): Promise<Reference[]> {
  const isKnown = references.length > MOST_REFERENCES && references.some(({ embedding }) => embedding !== null);
  const own = isKnown ? await embedder.embed(image, found.landmarks) : null;
  return chooseReferences(references, yawOf(found.landmarks), MOST_REFERENCES, own);
}

/** Null for what could not be fetched. */
function unlessMissing(error: unknown): null {
  if (error instanceof Problem) return null;
  throw error;
}

async function attempt(
  face: RestoredFace,
  chosen: readonly Reference[],
  restorer: Restorer,
  { evenSharp, strength }: Manner,
): Promise<RestoredFace> {
  restorer.setReferences(chosen.map(({ crop }) => crop));
  const atLeast = restorer.scale * face.lr.width;
  const { image, lr, detail, passes, shares, scores } = await restoreAnySize(face.lr, restorer, atLeast, evenSharp);
  if (passes.length === 0) {
    const left = `sharp for its size (${roundHalfEven(face.frame.side)} pixels with hair and neck)`;
    return { ...face, left, detail };
  }
  const plain = resize(face.lr, image.width, image.height, LANCZOS);
  const restored = mixed(plain, keepHue(matched(image, plain), lr), strength);
  return { ...face, detail, passes, restored, references: chosen, shares, scores, fidelity: restorer.fidelity };
}

/** Of a face to the person, as it is in the picture and as it was restored; cosines. */
interface Likeness {
  readonly before: number;
  readonly after: number;
}

/** Null where it was not restored, and where nobody had to be told apart. */
async function likenessOf(
  face: RestoredFace,
  found: Face,
  references: readonly Reference[],
  means: Means,
): Promise<Likeness | null> {
  const known = references.flatMap(({ embedding }) => (embedding ? [embedding] : []));
  if (face.restored === null || known.length === 0) return null;
  const person = meanEmbedding(known);
  const toCrop = Frame.of(found.landmarks).toCrop(face.restored.width);
  const landmarks = found.landmarks.map((point) => apply(toCrop, point));
  const plain = resize(face.lr, face.restored.width, face.restored.height, LANCZOS);
  const [before, after] = [await means.embedder.embed(plain, landmarks), await means.embedder.embed(face.restored, landmarks)];
  return { before: similarity(before, person), after: similarity(after, person) };
}

function isLess(likeness: Likeness | null): boolean {
  return likeness !== null && likeness.after < likeness.before - LIKENESS_MARGIN;
}

/** What is to be told of a face that may be somebody else's; null if nothing. */
function doubt(likeness: Likeness | null): string | null {
  if (likeness === null || likeness.before >= HARDLY_LIKE) return null;
  const told = likeness.before.toFixed(2);
  return `hardly like the person as far as can be seen (${told}): if it is somebody else, the result looks like the person all the same`;
}

/** The restored headshot with the colours and the shading of the input, as `plain` shows them. */
export function matched(restored: Image, plain: Image): Image {
  const coarse = blur(difference(restored, plain), COLOUR_SMOOTHING * restored.height);
  const result = newImage(restored.width, restored.height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even
  for (let place = 0; place < levels.length; place++) levels[place] = restored.data[place] - coarse.data[place];
  return result;
}

/** Of two pictures of one size, in levels. */
export function difference(one: Image, other: Image): Values {
  return { ...one, data: Float32Array.from(one.data, (value, place) => value - other.data[place]) };
}
