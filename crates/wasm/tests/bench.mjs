// What the package takes in headless Chromium: `cargo xtask wasm --bench` runs this and says what it needs.
//
// TINY_VLM_MODELS is a folder with checkpoints: `smolvlm256-int8` and `smolvlm256-int4`, which `tiny-vlm quantize` wrote,
// and `fastvit-t8`. Rows whose model is not there are left out. Where the folder has `onnx/`, the same networks run in
// onnxruntime-web in turns with ours.

import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch, serve, tools } from "./chromium.mjs";

const models = process.env.TINY_VLM_MODELS;
const asJson = process.env.TINY_VLM_JSON === "1";
const only = process.env.TINY_VLM_ROWS;
/** Samples of each row, after one that is thrown away. */
const SAMPLES = 5;
const THREADS = (process.env.TINY_VLM_THREADS ?? "1,2").split(",").map(Number);
/** Tokens that are written where writing is timed. */
const WRITTEN = 64;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const has = (name) => models && existsSync(join(models, name));

// What runs in the page. Each returns a function that takes one sample: numbers by the names of rows.

/** Loads a model and keeps a request about a made-up picture of `side` pixels. */
async function ours({ source, side, task, question, options, load }) {
  const { Vlm } = await import("/pkg/index.js");
  const vlm = await Vlm.load(source, { store: false, featureCache: 0, ...load });
  let picture;
  if (side) {
    const pixels = new ImageData(side, side);
    for (let at = 0, x = 1; at < pixels.data.length; at++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0;
      pixels.data[at] = at % 4 === 3 ? 255 : x >>> 24;
    }
    picture = pixels;
  } else picture = await (await fetch("/images/market.png")).blob();
  globalThis.sample = async () => {
    const begun = performance.now();
    const answer = await (task === "ask" ? vlm.ask(picture, question, options) : vlm[task](picture, options));
    const wall = performance.now() - begun;
    const { timings: { encode, prefill, decode } = {}, usage: { imageTokens, promptTokens, completionTokens } = {} } = answer;
    const speed = (tokens, ms) => (tokens * 1e3) / ms;
    return {
      wall,
      encode,
      prompt: imageTokens + promptTokens,
      prefill: prefill && speed(imageTokens + promptTokens, prefill),
      decode: decode && speed(completionTokens - 1, decode),
      memory: vlm.memoryBytes,
    };
  };
  return { threads: vlm.info.threads, module: vlm.info.module, weights: vlm.info.weightBytes, loaded: vlm.info.loadMs };
}

/** Makes a session of onnxruntime-web for a network that takes an image. */
async function peerVision({ network, side, threads }) {
  const ort = await import("/models/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { numThreads: threads, wasmPaths: "/models/ort/" });
  const session = await ort.InferenceSession.create(`/models/onnx/${network}.onnx`, { executionProviders: ["wasm"] });
  const values = Float32Array.from({ length: 3 * side * side }, (_, at) => Math.sin(at));
  const input = new ort.Tensor("float32", values, [1, 3, side, side]);
  globalThis.sample = async () => {
    const begun = performance.now();
    await session.run({ x: input });
    return { wall: performance.now() - begun };
  };
}

/** The same for a decoder with a cache of keys and values that goes in and comes out. */
async function peerDecoder({ network, threads, written }) {
  const ort = await import("/models/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { numThreads: threads, wasmPaths: "/models/ort/" });
  const session = await ort.InferenceSession.create(`/models/onnx/${network}.onnx`, { executionProviders: ["wasm"] });
  const pasts = session.inputNames.filter((name) => name.startsWith("past_"));
  const step = (tokens, cache, before) => {
    const count = before + tokens.length;
    const feeds = {
      input_ids: new ort.Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      seqlens_k: new ort.Tensor("int32", Int32Array.of(count - 1), [1]),
      total: new ort.Tensor("int32", Int32Array.of(count), []),
    };
    const none = new ort.Tensor("float32", new Float32Array(0), [1, 3, 0, 64]);
    for (const name of pasts) feeds[name] = cache ? cache[name.replace("past", "pres")] : none;
    return session.run(feeds);
  };
  globalThis.sample = async () => {
    let begun = performance.now();
    let out = await step(Array.from({ length: 128 }, (_, at) => (at * 379 + 11) % 49280), null, 0);
    const prefill = 128e3 / (performance.now() - begun);
    begun = performance.now();
    for (let at = 0; at < written; at++) out = await step([(at * 7 + 3) % 49280], out, 128 + at);
    return { prefill, decode: (written * 1e3) / (performance.now() - begun) };
  };
}

// What is measured: a model of ours, peers that run the same network, and the rows that come of one sample of each.

/** With the template's tokens 64 of words, after 64 of the picture. */
const WORDS = Array(42).fill("cat").join(" ");
const smolvlm = (name) => ({
  needs: name,
  ours: { source: `/models/${name}/`, side: 512, task: "ask", question: WORDS, options: { detail: "low", maxTokens: WRITTEN } },
});

const SETS = [
  {
    ...smolvlm("smolvlm256-int8"),
    peers: {
      siglip_i8: { run: peerVision, side: 512 },
      dec_i8: { run: peerDecoder },
      dec_f32: { run: peerDecoder },
    },
    rows: [
      { what: "SigLIP-B/16 tile at 512, int8", unit: "ms", of: "encode", peer: ["siglip_i8", "wall"] },
      { what: "SmolLM2-135M prefill of 128, int8", unit: "tokens/s", of: "prefill", peer: ["dec_i8", "prefill"] },
      { what: "SmolLM2-135M decode, int8", unit: "tokens/s", of: "decode", peer: ["dec_f32", "decode"] },
    ],
  },
  {
    ...smolvlm("smolvlm256-int4"),
    peers: { dec_f32: { run: peerDecoder } },
    rows: [{ what: "SmolLM2-135M decode, int4", unit: "tokens/s", of: "decode", peer: ["dec_f32", "decode"] }],
  },
  {
    needs: "fastvit-t8",
    ours: { source: "/models/fastvit-t8/", side: 256, task: "embed", options: {} },
    peers: { fastvit_f32: { run: peerVision, side: 256 } },
    rows: [{ what: "FastViT-T8 at 256, int8", unit: "ms", of: "wall", peer: ["fastvit_f32", "wall"] }],
  },
  {
    ours: { task: "ask", question: "What is on the left?", options: {} },
    rows: [{ what: "nano, picture to whole answer", unit: "ms", of: "wall" }],
  },
];

/** How closely the picture is looked at, and what keys and values are kept in, where memory is measured. */
const MEMORY = [
  ["low", "f32"],
  ["high", "f32"],
  ["high", "bf16"],
];

/** A browser of its own with a document of the site's that is told nothing yet. */
async function fresh(site) {
  const { context, close } = await launch({ serviceWorkers: "block" });
  const page = await context.newPage();
  await page.goto(`${site}icon.svg`);
  return { page, close };
}

async function measure(set, threads, site) {
  const browsers = {};
  const open = async (name, run, about) => {
    browsers[name] = await fresh(site);
    return browsers[name].page.evaluate(run, about);
  };
  const { module, threads: started } = await open("ours", ours, { ...set.ours, load: { threads } });
  const rows = set.rows.filter(({ what }) => wanted(what));
  for (const [network, { run, ...about }] of Object.entries(set.peers ?? {})) {
    const beside = rows.some(({ peer }) => peer?.[0] === network);
    if (beside && has(`onnx/${network}.onnx`)) await open(network, run, { network, threads, written: WRITTEN, ...about });
  }
  const samples = Object.fromEntries(Object.keys(browsers).map((name) => [name, []]));
  for (let turn = 0; turn <= SAMPLES; turn++) {
    for (const [name, { page }] of Object.entries(browsers)) {
      const sample = await page.evaluate(() => globalThis.sample());
      if (turn > 0) samples[name].push(sample);
    }
  }
  for (const { close } of Object.values(browsers)) await close();
  for (const { what, unit, of, peer: [network, field] = [] } of rows) {
    const values = samples.ours.map((sample) => sample[of]);
    const peer = samples[network] && { peer: network, ...summary(samples[network].map((sample) => sample[field])) };
    report({ what, unit, threads: started, module, ...summary(values), peer });
  }
}

/** The most memory that the module takes for an answer, beyond the bytes of its weights. */
async function memory([detail, kvCache], site) {
  const { page, close } = await fresh(site);
  const source = "/models/smolvlm256-int4/";
  const options = { detail, maxTokens: WRITTEN };
  const about = await page.evaluate(ours, { source, side: 512, task: "ask", question: WORDS, options, load: { threads: 1, kvCache } });
  const { memory } = await page.evaluate(() => globalThis.sample());
  await close();
  const what = `SmolVLM-256M int4, memory beyond ${megabytes(about.weights)} MB of weights, detail ${detail}, cache in ${kvCache}`;
  report({ what, unit: "MB", threads: 1, module: about.module, ...summary([megabytes(memory - about.weights)]) });
}

const megabytes = (bytes) => Math.round(bytes / 1e5) / 10;

/** From the navigation of a browser that has seen nothing to the first answer. */
async function firstAnswer(site) {
  const times = [];
  for (let turn = 0; turn <= SAMPLES; turn++) {
    const { page, close } = await fresh(site);
    times.push(
      await page.evaluate(async () => {
        const { Vlm } = await import("/pkg/index.js");
        const [vlm, picture] = await Promise.all([Vlm.load(), fetch("/images/market.png").then((found) => found.blob())]);
        await vlm.ask(picture, "What is on the left?");
        // Time zero is the navigation's.
        return performance.now();
      }),
    );
    await close();
  }
  report({ what: "navigation to nano's first answer", unit: "ms", ...summary(times.slice(1)) });
}

// What comes out.

const rounded = (value) => Number(value.toPrecision(3));

function summary(values) {
  const [middle, min, max] = [median(values), Math.min(...values), Math.max(...values)].map(rounded);
  return { median: middle, min, max, n: values.length };
}

function report({ peer, ...row }) {
  if (asJson) return console.log(JSON.stringify({ ...row, ...(peer && { peer }) }));
  const range = ({ median, min, max }) => (min === max ? `${median}` : `${median} (${min}–${max})`);
  const faster = peer && rounded(row.unit === "ms" ? peer.median / row.median : row.median / peer.median);
  const beside = peer ? `; ${peer.peer} of onnxruntime-web ${range(peer)}: ${faster} times as fast` : "";
  const threads = row.threads ? `, ${row.threads} thread${row.threads > 1 ? "s" : ""}` : "";
  console.log(`${row.what}${threads}: ${range(row)} ${row.unit}${beside}`);
}

/** A folder whose entries are those of the models, and the files of onnxruntime-web. */
function served() {
  const folder = mkdtempSync(join(tmpdir(), "tiny-vlm-models-"));
  for (const name of models ? readdirSync(models) : []) symlinkSync(join(models, name), join(folder, name));
  const dist = join(tools, "node_modules/onnxruntime-web/dist");
  if (existsSync(dist)) symlinkSync(dist, join(folder, "ort"));
  return folder;
}

const wanted = (name) => !only || name.includes(only);
const folder = served();
const server = await serve("--models", folder);
try {
  if (wanted("navigation")) await firstAnswer(server.url);
  for (const set of SETS.filter(({ needs, rows }) => (!needs || has(needs)) && rows.some(({ what }) => wanted(what)))) {
    for (const threads of THREADS) await measure(set, threads, server.url);
  }
  for (const how of has("smolvlm256-int4") && wanted("memory") ? MEMORY : []) await memory(how, server.url);
} finally {
  server.stop();
  rmSync(folder, { recursive: true });
}
