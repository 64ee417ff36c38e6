// Runs a WebAssembly test program in Node: `node wasi.mjs PROGRAM [ARGUMENT]...`. cargo calls it.
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// Node 20 has relaxed SIMD behind this flag, later ones without.
if (parseInt(process.versions.node) < 22) setFlagsFromString("--experimental-wasm-relaxed-simd");
// WebAssembly can call Node's WASI functions with no trace of the call on the stack. A garbage collection that begins
// in one misses, in Node 20, the JavaScript frames below the program: the objects that they refer to move, and the
// process dies when the program returns.
setFlagsFromString("--no-turbo-fast-api-calls");

const [program, ...args] = process.argv.slice(2);
// A panic ends the program, so that a captured message would never be shown.
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args, "--nocapture"],
  env: process.env,
  // One folder only: the C library does not tell "/" from ".".
  preopens: { "/": "/" },
});
const module = await WebAssembly.compile(await readFile(program));
// The standard library names functions of threads that older C libraries for WASI lack. None can be started.
const UNSUPPORTED = 58;
const threads = WebAssembly.Module.imports(module)
  .filter(({ module, name }) => module === "env" && name.startsWith("pthread_"))
  .map(({ name }) => [name, () => (name === "pthread_create" ? UNSUPPORTED : 0)]);
const env = Object.fromEntries(threads);
const instance = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
process.exitCode = wasi.start(instance);
