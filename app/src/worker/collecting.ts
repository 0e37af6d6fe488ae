/** References that collect themselves: of live video the frames in which the face is near, sharp, and looks anew. */

import { embedded, look, meanEmbedding, SAME_PERSON, type Reference } from "../faces/album";
import type { Detector, Face } from "../faces/detection";
import { similarity, type Embedder } from "../faces/embedding";
import type { Landmarks } from "../faces/headshot";
import type { Image } from "../pictures/arrays";
import { MOST_REFERENCES } from "../restoring/face";

/** Sides in pixels from which a headshot shows what the restored one can show: ×4 of 32. */
const NEAR = 128;
/** Frames whose poses lie nearer than this show the same; in yaw some twelve degrees. */
const SAME_POSE = 0.2;
/** How many times as good a frame must be to take another's place. */
const BETTER = 1.1;
/** Milliseconds from one close look to the next, at the least … */
const LOOK_EVERY = 300;
/** … and in times of what the look took, so that it slows the video by a fifth at the most. */
const REST = 4;
/** Milliseconds for which nothing is kept that looks as a frame that was taken away. */
const RESPITE = 10_000;

/** What is looked with. */
interface Means {
  readonly detector: Detector;
  readonly embedder: Embedder;
  /** Photos of the person that were given by hand. */
  readonly photos: readonly Reference[];
}

/** Frames kept as references, `MOST_REFERENCES` at the most, of one person. */
export class Collection {
  private kept: readonly Reference[] = [];
  private removed: readonly { readonly reference: Reference; readonly until: number }[] = [];
  private reason: string | null = null;
  private isOn = true;
  private nextLook = -Infinity;
  private looks = 0;
  /** The photos given by hand, and the same with embeddings. */
  private given: { readonly photos: readonly Reference[]; readonly known: readonly Reference[] } | null = null;

  get references(): readonly Reference[] {
    return this.kept;
  }

  /** Go on, or stop; what is kept stays. */
  turn(on: boolean): void {
    this.isOn = on;
    this.nextLook = -Infinity;
  }

  /** Take that frame away, and let its pose be for a while. */
  remove(name: string): void {
    const until = performance.now() + RESPITE;
    for (const reference of this.kept) if (reference.name === name) this.removed = [...this.removed, { reference, until }];
    this.kept = this.kept.filter((reference) => reference.name !== name);
  }

  /** Why the last face looked at closely is of no use, in plain words; null if it may be, or is far away. */
  get unfit(): string | null {
    return this.reason;
  }

  /**
   * Look at a face, closely where it is time to, and keep the frame if it is of use.
   *
   * @param side of its headshot in the frame, in pixels.
   * @param take the frame, as large as the camera gives it, and the face as it was found in it at a glance.
   */
  async watch(side: number, take: () => readonly [Image, Face], means: Means): Promise<void> {
    if (!this.isOn || side < NEAR) this.reason = null;
    else if (performance.now() >= this.nextLook) {
      const start = performance.now();
      this.reason = await this.consider(...take(), means);
      const end = performance.now();
      this.nextLook = end + Math.max(LOOK_EVERY, REST * (end - start));
    }
  }

  /** @returns why it is of no use; null if it is kept, or no better than what is. */
  private async consider(image: Image, glance: Face, { detector, embedder, photos }: Means): Promise<string | null> {
    const face = await detector.refine(image, glance);
    const { reference, side, problem } = look(`frame ${++this.looks}`, image, face);
    if (problem !== null) return problem;
    const place = side < NEAR ? null : this.placeOf(reference);
    const canTell = place === null ? null : embedder.ready();
    if (place === null || canTell === null) return null; // while people cannot be told apart yet, none is kept
    // Where they never can (offline, the network for it not loaded), nobody checks whom the frames show.
    const known = canTell ? await this.known(reference, photos, embedder) : reference;
    if (known === null) return "another person than in the photos";
    this.kept = this.kept.toSpliced(place, 1, known);
    return null;
  }

  /** The reference with its embedding; null if it does not show the person. */
  private async known(
    reference: Reference,
    photos: readonly Reference[],
    embedder: Embedder,
  ): Promise<Reference | null> {
    if (this.given?.photos !== photos) this.given = { photos, known: await embedded(photos, embedder) };
    this.kept = await embedded(this.kept, embedder);
    const [result] = await embedded([reference], embedder);
    const person = [...this.kept, ...this.given.known].map(({ embedding }) => embedding!);
    if (person.length === 0) return result;
    return similarity(result.embedding!, meanEmbedding(person)) >= SAME_PERSON ? result : null;
  }

  /** Which of the frames kept it takes the place of, or the place after them; null if it is to stay out. */
  private placeOf(candidate: Reference): number | null {
    const now = performance.now();
    this.removed = this.removed.filter(({ until }) => until > now);
    if (this.removed.some(({ reference }) => distance(reference, candidate) < SAME_POSE)) return null;
    const { kept } = this;
    const distances = kept.map((reference) => distance(reference, candidate));
    const nearest = distances.indexOf(Math.min(...distances));
    if (distances[nearest] < SAME_POSE)
      return candidate.quality > BETTER * kept[nearest].quality ? nearest : null;
    if (kept.length < MOST_REFERENCES) return kept.length;
    // Full: the worse of the two that are most alike goes, if the newcomer is less like all of them.
    const pairs = kept.flatMap((one, i) => kept.slice(i + 1).map((other, j) => [i, i + 1 + j, distance(one, other)]));
    const [one, other, least] = pairs.reduce((best, pair) => (pair[2] < best[2] ? pair : best));
    if (distances[nearest] <= least) return null;
    return kept[one].quality < kept[other].quality ? one : other;
  }
}

/** How differently two faces look: sideways, and up and down. */
function distance(one: Reference, other: Reference): number {
  return Math.hypot(one.yaw - other.yaw, nod(one.landmarks) - nod(other.landmarks));
}

/** Where the tip of the nose lies on the way from the eyes, 0, to the mouth, 1: the higher, the more it looks up. */
function nod([left, right, nose, ...mouth]: Landmarks): number {
  const eyes = [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2];
  const [x, y] = [0, 1].map((axis) => (mouth[0][axis] + mouth[1][axis]) / 2 - eyes[axis]);
  return ((nose[0] - eyes[0]) * x + (nose[1] - eyes[1]) * y) / (x * x + y * y);
}
