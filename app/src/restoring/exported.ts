/** Exported models as the site holds them. The counterpart of `hime.restoring.exported`. */

import { Problem } from "../problem";
import { fetchChecked, fetchJson } from "../site/files";
import type { Definition } from "./network";

const CARD_FORMAT = 4;

/** Of a model's `card.json`, as far as it is used. */
export interface Card {
  readonly format: number;
  readonly name: string;
  readonly scale: number;
  readonly lr_size: number;
  readonly feature_channels: number;
  readonly licence: string;
  /** How `weights.bin` holds its numbers. */
  readonly weights: "float16" | "float32";
  readonly sha256: Readonly<Record<string, string>>;
  /** The name of the model at the other end of the dial, if there is one. */
  readonly reconstruction?: string;
  /** Where the dial stands if nothing is said. */
  readonly fidelity?: number;
}

export interface Fetched {
  readonly card: Card;
  readonly definition: Definition;
}

/** Fetch the model of that name below `models`, and compare its files with the checksums of its card. */
export async function fetchModel(models: string, name: string): Promise<Fetched> {
  const card = await fetchJson<Card>(`${models}/${name}/card.json`);
  if (card.format !== CARD_FORMAT)
    throw new Problem(`${name}: card format ${card.format}, this page reads ${CARD_FORMAT}; export the site again`, true);
  const [encode, restore, stored] = await Promise.all(
    ["encode.onnx", "restore.onnx", "weights.bin"].map((file) =>
      fetchChecked(`${models}/${name}/${file}`, card.sha256[file]),
    ),
  );
  const weights = card.weights === "float16" ? expandHalf(stored) : stored;
  const definition = { scale: card.scale, channels: card.feature_channels, encode, restore, weights };
  return { card, definition };
}

/** Half precision (IEEE 754, little-endian, finite) as the graphs take their weights, in float32; exact. */
export function expandHalf(stored: Uint8Array): Uint8Array {
  const halves = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const floats = new Float32Array(stored.byteLength / 2);
  const bits = new Uint32Array(floats.buffer);
  for (let index = 0; index < floats.length; index++) {
    const half = halves.getUint16(2 * index, true);
    bits[index] = (half & 0x7fff) << 13; // exponent and fraction in their places; the exponent's bias is 112 less
    floats[index] *= half & 0x8000 ? -(2 ** 112) : 2 ** 112;
  }
  return new Uint8Array(floats.buffer);
}
