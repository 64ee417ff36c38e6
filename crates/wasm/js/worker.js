// The worker that owns the module: it loads a model, then answers one request after the other.
//
// While the module works this hears nothing. A page that is isolated raises a flag in the memory that both share; any
// other ends this worker and starts a new one.

import { Engine, sharedMemory } from "./engine.js";
import { VlmError } from "./error.js";
import { Helpers } from "./helpers.js";
import { show } from "./picture.js";
import { load, open as beginFetching } from "./source.js";
import { list, remove } from "./store.js";

const handlers = { load: start, run, list: () => list(), remove: ({ url }) => remove(url) };

let engine = null;
/** The number of the request that the module works on. */
let current = 0;

self.onmessage = async ({ data }) => {
  const { id } = data;
  const memory = () => engine?.memoryBytes ?? 0;
  try {
    const reply = await handlers[data.type](data);
    self.postMessage({ type: "done", id, reply, memory: memory() });
  } catch (error) {
    self.postMessage({ type: "failed", id, error: VlmError.plain(error), memory: memory() });
  }
};

async function start({ id, modules, module, source, options, threads, faults }) {
  const tell = (progress) => self.postMessage({ type: "progress", id, progress });
  const { checksums, store, ...open } = options;
  const [compiled, opened] = await Promise.all([module ?? compile(modules), beginFetching(source, { store })]);
  if (!module) self.postMessage({ type: "compiled", module: compiled });

  const shares = WebAssembly.Module.imports(compiled).some(({ kind }) => kind === "memory");
  const memory = shares ? sharedMemory() : undefined;
  if (memory === null) throw new VlmError({ code: "no-threads", message: "no memory can be shared" });
  let helpers = null;
  engine = await Engine.start(compiled, { memory, spawn: (entry) => helpers.take(entry) });
  engine.onProgress = (stage, loaded, total) =>
    self.postMessage({ type: "progress", id: current, progress: { stage, loaded, total } });
  engine.onPiece = (text) => self.postMessage({ type: "piece", id: current, text });
  const starting = shares ? Helpers.start(engine, compiled, memory, threads - 1, faults) : null;

  const onDownload = (progress) => tell({ stage: "download", ...progress });
  await load(engine, source, { opened, checksums, store, tell: onDownload });
  helpers = await starting;
  tell({ stage: "prepare", loaded: 0, total: 1 });
  current = id;
  const info = engine.open({ ...open, threads: (helpers?.count ?? 0) + 1 });
  if (shares) {
    const { buffer, address } = engine.cancelFlag;
    self.postMessage({ type: "flag", flag: new Uint8Array(buffer, address, 1) });
  }
  return info;
}

async function compile(url) {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) {
    const reason = response ? `status ${response.status}` : "no connection";
    throw new VlmError({ code: "download", message: `cannot fetch ${url}: ${reason}`, details: { path: url, reason } });
  }
  // Servers that do not know the type of a module are common.
  const known = response.headers.get("content-type") === "application/wasm";
  return known ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

async function run({ id, picture, request }) {
  if (!engine) throw new VlmError({ code: "no-model", kind: "input", message: "no model is loaded" });
  current = id;
  const image = await show(engine, picture);
  const answer = engine.run(request);
  return { ...answer, image, cache: engine.cache() };
}
