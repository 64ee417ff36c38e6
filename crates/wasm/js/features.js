// What this engine can run, and so which of the modules it gets.

import { VlmError } from "./error.js";

const ZEROS = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat

/** A module with one function that returns what `code` leaves: 128 bits. */
const returns = (...code) =>
  new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // the magic and version
    ...[1, 5, 1, 0x60, 0, 1, 0x7b], // a type: nothing to v128
    ...[3, 2, 1, 0], // a function of that type
    ...[10, code.length + 4, 1, code.length + 2, 0, ...code, 0x0b],
  ]);

const can = (...code) => typeof WebAssembly === "object" && WebAssembly.validate(returns(...code));

/** What there is: 128-bit vectors, relaxed ones, memory that workers can share. */
export function features() {
  return {
    simd: can(...ZEROS),
    relaxed: can(...ZEROS, ...ZEROS, ...ZEROS, 0xfd, 0x93, 2), // i32x4.relaxed_dot_i8x16_i7x16_add_s
    // A page has shared memory only where its headers isolate it from other origins.
    threads: typeof SharedArrayBuffer === "function" && globalThis.crossOriginIsolated === true,
  };
}

/** The name of the module for these features, and nothing where there is none. */
export function moduleName({ simd, relaxed, threads }) {
  if (!simd) return null;
  return `${relaxed ? "relaxed" : "simd128"}${threads ? "-threads" : ""}`;
}

/** The features that the module of this name needs, for whoever wants it in the place of a better one. */
export function featuresOf(name) {
  const there = features();
  const wanted = { simd: true, relaxed: /^relaxed/.test(name), threads: /-threads$/.test(name) };
  const lacking = Object.keys(wanted).filter((feature) => wanted[feature] && !there[feature]);
  if (moduleName(wanted) === name && lacking.length === 0) return wanted;
  const message = lacking.length ? `this page has no ${lacking.join(", no ")}` : "there is no such module";
  throw new VlmError({ code: "module", kind: "input", message: `${name}: ${message}`, details: { name: String(name) } });
}
