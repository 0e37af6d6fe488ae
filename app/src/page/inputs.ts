/** Files that come in: dropped, chosen, or taken with the camera. */

import { takePicture } from "./camera";
import { element } from "./dom";
import { showProblem } from "./status";

/** Have the files used that are given in that part of the page. */
export function takeIn(name: "picture" | "photos", use: (files: File[]) => void): void {
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
    zone.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) use(files);
  });
}

/** While files are dragged, let the two places for them cover the whole window. */
export function offerPlaces(): void {
  const target = element("drop-target");
  const offer = (offered: boolean): void => void (target.hidden = !offered);
  document.addEventListener("dragenter", (event) => {
    if (event.dataTransfer?.types.includes("Files")) offer(true);
  });
  // Nothing is entered when the window is left.
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && offer(false));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // the browser would open the file instead of the page
    offer(false);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && offer(false));
}
