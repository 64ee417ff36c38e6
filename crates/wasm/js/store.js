// What was downloaded, kept for the next visit: in the origin's private file system, where a download that broke off is
// gone on with; else in the Cache API, which keeps whole files only; else nowhere.
//
// A file has a folder of its own, named by a hash of its URL: `data`, and `about.json`, which says what it is and whether
// it is whole. Called in workers only: synchronous access to files is theirs.

const FOLDER = "tiny-vlm";
const CACHE = "tiny-vlm";

/** @typedef {{ url: string, bytes: number, whole: boolean, absent?: boolean, validator?: string }} About */

const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function key(url) {
  return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url)));
}

async function folder(create) {
  if (!globalThis.navigator?.storage?.getDirectory) return null;
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create });
  } catch {
    return null; // A private window may refuse, and nothing may be there yet.
  }
}

async function readAbout(directory) {
  try {
    const file = await (await directory.getFileHandle("about.json")).getFile();
    return /** @type {About} */ (JSON.parse(await file.text()));
  } catch {
    return null;
  }
}

async function writeWhole(directory, name, bytes) {
  const handle = await (await directory.getFileHandle(name, { create: true })).createSyncAccessHandle();
  try {
    handle.truncate(0);
    handle.write(bytes);
    handle.flush();
  } finally {
    handle.close();
  }
}

/** One file's place in the private file system. It belongs to one worker at a time. */
class Place {
  #directory;
  #handle;
  about;

  /** The place of `url`, or nothing where it cannot be had: no file system, or another tab is writing it. */
  static async of(url) {
    if (!globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) return null;
    const parent = await folder(true);
    if (!parent) return null;
    const place = new Place();
    try {
      place.#directory = await parent.getDirectoryHandle(await key(url), { create: true });
      const file = await place.#directory.getFileHandle("data", { create: true });
      place.#handle = await opened(file);
      place.about = (await readAbout(place.#directory)) ?? { url, bytes: 0, whole: false };
      return place;
    } catch {
      place.close();
      return null;
    }
  }

  get size() {
    return this.#handle.getSize();
  }

  read(into, at) {
    return this.#handle.read(into, { at });
  }

  append(bytes) {
    this.#handle.write(bytes, { at: this.#handle.getSize() });
  }

  clear() {
    this.#handle.truncate(0);
  }

  async note(about) {
    this.about = { ...this.about, ...about };
    this.#handle.flush();
    await writeWhole(this.#directory, "about.json", new TextEncoder().encode(JSON.stringify(this.about)));
  }

  close() {
    this.#handle?.close();
    this.#handle = null;
  }
}

/** A worker that was ended holds its files for some moments longer. */
async function opened(file) {
  for (let left = 20; ; left--) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (error.name !== "NoModificationAllowedError" || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** The place of a file in whatever store there is: `Place`, or one in memory's stead that keeps nothing. */
export const place = (url) => Place.of(url).catch(() => null);

/** A whole file from the Cache API, as a response. */
export async function cached(url) {
  try {
    return (await (await caches.open(CACHE)).match(url)) ?? null;
  } catch {
    return null;
  }
}

/** Keeps a response in the Cache API, if there is one. The body is consumed while it is stored. */
export async function cache(url, response) {
  try {
    await (await caches.open(CACHE)).put(url, response);
  } catch {
    // No room, or no Cache API outside secure contexts: the next visit fetches it again.
  }
}

/** What is kept, whole or begun. */
export async function list() {
  const found = [];
  const parent = await folder(false);
  if (parent) {
    for await (const directory of parent.values()) {
      const about = directory.kind === "directory" ? await readAbout(directory) : null;
      if (!about || about.absent) continue;
      const data = await (await directory.getFileHandle("data")).getFile();
      found.push({ url: about.url, bytes: data.size, whole: about.whole });
    }
  }
  try {
    for (const request of await (await caches.open(CACHE)).keys()) {
      const response = await (await caches.open(CACHE)).match(request);
      found.push({ url: request.url, bytes: (await response.blob()).size, whole: true });
    }
  } catch {
    // There is no Cache API here.
  }
  return found;
}

/** Deletes what is kept of `url`, be it a file or a folder of files; everything where there is none. */
export async function remove(url) {
  const wanted = (found) => url === undefined || found === url || (url.endsWith("/") && found.startsWith(url));
  const parent = await folder(false);
  if (parent) {
    const names = [];
    for await (const [name, directory] of parent.entries()) {
      const about = directory.kind === "directory" ? await readAbout(directory) : null;
      if (url === undefined || (about && wanted(about.url))) names.push(name);
    }
    for (const name of names) await parent.removeEntry(name, { recursive: true });
  }
  try {
    const store = await caches.open(CACHE);
    for (const request of await store.keys()) if (wanted(request.url)) await store.delete(request);
  } catch {
    // There is no Cache API here.
  }
}
