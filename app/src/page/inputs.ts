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
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("over");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) use(files);
  });
}

/** What is dropped elsewhere is not opened instead of the page. */
export function ignoreOtherDrops(): void {
  for (const event of ["dragover", "drop"]) addEventListener(event, (drop) => drop.preventDefault());
}
