/** What the calls of the engine answer. */

import type { Reference } from "../faces/album";
import type { Box } from "../faces/detection";
import type { Point } from "../pictures/affine";
import type { RestoredFace } from "../restoring/face";

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

/** A photo of the person, as the page shows it. */
export interface ShownReference {
  readonly name: string;
  readonly crop: ImageData;
}

/** A `RestoredFace` with pictures that a canvas takes. */
export interface ShownFace extends Omit<RestoredFace, "frame" | "lr" | "restored" | "references"> {
  /** Upper left, upper right, lower right and lower left of its headshot, in pixels of the input. */
  readonly corners: readonly Point[];
  readonly lr: ImageData;
  readonly restored: ImageData | null;
  readonly references: readonly ShownReference[];
}

export interface ShownFaces {
  /** From left to right. */
  readonly faces: readonly ShownFace[];
  /** Whether the whole picture was searched; else the next call goes on. */
  readonly isComplete: boolean;
}

export interface FoundFaces {
  /** From left to right; may reach beyond the picture. */
  readonly boxes: readonly Box[];
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
  /** How many photos were used, given by hand or collected. */
  readonly photos: number;
  /** The frames collected, where they are others than at the call before. */
  readonly collected: readonly ShownReference[] | null;
  /** Why the last frame looked at is of no use as a photo, in plain words; null if it may be. */
  readonly unfit: string | null;
}
