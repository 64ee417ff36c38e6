// Pictures of every kind that a page has them in, on their way to the worker and into the module.

import { VlmError } from "./error.js";

const is = (value, name) => typeof globalThis[name] === "function" && value instanceof globalThis[name];
const unusable = (message) => new VlmError({ code: "image-unsupported", kind: "input", message });

/**
 * In the page: what is posted to the worker, and what of it is handed over rather than copied. The caller keeps its own.
 */
export async function pack(image) {
  if (is(image, "Blob") || is(image, "ImageData")) return { picture: image, transfer: [] };
  if (image instanceof ArrayBuffer || ArrayBuffer.isView(image)) {
    // A copy: the caller's bytes stay, and shared ones cannot be handed over.
    const bytes = ArrayBuffer.isView(image)
      ? new Uint8Array(image.buffer, image.byteOffset, image.byteLength).slice()
      : new Uint8Array(image.slice(0));
    return { picture: bytes, transfer: [bytes.buffer] };
  }
  if (is(image, "VideoFrame")) {
    const frame = image.clone();
    return { picture: frame, transfer: [frame] };
  }
  try {
    const bitmap = await createImageBitmap(image);
    return { picture: bitmap, transfer: [bitmap] };
  } catch (error) {
    throw new VlmError({ code: "image-read", kind: "input", message: `the image cannot be read: ${error.message}` });
  }
}

/** In the worker: shows the picture to the module. */
export async function show(engine, picture) {
  if (is(picture, "ImageData")) return engine.pixels(picture);
  if (is(picture, "ImageBitmap") || is(picture, "VideoFrame")) return engine.pixels(draw(picture));
  const bytes = picture instanceof Uint8Array ? picture : new Uint8Array(await picture.arrayBuffer());
  try {
    return engine.image(bytes);
  } catch (error) {
    // Browsers know formats that the module does not, such as AVIF.
    if (error.code !== "image-unknown-format" || typeof createImageBitmap !== "function") throw error;
    const bitmap = await createImageBitmap(new Blob([bytes])).catch(() => null);
    if (!bitmap) throw error;
    return engine.pixels(draw(bitmap));
  }
}

/** The pixels of a bitmap or a video's frame, which is closed then. */
function draw(source) {
  const width = source.displayWidth ?? source.width;
  const height = source.displayHeight ?? source.height;
  try {
    if (typeof OffscreenCanvas !== "function") throw unusable("this browser gives no pixels to workers");
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw unusable(`no canvas of ${width} × ${height} pixels can be had`);
    context.drawImage(source, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    source.close();
  }
}
