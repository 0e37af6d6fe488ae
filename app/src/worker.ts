/** The worker: everything that takes time. Messages are calls of `engine`, one after another; see client.ts. */

import { facesOf, look, personsFaces, type Look, type Reference } from "./album";
import { Faces } from "./faces";
import { cut, extent, Frame } from "./headshot";
import type { Image } from "./image";
import { embedded, enlarge, matched, MOST_REFERENCES, NotKnown, restorePhoto, type RestoredFace, type RestoredPhoto } from "./photo";
import { fromBitmap, readImage, toRgba, writeImage } from "./picture";
import { Problem } from "./problem";
import { fetchBytes, Model, type Restoration, type Restorer } from "./restorer";
import { setUp, threads } from "./runtime";

/** Of a model, in the site's list of them. */
export interface ModelEntry {
  readonly name: string;
  readonly scale: number;
  readonly fidelity: number | null;
}

export interface Opened {
  readonly name: string;
  readonly scale: number;
  /** Where the dial stands; null without one. */
  readonly fidelity: number | null;
  readonly threads: number;
}

export interface File {
  readonly name: string;
  readonly content: Blob;
}

/** A `RestoredFace` with pictures that a canvas takes. */
export interface ShownFace extends Omit<RestoredFace, "lr" | "restored" | "references"> {
  readonly lr: ImageData;
  readonly restored: ImageData | null;
  readonly references: readonly { readonly name: string; readonly crop: ImageData }[];
}

export interface ShownPhoto {
  readonly image: ImageData;
  readonly plain: ImageData;
  readonly faces: readonly ShownFace[];
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

let live: { names: string; crops: readonly Image[] } = { names: "", crops: [] };
let liveFrame: Frame | null = null;

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

let site = "";
let faces: Promise<Faces> | null = null;
let model: Model | null = null;
let restorer: Restorer | null = null;
let decoded: { key: number; image: Image } | null = null;
let restored: RestoredPhoto | null = null;

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

export const engine = {
  /** Say where the site is (an address without the last slash); the models that it has, the default first. */
  async start(address: string): Promise<ModelEntry[]> {
    site = address;
    setUp(`${site}/run-time`);
    return JSON.parse(new TextDecoder().decode(await fetchBytes(`${site}/models/models.json`))) as ModelEntry[];
  },

  /** Take that model, its dial at `fidelity` (the model's own choice by default). */
  async open(name: string, fidelity?: number): Promise<Opened> {
    const next = model?.card.name === name ? model : await Model.fetch(`${site}/models`, name);
    const nextRestorer = await next.open(fidelity);
    await restorer?.release();
    [model, restorer] = [next, nextRestorer];
    return { name, scale: restorer.scale, fidelity: restorer.fidelity, threads: threads() };
  },

  /** Have ready what the first picture will need. */
  async prepare(): Promise<void> {
    await detector();
  },

  /** Look at photos of a person, of whom there may be references already. */
  async readPhotos(files: readonly File[], existing: readonly Reference[]): Promise<Photos> {
    const means = { faces: await detector(), progress };
    const rejected: [string, string][] = [];
    const photos: { name: string; image: Image; looks: Look[] }[] = [];
    for (const { name, content } of files) {
      progress(`Looking at ${name}`);
      try {
        const image = await readImage(content, name);
        const found = await facesOf(image, means.faces);
        if (found.length === 0) throw new Problem("no face found");
        photos.push({ name, image, looks: found.map((face) => look(name, image, face, null)) });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        rejected.push([name, error.message.replace(`${name}: `, "")]);
      }
    }
    let references = [...existing];
    const several = photos.some(({ looks }) => looks.length > 1);
    const tellApart = photos.length > 0 && (several || photos.length + existing.length > MOST_REFERENCES);
    if (tellApart) {
      references = await embedded(existing, means);
      for (const photo of photos) {
        const found = await facesOf(photo.image, means.faces);
        for (const [number, face] of found.entries()) {
          const seen = photo.looks[number];
          const embedding = await means.faces.embed(photo.image, face.landmarks);
          photo.looks[number] = { ...seen, reference: { ...seen.reference, embedding } };
        }
      }
    }
    const before = references.flatMap((reference): Look[][] =>
      reference.embedding ? [[{ reference, side: reference.crop.width, problem: null }]] : [],
    );
    const theirs = tellApart
      ? personsFaces([...before, ...photos.map(({ looks }) => looks)]).slice(before.length)
      : photos.map(() => 0);
    photos.forEach(({ name, looks }, index) => {
      const number = theirs[index];
      const reason = typeof number === "string" ? number : looks[number].problem;
      if (reason === null) references.push(looks[number as number].reference);
      else rejected.push([name, reason]);
    });
    return { references, rejected };
  },

  /**
   * Restore the person in a picture.
   *
   * @param key of the picture: of the one that came last, what was found is remembered.
   * @param onlyFace the number of the face, from 0, left to right; null for the person's.
   */
  async restore(
    key: number,
    file: File,
    references: readonly Reference[],
    onlyFace: number | null,
  ): Promise<ShownPhoto> {
    progress("Reading the picture");
    if (decoded?.key !== key) decoded = { key, image: await readImage(file.content, file.name) };
    const means = { faces: await detector(), model: model!, restorer: opened(), progress };
    restored = await restorePhoto(decoded.image, references, means, onlyFace);
    return {
      image: toRgba(restored.image),
      plain: toRgba(restored.plain),
      enlargement: restored.enlargement,
      faces: restored.faces.map((face) => ({
        ...face,
        lr: toRgba(face.lr),
        restored: face.restored && toRgba(face.restored),
        references: face.references.map(({ name, crop }) => ({ name, crop: toRgba(crop) })),
      })),
    };
  },

  /** The picture restored last, or one of its faces alone, as a file. */
  async save(face: number | null, type: "image/png" | "image/jpeg"): Promise<Blob> {
    const image = face === null ? restored?.image : restored?.faces[face].restored;
    if (!image) throw new Error("nothing was restored");
    return writeImage(image, type);
  },

  /**
   * A frame of live video: its largest face at `LIVE_SIDE` pixels, enlarged, and restored; null without a face.
   *
   * @param bitmap is closed.
   */
  async live(bitmap: ImageBitmap, references: readonly Reference[]): Promise<LiveFrame | null> {
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
    const names = references.map(({ name }) => name).join("\n");
    if (names !== live.names) live = { names, crops: references.slice(0, MOST_REFERENCES).map(({ crop }) => crop) };
    const current = opened();
    current.setReferences(live.crops); // the same array as before: encoded once
    const plain = enlarge(lr, current.scale);
    const { image: restored } = await current.restore(lr);
    return { plain: toRgba(plain), restored: toRgba(matched(restored, plain)) };
  },

  /** Restore a headshot with photos framed alike; no faces are looked for. */
  async restoreHeadshot(lr: Image, references: readonly Image[]): Promise<Restoration> {
    const current = opened();
    current.setReferences(references);
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
      const message = isProblem ? error.message : `something went wrong in this page (${String(error)})`;
      postMessage({ id: data.id, error: { message, isProblem, boxes: error instanceof NotKnown ? error.boxes : null } });
    }
  });
});

/** The large pictures of a result, which are moved rather than copied. */
function buffers(result: unknown): Transferable[] {
  if (typeof result !== "object" || result === null || !("enlargement" in result)) return [];
  const { image, plain } = result as ShownPhoto;
  return [image.data.buffer, plain.data.buffer];
}
