/** ONNX Runtime, set up once: WebAssembly, with a thread for each core where the page may have threads. */

import * as ort from "onnxruntime-web/wasm";

export { InferenceSession, Tensor } from "onnxruntime-web/wasm";

/** More threads than that wait for each other more than they help. */
const MOST_THREADS = 4;

/** Say where the run time's files are: a folder, beside the page. */
export function setUp(folder: string): void {
  ort.env.wasm.wasmPaths = {
    mjs: `${folder}/ort-wasm-simd-threaded.mjs`,
    wasm: `${folder}/ort-wasm-simd-threaded.wasm`,
  };
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1)
    : 1;
  ort.env.logLevel = "error";
}

/** How many threads the run time has. */
export function threads(): number {
  return ort.env.wasm.numThreads ?? 1;
}

export function openSession(
  graph: Uint8Array,
  externalData: readonly { path: string; data: Uint8Array }[] = [],
): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(graph, {
    executionProviders: ["wasm"],
    externalData: [...externalData],
    logSeverityLevel: 3,
  });
}
