/** Photos of the person looked at: which are references, and why the others are none. */

import { embedded, facesOf, look, personsFaces, type Look, type Reference } from "../faces/album";
import type { Detector } from "../faces/detection";
import type { Embedder } from "../faces/embedding";
import { readImage } from "../pictures/files";
import { Problem } from "../problem";
import { MOST_REFERENCES } from "../restoring/face";
import type { Photos } from "./answers";

interface Means {
  readonly detector: Detector;
  readonly embedder: Embedder;
  /** Told of what is being done. */
  progress(step: string): void;
}

/** Look at photos of the person, who may have references before; these and the new ones. */
export async function readPhotos(
  files: readonly File[],
  before: readonly Reference[],
  { detector, embedder, progress }: Means,
): Promise<Photos> {
  const rejected: [string, string][] = [];
  let photos: Look[][] = [];
  for (const file of files) {
    progress(`Looking at ${file.name}`);
    try {
      const image = await readImage(file);
      const looks = (await facesOf(image, detector)).map((face) => look(file.name, image, face));
      if (looks.length > 0) photos.push(looks);
      else rejected.push([file.name, "no face found"]);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      rejected.push([file.name, error.message.replace(`${file.name}: `, "")]);
    }
  }
  let theirs: (number | string)[] = photos.map(() => 0);
  const count = before.length + photos.length;
  if (photos.length > 0 && (count > MOST_REFERENCES || photos.some((looks) => looks.length > 1))) {
    progress("Telling people apart");
    before = await embedded(before, embedder);
    const all: Look[][] = before.map((reference) => [{ reference, side: reference.crop.width, problem: null }]);
    for (const looks of photos) {
      const known = await embedded(looks.map(({ reference }) => reference), embedder);
      all.push(looks.map((seen, number) => ({ ...seen, reference: known[number] })));
    }
    photos = all.slice(before.length);
    theirs = personsFaces(all).slice(before.length);
  }
  const added: Reference[] = [];
  photos.forEach((looks, index) => {
    const number = theirs[index];
    const reason = typeof number === "string" ? number : looks[number].problem;
    if (reason !== null) rejected.push([looks[0].reference.name, reason]);
    else added.push(looks[number as number].reference);
  });
  return { references: [...before, ...added], rejected };
}
