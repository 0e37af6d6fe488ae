/** The calls that the page makes of the worker, and what is remembered between them. */

import type { Reference } from "../faces/album";
import { Detector, type Box, type Face } from "../faces/detection";
import { Embedder } from "../faces/embedding";
import type { Point } from "../pictures/affine";
import type { Image } from "../pictures/arrays";
import { readImage, toRgba, writeImage } from "../pictures/files";
import { Problem } from "../problem";
import { measure, type Detail } from "../restoring/detail";
import type { Manner, RestoredFace } from "../restoring/face";
import { fromLeftToRight, putBack, restoreFaces } from "../restoring/photo";
import { Model, type Restoration, type Restorer } from "../restoring/restorer";
import { fetchJson } from "../site/files";
import { findGraphics, setUp, threads, type Open } from "../site/runtime";
import type { FoundFaces, LiveFrame, ModelEntry, Opened, Photos, ShownFaces, ShownPhoto, ShownReference } from "./answers";
import { Live, shown } from "./live";
import { readPhotos } from "./photos";

/** A picture in which faces are looked for. */
interface Picture {
  readonly key: number;
  readonly image: Image;
  readonly search: AsyncGenerator<Face[], Face[]>;
  /** Found so far, from left to right. */
  faces: readonly Face[];
  isComplete: boolean;
}

/** If nothing else is said. */
const PLAIN: Manner = { evenSharp: false, strength: 1 };

let site = "";
let detecting: Promise<Detector> | null = null;
let embedder: Embedder | null = null;
let graphics: Promise<Open | null> | null = null;
let model: Model | null = null;
let restorer: Restorer | null = null;
let references: readonly Reference[] = [];
let picture: Picture | null = null;
let restored: readonly RestoredFace[] = [];
let result: Image | null = null;
const live = new Live();

function progress(step: string): void {
  postMessage({ progress: step });
}

function detector(): Promise<Detector> {
  detecting ??= Detector.fetch(`${site}/faces`).catch((error: unknown) => {
    detecting = null; // the next call tries again
    throw error;
  });
  return detecting;
}

function people(): Embedder {
  return (embedder ??= new Embedder(`${site}/faces`));
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

/** The number of the face whose middle is nearest to that place's; −1 without faces. */
function numberAt(place: Box, faces: readonly Face[]): number {
  const [x, y] = middle(place);
  const distances = faces.map(({ box }) => Math.hypot(middle(box)[0] - x, middle(box)[1] - y));
  return distances.indexOf(Math.min(...distances));
}

function middle({ left, top, width, height }: Box): Point {
  return [left + width / 2, top + height / 2];
}

/** The picture of that key, read if it is another than before; what was found in it is remembered. */
async function pictureOf(key: number, file: File): Promise<Picture> {
  const network = await detector();
  if (picture?.key !== key) {
    progress("Reading the picture");
    const image = await readImage(file);
    picture = { key, image, search: network.search(image), faces: [], isComplete: false };
  }
  return picture;
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

export const engine = {
  /** Say where the site is (an address without the last slash); the models that it has, the default first. */
  async start(address: string): Promise<ModelEntry[]> {
    site = address;
    setUp(`${site}/run-time`);
    return fetchJson<ModelEntry[]>(`${site}/models/models.json`);
  },

  /** Take that model, its dial at `fidelity` (the model's own choice by default). */
  async open(name: string, fidelity?: number): Promise<Opened> {
    const before = model;
    const next = before?.card.name === name ? before : await Model.open(`${site}/models`, name);
    restorer = await next.restorer(fidelity).catch(async (error: unknown) => {
      if (next !== before) await next.release(); // that before stays open
      throw error;
    });
    if (next !== before) await before?.release();
    model = next;
    void chooseRunTime(restorer); // meanwhile the processor works
    return { fidelity: restorer.fidelity, licence: next.card.licence };
  },

  /** Have ready what the first picture will need. */
  async prepare(): Promise<void> {
    await detector();
  },

  /**
   * Have fetched what pictures may need later: SFace, and the other end of the model's dial. So they are there without a
   * network, whether or not the service worker keeps them. Calls are answered meanwhile, and nothing is opened yet.
   */
  async fetchAhead(): Promise<void> {
    const told = (error: unknown): void => console.warn("it is fetched when it is needed", error);
    void people().fetch().catch(told);
    void model?.fetchOther().catch(told);
  },

  /** Look at photos of the person, who may have references already; these and the new ones. */
  async readPhotos(files: readonly File[]): Promise<Photos> {
    return readPhotos(files, references, { detector: await detector(), embedder: people(), progress });
  },

  /** Take these as the person's. */
  async setReferences(next: readonly Reference[]): Promise<void> {
    references = next;
  },

  /** Look for faces in a picture. Of a large one first what is found soon: call again for all of it. */
  async look(key: number, file: File): Promise<FoundFaces> {
    const given = await pictureOf(key, file);
    await searchOn(given);
    return { boxes: given.faces.map(({ box }) => box), isComplete: given.isComplete };
  },

  /**
   * Restore the person's face in a picture. Of a large one first what is found soon: call again for all of it.
   *
   * @param key of the picture: of the one that came last, what was found is remembered.
   * @param place of the face, as an earlier call found it; null for the person's.
   */
  async restore(key: number, file: File, place: Box | null, manner = PLAIN): Promise<ShownFaces> {
    const given = await pictureOf(key, file);
    const means = { embedder: people(), model: model!, restorer: opened(), progress };
    for (;;) {
      do await searchOn(given);
      while (place !== null && !given.isComplete); // what is found later may stand nearer
      try {
        const onlyFace = place && numberAt(place, given.faces);
        restored = await restoreFaces(given.image, given.faces, references, means, manner, onlyFace);
        break;
      } catch (error) {
        if (!(error instanceof Problem) || given.isComplete) throw error;
      }
    }
    const faces = restored.map(({ frame, ...face }) => ({
      ...face,
      corners: frame.corners(),
      lr: toRgba(face.lr),
      restored: face.restored && toRgba(face.restored),
      references: face.references.map(shown),
    }));
    return { faces, isComplete: given.isComplete };
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
   * A frame of live video: its largest face small, enlarged, and restored; null without a face.
   *
   * @param bitmap is closed.
   */
  async live(bitmap: ImageBitmap): Promise<LiveFrame | null> {
    return live.restore(bitmap, opened(), { detector: await detector(), embedder: people(), photos: references });
  },

  /** Whether live video collects its best frames as photos of the person. */
  async collect(on: boolean): Promise<void> {
    live.collection.turn(on);
  },

  /** Take a collected frame away; the others. */
  async removeCollected(name: string): Promise<ShownReference[]> {
    live.collection.remove(name);
    return live.collection.references.map(shown);
  },

  /** Restore a headshot with photos framed alike, null for those of the call before; no faces are looked for. */
  async restoreHeadshot(lr: Image, photos: readonly Image[] | null): Promise<Restoration> {
    const current = opened();
    if (photos !== null) current.setReferences(photos);
    return current.restore(lr);
  },

  /** How much detail a headshot has; no faces are looked for. */
  async measure(headshot: Image): Promise<Detail> {
    return measure(headshot);
  },
};

export type Engine = typeof engine;
