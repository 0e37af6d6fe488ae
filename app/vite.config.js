import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

/** What onnxruntime-web loads by itself, under its own names: for WebAssembly, and for WebGPU. */
const RUN_TIMES = ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.jspi"];

const runTimes = {
  name: "run-times",
  generateBundle() {
    for (const name of RUN_TIMES.flatMap((runTime) => [`${runTime}.mjs`, `${runTime}.wasm`])) {
      const source = readFileSync(`node_modules/onnxruntime-web/dist/${name}`);
      this.emitFile({ type: "asset", fileName: `run-time/${name}`, source });
    }
  },
};

// The service worker asks for newer files by name, so names need no hashes.
const names = { entryFileNames: "[name].js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" };

export default defineConfig({
  base: "./", // from any folder of any host
  plugins: [runTimes],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"] },
  build: {
    outDir: "../src/hime/app",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: { input: ["index.html", "src/site/service-worker.ts"], output: names },
  },
  worker: { format: "es", rolldownOptions: { output: names } },
});
