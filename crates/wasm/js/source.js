// A model's files, wherever they are, into the memory of the module: each byte is written to its final place as it comes.

import { Download } from "./download.js";
import { VlmError } from "./error.js";

/** Files that a model has, and those that it may have. */
const NEEDED = ["config.json", "tokenizer.json", "model.safetensors"];
const OPTIONAL = [
  "preprocessor_config.json",
  "processor_config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
];
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
async function fill(engine, reader, length, onBytes) {
  const buffer = engine.buffer(length);
  for (let at = 0; at < length; ) {
    const part = await reader.some(length - at);
    if (!part) throw wrong(`the bundle ends ${length - at} bytes early`);
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
    const buffer = await fill(engine, reader, bytes, (count) => tell({ file: name, loaded: (loaded += count), total }));
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

async function folderAt(engine, base, options, checksums, tell) {
  let [loaded, total] = [0, 0];
  for (const name of [...NEEDED, ...OPTIONAL]) {
    const url = new URL(name, base).href;
    const download = await Download.open(url, { ...options, optional: OPTIONAL.includes(name) });
    if (!download) continue;
    await finish(download, async () => {
      total += download.size ?? 0;
      const onBytes = (count) => tell({ file: name, loaded: (loaded += count), total: Math.max(total, loaded) });
      const reader = new Reader(download);
      const known = download.size !== null;
      const buffer = known ? await fill(engine, reader, download.size, onBytes) : await collect(engine, reader, onBytes);
      if (!download.fromStore) verify(engine, buffer, checksums[name], name);
      engine.file(name, buffer);
    });
  }
}

/** Files that the user chose, or has in memory. */
async function given(engine, files, checksums, tell) {
  const known = files.filter(({ name }) => NEEDED.includes(name) || OPTIONAL.includes(name));
  for (const name of NEEDED) {
    if (known.some((file) => file.name === name)) continue;
    const details = { path: name, reason: "not among the files" };
    throw new VlmError({ code: "model-read", message: `cannot read ${name}: it is not among the files`, details });
  }
  const total = known.reduce((sum, file) => sum + file.blob.size, 0);
  let loaded = 0;
  for (const { name, blob } of known) {
    const reader = new Reader(chunksOf(blob.stream()));
    const onBytes = (count) => tell({ file: name, loaded: (loaded += count), total });
    const buffer = await fill(engine, reader, blob.size, onBytes);
    verify(engine, buffer, checksums[name], name);
    engine.file(name, buffer);
  }
}

/** Begins to fetch a source that is one file, while there is no module yet to put it into. */
export async function open(source, { store }) {
  return source.bundle ? Download.open(source.bundle, { store }) : null;
}

/**
 * Puts the files of `source` into the module.
 * @param {{ bundle: string } | { folder: string } | { files: { name: string, blob: Blob }[] } | { blob: Blob }} source
 */
export async function load(engine, source, { opened, store, checksums = {}, tell }) {
  if (opened) return finish(opened, () => bundle(engine, opened, tell, opened.fromStore));
  if (source.folder) return folderAt(engine, source.folder, { store }, checksums, tell);
  if (source.files) return given(engine, source.files, checksums, tell);
  return bundle(engine, chunksOf(source.blob.stream()), tell, false);
}
