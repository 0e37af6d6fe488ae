/** The worker: everything that takes time. Messages are calls of `engine`, one after another; see page/client.ts. */

import { Problem } from "../problem";
import { Undecided } from "../restoring/photo";
import type { ShownPhoto } from "./answers";
import { engine, type Engine } from "./engine";

interface Call {
  readonly id: number;
  readonly name: keyof Engine;
  readonly parameters: unknown[];
}

let queue = Promise.resolve();

addEventListener("message", ({ data }: MessageEvent<Call>) => {
  queue = queue.then(async () => {
    try {
      const call = engine[data.name] as (...parameters: unknown[]) => Promise<unknown>;
      const result = await call(...data.parameters);
      postMessage({ id: data.id, result }, { transfer: buffers(result) });
    } catch (error) {
      const isProblem = error instanceof Problem;
      if (!isProblem) console.error(error);
      const message = isProblem ? error.message : `something went wrong in this page (${String(error)}); load it again`;
      const choice = error instanceof Undecided ? error.choice : null;
      postMessage({ id: data.id, error: { message, choice, isNamed: isProblem && error.isNamed } });
    }
  });
});

/** The large pictures of a result, which are moved rather than copied. */
function buffers(result: unknown): Transferable[] {
  if (typeof result !== "object" || result === null || !("enlargement" in result)) return [];
  const { image, plain } = result as ShownPhoto;
  return [image.data.buffer, plain.data.buffer];
}
