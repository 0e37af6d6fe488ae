/** Exported models as the site holds them. The counterpart of `hime.restoring.exported`. */

import { Problem } from "../problem";
import { fetchChecked, fetchJson } from "../site/files";
import type { Definition } from "./network";

const CARD_FORMAT = 2;

/** Of a model's `card.json`, as far as it is used. */
export interface Card {
  readonly format: number;
  readonly name: string;
  readonly scale: number;
  readonly lr_size: number;
  readonly feature_channels: number;
  readonly licence: string;
  readonly sha256: Readonly<Record<string, string>>;
  /** The name of the model at the other end of the dial, if there is one. */
  readonly reconstruction?: string;
  /** Where the dial stands if nothing is said. */
  readonly fidelity?: number;
}

/** Fetch the model of that name below `models`, and compare its files with the checksums of its card. */
export async function fetchModel(models: string, name: string): Promise<{ card: Card; definition: Definition }> {
  const card = await fetchJson<Card>(`${models}/${name}/card.json`);
  if (card.format !== CARD_FORMAT)
    throw new Problem(`${name}: card format ${card.format}, this page reads ${CARD_FORMAT}; export the site again`);
  const [encode, restore, weights] = await Promise.all(
    ["encode.onnx", "restore.onnx", "weights.bin"].map((file) =>
      fetchChecked(`${models}/${name}/${file}`, card.sha256[file]),
    ),
  );
  const definition = { scale: card.scale, channels: card.feature_channels, encode, restore, weights };
  return { card, definition };
}
