/** The page's side of the worker: its calls as functions that return promises. */

import type { Box } from "./faces";
import { Problem } from "./problem";
import type { Engine } from "./worker";

/** Something went wrong; `boxes` if faces were found of which one can be chosen. */
export class EngineProblem extends Problem {
  constructor(
    message: string,
    readonly boxes: readonly Box[] | null,
  ) {
    super(message);
  }
}

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly boxes: readonly Box[] | null };
  readonly progress?: string;
}

/** Start the worker; `onProgress` is told what it is doing. */
export function startEngine(onProgress: (step: string) => void): Engine {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let calls = 0;
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    if (data.progress !== undefined) return onProgress(data.progress);
    const caller = waiting.get(data.id!)!;
    waiting.delete(data.id!);
    if (data.error) caller.reject(new EngineProblem(data.error.message, data.error.boxes));
    else caller.resolve(data.result);
  });
  worker.addEventListener("error", () => {
    for (const { reject } of waiting.values())
      reject(new EngineProblem("the part of this page that restores could not be started; load the page again", null));
    waiting.clear();
  });
  return new Proxy({} as Engine, {
    get:
      (_, name) =>
      (...parameters: unknown[]) =>
        new Promise((resolve, reject) => {
          const transfer = parameters.filter((parameter) => parameter instanceof ImageBitmap);
          waiting.set(++calls, { resolve, reject });
          worker.postMessage({ id: calls, name, parameters }, transfer);
        }),
  });
}
