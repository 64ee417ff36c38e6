// A file's bytes from the store or the network, in order, each chunk as soon as it is there.

import { VlmError } from "./error.js";
import { cache, cached, place } from "./store.js";

/** Bytes read from the store at a time. */
const CHUNK = 4 << 20;
/** Times that a connection which breaks off is made again. */
const ATTEMPTS = 4;

function failed(url, detail, cause) {
  const details = { path: url, reason: detail };
  return new VlmError({ code: "download", kind: "fault", message: `cannot fetch ${url}: ${detail}`, details }, { cause });
}

/** A file on its way. Iterate over it once, then `keep` it or `discard` it. */
export class Download {
  #url;
  #place = null;
  #response = null;
  #begun = 0;

  /** Bytes in all, where they are known. */
  size = null;
  /** Whether nothing has to be fetched. */
  fromStore = false;

  /** @returns {Promise<Download | null>} Nothing where `optional` is set and there is no such file. */
  static async open(url, { store = true, optional = false } = {}) {
    const download = new Download();
    download.#url = url;
    if (store) download.#place = await place(url);
    const { about } = download.#place ?? {};
    if (about?.absent && optional) {
      download.close();
      return null;
    }
    if (about?.whole && download.#place.size === about.bytes) {
      download.size = about.bytes;
      download.fromStore = true;
      return download;
    }
    if (store && !download.#place) {
      const response = await cached(url);
      if (response) {
        download.#response = response;
        download.size = Number(response.headers.get("content-length")) || null;
        download.fromStore = true;
        return download;
      }
    }
    try {
      await download.#connect(about?.validator ? download.#place.size : 0);
      if (!download.#place && store) download.#tee();
    } catch (error) {
      // That there is none is worth knowing without a network, too.
      const absent = optional && error.status === 404;
      if (absent) await download.#place?.note({ absent, whole: true, bytes: 0 });
      download.close();
      if (absent) return null;
      throw error;
    }
    return download;
  }

  /** Asks for the bytes from `from` on; a server that will not do that starts over. */
  async #connect(from) {
    const headers = {};
    const validator = this.#place?.about.validator;
    if (from > 0) {
      headers.range = `bytes=${from}-`;
      if (validator) headers["if-range"] = validator;
    }
    let response;
    try {
      response = await fetch(this.#url, { headers });
    } catch (error) {
      throw failed(this.#url, "no connection", error);
    }
    if (response.status === 416) return this.#connect(0);
    if (!response.ok) {
      throw Object.assign(failed(this.#url, `status ${response.status}`), { status: response.status });
    }
    const continues = response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${from}-`);
    this.#begun = continues ? from : 0;
    if (!continues) this.#place?.clear();
    const length = Number(response.headers.get("content-length"));
    // The length of what is encoded says nothing of what comes out.
    this.size = length && !response.headers.has("content-encoding") ? this.#begun + length : null;
    this.#response = response;
    const { headers: got } = response;
    const strong = got.get("etag")?.startsWith('"') ? got.get("etag") : got.get("last-modified");
    await this.#place?.note({ validator: strong ?? undefined, whole: false, bytes: this.size ?? 0 });
  }

  /** Without a file system, the Cache API gets a copy of what comes. */
  #tee() {
    const [one, other] = this.#response.body.tee();
    const { headers, status } = this.#response;
    if (status === 200) cache(this.#url, new Response(other, { headers }));
    this.#response = new Response(one, { headers });
  }

  async *[Symbol.asyncIterator]() {
    const stored = this.fromStore && !this.#response ? this.size : this.#begun;
    let at = 0;
    while (at < stored) {
      const chunk = new Uint8Array(Math.min(CHUNK, stored - at));
      const read = this.#place.read(chunk, at);
      if (read <= 0) throw failed(this.#url, "the stored part cannot be read");
      at += read;
      yield chunk.subarray(0, read);
    }
    for (let attempt = 1; this.#response; attempt++) {
      try {
        const reader = this.#response.body.getReader();
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          this.#store(next.value);
          at += next.value.length;
          yield next.value;
        }
        if (this.size !== null && at < this.size) throw failed(this.#url, `${at} of ${this.size} bytes came`);
        this.#response = null;
      } catch (error) {
        if (attempt === ATTEMPTS || at === 0 || this.fromStore) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100 * attempt));
        await this.#connect(at);
        if (this.#begun !== at) throw failed(this.#url, "the server does not resume", error);
      }
    }
    this.size = at;
  }

  #store(chunk) {
    try {
      this.#place?.append(chunk);
    } catch {
      // The disk or the quota is full. The model can be used all the same.
      this.#place.clear();
      this.#place.close();
      this.#place = null;
    }
  }

  /** What came is good: the next visit needs no network. */
  async keep() {
    if (this.#place && !this.fromStore) await this.#place.note({ whole: true, bytes: this.size });
    this.#place?.close();
    this.#place = null;
  }

  /** What came is not good. */
  async discard() {
    this.#place?.clear();
    await this.#place?.note({ whole: false, bytes: 0, validator: undefined });
    this.close();
  }

  /** Leaves what came for another time. */
  close() {
    this.#place?.close();
    this.#place = null;
  }
}
