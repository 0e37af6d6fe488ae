/**
 * The restorer: the references are set once, many headshots restored. The counterpart of `hime.restorer`.
 *
 * Shapes: `N` references, `F` feature channels, `H W` LR size, `s` scale.
 */

import { centreCrop, fromPlanes, resize, toPlanes, type Image } from "./image";
import { Problem } from "./problem";
import { InferenceSession, openSession, Tensor } from "./runtime";

const GRAPHS = ["encode.onnx", "restore.onnx"] as const;
const WEIGHTS = "weights.bin";
const CARD_FORMAT = 2;

/** LR sizes whose reference features are kept, the least recently used dropped first. */
const CACHED_SIZES = 4;

/** Of a model's `card.json`, as far as it is used. */
export interface Card {
  readonly format: number;
  readonly name: string;
  readonly scale: number;
  readonly feature_channels: number;
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

/** A model's files, fetched and compared with the checksums of its card. */
export class Model {
  private constructor(
    readonly card: Card,
    private readonly graphs: readonly Uint8Array[],
    private readonly weights: Float32Array,
    private readonly reconstruction: Float32Array | null,
  ) {}

  /** Fetch the model of that name below `models`. */
  static async fetch(models: string, name: string): Promise<Model> {
    const folder = `${models}/${name}`;
    const card = JSON.parse(new TextDecoder().decode(await fetchBytes(`${folder}/card.json`))) as Card;
    if (card.format !== CARD_FORMAT)
      throw new Problem(`${name}: card format ${card.format}, this page reads ${CARD_FORMAT}; export the site again`);
    const other = card.reconstruction;
    const [encode, restore, weights, reconstruction] = await Promise.all([
      ...[...GRAPHS, WEIGHTS].map((file) => fetchChecked(`${folder}/${file}`, card.sha256[file])),
      other ? fetchChecked(`${models}/${other.name}/${WEIGHTS}`, other.weights) : null,
    ]);
    return new Model(
      card,
      [encode!, restore!],
      new Float32Array(weights!.buffer),
      reconstruction ? new Float32Array(reconstruction.buffer) : null,
    );
  }

  /** Whether it has a dial between what looks real (0) and least error (1). */
  get hasDial(): boolean {
    return this.reconstruction !== null;
  }

  /** Open it with its dial at `fidelity`; the card's choice by default. */
  async open(fidelity = this.card.fidelity ?? 0): Promise<Restorer> {
    const weights = new Uint8Array(this.mix(fidelity).buffer);
    const external = [{ path: WEIGHTS, data: weights }];
    const encode = await openSession(this.graphs[0], external);
    const restore = await openSession(this.graphs[1], external);
    return new Restorer(this.card, this.hasDial ? fidelity : null, encode, restore);
  }

  private mix(fidelity: number): Float32Array {
    const other = this.reconstruction;
    if (other === null || fidelity === 0) return this.weights;
    return this.weights.map((weight, index) => (1 - fidelity) * weight + fidelity * other[index]);
  }
}

/** Restores headshots of one person at a time; the person's photos are encoded once. */
export class Restorer {
  private references: readonly Image[] = [];
  /** By LR size, the least recently used first. */
  private readonly features = new Map<string, Tensor>();

  constructor(
    readonly card: Card,
    /** Where the dial stands; null without one. */
    readonly fidelity: number | null,
    private readonly encoder: InferenceSession,
    private readonly decoder: InferenceSession,
  ) {}

  get scale(): number {
    return this.card.scale;
  }

  /** Take these photos as the person's, framed as the headshots; the same array again costs nothing. */
  setReferences(references: readonly Image[]): void {
    const same = references.length === this.references.length && references.every((r, i) => r === this.references[i]);
    if (!same) this.features.clear();
    this.references = references;
  }

  async restore(lr: Image): Promise<Restoration> {
    const { width, height } = lr;
    if (Math.min(width, height) < 8) throw new Problem(`the headshot is ${width}×${height} pixels; 8×8 at the least`);
    const features = await this.encode(width, height);
    const input = new Tensor("float32", toPlanes(lr), [1, 3, height, width]);
    const { hr, scores } = await this.decoder.run({ lr: input, features });
    input.dispose();
    const image = fromPlanes(hr.data as Float32Array, width * this.scale, height * this.scale);
    const all = scores.data as Float32Array;
    const size = width * height;
    const maps = this.references.map((_, index) => all.slice(index * size, (index + 1) * size));
    hr.dispose();
    scores.dispose();
    return { image, scores: maps, shares: maps.map((map) => map.reduce((sum, value) => sum + value, 0) / size) };
  }

  async release(): Promise<void> {
    this.features.clear();
    await this.encoder.release();
    await this.decoder.release();
  }

  /** Features of the references for LR headshots of that size, N×F×H×W; encoded at the first call. */
  private async encode(width: number, height: number): Promise<Tensor> {
    const key = `${width}×${height}`;
    let features = this.features.get(key);
    if (features === undefined) {
      features = await this.encodeNow(width, height);
      for (const oldest of [...this.features.keys()].slice(0, this.features.size - CACHED_SIZES + 1))
        this.features.delete(oldest);
    }
    this.features.delete(key);
    this.features.set(key, features);
    return features;
  }

  private async encodeNow(width: number, height: number): Promise<Tensor> {
    const count = this.references.length;
    const channels = this.card.feature_channels;
    if (count === 0) return new Tensor("float32", new Float32Array(0), [0, channels, height, width]);
    const [wide, high] = [width * this.scale, height * this.scale];
    const size = 3 * wide * high;
    const planes = new Float32Array(count * size);
    this.references.forEach((reference, index) => {
      toPlanes(resize(centreCrop(reference, width, height), wide, high), planes, index * size);
    });
    const input = new Tensor("float32", planes, [count, 3, high, wide]);
    const { features } = await this.encoder.run({ references: input });
    input.dispose();
    return features;
  }
}

/** A file of the site. */
export async function fetchBytes(address: string): Promise<Uint8Array<ArrayBuffer>> {
  const name = address.split("/").slice(-2).join("/");
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    throw new Problem(`${name} cannot be loaded; check the connection to where this page came from, and try again`);
  }
  if (!response.ok) throw new Problem(`${name} is missing where this page came from (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

async function fetchChecked(address: string, checksum: string | undefined): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await fetchBytes(address);
  // Pages of plain http have no digests, and what brought the file brought the card too.
  if (globalThis.crypto?.subtle === undefined) return bytes;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== checksum) throw new Problem(`${address} differs from the checksum in its card; load the page again`);
  return bytes;
}
