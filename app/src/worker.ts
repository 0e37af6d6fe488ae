/** The worker: everything that takes time. Messages are calls of `engine`, one after another; see client.ts. */

import { embedded, facesOf, look, personsFaces, type Look, type Reference } from "./album";
import { Faces, type Face } from "./faces";
import { cut, extent, Frame, type Point } from "./headshot";
import type { Image } from "./image";
import {
  enlarge,
  fromLeftToRight,
  matched,
  MOST_REFERENCES,
  NotKnown,
  putBack,
  restoreFaces,
  type RestoredFace,
} from "./photo";
import { fromBitmap, readImage, toRgba, writeImage } from "./picture";
import { Problem } from "./problem";
import { Model, type Restoration, type Restorer } from "./restorer";
import { findGraphics, setUp, threads, type Open } from "./runtime";
import { fetchJson } from "./site";

/** Of a model, in the site's list of them. */
export interface ModelEntry {
  readonly name: string;
  readonly scale: number;
  /** Where the dial stands if nothing is said; null without one. */
  readonly fidelity: number | null;
}

export interface Opened {
  /** Where the dial stands; null without one. */
  readonly fidelity: number | null;
  readonly licence: string;
}

/** A `RestoredFace` with pictures that a canvas takes. */
export interface ShownFace extends Omit<RestoredFace, "frame" | "lr" | "restored" | "references"> {
  /** Upper left, upper right, lower right and lower left of its headshot, in pixels of the input. */
  readonly corners: readonly Point[];
  readonly lr: ImageData;
  readonly restored: ImageData | null;
  readonly references: readonly { readonly name: string; readonly crop: ImageData }[];
}

export interface ShownFaces {
  /** From left to right. */
  readonly faces: readonly ShownFace[];
  /** Whether the whole picture was searched; else the next call goes on. */
  readonly isComplete: boolean;
}

export interface ShownPhoto {
  readonly image: ImageData;
  readonly plain: ImageData;
  /** How many times the input's sides the sides are. */
  readonly enlargement: number;
}

export interface Photos {
  readonly references: readonly Reference[];
  /** File name and reason of each photo that is not used. */
  readonly rejected: readonly (readonly [name: string, reason: string])[];
}

export interface LiveFrame {
  readonly plain: ImageData;
  readonly restored: ImageData;
}

/** Longest side of live video, and that at which faces are looked for in it. */
const LIVE_PICTURE = 640;
const LIVE_DETECTION = 160;
/** What a poor line leaves of the face. */
const LIVE_SIDE = 32;
/** How much of the last frame's place is kept while the face stays where it was. */
const STEADINESS = 0.7;

/** A picture in which faces are looked for. */
interface Picture {
  readonly key: number;
  readonly image: Image;
  readonly search: AsyncGenerator<Face[], Face[]>;
  /** Found so far, from left to right. */
  faces: readonly Face[];
  isComplete: boolean;
}

let site = "";
let faces: Promise<Faces> | null = null;
let graphics: Promise<Open | null> | null = null;
let model: Model | null = null;
let restorer: Restorer | null = null;
let references: readonly Reference[] = [];
let picture: Picture | null = null;
let restored: readonly RestoredFace[] = [];
let result: Image | null = null;
let liveFrame: Frame | null = null;

function progress(step: string): void {
  postMessage({ progress: step });
}

function detector(): Promise<Faces> {
  faces ??= Faces.fetch(`${site}/faces`).catch((error: unknown) => {
    faces = null; // the next call tries again
    throw error;
  });
  return faces;
}

function opened(): Restorer {
  if (restorer === null) throw new Error("no model was opened");
  return restorer;
}

/** Look where faces were not looked for yet. */
async function searchOn(of: Picture): Promise<void> {
  if (of.isComplete) return;
  progress(of.faces.length === 0 ? "Looking for faces" : "Looking for more faces");
  const { value, done } = await of.search.next().catch((error: unknown) => {
    picture = null; // a search that failed is over: the next call begins anew
    throw error;
  });
  of.faces = fromLeftToRight(value);
  of.isComplete = done === true;
}

/** Let it run on the graphics card, if there is one that does better than the processor; told in any case. */
async function chooseRunTime(of: Restorer): Promise<void> {
  const count = threads();
  let told = `Runs on the processor (${count === 1 ? "one thread" : `${count} threads`})`;
  const tell = (): void => {
    if (restorer === of) postMessage({ runsOn: `${told}.` });
  };
  tell();
  try {
    const open = await (graphics ??= findGraphics());
    if (open === null) return;
    const { same, gain } = await of.tryGraphics(open);
    if (!same) told += "; the graphics card’s results differ";
    else if (gain <= 1) told += "; the graphics card gives the same, but no sooner";
    else told = `Runs on the graphics card: the same results as the processor’s, ${gain.toFixed(1)} times as fast`;
  } catch (error) {
    console.warn("the graphics card cannot be used", error);
    told += "; the graphics card cannot be used";
  }
  tell();
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

export const engine = {
  /** Say where the site is (an address without the last slash); the models that it has, the default first. */
  async start(address: string): Promise<ModelEntry[]> {
    site = address;
    setUp(`${site}/run-time`);
    return fetchJson<ModelEntry[]>(`${site}/models/models.json`);
  },

  /** Take that model, its dial at `fidelity` (the model's own choice by default). */
  async open(name: string, fidelity?: number): Promise<Opened> {
    const next = model?.card.name === name ? model : await Model.open(`${site}/models`, name);
    restorer = await next.restorer(fidelity);
    if (next !== model) await model?.release();
    model = next;
    void chooseRunTime(restorer); // meanwhile the processor works
    return { fidelity: restorer.fidelity, licence: next.card.licence };
  },

  /** Have ready what the first picture will need. */
  async prepare(): Promise<void> {
    await detector();
  },

  /** Look at photos of the person, who may have references already; these and the new ones. */
  async readPhotos(files: readonly File[]): Promise<Photos> {
    const network = await detector();
    const rejected: [string, string][] = [];
    let photos: Look[][] = [];
    for (const file of files) {
      progress(`Looking at ${file.name}`);
      try {
        const image = await readImage(file);
        const looks = (await facesOf(image, network)).map((face) => look(file.name, image, face));
        if (looks.length > 0) photos.push(looks);
        else rejected.push([file.name, "no face found"]);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        rejected.push([file.name, error.message.replace(`${file.name}: `, "")]);
      }
    }
    let before = references;
    let theirs: (number | string)[] = photos.map(() => 0);
    const count = before.length + photos.length;
    if (photos.length > 0 && (count > MOST_REFERENCES || photos.some((looks) => looks.length > 1))) {
      progress("Telling people apart");
      before = await embedded(before, network);
      const all: Look[][] = before.map((reference) => [{ reference, side: reference.crop.width, problem: null }]);
      for (const looks of photos) {
        const known = await embedded(looks.map(({ reference }) => reference), network);
        all.push(looks.map((seen, number) => ({ ...seen, reference: known[number] })));
      }
      photos = all.slice(before.length);
      theirs = personsFaces(all).slice(before.length);
    }
    const added: Reference[] = [];
    photos.forEach((looks, index) => {
      const number = theirs[index];
      const reason = typeof number === "string" ? number : looks[number].problem;
      if (reason !== null) rejected.push([looks[0].reference.name, reason]);
      else added.push(looks[number as number].reference);
    });
    return { references: [...before, ...added], rejected };
  },

  /** Take these as the person's. */
  async setReferences(next: readonly Reference[]): Promise<void> {
    references = next;
  },

  /**
   * Restore the person's face in a picture. Of a large one first what is found soon: call again for all of it.
   *
   * @param key of the picture: of the one that came last, what was found is remembered.
   * @param onlyFace the number of the face, from 0, left to right; null for the person's.
   */
  async restore(key: number, file: File, onlyFace: number | null): Promise<ShownFaces> {
    const network = await detector();
    if (picture?.key !== key) {
      progress("Reading the picture");
      const image = await readImage(file);
      picture = { key, image, search: network.search(image), faces: [], isComplete: false };
    }
    const means = { faces: network, model: model!, restorer: opened(), progress };
    for (;;) {
      do await searchOn(picture);
      while (onlyFace !== null && !picture.isComplete); // numbers are of all faces
      try {
        restored = await restoreFaces(picture.image, picture.faces, references, means, onlyFace);
        break;
      } catch (error) {
        if (!(error instanceof Problem) || picture.isComplete) throw error;
      }
    }
    const faces = restored.map(({ frame, ...face }) => ({
      ...face,
      corners: frame.corners(),
      lr: toRgba(face.lr),
      restored: face.restored && toRgba(face.restored),
      references: face.references.map(({ name, crop }) => ({ name, crop: toRgba(crop) })),
    }));
    return { faces, isComplete: picture.isComplete };
  },

  /** The picture with the faces that were restored last. */
  async putBack(): Promise<ShownPhoto> {
    progress("Putting it into the picture");
    const photo = putBack(picture!.image, restored, opened().scale);
    result = photo.image;
    return { image: toRgba(photo.image), plain: toRgba(photo.plain), enlargement: photo.enlargement };
  },

  /** The picture that came last from `putBack`, as a file. */
  async save(type: "image/png" | "image/jpeg"): Promise<Blob> {
    return writeImage(result!, type);
  },

  /**
   * A frame of live video: its largest face at `LIVE_SIDE` pixels, enlarged, and restored; null without a face.
   *
   * @param bitmap is closed.
   */
  async live(bitmap: ImageBitmap): Promise<LiveFrame | null> {
    const factor = Math.min(1, LIVE_PICTURE / Math.max(bitmap.width, bitmap.height));
    const image = fromBitmap(bitmap, Math.round(bitmap.width * factor), Math.round(bitmap.height * factor));
    bitmap.close();
    const network = await detector();
    const found = await network.detectAt(image, LIVE_DETECTION / Math.max(image.width, image.height));
    const [face] = found.sort((one, other) => other.box.width - one.box.width);
    if (face === undefined || extent(face.landmarks) < 1) {
      liveFrame = null;
      return null;
    }
    liveFrame = steadied(Frame.of(face.landmarks), liveFrame);
    const lr = cut(image, liveFrame, LIVE_SIDE);
    const current = opened();
    current.setReferences(references.slice(0, MOST_REFERENCES).map(({ crop }) => crop)); // encoded once
    const plain = enlarge(lr, current.scale);
    const { image: result } = await current.restore(lr);
    return { plain: toRgba(plain), restored: toRgba(matched(result, plain)) };
  },

  /** Restore a headshot with photos framed alike; no faces are looked for. */
  async restoreHeadshot(lr: Image, photos: readonly Image[]): Promise<Restoration> {
    const current = opened();
    current.setReferences(photos);
    return current.restore(lr);
  },
};

export type Engine = typeof engine;

interface Call {
  readonly id: number;
  readonly name: keyof Engine;
  readonly parameters: unknown[];
}

let queue = Promise.resolve();

addEventListener("message", ({ data }: MessageEvent<Call>) => {
  queue = queue.then(async () => {
    try {
      const call = engine[data.name] as (...parameters: unknown[]) => Promise<unknown>;
      const result = await call(...data.parameters);
      postMessage({ id: data.id, result }, { transfer: buffers(result) });
    } catch (error) {
      const isProblem = error instanceof Problem;
      if (!isProblem) console.error(error);
      const message = isProblem ? error.message : `something went wrong in this page (${String(error)}); load it again`;
      postMessage({ id: data.id, error: { message, boxes: error instanceof NotKnown ? error.boxes : null } });
    }
  });
});

/** The large pictures of a result, which are moved rather than copied. */
function buffers(result: unknown): Transferable[] {
  if (typeof result !== "object" || result === null || !("enlargement" in result)) return [];
  const { image, plain } = result as ShownPhoto;
  return [image.data.buffer, plain.data.buffer];
}
