/** What was restored: each face with what its photos gave to it, and the whole picture. */

import type { Box } from "../faces/detection";
import type { ShownFace, ShownPhoto } from "../worker/answers";
import { compare } from "./compare";
import { button, drawn, element, keepFocus, make, percent } from "./dom";
import { capitalised } from "./status";

/** @param choose restore the face in that place instead, maybe although it is sharp for its size. */
export function showFaces(faces: readonly ShownFace[], choose: (place: Box, evenSharp: boolean) => void): void {
  const shown = faces.map((face, number) => showFace(face, number, () => choose(face.box, face.detail !== null)));
  const list = element("faces");
  keepFocus(list, "article", () => list.replaceChildren(...shown)); // the pressed button is not there any more
  element("whole").hidden = true;
  element("result").hidden = false;
}

export function showWhole(photo: ShownPhoto, faces: readonly ShownFace[], name: string): void {
  const { width, height } = photo.image;
  const scale = photo.enlargement;
  const marks = faces.map((face, number) => ({
    corners: face.corners.map(([x, y]) => [((x + 0.5) * scale) / width, ((y + 0.5) * scale) / height] as const),
    label: String(number + 1),
  }));
  element("photo").replaceChildren(compare(photo.plain, photo.image, name, marks));
  element("whole").hidden = false;
}

function showFace(face: ShownFace, number: number, choose: () => void): HTMLElement {
  const heading = make("h3", {}, `Face ${number + 1}`);
  if (face.restored === null) {
    const text = face.detail === null ? "Restore this face" : "Restore it all the same";
    const choice = face.sizeProblem === null ? [button(text, choose)] : [];
    return make("article", { tabIndex: -1 }, heading, make("p", {}, `Left as it is: ${face.left}.`), ...choice);
  }
  const plain = enlarged(face.lr, face.restored.width, face.restored.height);
  const parts: Node[] = [heading, compare(plain, face.restored, `Face ${number + 1}`)];
  if (face.warning) parts.splice(1, 0, make("p", { className: "warning" }, capitalised(face.warning)));
  if (face.references.length > 0) {
    const rest = Math.max(0, 1 - face.shares.reduce((sum, share) => sum + share, 0));
    const most = face.scores.flatMap((scores) => [...scores]).reduce((one, other) => Math.max(one, other));
    const shown = face.references.map((_, index) => showReference(face, index, most));
    const box = make("div", { className: "row" }, ...shown);
    const toggle = make("input", { type: "checkbox" });
    toggle.addEventListener("change", () => box.classList.toggle("maps", toggle.checked));
    const gave = make("p", {}, `What each photo gave to it (${percent(rest)} came from none):`);
    parts.push(make("div", {}, gave, box, make("label", {}, toggle, " show where (bright: much, dark: little)")));
  } else parts.push(make("p", {}, "Restored without photos of the person: less true to them."));
  const told = toldOf(face);
  if (told !== null) parts.splice(1, 0, make("p", { className: "note" }, told));
  return make("article", { tabIndex: -1 }, ...parts);
}

/** Of a face that was reduced before it was restored: why; null of others. */
function toldOf({ corners, detail, lr, passes }: ShownFace): string | null {
  if (detail === null || passes[0] === lr.width) return null;
  const [[left, top], [right, down]] = corners;
  const width = Math.round(Math.hypot(right - left, down - top));
  const shows = `${width} pixels wide, it shows no more than ${Math.round(detail.side)} would`;
  return `${shows}: restored from ${passes[0]}${passes.length > 1 ? ", in steps" : ""}.`;
}

function showReference(face: ShownFace, index: number, most: number): HTMLElement {
  const { name, crop } = face.references[index];
  const map = drawn(scoreMap(face.scores[index], most, face.passes[0]), `Where ${name} was used`);
  return make(
    "figure",
    {},
    make("div", { className: "over" }, drawn(crop, `Photo ${name}`), map),
    make("figcaption", {}, `${percent(face.shares[index])} ${name}`),
  );
}

/** Weights from 0, black, to the largest of all photos, white. */
function scoreMap(scores: Float32Array, most: number, width: number): ImageData {
  const map = new ImageData(width, scores.length / width);
  scores.forEach((score, place) => {
    const level = (255 * score) / most;
    map.data.set([level, level, level, 255], place * 4);
  });
  return map;
}

/** The picture as a browser enlarges it. */
function enlarged(small: ImageData, width: number, height: number): ImageData {
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(drawn(small, ""), 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
