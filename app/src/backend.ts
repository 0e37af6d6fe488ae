/** An exported model: its files, and the network that runs on the processor or on the graphics card. */

import { newImage, type Image } from "./image";
import { Network, type Definition, type Output } from "./network";
import { Problem } from "./problem";
import { openOnProcessor, type Open } from "./runtime";
import { fetchChecked, fetchJson } from "./site";

const CARD_FORMAT = 2;
/** Half a level of 255: no pixel of the result differs by more than one level. */
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
  /** The name of the model at the other end of the dial, if there is a dial. */
  readonly reconstruction?: string;
  /** Where the dial stands if nothing is said. */
  readonly fidelity?: number;
}

/** What a trial of the graphics card gave. */
export interface Trial {
  /** Whether its results are those of the processor. */
  readonly same: boolean;
  /** How many times as fast as the processor it is. */
  readonly gain: number;
}

export class Backend {
  private graphics: Network | null = null;
  private trial: Promise<Trial> | null = null;
  private other: Promise<Backend> | null = null;
  private isReleased = false;

  private constructor(
    readonly card: Card,
    private readonly models: string,
    private readonly definition: Definition,
    private readonly processor: Network,
  ) {}

  /** Open the model of that name below `models`; its files are compared with the checksums of its card. */
  static async fetch(models: string, name: string): Promise<Backend> {
    const card = await fetchJson<Card>(`${models}/${name}/card.json`);
    if (card.format !== CARD_FORMAT)
      throw new Problem(`${name}: card format ${card.format}, this page reads ${CARD_FORMAT}; export the site again`);
    const [encode, restore, weights] = await Promise.all(
      ["encode.onnx", "restore.onnx", "weights.bin"].map((file) =>
        fetchChecked(`${models}/${name}/${file}`, card.sha256[file]),
      ),
    );
    const definition = { scale: card.scale, channels: card.feature_channels, encode, restore, weights };
    return new Backend(card, models, definition, await Network.open(definition, openOnProcessor));
  }

  /** The model at the other end of the dial, fetched when first asked for; null without a dial. */
  async reconstruction(): Promise<Backend | null> {
    const { reconstruction } = this.card;
    if (reconstruction === undefined) return null;
    this.other ??= Backend.fetch(this.models, reconstruction).catch((error: unknown) => {
      this.other = null; // the next call tries again
      throw error;
    });
    return this.other;
  }

  async run(lr: Image, references: readonly Image[]): Promise<Output> {
    if (this.graphics !== null)
      try {
        return await this.graphics.run(lr, references);
      } catch (error) {
        console.warn("the graphics card failed; the processor goes on", error); // as it does when it was asleep
        this.graphics = null;
      }
    return this.processor.run(lr, references);
  }

  /** Try the graphics card, and go over to it if it gives the same as the processor, and sooner; tried once. */
  tryGraphics(open: Open): Promise<Trial> {
    this.trial ??= this.tryNow(open);
    return this.trial;
  }

  private async tryNow(open: Open): Promise<Trial> {
    const network = await Network.open(this.definition, open);
    let isTaken = false;
    try {
      const { lr_size: size, scale } = this.card;
      const [lr, references] = [pattern(size), [pattern(scale * size)]];
      const expected = await this.processor.run(lr, references);
      const same = largestDifference(expected, await network.run(lr, references)) <= SAME;
      const times = [];
      for (const each of [this.processor, network]) {
        const start = performance.now();
        await each.run(lr, references);
        times.push(performance.now() - start);
      }
      const gain = times[0] / times[1];
      isTaken = same && gain > 1 && !this.isReleased;
      if (isTaken) this.graphics = network;
      return { same, gain };
    } finally {
      if (!isTaken) await network.release();
    }
  }

  async release(): Promise<void> {
    this.isReleased = true;
    await this.processor.release();
    await this.graphics?.release();
    await this.other?.then((other) => other.release());
  }
}

/** A picture with all levels in it, always the same. */
function pattern(side: number): Image {
  const image = newImage(side, side);
  image.data.forEach((_, place) => (image.data[place] = place * 7919));
  return image;
}

/** Infinite where there are values that are no numbers. */
function largestDifference(one: Output, other: Output): number {
  let largest = 0;
  for (const key of ["hr", "scores"] as const)
    one[key].forEach((value, place) => {
      const difference = Math.abs(value - other[key][place]);
      if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
    });
  return largest;
}
