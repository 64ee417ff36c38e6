// The threads beside the worker's own: workers that wait for work in the module.

/** Longest time that starting may take before fewer threads have to do. */
const PATIENCE = 3000;

export class Helpers {
  #idle;

  /** How many there are. */
  count;

  constructor(workers) {
    this.#idle = workers;
    this.count = workers.length;
  }

  /** As many helpers as can be started of `wanted`; a fault of theirs is told on the channel named `faults`. */
  static async start(engine, module, memory, wanted, faults) {
    const begin = (number) => started(number, { module, memory, faults, ...engine.threadMemory() });
    const workers = await Promise.all(Array.from({ length: Math.max(0, wanted) }, (_, number) => begin(number + 1)));
    return new Helpers(workers.filter(Boolean));
  }

  /** Has what the module wants to have run, by its address, run by a helper; `false` where all have work. */
  take(entry) {
    const worker = this.#idle.pop();
    worker?.postMessage({ entry });
    return Boolean(worker);
  }
}

/** A helper that is ready, or nothing where none could be started in time. */
function started(number, message) {
  return new Promise((resolve) => {
    let worker = null;
    const settle = (outcome) => {
      clearTimeout(timer);
      if (!outcome) worker?.terminate();
      resolve(outcome);
    };
    const timer = setTimeout(settle, PATIENCE, null);
    try {
      worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: `tiny-vlm-${number}` });
    } catch {
      return settle(null);
    }
    worker.onmessage = () => settle(worker);
    worker.onerror = () => settle(null);
    worker.postMessage(message);
  });
}
