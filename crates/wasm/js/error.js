// Errors with a stable code, the same in the page, the worker and the module.

export class VlmError extends Error {
  /** @param {{ code: string, kind?: string, message?: string, details?: object }} failure */
  constructor({ code, kind = "fault", message = code, details = {} }, options) {
    super(message, options);
    this.name = "VlmError";
    this.code = code;
    this.kind = kind;
    this.details = details;
  }

  /** What `postMessage` can carry. */
  static plain(error) {
    if (error instanceof VlmError) {
      const { code, kind, message, details } = error;
      return { code, kind, message, details };
    }
    return { code: "fault", kind: "fault", message: String(error?.message ?? error) };
  }

  static cancelled(reason) {
    return new VlmError({ code: "cancelled", kind: "cancelled", message: "cancelled" }, { cause: reason });
  }
}
