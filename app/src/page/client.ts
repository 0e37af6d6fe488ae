/** The page's side of the worker: its calls as functions that return promises. */

import { Problem } from "../problem";
import type { Choice } from "../restoring/photo";
import type { Engine } from "../worker/engine";

/** Something went wrong; `choice` if faces were found of which one can be chosen. */
export class EngineProblem extends Problem {
  constructor(
    message: string,
    readonly choice: Choice | null,
    isNamed = false,
  ) {
    super(message, isNamed);
  }
}

/** Of the worker: `id` and `result` or `error` of a call, or what it is doing, or where. */
interface Message {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly choice: Choice | null; readonly isNamed: boolean };
  readonly progress?: string;
  readonly runsOn?: string;
}

interface Listener {
  /** Told what the worker is doing. */
  progress(step: string): void;
  /** Told on what the models run. */
  runsOn(place: string): void;
}

/** Start the worker. */
export function startEngine(listener: Listener): Engine {
  const worker = new Worker(new URL("../worker/worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let calls = 0;
  let failure: EngineProblem | null = null;
  worker.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    if (data.progress !== undefined) return listener.progress(data.progress);
    if (data.runsOn !== undefined) return listener.runsOn(data.runsOn);
    const caller = waiting.get(data.id!)!;
    waiting.delete(data.id!);
    if (data.error) caller.reject(new EngineProblem(data.error.message, data.error.choice, data.error.isNamed));
    else caller.resolve(data.result);
  });
  worker.addEventListener("error", () => {
    failure = new EngineProblem("the part of this page that restores could not be started; load the page again", null);
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  });
  return new Proxy({} as Engine, {
    get:
      (_, name) =>
      (...parameters: unknown[]) =>
        new Promise((resolve, reject) => {
          if (failure) return reject(failure);
          const transfer = parameters.filter((parameter) => parameter instanceof ImageBitmap);
          waiting.set(++calls, { resolve, reject });
          worker.postMessage({ id: calls, name, parameters }, transfer);
        }),
  });
}
