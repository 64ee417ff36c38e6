// One thread of the module: an instance of its own over the memory that all share, which works until it is ended.

import { imports } from "./engine.js";

let instance = null;
let channel = null;
let panic = "";

self.onmessage = async ({ data }) => {
  if (data.entry !== undefined) return work(data.entry);
  const { module, memory, stack, tls, faults } = data;
  channel = new BroadcastChannel(faults);
  const bytes = (address, length) => new Uint8Array(memory.buffer, address, length);
  instance = await WebAssembly.instantiate(module, imports({ memory, bytes, onPanic: (message) => (panic = message) }));
  // Before any of its functions runs: by itself it would use the stack of the first instance.
  instance.exports.__stack_pointer.value = stack;
  instance.exports.__wasm_init_tls(tls);
  self.postMessage({ ready: true });
};

/** A thread that fails leaves the others waiting for it, and only the page still hears anything. */
function work(entry) {
  try {
    instance.exports.work(entry);
  } catch (error) {
    channel.postMessage(panic || String(error));
  }
}
