/** What the page tells: what it is doing, and what went wrong; one thing is done at a time. */

import { Problem } from "../problem";
import { element, make } from "./dom";

const status = element("status");
const problem = element("problem");
const result = element("result");

/** A problem with ways out, of which the user takes one. */
export class Question extends Problem {
  constructor(
    message: string,
    readonly buttons: readonly HTMLButtonElement[],
  ) {
    super(message);
  }
}

export function tell(text: string): void {
  status.textContent = text;
}

export function showProblem(error: unknown): void {
  if (!(error instanceof Problem)) console.error(error);
  const message = error instanceof Error ? error.message : String(error);
  problem.replaceChildren(error instanceof Problem && error.isNamed ? message : capitalised(message));
  if (error instanceof Question) problem.append(make("div", { className: "buttons" }, ...error.buttons));
}

export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** If one of its buttons was pressed, the keyboard's focus goes to what does the same. */
function clearProblem(): void {
  const restore = element("restore");
  if (problem.contains(document.activeElement)) restore.focus({ preventScroll: true });
  problem.replaceChildren();
}

let running = Promise.resolve();

/**
 * Do that after all that was asked for before; what goes wrong is told.
 *
 * @param isNew whether the user asked for it: then what went wrong before is history.
 * @returns when it is done, well or not.
 */
export function run(act: () => Promise<void>, isNew = true): Promise<void> {
  running = running.then(async () => {
    if (isNew) clearProblem();
    result.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      tell("");
      showProblem(error);
    }
    result.removeAttribute("aria-busy");
  });
  return running;
}
