// A model's files, wherever they are, into the memory of the module: each byte is written to its final place as it comes.

import { Download } from "./download.js";
import { text } from "./engine.js";
import { VlmError } from "./error.js";

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** The tokenizer that `tiny-vlm quantize` compiles; where it is, the files that it was made of are not needed. */
const COMPILED = "tokenizer.bin";
const TOKENIZERS = ["tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"];
/** What else a model may have. */
const SMALL = [
  "preprocessor_config.json",
  "processor_config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.json",
  "chat_template.jinja",
];
const GGUF = /\.gguf$/i;
/** Bytes of the longest line that opens a bundle. */
const LONGEST_HEADER = 1 << 16;
const NEWLINE = 10;

const wrong = (message) => new VlmError({ code: "model-bundle", kind: "fault", message });

/** The chunks of a stream; not every browser iterates over one by itself. */
async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

/** Bytes of a stream, a given number at a time. */
class Reader {
  #chunks;
  #chunk = new Uint8Array(0);

  constructor(chunks) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next bytes, as many as have come, at least one; nothing at the end. */
  async some(most) {
    while (this.#chunk.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return null;
      this.#chunk = next.value;
    }
    const part = this.#chunk.subarray(0, most);
    this.#chunk = this.#chunk.subarray(part.length);
    return part;
  }

  /** The bytes up to a line's end, without it. */
  async line() {
    const bytes = [];
    for (let byte = await this.some(1); byte?.[0] !== NEWLINE; byte = await this.some(1)) {
      if (!byte || bytes.length === LONGEST_HEADER) throw wrong("this is not a bundle of a model's files");
      bytes.push(byte[0]);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}

/** Fills a buffer of the module with `length` bytes. */
async function fill(engine, reader, name, length, onBytes) {
  const buffer = engine.buffer(length);
  for (let at = 0; at < length; ) {
    const part = await reader.some(length - at);
    if (!part) throw wrong(`${name} ends ${length - at} bytes early`);
    engine.view(buffer, length).set(part, at);
    at += part.length;
    onBytes(part.length);
  }
  return buffer;
}

/** As `fill`, where the length is not known before the end. */
async function collect(engine, reader, onBytes) {
  const parts = [];
  for (let part = await reader.some(Infinity); part; part = await reader.some(Infinity)) {
    parts.push(part.slice());
    onBytes(part.length);
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const buffer = engine.buffer(length);
  let at = 0;
  for (const part of parts) {
    engine.view(buffer, length).set(part, at);
    at += part.length;
  }
  return buffer;
}

function verify(engine, buffer, expected, name) {
  if (!expected || engine.checksum(buffer) === expected.toLowerCase()) return;
  const message = `${name} is not what it should be: its SHA-256 differs`;
  throw new VlmError({ code: "checksum", kind: "fault", message, details: { path: name } });
}

function parseHeader(line) {
  let header;
  try {
    header = JSON.parse(line);
  } catch {
    throw wrong("this is not a bundle of a model's files");
  }
  const fits = ({ name, bytes }) => typeof name === "string" && Number.isSafeInteger(bytes) && bytes >= 0;
  if (!Array.isArray(header?.files) || !header.files.every(fits)) throw wrong("the bundle's first line is broken");
  return header.files;
}

/** A bundle: a line of JSON that names the files, then their bytes. */
async function bundle(engine, chunks, tell, verified) {
  const reader = new Reader(chunks);
  const files = parseHeader(await reader.line());
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let loaded = 0;
  for (const { name, bytes, sha256 } of files) {
    const buffer = await fill(engine, reader, name, bytes, (count) => tell({ file: name, loaded: (loaded += count), total }));
    if (!verified) verify(engine, buffer, sha256, name);
    engine.file(name, buffer);
  }
  if (await reader.some(1)) throw wrong("the bundle goes on after its files");
}

/** Runs `work` with a file on its way and keeps or discards what came. */
async function finish(download, work) {
  try {
    await work(download);
    await download.keep();
  } catch (error) {
    // What broke off may be gone on with; what came whole and is wrong may not.
    const wrongBytes = ["checksum", "model-bundle"].includes(error.code);
    if (wrongBytes) await download.discard();
    else download.close();
    throw error;
  }
}

/** The files of a folder at a URL. */
function folderAt(base, store) {
  return { open: (name, optional) => Download.open(new URL(name, base).href, { store, optional }) };
}

/** Files by their names, each at hand or at a URL of its own. */
function named(files, store) {
  const names = files.map(({ name }) => name);
  const open = (name, optional) => {
    const file = files.find((file) => file.name === name);
    if (file) return file.url ? Download.open(file.url, { store }) : new AtHand(file.blob);
    if (optional) return null;
    const details = { path: name, reason: "not among the files" };
    throw new VlmError({ code: "model-read", message: `cannot read ${name}: it is not among the files`, details });
  };
  return { open, names };
}

/** A file that need not be fetched, in the place of a `Download`. */
class AtHand {
  #blob;
  fromStore = false;

  constructor(blob) {
    this.#blob = blob;
  }

  get size() {
    return this.#blob.size;
  }

  [Symbol.asyncIterator]() {
    return chunksOf(this.#blob.stream());
  }

  keep() {}
  discard() {}
  close() {}
}

/** Puts the files of a model, which `place` opens by their names, into the module. */
async function files(engine, place, checksums, tell) {
  let [loaded, total] = [0, 0];
  /** Says whether there is such a file, and with `use` what is in it. */
  const put = async (name, { optional = true, use } = {}) => {
    const file = await place.open(name, optional);
    if (!file) return false;
    total += file.size ?? 0;
    await finish(file, async () => {
      const onBytes = (count) => tell({ file: name, loaded: (loaded += count), total: Math.max(total, loaded) });
      const reader = new Reader(file);
      const known = file.size !== null;
      const buffer = await (known ? fill(engine, reader, name, file.size, onBytes) : collect(engine, reader, onBytes));
      if (!file.fromStore) verify(engine, buffer, checksums[name], name);
      use?.(engine.view(buffer, file.size));
      engine.file(name, buffer);
    });
    return true;
  };
  const needed = (name) => put(name, { optional: false });
  const ggufs = place.names?.includes(CONFIG) ? [] : (place.names ?? []).filter((name) => GGUF.test(name));
  if (ggufs.length > 0) {
    for (const name of ggufs) await needed(name);
    return;
  }
  // Before anything else: a folder without it is none.
  await needed(CONFIG);
  const tokenizer = async () => {
    if (!(await put(COMPILED))) await Promise.all(TOKENIZERS.map((name) => put(name)));
  };
  const weights = async () => {
    if (await put(WEIGHTS)) return;
    let shards = [];
    if (!(await put(INDEX, { use: (bytes) => (shards = shardsOf(bytes)) }))) await needed(WEIGHTS);
    // One after the other: those that wait would hold all the connections to the server.
    for (const name of shards) await needed(name);
  };
  await Promise.all([weights(), tokenizer(), ...SMALL.map((name) => put(name))]);
}

/** The files that an index names, each once; what is wrong with an index the module says. */
function shardsOf(bytes) {
  try {
    const { weight_map: map } = JSON.parse(text(bytes));
    const names = new Set(Object.values(map).filter((name) => typeof name === "string"));
    // Plain names only: nothing that leads out of the folder.
    return [...names].filter((name) => !/[/\\:?#]|^\.\.?$/.test(name));
  } catch {
    return [];
  }
}

/** Begins to fetch a source that is one file, while there is no module yet to put it into. */
export async function open(source, { store }) {
  return source.bundle ? Download.open(source.bundle, { store }) : null;
}

/**
 * Puts the files of `source` into the module.
 * @param {{ bundle: string } | { folder: string } | { files: { name: string, blob?: Blob, url?: string }[] }
 *   | { blob: Blob }} source
 */
export async function load(engine, source, { opened, store, checksums = {}, tell }) {
  if (opened) return finish(opened, () => bundle(engine, opened, tell, opened.fromStore));
  if (source.folder) return files(engine, folderAt(source.folder, store), checksums, tell);
  if (source.files) return files(engine, named(source.files, store), checksums, tell);
  return bundle(engine, chunksOf(source.blob.stream()), tell, false);
}
