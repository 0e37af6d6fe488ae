/** The page: what is dropped, chosen and taken goes to the worker; what comes back is shown. */

import type { Box } from "../faces/detection";
import type { Choice } from "../restoring/photo";
import { keepSite } from "../site/offline";
import type { ModelEntry, Opened, ShownFace } from "../worker/answers";
import { EngineProblem, startEngine } from "./client";
import { button, element, make } from "./dom";
import { fetchExample } from "./example";
import { Given } from "./given";
import { offerPlaces, takeIn } from "./inputs";
import { startLive } from "./live";
import { Photos } from "./photos";
import { showFaces, showWhole } from "./result";
import { Question, run, tell } from "./status";

await keepSite();
const engine = startEngine({
  progress: (step) => tell(`${step} …`),
  runsOn: (place) => (element("runs-on").textContent = place),
});

interface Picture {
  readonly key: number;
  readonly file: File;
}

/** A face of the picture that the user asked for, whoever it seems to be. */
interface Chosen {
  readonly place: Box;
  readonly evenSharp: boolean;
}

let picture: Picture | null = null;
let shownName = ""; // of the picture whose result is shown
let pictures = 0;
let chosen: Chosen | null = null; // else the person's face is restored, or everybody's
const photos = new Photos(engine, restoreNow, () => (chosen = null));
const given = new Given();

// ------------------------------------------------------------------------------------------- settings

const model = element<HTMLSelectElement>("model");
const fidelity = element<HTMLInputElement>("fidelity");
const strength = element<HTMLInputElement>("strength");

let opened: ({ readonly name: string } & Opened) | null = null;

async function openModel(name: string, place?: number): Promise<void> {
  tell("Loading the model …");
  try {
    opened = { name, ...(await engine.open(name, place)) };
  } finally {
    showOpened(); // where it failed, what was open before is so still
  }
}

function showOpened(): void {
  if (opened === null) return;
  model.value = opened.name;
  element("dial").hidden = opened.fidelity === null;
  element("licence").textContent = `${opened.name}: ${opened.licence}.`;
  if (opened.fidelity !== null) fidelity.value = String(opened.fidelity);
  showPlaces();
}

function showPlaces(): void {
  for (const { id, value } of [fidelity, strength]) element(`${id}-value`).textContent = Number(value).toFixed(1);
}

function described({ name, scale, fidelity }: ModelEntry): string {
  return `${name}: ×${scale}, ${fidelity === null ? "least error" : "looks real"}`;
}

for (const input of [fidelity, strength]) input.addEventListener("input", showPlaces);
for (const input of [model, fidelity, strength])
  input.addEventListener("change", () => {
    const name = model.value; // now: what is opened before it is shown there too
    const place = input === fidelity ? Number(fidelity.value) : undefined;
    run(async () => {
      if (input !== strength) await openModel(name, place);
      if (element("result").hidden || !(await restoreNow())) tell("Ready.");
    });
  });

// ------------------------------------------------------------------------------------------- restoring

function setPicture(files: readonly File[]): void {
  const [file] = files;
  picture = { key: ++pictures, file };
  chosen = null;
  element("result").hidden = true; // of the picture before
  element("example-offer").hidden = true;
  element<HTMLButtonElement>("restore").disabled = false;
  run(() => given.show(file, files.length));
  if (photos.count > 0) restore();
  else lookOn();
}

/** Find the faces to choose from; what the user asks for meanwhile goes before. */
function lookOn(): void {
  const looked = picture!;
  run(async () => {
    if (picture !== looked) return;
    const { boxes, isComplete } = await engine.look(looked.key, looked.file);
    if (picture !== looked) return;
    given.mark(boxes, isComplete, chooserOf(looked));
    if (!isComplete) lookOn();
    else if (photos.count === 0 && element("result").hidden) tell("Now give photos of the person, or restore without.");
  }, false);
}

/** Restore the person's face, or everybody's without photos. */
function restore(): void {
  run(async () => {
    chosen = null;
    await restoreNow();
  });
}

/** What restores a face of that picture, although it is sharp if so said; nothing once another picture is given. */
function chooserOf(of: Picture): (place: Box, evenSharp?: boolean) => void {
  return (place, evenSharp = false) =>
    void run(async () => {
      if (picture !== of) return;
      chosen = { place, evenSharp }; // now: who was asked for before may have become another meanwhile
      await restoreNow();
    });
}

/** Whether there is a picture. What comes of one is dropped if another is given meanwhile. */
async function restoreNow(): Promise<boolean> {
  const asked = picture;
  if (asked === null) return false;
  const { key, file } = asked;
  const choose = chooserOf(asked);
  const start = performance.now();
  let faces: readonly ShownFace[] = [];
  for (let isComplete = false; !isComplete; ) {
    const place = chosen?.place ?? null;
    const manner = { evenSharp: chosen?.evenSharp ?? false, strength: Number(strength.value) };
    ({ faces, isComplete } = await engine.restore(key, file, place, manner).catch(async (error: unknown) => {
      if (picture !== asked) return { faces, isComplete }; // nobody asks for it any more
      element("result").hidden = true; // never an older result beside a new problem
      const choice = error instanceof EngineProblem ? error.choice : null;
      if (choice === null) throw error;
      given.mark(choice.boxes, true, choose);
      throw new Question((error as EngineProblem).message, await answers(file, choice, choose));
    }));
    if (picture !== asked) return true;
    given.mark(faces.map(({ box }) => box), isComplete, choose);
    const isFirst = element("result").hidden;
    showFaces(faces, choose);
    if (isFirst) element("result").scrollIntoView();
  }
  const seconds = (performance.now() - start) / 1000;
  const whole = await engine.putBack(); // takes its time where the picture is large
  if (picture !== asked) return true;
  showWhole(whole, faces, file.name);
  shownName = file.name;
  const count = faces.filter((face) => face.restored).length;
  tell(`${count} of ${faces.length} ${faces.length === 1 ? "face" : "faces"} restored in ${seconds.toFixed(1)} s.`);
  return true;
}

/** Let the user say whom to restore. */
async function answers(
  file: File,
  { boxes, evenSharp }: Choice,
  choose: (place: Box, evenSharp: boolean) => void,
): Promise<HTMLButtonElement[]> {
  const bitmap = await createImageBitmap(file);
  const buttons = boxes.map((box, number) => {
    const { left, top, width, height } = box;
    const choice = button(`Face ${number + 1}`, () => choose(box, evenSharp));
    const canvas = make("canvas", { width: 96, height: 96, ariaHidden: "true" });
    const side = 1.4 * Math.max(width, height);
    const [x, y] = [left + (width - side) / 2, top + (height - side) / 2];
    canvas.getContext("2d")!.drawImage(bitmap, x, y, side, side, 0, 0, 96, 96);
    choice.prepend(canvas);
    return choice;
  });
  bitmap.close();
  return buttons;
}

function save(type: "image/jpeg" | "image/png", suffix: string): void {
  run(async () => {
    tell("Writing the file …");
    const blob = await engine.save(type);
    const link = make("a", { href: URL.createObjectURL(blob), download: `${stem(shownName)}-restored.${suffix}` });
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
takeIn("photos", (files) => photos.add(files));
offerPlaces();
element("example").addEventListener("click", () =>
  run(async () => {
    tell("Fetching the example …");
    const example = await fetchExample();
    photos.clear(); // first: the picture is not to be restored with anybody else's
    setPicture([example.picture]);
    photos.add(example.photos);
  }),
);
element("restore").addEventListener("click", restore);
element("save-jpeg").addEventListener("click", () => save("image/jpeg", "jpg"));
element("save-png").addEventListener("click", () => save("image/png", "png"));
startLive(engine, photos);

run(async () => {
  const models = await engine.start(new URL(".", document.baseURI).href.replace(/\/$/, ""));
  model.replaceChildren(...models.map((entry) => make("option", { value: entry.name }, described(entry))));
  await openModel(models[0].name);
  await engine.prepare();
  tell(picture ? "Ready." : "Ready. Give a picture and photos of the person.");
  await engine.fetchAhead();
});
// Where nothing can be kept, that is told who wants to keep somebody, and not at every visit.
run(() => photos.showKept().catch((error: unknown) => console.warn("nobody who was kept is shown", error)), false);
