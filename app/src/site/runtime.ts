/**
 * ONNX Runtime on the processor (WebAssembly, with a thread for each core where the page may have threads), and on
 * the graphics card (WebGPU) where the browser has it.
 */

import * as ort from "onnxruntime-web/wasm";
import type { InferenceSession } from "onnxruntime-web/wasm";

export { Tensor, type InferenceSession } from "onnxruntime-web/wasm";

/** Opens a graph, with the file that its weights lie in, if they lie outside. */
export type Open = (
  graph: Uint8Array,
  externalData?: readonly { path: string; data: Uint8Array }[],
) => Promise<InferenceSession>;

/** ONNX Runtime's own choice takes no more either. */
const MOST_THREADS = 4;

let folder = "";

/** Say where the run times' files are: a folder, beside the page. */
export function setUp(runTimes: string): void {
  folder = runTimes;
  ort.env.wasm.wasmPaths = paths("ort-wasm-simd-threaded");
  ort.env.wasm.numThreads = threads();
  ort.env.logLevel = "error";
}

function paths(name: string): { mjs: string; wasm: string } {
  return { mjs: `${folder}/${name}.mjs`, wasm: `${folder}/${name}.wasm` };
}

/** How many threads the processor's run time has. */
export function threads(): number {
  return globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

export const openOnProcessor: Open = (graph, externalData = []) =>
  ort.InferenceSession.create(graph, {
    executionProviders: ["wasm"],
    externalData: [...externalData],
    logSeverityLevel: 3,
  });

/**
 * How to open graphs on the graphics card; null where the browser cannot. Its run time is fetched only now.
 *
 * That which waits for the card by JavaScript Promise Integration is 10 MB smaller than the other, and browsers
 * that have WebGPU but not that have WebAssembly.
 */
export async function findGraphics(): Promise<Open | null> {
  if (!("Suspending" in WebAssembly)) return null;
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const gpu = await import("onnxruntime-web/jspi");
  gpu.env.wasm.wasmPaths = paths("ort-wasm-simd-threaded.jspi");
  gpu.env.wasm.numThreads = 1;
  gpu.env.logLevel = "error";
  return (graph, externalData = []) =>
    gpu.InferenceSession.create(graph, {
      executionProviders: ["webgpu"],
      externalData: [...externalData],
      logSeverityLevel: 3,
    });
}
