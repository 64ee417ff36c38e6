// The compiled modules answer as the native library does: `cargo xtask wasm --test` runs this in Node.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { setFlagsFromString } from "node:v8";

if (parseInt(process.versions.node) < 22) {
  // Node 20 has relaxed SIMD behind this flag, later ones without. Its quick compiler forgets the addend of the relaxed
  // int8 dot product.
  setFlagsFromString("--experimental-wasm-relaxed-simd");
  setFlagsFromString("--no-liftoff");
}

import { agrees } from "./families.mjs";

const folder = process.env.TINY_VLM_PACKAGE;
const { Engine, sharedMemory } = await import(join(folder, "engine.js"));
const { moduleName } = await import(join(folder, "features.js"));
const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const cases = JSON.parse(readFileSync(join(here, "answers.json"), "utf8"));
const families = JSON.parse(readFileSync(join(here, "families.json"), "utf8"));
const fixtures = join(here, "../../../fixtures");
const picture = (name) => readFileSync(join(fixtures, "images", name));

/** The files of a bundle. */
function* filesOf(bundle) {
  const end = bundle.indexOf(10);
  let at = end + 1;
  for (const file of JSON.parse(bundle.subarray(0, end).toString()).files) {
    yield { ...file, data: bundle.subarray(at, (at += file.bytes)) };
  }
  assert.equal(at, bundle.length);
}

async function start(name) {
  const module = await WebAssembly.compile(readFileSync(join(folder, `${name}.wasm`)));
  const shares = WebAssembly.Module.imports(module).some(({ kind }) => kind === "memory");
  return Engine.start(module, { memory: shares ? sharedMemory() : undefined, spawn: () => false });
}

async function nano(name) {
  const engine = await start(name);
  for (const { name, data, sha256 } of filesOf(readFileSync(join(folder, "nano.bundle")))) {
    const buffer = engine.put(data);
    assert.equal(engine.checksum(buffer), sha256, name);
    engine.file(name, buffer);
  }
  return { engine, info: engine.open() };
}

const built = ["simd128", "relaxed", "simd128-threads", "relaxed-threads"].filter((name) =>
  existsSync(join(folder, `${name}.wasm`)),
);
assert.ok(built.length > 0, `no module in ${folder}`);

for (const name of built) {
  test(`${name} answers as the native library does`, async () => {
    const { engine, info } = await nano(name);
    assert.equal(info.family, "tiny-vlm-nano");
    assert.equal(info.isa, name.startsWith("relaxed") ? "relaxed" : "simd128");
    for (const { image, task, question, lang, ...expected } of cases) {
      engine.image(picture(image));
      const answer = engine.run({ task, question, lang });
      const what = `${image} ${question ?? lang ?? task}`;
      assert.equal(answer.text, expected.text, what);
      assert.equal(answer.lines.length, expected.lines, what);
      if (task === "read") continue;
      assert.equal(answer.things.length, expected.things, what);
      assert.equal(answer.usage.completionTokens, expected.usage.completion_tokens, what);
      const drift = Math.abs(answer.meanLogprob - expected.meanLogprob);
      assert.ok(drift < 0.05, `${what}: mean log-probability is ${drift} off`);
    }
  });

  test(`${name} runs every family as the native library does`, async () => {
    for (const { model, open, image, request, reply } of families) {
      const engine = await start(name);
      const at = join(fixtures, "models", model);
      for (const file of readdirSync(at)) engine.file(file, engine.put(readFileSync(join(at, file))));
      engine.open(open);
      engine.image(readFileSync(join(fixtures, image)));
      agrees(engine.run(request), reply, `${model} ${request.task}`);
    }
  });

  test(`${name} streams, times, caches and refuses`, async () => {
    const { engine } = await nano(name);
    const pieces = [];
    engine.onPiece = (piece) => pieces.push(piece);
    const ask = (question) => engine.run({ task: "ask", question });
    assert.throws(() => ask("What is this?"), { name: "VlmError", code: "no-image" });
    engine.image(picture("market.png"));
    const first = ask("What is on the left?");
    assert.equal(pieces.join(""), first.text);
    assert.ok(first.timings.total > 0 && first.timings.firstToken <= first.timings.total, "time passes");
    const again = ask("Where is the dog?");
    assert.ok(again.timings.encode < first.timings.encode, "an image seen before is not looked at again");
    assert.equal(engine.cache().hits, 1);
    assert.throws(() => ask(""), { code: "question-empty", kind: "input" });
    assert.throws(() => engine.image(new Uint8Array(10)), { code: "image-unknown-format" });
    assert.throws(() => engine.run({ task: "dance" }), { code: "request" });
    assert.throws(() => engine.buffer(0xfffffff0), { code: "memory", kind: "capacity" });
    const late = engine.image(picture("market.png")) && (() => engine.run({ task: "read", deadline: 0 }));
    assert.throws(late, { code: "deadline" });
    // A view that empties as memory grows must not be used on.
    const grown = engine.put(new Uint8Array(64 << 20));
    assert.equal(engine.view(grown, 1)[0], 0);
    engine.release(grown);
  });

  test(`${name} stops when its flag is raised`, async () => {
    const { engine } = await nano(name);
    const { buffer, address } = engine.cancelFlag;
    const bytes = picture("why-rust.png");
    engine.image(bytes);
    // Raised in the middle of the work, by the host that hears how far it has come.
    const flag = () => new Uint8Array(engine.cancelFlag.buffer, address, 1);
    assert.ok(address > 0 && address < buffer.byteLength);
    engine.onProgress = () => (flag()[0] = 1);
    assert.throws(() => engine.run({ task: "read" }), { code: "cancelled", kind: "cancelled" });
    flag()[0] = 0;
    engine.onProgress = null;
    engine.image(picture("penguin.png"));
    assert.equal(engine.run({ task: "ask", question: "What is this?" }).text, "penguin");
  });
}

test("the module that an engine gets is one that it can run", () => {
  assert.equal(moduleName({ simd: false, relaxed: false, threads: true }), null);
  assert.equal(moduleName({ simd: true, relaxed: false, threads: false }), "simd128");
  assert.equal(moduleName({ simd: true, relaxed: true, threads: true }), "relaxed-threads");
});
