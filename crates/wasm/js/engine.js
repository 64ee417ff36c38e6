// One instance of the module, called synchronously: from the package's worker, or from Node.

import { VlmError } from "./error.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Pages of 64 KiB that a shared memory begins with: what the modules are linked with. */
const INITIAL_PAGES = 256;
/** Bytes of a thread's stack, as large as the first one's. */
const STACK = 1 << 20;
const STACK_ALIGN = 16;
/** Most pages of a shared memory, the largest first: small devices refuse to set much address space aside. */
const MAXIMUM_PAGES = [65536, 32768, 16384, 8192];

/** A memory that workers can share, or nothing where none can be had. */
export function sharedMemory() {
  for (const maximum of MAXIMUM_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared: true });
    } catch {
      // A smaller one may still be had.
    }
  }
  return null;
}

/** Bytes that say how to share them, or a copy: decoders refuse bytes of shared memory. */
export const text = (bytes) => decoder.decode(bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice());

/** The functions that a module imports. */
export function imports({ memory, bytes, onPiece, onProgress, onPanic, spawn }) {
  const host = {
    now: () => performance.timeOrigin + performance.now(),
    piece: (address, length) => onPiece?.(text(bytes(address, length))),
    progress: (address, length, done, total) => onProgress?.(text(bytes(address, length)), done, total),
    panicked: (address, length) => onPanic?.(text(bytes(address, length))),
    spawn: (entry) => (spawn?.(entry) ? 1 : 0),
  };
  return memory ? { host, env: { memory } } : { host };
}

export class Engine {
  #exports;
  #memory;
  #panic = "";

  /**
   * @param {WebAssembly.Module} module
   * @param {{ memory?: WebAssembly.Memory, spawn?: (entry: number) => boolean }} options A shared memory and who starts
   *   threads, for the modules with threads.
   */
  static async start(module, { memory, spawn } = {}) {
    const engine = new Engine();
    const object = imports({
      memory,
      spawn,
      bytes: (address, length) => engine.#bytes(address, length),
      onPiece: (piece) => engine.onPiece?.(piece),
      onProgress: (stage, done, total) => engine.onProgress?.(stage, done, total),
      onPanic: (message) => (engine.#panic = message),
    });
    const instance = await WebAssembly.instantiate(module, object);
    engine.#exports = instance.exports;
    engine.#memory = memory ?? instance.exports.memory;
    engine.#exports.start();
    return engine;
  }

  /** Hears each piece of an answer. */
  onPiece = null;
  /** Hears how far a stage has come. */
  onProgress = null;

  /** What one more thread stands on: the upper end of a stack, and room for thread-local data. */
  threadMemory() {
    const { __tls_size, __tls_align } = this.#exports;
    const align = Math.max(__tls_align.value, STACK_ALIGN);
    const length = STACK + __tls_size.value + align;
    const address = this.#exports.buffer_address(this.buffer(length));
    const stack = Math.floor((address + STACK) / STACK_ALIGN) * STACK_ALIGN;
    return { stack, tls: Math.ceil(stack / align) * align };
  }

  /** Bytes of memory that the module has taken. */
  get memoryBytes() {
    return this.#memory.buffer.byteLength;
  }

  /** The memory and the address in it of the byte that ends a request when it becomes 1. */
  get cancelFlag() {
    return { buffer: this.#memory.buffer, address: this.#exports.cancel_address() };
  }

  /** A new buffer of `length` bytes, by number. */
  buffer(length) {
    // The module counts bytes in 32 bits.
    if (length > 0xffffffff) throw noMemory(length);
    return this.#number((exports) => exports.buffer(length));
  }

  /** The bytes of a buffer, until the next call: memory that grows leaves them empty. */
  view(buffer, length) {
    return this.#bytes(this.#exports.buffer_address(buffer), length);
  }

  release(buffer) {
    this.#exports.release(buffer);
  }

  /** A buffer with these bytes. */
  put(bytes) {
    const buffer = this.buffer(bytes.byteLength);
    this.view(buffer, bytes.byteLength).set(bytes);
    return buffer;
  }

  /** SHA-256 of a buffer, as hexadecimal digits. */
  checksum(buffer) {
    return this.#call((exports) => exports.checksum(buffer));
  }

  /** Adds a file, whose bytes are in a buffer, to the model that is opened next. */
  file(name, buffer) {
    const named = this.put(encoder.encode(name));
    this.#number((exports) => exports.file(named, buffer));
  }

  /** Loads the model that the files make. */
  open(options = {}) {
    const buffer = this.#json(options);
    return this.#call((exports) => exports.open(buffer));
  }

  /** Decodes a picture's file. */
  image(bytes) {
    const buffer = this.put(bytes);
    return this.#call((exports) => exports.image(buffer));
  }

  /** Takes the pixels of an `ImageData`. */
  pixels({ data, width, height }) {
    const buffer = this.put(data);
    return this.#call((exports) => exports.pixels(buffer, width, height));
  }

  /** Does what a request asks of the image. */
  run(request) {
    const buffer = this.#json(request);
    return this.#call((exports) => exports.run(buffer));
  }

  /** How well the cache of image features serves. */
  cache() {
    return this.#call((exports) => exports.cache());
  }

  #json(value) {
    return this.put(encoder.encode(JSON.stringify(value)));
  }

  #bytes(address, length) {
    return new Uint8Array(this.#memory.buffer, address >>> 0, length);
  }

  #reply() {
    const { reply_address, reply_length } = this.#exports;
    return JSON.parse(text(this.#bytes(reply_address(), reply_length())));
  }

  #call(work) {
    this.#number(work);
    return this.#reply();
  }

  #number(work) {
    let number;
    try {
      number = work(this.#exports);
    } catch (error) {
      // The instance cannot be used any more. A panic says why; an allocation that fails aborts and does not.
      const aborted = error instanceof WebAssembly.RuntimeError && /unreachable/i.test(error.message);
      throw aborted && !this.#panic ? noMemory() : new VlmError({ code: "fault", message: this.#panic || String(error) });
    }
    if (number < 0) throw new VlmError(this.#reply());
    return number;
  }
}

function noMemory(bytes) {
  const message = bytes ? `there is no memory for ${bytes} bytes` : "there is no memory left";
  return new VlmError({ code: "memory", kind: "capacity", message, details: bytes ? { bytes: String(bytes) } : {} });
}
