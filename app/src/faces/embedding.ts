/** People told apart: SFace (Zhong et al. 2021) turns an aligned face into 128 numbers. See `hime.faces.embedding`. */

import { inverse, type Affine, type Point } from "../pictures/affine";
import type { Image } from "../pictures/arrays";
import { resizeForFaces, sides, warp } from "../pictures/opencv";
import { fetchBytes, type Bytes } from "../site/files";
import { openOnProcessor, Tensor, type InferenceSession } from "../site/runtime";
import type { Landmarks } from "./headshot";

const ALIGNED_SIDE = 112;
/** Where the five landmarks lie in the aligned face (the template of ArcFace). */
const TEMPLATE: Landmarks = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

/** The network is opened when it is first needed: one face against photos of one person needs none. */
export class Embedder {
  private bytes: Promise<Bytes> | null = null;
  private network: Promise<InferenceSession> | null = null;
  private isThere: boolean | null = null;

  /** @param folder in which the network lies. */
  constructor(private readonly folder: string) {}

  /** Whether it can embed at once; null while the network is fetched, which this begins; false where it cannot be. */
  ready(): boolean | null {
    if (!this.isThere) this.load().catch(() => {});
    return this.isThere;
  }

  /** Have the network fetched, so that it can be opened later without one to fetch it by. */
  async fetch(): Promise<void> {
    if (this.network === null) await this.fetched();
  }

  /** The face with these landmarks as a vector of length 1, with 128 entries. */
  async embed(image: Image, landmarks: Landmarks): Promise<Float32Array> {
    const network = await this.load();
    let points = landmarks;
    let [transform, scale] = toTemplate(points);
    if (scale < 1) {
      // Reduced by area first, so that pixels between the samples count too.
      const [width, height] = sides(image, scale);
      const [across, down] = [width / image.width, height / image.height];
      points = points.map(([x, y]): Point => [(x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5]);
      image = resizeForFaces(image, width, height);
      [transform] = toTemplate(points);
    }
    const aligned = warp(image, inverse(transform), ALIGNED_SIDE, ALIGNED_SIDE);
    const size = ALIGNED_SIDE * ALIGNED_SIDE;
    const planes = new Float32Array(3 * size);
    for (let place = 0; place < size; place++)
      for (let channel = 0; channel < 3; channel++) planes[channel * size + place] = aligned.data[place * 3 + channel];
    const { fc1 } = await network.run({ data: new Tensor("float32", planes, [1, 3, ALIGNED_SIDE, ALIGNED_SIDE]) });
    return unitVector(fc1.data as Float32Array);
  }

  private async load(): Promise<InferenceSession> {
    try {
      this.network ??= this.fetched().then((bytes) => openOnProcessor(bytes));
      const network = await this.network;
      this.bytes = null; // 10 MB
      this.isThere = true;
      return network;
    } catch (error) {
      this.network = null; // the next call tries again
      this.isThere = false;
      throw error;
    }
  }

  private fetched(): Promise<Bytes> {
    this.bytes ??= fetchBytes(`${this.folder}/sface.onnx`).catch((error: unknown) => {
      this.bytes = null; // the next call tries again
      throw error;
    });
    return this.bytes;
  }
}

/** Cosine between two embeddings. */
export function similarity(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, index) => sum + value * other[index], 0);
}

export function unitVector(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** The similarity (turn, scale, shift) that brings the points nearest to the template, and its scale. */
function toTemplate(points: Landmarks): [Affine, number] {
  const mean = (of: Landmarks, axis: 0 | 1): number => of.reduce((sum, point) => sum + point[axis], 0) / of.length;
  const [x, y, u, v] = [mean(points, 0), mean(points, 1), mean(TEMPLATE, 0), mean(TEMPLATE, 1)];
  let [along, across, norm] = [0, 0, 0];
  points.forEach(([px, py], index) => {
    const [dx, dy, du, dv] = [px - x, py - y, TEMPLATE[index][0] - u, TEMPLATE[index][1] - v];
    along += dx * du + dy * dv;
    across += dx * dv - dy * du;
    norm += dx * dx + dy * dy;
  });
  const [cosine, sine] = [along / norm, across / norm];
  return [[cosine, -sine, u - cosine * x + sine * y, sine, cosine, v - sine * x - cosine * y], Math.hypot(cosine, sine)];
}

