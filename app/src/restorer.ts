/**
 * The restorer: the references are set once, many headshots restored. The counterpart of `hime.restorer`.
 *
 * A perception-oriented model has a dial: at fidelity f the picture is (1 − f) · its own + f · that of the
 * reconstruction model named in its card, which is fetched when the dial first leaves 0.
 */

import type { Backend } from "./backend";
import { fromPlanes, type Image } from "./image";
import { Problem } from "./problem";

const MINIMUM_SIDE = 8;

/** What came out of one headshot. */
export interface Restoration {
  readonly image: Image;
  /** For each reference its weight in every place, H×W, in [0, 1]; what is missing to 1 went to none. */
  readonly scores: readonly Float32Array[];
  /** The mean of each score map. */
  readonly shares: readonly number[];
}

/** Restores headshots of one person at a time; the person's photos are encoded once. */
export class Restorer {
  private references: readonly Image[] = [];

  private constructor(
    readonly backend: Backend,
    /** Where the dial stands: 0 looks real … 1 least error; null without one. */
    readonly fidelity: number | null,
    /** The models that the dial, where it stands, needs, and their shares in the picture. */
    private readonly mixture: readonly (readonly [Backend, number])[],
  ) {}

  /** @param fidelity the model's own choice by default. */
  static async open(backend: Backend, fidelity = backend.card.fidelity ?? null): Promise<Restorer> {
    const reconstruction = fidelity ? await backend.reconstruction() : null;
    if (fidelity === null || reconstruction === null) return new Restorer(backend, fidelity, [[backend, 1]]);
    if (fidelity === 1) return new Restorer(backend, fidelity, [[reconstruction, 1]]);
    return new Restorer(backend, fidelity, [[backend, 1 - fidelity], [reconstruction, fidelity]]);
  }

  get scale(): number {
    return this.backend.card.scale;
  }

  get backends(): Backend[] {
    return this.mixture.map(([backend]) => backend);
  }

  /** Take these photos as the person's, framed as the headshots; the same ones again cost nothing. */
  setReferences(references: readonly Image[]): void {
    this.references = references;
  }

  async restore(lr: Image): Promise<Restoration> {
    const { width, height } = lr;
    if (Math.min(width, height) < MINIMUM_SIDE)
      throw new Problem(`the headshot is ${width}×${height} pixels; ${MINIMUM_SIDE}×${MINIMUM_SIDE} at the least`);
    const size = width * height;
    const hr = new Float32Array(3 * size * this.scale ** 2);
    const maps = this.references.map(() => new Float32Array(size));
    for (const [backend, share] of this.mixture) {
      const output = await backend.run(lr, this.references);
      output.hr.forEach((value, place) => (hr[place] += share * value));
      maps.forEach((map, index) => {
        for (let place = 0; place < size; place++) map[place] += share * output.scores[index * size + place];
      });
    }
    const image = fromPlanes(hr, width * this.scale, height * this.scale);
    return { image, scores: maps, shares: maps.map((map) => map.reduce((sum, value) => sum + value, 0) / size) };
  }
}
