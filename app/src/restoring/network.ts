/**
 * A network on a run time: its two graphs, and the features of the references.
 *
 * Shapes: `N` references, `F` feature channels, `H W` LR size, `s` scale. The graph that restores takes several
 * headshots with their references in one call; here it gets one.
 */

import { centreCrop, resize, toPlanes, type Image } from "../pictures/arrays";
import { Tensor, type InferenceSession, type Open } from "../site/runtime";

/** The name under which the graphs know the file of their weights. */
const WEIGHTS = "weights.bin";
/** LR sizes whose reference features are kept, the least recently used dropped first. */
const CACHED_SIZES = 4;

/** Of a model, what it takes to run it. */
export interface Definition {
  readonly scale: number;
  /** F. */
  readonly channels: number;
  readonly encode: Uint8Array;
  readonly restore: Uint8Array;
  readonly weights: Uint8Array;
}

export interface Output {
  /** 3×sH×sW, about [0, 1], not rounded. */
  readonly hr: Float32Array;
  /** N×H×W. */
  readonly scores: Float32Array;
}

/** References, and their features by LR size, the least recently used first. */
interface Encoded {
  readonly references: readonly Image[];
  readonly features: Map<string, Tensor>;
}

export class Network {
  private encoded: Encoded = { references: [], features: new Map() };

  private constructor(
    private readonly definition: Definition,
    private readonly encoder: InferenceSession,
    private readonly decoder: InferenceSession,
  ) {}

  static async open(definition: Definition, open: Open): Promise<Network> {
    const external = [{ path: WEIGHTS, data: definition.weights }];
    const encoder = await open(definition.encode, external);
    return new Network(definition, encoder, await open(definition.restore, external));
  }

  /** @param references of the person, framed as `lr`; the same pictures as before are not encoded again. */
  async run(lr: Image, references: readonly Image[]): Promise<Output> {
    const before = this.encoded.references;
    if (references.length !== before.length || references.some((reference, index) => reference !== before[index]))
      this.encoded = { references, features: new Map() };
    const { width, height } = lr;
    const features = await this.featuresOf(this.encoded, width, height);
    const input = new Tensor("float32", toPlanes(lr), [1, 3, height, width]);
    const { hr, scores } = await this.decoder.run({ lr: input, features: features.reshape([1, ...features.dims]) });
    return { hr: hr.data as Float32Array, scores: scores.data as Float32Array };
  }

  async release(): Promise<void> {
    await this.encoder.release();
    await this.decoder.release();
  }

  /** Features for LR headshots of that size, N×F×H×W; encoded at the first call. */
  private async featuresOf({ references, features }: Encoded, width: number, height: number): Promise<Tensor> {
    const key = `${width}×${height}`;
    const found = features.get(key) ?? (await this.encode(references, width, height));
    features.delete(key);
    features.set(key, found);
    for (const oldest of [...features.keys()].slice(0, -CACHED_SIZES)) features.delete(oldest);
    return found;
  }

  private async encode(references: readonly Image[], width: number, height: number): Promise<Tensor> {
    const count = references.length;
    const { scale, channels } = this.definition;
    if (count === 0) return new Tensor("float32", new Float32Array(0), [0, channels, height, width]);
    const [wide, high] = [width * scale, height * scale];
    const size = 3 * wide * high;
    const planes = new Float32Array(count * size);
    references.forEach((reference, index) => {
      toPlanes(resize(centreCrop(reference, width, height), wide, high), planes, index * size);
    });
    const { features } = await this.encoder.run({ references: new Tensor("float32", planes, [count, 3, high, wide]) });
    return features;
  }
}
