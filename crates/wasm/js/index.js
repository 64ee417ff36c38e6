// The package as a page meets it. Nothing here works: a worker does, and this keeps its requests in order.

import { VlmError } from "./error.js";
import { features, featuresOf, moduleName } from "./features.js";
import { pack } from "./picture.js";

export { VlmError };

// Spelt out one by one, so that bundlers see them.
const MODULES = {
  simd128: new URL("./simd128.wasm", import.meta.url),
  relaxed: new URL("./relaxed.wasm", import.meta.url),
  "simd128-threads": new URL("./simd128-threads.wasm", import.meta.url),
  "relaxed-threads": new URL("./relaxed-threads.wasm", import.meta.url),
};
const EMBEDDED = new URL("./nano.bundle", import.meta.url);
/** More threads than this bring little, and each takes memory. */
const MOST_THREADS = 8;

/** After these the worker is replaced. */
const FATAL = ["fault", "memory", "worker"];
/** After these a model is loaded again without shared memory. */
const SHARING = ["no-threads", "memory", "worker"];
const BROKEN = new VlmError({ code: "worker", message: "the worker could not be started again" });

const newWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "tiny-vlm" });

/** What the caller gave as a source, as the worker takes it. */
function sourceOf(source) {
  if (source === undefined || source === null) return { bundle: EMBEDDED.href };
  if (typeof source === "string" || source instanceof URL) {
    const url = absolute(source);
    if (url.pathname.endsWith(".bundle")) return { bundle: url.href };
    const [file] = /[^/]+\.gguf$/i.exec(url.pathname) ?? [];
    if (file) return { files: [{ name: file, url: url.href }] };
    // Files are looked for below a folder, and a URL without a slash names a file.
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    return { folder: url.href };
  }
  if (source instanceof Blob) return { blob: source };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return { blob: new Blob([source]) };
  const entries = Symbol.iterator in source ? Array.from(source, (file) => [file.name, file]) : Object.entries(source);
  return { files: entries.map(([name, data]) => ({ name, ...placeOf(data) })) };
}

const absolute = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);

/** Where one file of several is. */
function placeOf(data) {
  if (typeof data === "string" || data instanceof URL) return { url: absolute(data).href };
  return { blob: data instanceof Blob ? data : new Blob([data]) };
}

/** What happens to a worker's messages until the one that ends a request. */
class Calls {
  #worker;
  #pending = new Map();
  #next = 1;
  #ended = null;

  constructor(worker, onOther) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      const call = this.#pending.get(data.id);
      if (data.type === "progress") call?.onProgress?.(data.progress);
      else if (data.type === "piece") call?.onPiece?.(data.text);
      else if (data.type === "done" || data.type === "failed") {
        this.#pending.delete(data.id);
        onOther({ type: "memory", memory: data.memory });
        if (data.type === "done") call?.resolve(data.reply);
        else call?.reject(new VlmError(data.error));
      } else onOther(data);
    };
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.end(new VlmError({ code: "worker", message: event.message || "the worker cannot be started" }));
    };
  }

  call(message, { transfer = [], onProgress, onPiece } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const id = this.#next++;
      this.#pending.set(id, { resolve, reject, onProgress, onPiece });
      this.#worker.postMessage({ ...message, id }, transfer);
    });
  }

  end(error) {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

/** Work in a worker of its own that is ended with it: for what needs no model. */
async function once(message) {
  const calls = new Calls(newWorker(), () => {});
  try {
    return await calls.call(message);
  } finally {
    calls.end(new VlmError({ code: "worker", message: "the worker was ended" }));
  }
}

/** An answer on its way: await it for all of it, or iterate over its pieces. */
class Answering {
  #pieces = [];
  #done = false;
  #wake = () => {};
  #answer;

  constructor(start) {
    const onPiece = (piece) => {
      this.#pieces.push(piece);
      this.#wake();
    };
    this.#answer = start(onPiece).finally(() => {
      this.#done = true;
      this.#wake();
    });
    // Whoever iterates hears of a failure there, and whoever does neither has chosen not to.
    this.#answer.catch(() => {});
  }

  then(...handlers) {
    return this.#answer.then(...handlers);
  }

  catch(handler) {
    return this.#answer.catch(handler);
  }

  finally(handler) {
    return this.#answer.finally(handler);
  }

  async *[Symbol.asyncIterator]() {
    for (let at = 0; ; ) {
      if (at < this.#pieces.length) yield this.#pieces[at++];
      else if (this.#done) break;
      else await new Promise((resolve) => (this.#wake = resolve));
    }
    await this.#answer;
  }
}

export class Vlm {
  #source;
  #options;
  #threads;
  #features;
  #calls = null;
  #module;
  #flag = null;
  #ready = Promise.resolve();
  #broken = false;
  #faults = null;
  #queue = [];
  #active = null;
  #disposed = false;

  /** What is known of the model, and what it runs on. */
  info = null;
  /** Bytes of memory that the module took when it was last heard of. */
  memoryBytes = 0;

  /** Files kept for the next visit. */
  static cache = {
    list: () => once({ type: "list" }),
    delete: (url) => once({ type: "remove", url: url === undefined ? undefined : String(url) }),
  };

  /** What this browser has of vectors and threads. */
  static features() {
    return features();
  }

  /** Loads a model: the one that comes with the package, or one from a URL, files or bytes. */
  static async load(source, { onProgress, signal, threads, module, ...options } = {}) {
    const vlm = new Vlm();
    vlm.#source = sourceOf(source);
    vlm.#options = options;
    vlm.#features = module === undefined ? features() : featuresOf(module);
    const most = Math.min(globalThis.navigator?.hardwareConcurrency ?? 1, MOST_THREADS);
    vlm.#threads = Math.max(1, Math.floor(threads ?? most));
    if (signal?.aborted) throw VlmError.cancelled(signal.reason);
    const cancelled = new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(VlmError.cancelled(signal.reason)), { once: true });
    });
    try {
      await Promise.race([vlm.#start(onProgress), cancelled]);
    } catch (error) {
      vlm.dispose();
      throw error;
    }
    return vlm;
  }

  /** The answer to a question about an image. */
  ask(image, question, options = {}) {
    return this.#request("ask", image, { ...options, question: String(question) });
  }

  /** What is in an image, in a language. */
  caption(image, options = {}) {
    return this.#request("caption", image, options);
  }

  /** The print on an image. */
  ocr(image, options = {}) {
    return this.#request("read", image, options);
  }

  /** The vector that an image model makes of an image. */
  embed(image, options = {}) {
    return this.#request("embed", image, options, (reply) => ({ ...reply, values: Float32Array.from(reply.values) }));
  }

  /** The likeliest classes of an image, by an image model. */
  classify(image, options = {}) {
    return this.#request("classify", image, options);
  }

  /** Where things are on an image. */
  detect(image, options = {}) {
    return this.#request("detect", image, options);
  }

  /** Ends the worker, and with it gives all memory back. What is asked or waits is cancelled. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const error = new VlmError({ code: "disposed", kind: "cancelled", message: "the model was disposed of" });
    this.#calls?.end(error);
    for (const entry of [this.#active, ...this.#queue.splice(0)]) entry?.reject(error);
    this.#faults?.close();
    this.#module = undefined;
    this.#flag = null;
    this.memoryBytes = 0;
  }

  /** Starts a worker and loads the model, with the module and the files that are there already. */
  async #start(onProgress) {
    const name = moduleName(this.#features);
    if (!name) throw new VlmError({ code: "no-simd", message: "this browser has no WebAssembly vectors" });
    const calls = new Calls(newWorker(), (message) => this.#hear(message));
    this.#calls = calls;
    this.#flag = null;
    const { threads } = this.#features;
    if (threads) this.#faults ??= this.#listen();
    try {
      const info = await calls.call(
        {
          type: "load",
          modules: MODULES[name].href,
          module: this.#module,
          source: this.#source,
          options: this.#options,
          threads: threads ? this.#threads : 1,
          faults: this.#faults?.name,
        },
        { onProgress },
      );
      this.info = { ...info, module: name };
    } catch (error) {
      calls.end(error);
      if (!threads || !SHARING.includes(error.code)) throw error;
      // One thread does without shared memory, of which devices have less.
      this.#features = { ...this.#features, threads: false };
      this.#module = undefined;
      return this.#start(onProgress);
    }
  }

  #hear(message) {
    if (message.type === "compiled") this.#module = message.module;
    else if (message.type === "flag") this.#flag = message.flag;
    else if (message.type === "memory") this.memoryBytes = message.memory;
  }

  /** A thread that fails tells the page, since the worker waits for it and hears nothing. */
  #listen() {
    const channel = new BroadcastChannel(`tiny-vlm-${crypto.randomUUID()}`);
    channel.onmessage = ({ data }) => this.#restart(new VlmError({ code: "fault", message: data }));
    return channel;
  }

  /** Ends a worker that cannot be used or will not hear, and starts the next at once. */
  #restart(error) {
    this.#calls.end(error);
    if (this.#disposed) return;
    this.#broken = false;
    this.#ready = this.#start();
    // Whoever asks next hears of it, and whoever asks after that may have more luck.
    this.#ready.catch(() => (this.#broken = true));
  }

  #request(task, image, { signal, onToken, onProgress, ...request }, finish = (reply) => reply) {
    return new Answering((onPiece) => {
      const hear = (piece) => {
        onPiece(piece);
        onToken?.(piece);
      };
      return new Promise((resolve, reject) => {
        if (this.#disposed) return reject(new VlmError({ code: "disposed", message: "the model was disposed of" }));
        if (signal?.aborted) return reject(VlmError.cancelled(signal.reason));
        const settle = (reply) => resolve(finish(reply));
        const entry = { task, image, request, onPiece: hear, onProgress, resolve: settle, reject };
        const onAbort = () => this.#cancel(entry, VlmError.cancelled(signal.reason));
        signal?.addEventListener("abort", onAbort, { once: true });
        entry.settled = () => signal?.removeEventListener("abort", onAbort);
        this.#queue.push(entry);
        this.#next();
      });
    });
  }

  /** Rejects at once. The worker is told by a flag, or ended where it can be told nothing. */
  #cancel(entry, error) {
    entry.reject(error);
    entry.settled();
    entry.cancelled = true;
    if (this.#active !== entry) this.#queue = this.#queue.filter((other) => other !== entry);
    else if (this.#flag) Atomics.store(this.#flag, 0, 1);
    else if (entry.posted) this.#restart(error);
  }

  async #next() {
    if (this.#active || this.#disposed) return;
    const entry = this.#queue.shift();
    if (!entry) return;
    this.#active = entry;
    let calls;
    try {
      const { picture, transfer } = await pack(entry.image);
      if (this.#broken) this.#restart(BROKEN);
      await this.#ready;
      if (entry.cancelled || this.#disposed) return;
      if (this.#flag) Atomics.store(this.#flag, 0, 0);
      entry.posted = true;
      calls = this.#calls;
      const { onPiece, onProgress } = entry;
      const message = { type: "run", picture, request: { task: entry.task, ...entry.request } };
      const live = (hear) => (value) => !entry.cancelled && hear?.(value);
      const options = { transfer, onPiece: live(onPiece), onProgress: live(onProgress) };
      entry.resolve(await calls.call(message, options));
    } catch (error) {
      // An instance that trapped answers nothing any more, unless it has been replaced already.
      if (calls === this.#calls && !entry.cancelled && FATAL.includes(error.code)) this.#restart(error);
      entry.reject(error);
    } finally {
      entry.settled();
      this.#active = null;
      this.#next();
    }
  }
}
