/** The restorer: the references are set once, many headshots restored. The counterpart of `hime.restoring.restorer`. */

import { fromPlanes, newImage, type Image } from "../pictures/arrays";
import { Problem } from "../problem";
import { openOnProcessor, type Open } from "../site/runtime";
import { fetchModel, type Card, type Fetched } from "./exported";
import { keepHue } from "./hue";
import { Network, type Definition, type Output } from "./network";

/** Of an output; half a level of 255: no pixel of the result differs by more than one level. */
const SAME = 0.5 / 255;

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

/** A model of the site, open; what else its dial needs is fetched when it is first needed, or ahead. */
export class Model {
  private otherFiles: Promise<Fetched> | null = null;
  private other: Promise<Model> | null = null;
  private graphics: Network | null = null;
  private trial: Promise<Trial> | null = null;
  private isReleased = false;

  private constructor(
    private readonly models: string,
    readonly card: Card,
    private readonly definition: Definition,
    private readonly processor: Network,
  ) {}

  /** Fetch the model of that name below `models`, and open it; see `fetchModel`. */
  static async open(models: string, name: string, files = fetchModel(models, name)): Promise<Model> {
    const { card, definition } = await files;
    return new Model(models, card, definition, await Network.open(definition, openOnProcessor));
  }

  /** With its dial, between what looks real (0) and least error (1), at `fidelity`; the card's choice by default. */
  async restorer(fidelity = this.card.fidelity ?? 0): Promise<Restorer> {
    if (this.card.reconstruction === undefined) return new Restorer(this.card, null, [{ model: this, share: 1 }]);
    const mixture: Mixture[] = [];
    if (fidelity < 1) mixture.push({ model: this, share: 1 - fidelity });
    if (fidelity > 0) mixture.push({ model: await this.openReconstruction(this.card.reconstruction), share: fidelity });
    return new Restorer(this.card, fidelity, mixture);
  }

  /** Have the model at the dial's other end fetched, so that it can be opened later without a network. */
  async fetchOther(): Promise<void> {
    const { reconstruction } = this.card;
    if (reconstruction !== undefined && this.other === null) await this.fetchedOther(reconstruction);
  }

  /** @param references the same pictures as before are not encoded again. */
  async run(lr: Image, references: readonly Image[]): Promise<Output> {
    if (this.graphics !== null)
      try {
        return await this.graphics.run(lr, references);
      } catch (error) {
        console.warn("the graphics card failed; the processor goes on", error); // as it does when it was asleep
        this.graphics = this.trial = null;
      }
    return this.processor.run(lr, references);
  }

  /** Try the graphics card, once, and go over to it if it gives the same as the processor, and sooner. */
  tryGraphics(open: Open): Promise<Trial> {
    return (this.trial ??= this.compare(open));
  }

  async release(): Promise<void> {
    this.isReleased = true;
    await this.graphics?.release();
    await this.processor.release();
    await (await this.other)?.release();
  }

  private openReconstruction(name: string): Promise<Model> {
    this.other ??= Model.open(this.models, name, this.fetchedOther(name)).catch((error: unknown) => {
      this.other = null; // the next call tries again
      throw error;
    });
    return this.other;
  }

  private fetchedOther(name: string): Promise<Fetched> {
    this.otherFiles ??= fetchModel(this.models, name).catch((error: unknown) => {
      this.otherFiles = null; // the next call tries again
      throw error;
    });
    return this.otherFiles;
  }

  private async compare(open: Open): Promise<Trial> {
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
}

/** A model, and how much of the picture is its own; the shares of all make 1. */
interface Mixture {
  readonly model: Model;
  readonly share: number;
}

/** Restores headshots of one person at a time; the person's photos are encoded once. */
export class Restorer {
  private references: readonly Image[] = [];

  constructor(
    readonly card: Card,
    /** Where the dial stands; null without one. */
    readonly fidelity: number | null,
    private readonly mixture: readonly Mixture[],
  ) {}

  get scale(): number {
    return this.card.scale;
  }

  /** Take these photos as the person's, framed as the headshots; the same ones again cost nothing. */
  setReferences(references: readonly Image[]): void {
    this.references = references;
  }

  /** Restore one headshot; one that has a single hue keeps it, see `keepHue`. */
  async restore(lr: Image): Promise<Restoration> {
    const { width, height } = lr;
    if (Math.min(width, height) < 8) throw new Problem(`the headshot is ${width}×${height} pixels; 8×8 at the least`);
    const { hr, scores } = await this.run(lr);
    const image = keepHue(fromPlanes(hr, width * this.scale, height * this.scale), lr);
    const size = width * height;
    const maps = this.references.map((_, index) => scores.slice(index * size, (index + 1) * size));
    return { image, scores: maps, shares: maps.map((map) => map.reduce((sum, value) => sum + value, 0) / size) };
  }

  /** Let the models that it mixes try the graphics card, see `Model.tryGraphics`; what the worst of them gave. */
  async tryGraphics(open: Open): Promise<Trial> {
    const trials = [];
    for (const { model } of this.mixture) trials.push(await model.tryGraphics(open));
    return { gain: Math.min(...trials.map(({ gain }) => gain)), same: trials.every(({ same }) => same) };
  }

  /** What the models give, mixed before it is rounded. */
  private async run(lr: Image): Promise<Output> {
    const outputs: (Output & { share: number })[] = [];
    for (const { model, share } of this.mixture) outputs.push({ ...(await model.run(lr, this.references)), share });
    const mixed = (key: keyof Output): Float32Array =>
      outputs[0][key].map((_, place) => outputs.reduce((sum, output) => sum + output.share * output[key][place], 0));
    return outputs.length === 1 ? outputs[0] : { hr: mixed("hr"), scores: mixed("scores") };
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
