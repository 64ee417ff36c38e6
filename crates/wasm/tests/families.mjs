// What an answer of `families.json` and one of a compiled module have to have in common.

import assert from "node:assert/strict";

/** How far numbers may be from those of the native library, of the largest. */
const NEAR = 1e-3;

export function agrees(found, { text, regions, values, classes }, what) {
  if (text !== undefined) assert.equal(found.text, text, what);
  if (regions) assert.deepEqual(found.regions, regions, what);
  if (classes) assert.deepEqual(found.classes.map(({ label }) => label), classes, what);
  if (!values) return;
  assert.equal(found.values.length, values.length, what);
  const scale = Math.max(...values.map(Math.abs));
  const far = Math.max(...values.map((value, at) => Math.abs(value - found.values[at])));
  assert.ok(far < NEAR * scale, `${what}: values are off by ${far / scale} of the largest`);
}
