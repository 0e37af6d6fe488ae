/** The restorer: the references are set once, many headshots restored. The counterpart of `hime.restorer`. */

import { fromPlanes, newImage, type Image } from "./image";
import { Network, type Definition, type Output } from "./network";
import { Problem } from "./problem";
import { openOnProcessor, type Open } from "./runtime";
import { fetchChecked, fetchJson } from "./site";

const CARD_FORMAT = 2;
/** Of an output; half a level of 255: no pixel of the result differs by more than one level. */
const SAME = 0.5 / 255;

/** Of a model's `card.json`, as far as it is used. */
export interface Card {
  readonly format: number;
  readonly name: string;
  readonly scale: number;
  readonly lr_size: number;
  readonly feature_channels: number;
  readonly licence: string;
  readonly sha256: Readonly<Record<string, string>>;
  /** At the other end of the dial, if there is one. */
  readonly reconstruction?: { readonly name: string; readonly weights: string };
  /** Where the dial stands if nothing is said. */
  readonly fidelity?: number;
}

/** What came out of one headshot. */
export interface Restoration {
  readonly image: Image;
  /** For each reference its weight in every place, H×W, in [0, 1]; what is missing to 1 went to none. */
  readonly scores: readonly Float32Array[];
  /** The mean of each score map. */
  readonly shares: readonly number[];
}

/** What a trial of the graphics card gave. */
export interface Trial {
  /** How many times as fast as the processor it is. */
  readonly gain: number;
  /** Whether the results are the same. */
  readonly same: boolean;
}

/** A model's files, fetched and compared with the checksums of its card. */
export class Model {
  private constructor(
    readonly card: Card,
    private readonly definition: Definition,
    private readonly reconstruction: Float32Array | null,
  ) {}

  /** Fetch the model of that name below `models`. */
  static async fetch(models: string, name: string): Promise<Model> {
    const card = await fetchJson<Card>(`${models}/${name}/card.json`);
    if (card.format !== CARD_FORMAT)
      throw new Problem(`${name}: card format ${card.format}, this page reads ${CARD_FORMAT}; export the site again`);
    const file = (of: string): Promise<Uint8Array> => fetchChecked(`${models}/${name}/${of}`, card.sha256[of]);
    const other = card.reconstruction;
    const [encode, restore, weights, reconstruction] = await Promise.all([
      file("encode.onnx"),
      file("restore.onnx"),
      file("weights.bin"),
      other ? fetchChecked(`${models}/${other.name}/weights.bin`, other.weights) : null,
    ]);
    return new Model(
      card,
      { scale: card.scale, channels: card.feature_channels, encode, restore, weights },
      reconstruction && new Float32Array(reconstruction.buffer),
    );
  }

  /** Whether it has a dial between what looks real (0) and least error (1). */
  get hasDial(): boolean {
    return this.reconstruction !== null;
  }

  /** Open it with its dial at `fidelity`; the card's choice by default. */
  async open(fidelity = this.card.fidelity ?? 0): Promise<Restorer> {
    const definition = { ...this.definition, weights: this.mix(fidelity) };
    const network = await Network.open(definition, openOnProcessor);
    return new Restorer(this.card, this.hasDial ? fidelity : null, definition, network);
  }

  private mix(fidelity: number): Uint8Array {
    const other = this.reconstruction;
    const { weights } = this.definition;
    if (other === null || fidelity === 0) return weights;
    const own = new Float32Array(weights.buffer);
    return new Uint8Array(own.map((weight, index) => (1 - fidelity) * weight + fidelity * other[index]).buffer);
  }
}

/** Restores headshots of one person at a time; the person's photos are encoded once. */
export class Restorer {
  private references: readonly Image[] = [];
  private graphics: Network | null = null;
  private isReleased = false;

  constructor(
    readonly card: Card,
    /** Where the dial stands; null without one. */
    readonly fidelity: number | null,
    private readonly definition: Definition,
    private readonly processor: Network,
  ) {}

  get scale(): number {
    return this.card.scale;
  }

  /** Take these photos as the person's, framed as the headshots; the same ones again cost nothing. */
  setReferences(references: readonly Image[]): void {
    this.references = references;
  }

  async restore(lr: Image): Promise<Restoration> {
    const { width, height } = lr;
    if (Math.min(width, height) < 8) throw new Problem(`the headshot is ${width}×${height} pixels; 8×8 at the least`);
    const { hr, scores } = await this.run(lr);
    const image = fromPlanes(hr, width * this.scale, height * this.scale);
    const size = width * height;
    const maps = this.references.map((_, index) => scores.slice(index * size, (index + 1) * size));
    return { image, scores: maps, shares: maps.map((map) => map.reduce((sum, value) => sum + value, 0) / size) };
  }

  /** Try the graphics card, and go over to it if it gives the same as the processor, and sooner. */
  async tryGraphics(open: Open): Promise<Trial> {
    const network = await Network.open(this.definition, open);
    let isTaken = false;
    try {
      const { lr_size: size, scale } = this.card;
      const [lr, reference] = [pattern(size), pattern(scale * size)];
      const expected = await this.processor.run(lr, [reference]);
      const found = await network.run(lr, [reference]);
      const same = differ(expected, found) <= SAME;
      const times = [];
      for (const each of [this.processor, network]) {
        const start = performance.now();
        await each.run(lr, [reference]);
        times.push(performance.now() - start);
      }
      const gain = times[0] / times[1];
      isTaken = same && gain > 1 && !this.isReleased;
      if (isTaken) this.graphics = network;
      return { gain, same };
    } finally {
      if (!isTaken) await network.release();
    }
  }

  async release(): Promise<void> {
    this.isReleased = true;
    await this.graphics?.release();
    await this.processor.release();
  }

  private async run(lr: Image): Promise<Output> {
    if (this.graphics !== null)
      try {
        return await this.graphics.run(lr, this.references);
      } catch (error) {
        console.warn("the graphics card failed; the processor goes on", error); // as it does when it was asleep
        this.graphics = null;
      }
    return this.processor.run(lr, this.references);
  }
}

/** A picture with all levels in it, always the same. */
function pattern(side: number): Image {
  const image = newImage(side, side);
  image.data.forEach((_, place) => (image.data[place] = place * 7919));
  return image;
}

/** The largest difference between two outputs; infinite where there are values that are no numbers. */
function differ(one: Output, other: Output): number {
  let most = 0;
  for (const key of ["hr", "scores"] as const)
    one[key].forEach((value, place) => {
      const difference = Math.abs(value - other[key][place]);
      most = difference <= most ? most : Number.isNaN(difference) ? Infinity : difference;
    });
  return most;
}
