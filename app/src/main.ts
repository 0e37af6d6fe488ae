/** The page: what is dropped, chosen and taken goes to the worker; what comes back is shown. */

import type { Reference } from "./album";
import { takePicture } from "./camera";
import { EngineProblem, startEngine } from "./client";
import { compare } from "./compare";
import { button, drawn, element, make, percent } from "./dom";
import type { Box } from "./faces";
import { startLive } from "./live";
import { keepSite } from "./offline";
import { toRgba } from "./picture";
import { Problem } from "./problem";
import { forget, keep, keptPeople } from "./store";
import type { ModelEntry, ShownFace, ShownPhoto } from "./worker";

const status = element("status");
const problem = element("problem");
const result = element("result");

await keepSite();
const engine = startEngine({
  progress: (step) => tell(`${step} …`),
  runsOn: (place) => (element("runs-on").textContent = place),
});

let picture: { readonly key: number; readonly file: File } | null = null;
let pictures = 0;
let references: readonly Reference[] = [];
let onlyFace: number | null = null;

// ------------------------------------------------------------------------------------------- one thing at a time

function tell(text: string): void {
  status.textContent = text;
}

function showProblem(error: unknown): void {
  if (!(error instanceof Problem)) console.error(error);
  const message = error instanceof Error ? error.message : String(error);
  problem.replaceChildren(capitalised(message));
  if (error instanceof EngineProblem && error.boxes) void offerFaces(error.boxes);
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Let the user say whom to restore. */
async function offerFaces(boxes: readonly Box[]): Promise<void> {
  const bitmap = await createImageBitmap(picture!.file);
  const choices = boxes.map(({ left, top, width, height }, number) => {
    const choice = button(`Face ${number + 1}`, () => {
      onlyFace = number;
      restore();
    });
    const canvas = make("canvas", { width: 96, height: 96, ariaHidden: "true" });
    const side = 1.4 * Math.max(width, height);
    const [x, y] = [left + (width - side) / 2, top + (height - side) / 2];
    canvas.getContext("2d")!.drawImage(bitmap, x, y, side, side, 0, 0, 96, 96);
    choice.prepend(canvas);
    return choice;
  });
  bitmap.close();
  problem.append(make("div", { className: "buttons" }, ...choices));
}

let running = Promise.resolve();

/** Do that after all that was asked for before; what goes wrong is told. */
function run(act: () => Promise<void>): void {
  running = running.then(async () => {
    problem.replaceChildren();
    result.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      tell("");
      showProblem(error);
    }
    result.removeAttribute("aria-busy");
  });
}

// ------------------------------------------------------------------------------------------- what comes in

function takeIn(name: "picture" | "photos", use: (files: File[]) => void): void {
  const input = element<HTMLInputElement>(`${name}-file`);
  input.addEventListener("change", () => {
    if (input.files?.length) use([...input.files]);
    input.value = ""; // the same file again is a change too
  });
  element(`${name}-camera`).addEventListener("click", () => {
    takePicture().then((file) => file && use([file]), showProblem);
  });
  const zone = element(`${name}-drop`);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) use(files);
  });
}

function setPicture(files: File[]): void {
  picture = { key: ++pictures, file: files[0] };
  onlyFace = null;
  element("picture-name").textContent = files[0].name;
  element<HTMLButtonElement>("restore").disabled = false;
  if (references.length > 0) restore();
  else tell("Now give photos of the person, or restore without.");
}

function addPhotos(files: readonly File[]): void {
  run(async () => {
    const photos = await engine.readPhotos(files);
    setReferences(photos.references);
    const told = photos.rejected.map(([name, reason]) => make("li", {}, `${name} is not used: ${reason}`));
    element("rejected").replaceChildren(...told);
    tell(`${references.length} ${references.length === 1 ? "photo" : "photos"} of the person`);
  });
  run(async () => {
    if (picture && references.length > 0) await restoreNow();
  });
}

function setReferences(next: readonly Reference[]): void {
  references = next;
  void engine.setReferences(next);
  const shown = references.map((reference) => {
    const remove = (): void => setReferences(references.filter((other) => other !== reference));
    return make(
      "li",
      { className: "photo" },
      drawn(toRgba(reference.crop), `Photo ${reference.name}`),
      button("Remove", remove, `Remove ${reference.name}`),
    );
  });
  element("photos").replaceChildren(...shown);
}

// ------------------------------------------------------------------------------------------- people kept

async function showKept(): Promise<void> {
  const people = await keptPeople();
  const shown = people.map((person) => {
    const use = (): void => {
      setReferences(person.references);
      element("rejected").replaceChildren();
      run(async () => (picture ? restoreNow() : tell(`The photos of ${person.name} are used.`)));
    };
    const remove = (): void =>
      run(async () => {
        await forget(person.name);
        await showKept();
        tell(`${person.name} is deleted from this device.`);
      });
    const many = `${person.references.length} ${person.references.length === 1 ? "photo" : "photos"}`;
    return make(
      "li",
      {},
      `${person.name} (${many}) `,
      button("Use", use, `Use the photos of ${person.name}`),
      " ",
      button("Delete", remove, `Delete ${person.name} from this device`),
    );
  });
  element("kept").replaceChildren(...shown);
}

element("keep").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element<HTMLInputElement>("keep-name").value.trim();
  run(async () => {
    if (references.length === 0) throw new Problem("there is no photo to keep; give photos of the person first");
    await keep({ name, references });
    await showKept();
    tell(`${name} is kept on this device.`);
  });
});

// ------------------------------------------------------------------------------------------- model and dial

const fidelity = element<HTMLInputElement>("fidelity");

async function openModel(name: string, place?: number): Promise<void> {
  tell("Loading the model …");
  const opened = await engine.open(name, place);
  element("dial").hidden = opened.fidelity === null;
  element("licence").textContent = `${name}: ${opened.licence}.`;
  if (opened.fidelity !== null) fidelity.value = String(opened.fidelity);
  showFidelity();
}

function showFidelity(): void {
  element("fidelity-value").textContent = Number(fidelity.value).toFixed(1);
}

const model = element<HTMLSelectElement>("model");
fidelity.addEventListener("input", showFidelity);
for (const input of [model, fidelity])
  input.addEventListener("change", () =>
    run(async () => {
      await openModel(model.value, input === fidelity ? Number(fidelity.value) : undefined);
      if (picture && !result.hidden) await restoreNow();
      else tell("Ready.");
    }),
  );

// ------------------------------------------------------------------------------------------- restoring

function restore(): void {
  run(restoreNow);
}

async function restoreNow(): Promise<void> {
  if (picture === null) return;
  const { key, file } = picture;
  const start = performance.now();
  let faces: readonly ShownFace[] = [];
  for (let isComplete = false; !isComplete; ) {
    ({ faces, isComplete } = await engine.restore(key, file, onlyFace).catch((error: unknown) => {
      result.hidden = true; // never an older result beside a new problem
      throw error;
    }));
    element("faces").replaceChildren(...faces.map(showFace));
    element("whole").hidden = true;
    result.hidden = false;
  }
  const seconds = (performance.now() - start) / 1000;
  showWhole(await engine.putBack(), faces, file.name); // takes its time where the picture is large
  const count = faces.filter((face) => face.restored).length;
  tell(`${count} of ${faces.length} ${faces.length === 1 ? "face" : "faces"} restored in ${seconds.toFixed(1)} s.`);
}

function showWhole(photo: ShownPhoto, faces: readonly ShownFace[], name: string): void {
  const { width, height } = photo.image;
  const scale = photo.enlargement;
  const marks = faces.map((face, number) => ({
    corners: face.corners.map(([x, y]) => [((x + 0.5) * scale) / width, ((y + 0.5) * scale) / height] as const),
    label: String(number + 1),
  }));
  element("photo").replaceChildren(compare(photo.plain, photo.image, name, marks));
  element("whole").hidden = false;
}

function showFace(face: ShownFace, number: number): HTMLElement {
  const heading = make("h3", {}, `Face ${number + 1}`);
  if (face.restored === null) {
    const choose = button("Restore this face", () => {
      onlyFace = number;
      restore();
    });
    const choice = face.sizeProblem === null ? [choose] : [];
    return make("article", {}, heading, make("p", {}, `Left as it is: ${face.left}.`), ...choice);
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
    parts.push(
      make("p", {}, `What each photo gave to it (${percent(rest)} came from none):`),
      box,
      make("label", {}, toggle, " show where (bright: much, dark: little)"),
    );
  } else parts.push(make("p", {}, "Restored without photos of the person: less true to them."));
  return make("article", {}, ...parts);
}

function showReference(face: ShownFace, index: number, most: number): HTMLElement {
  const { name, crop } = face.references[index];
  const map = drawn(scoreMap(face.scores[index], most, face.lr.width), `Where ${name} was used`);
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

function save(type: "image/jpeg" | "image/png", suffix: string): void {
  run(async () => {
    tell("Writing the file …");
    const blob = await engine.save(type);
    const link = make("a", { href: URL.createObjectURL(blob), download: `${stem(picture!.file.name)}-restored.${suffix}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    tell("The file is in your downloads.");
  });
}

function stem(name: string): string {
  return name.replace(/\.[^.]*$/, "");
}

// ------------------------------------------------------------------------------------------- start

takeIn("picture", setPicture);
takeIn("photos", addPhotos);
for (const event of ["dragover", "drop"]) addEventListener(event, (drop) => drop.preventDefault()); // not opened instead
element("restore").addEventListener("click", restore);
element("save-jpeg").addEventListener("click", () => save("image/jpeg", "jpg"));
element("save-png").addEventListener("click", () => save("image/png", "png"));
startLive(engine, { photos: () => references.length, addPhotos, run });

run(async () => {
  const models = await engine.start(new URL(".", document.baseURI).href.replace(/\/$/, ""));
  model.replaceChildren(...models.map((entry) => make("option", { value: entry.name }, described(entry))));
  await openModel(models[0].name);
  await engine.prepare();
  tell(picture ? "Ready." : "Ready. Give a picture and photos of the person.");
});
run(showKept);

function described({ name, scale, fidelity }: ModelEntry): string {
  return `${name}: ×${scale}, ${fidelity === null ? "least error" : "looks real"}`;
}
