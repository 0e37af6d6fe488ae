import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

/** What onnxruntime-web loads by itself, beside the scripts and under its own name. */
const RUN_TIME = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

const runTime = {
  name: "run-time",
  generateBundle() {
    for (const name of RUN_TIME) {
      const source = readFileSync(`node_modules/onnxruntime-web/dist/${name}`);
      this.emitFile({ type: "asset", fileName: `run-time/${name}`, source });
    }
    const licence = readFileSync("run-time-LICENSE.txt");
    this.emitFile({ type: "asset", fileName: "run-time/LICENSE.txt", source: licence });
  },
};

export default defineConfig({
  base: "./", // from any folder of any host
  plugins: [runTime],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"] },
  build: {
    outDir: "../src/hime/app",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name].js" } } },
});
