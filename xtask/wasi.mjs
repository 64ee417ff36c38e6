// Runs a WebAssembly test program in Node: `node wasi.mjs PROGRAM [ARGUMENT]...`. cargo calls it.
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// Node 20 has relaxed SIMD behind this flag, later ones without.
setFlagsFromString("--experimental-wasm-relaxed-simd");

const [program, ...args] = process.argv.slice(2);
// A panic ends the program, so that a captured message would never be shown.
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args, "--nocapture"],
  env: process.env,
  preopens: { "/": "/", ".": process.cwd() },
});
// The standard library names these two, and nothing calls them where no thread can be started.
const threads = () => {
  throw new Error("there are no threads here");
};
const env = { pthread_join: threads, pthread_detach: threads };
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
process.exitCode = wasi.start(instance);
