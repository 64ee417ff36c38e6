/** Where a model's files are: nothing is the model that comes with the package. */
export type ModelSource =
  | undefined
  | null
  /** A bundle (`….bundle`), or the folder of a model. */
  | string
  | URL
  /** The bytes of a bundle. */
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  /** The files of a folder, as a file picker gives them. */
  | Iterable<File>
  /**
   * The files of a folder by name, each at hand or at a URL of its own. A model in GGUF is two files, of which the
   * tower's has `mmproj` in its name.
   */
  | Record<string, Blob | ArrayBuffer | ArrayBufferView | string | URL>;

/** A picture. What is given stays the caller's. */
export type Picture =
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | ImageData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas
  | VideoFrame;

export type Language = "en" | "es" | "fr" | "de" | "ja" | "zh";

export interface LoadProgress {
  stage: "download" | "prepare";
  /** The file that is coming. */
  file?: string;
  /** Bytes of all files. */
  loaded: number;
  total: number;
}

export interface LoadOptions {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
  /** Most threads, where the page is isolated from other origins; else there is one. As many as processors, up to 8. */
  threads?: number;
  /** SHA-256 of files by name, as hexadecimal digits. A bundle brings its own. */
  checksums?: Record<string, string>;
  /** `false` keeps nothing for the next visit. */
  store?: boolean;
  /** What weights become as they are loaded; those that `tiny-vlm quantize` packed stay as they are. */
  precision?: "auto" | "f32" | "bf16" | "f16" | "int8" | "int4";
  profile?: "fast" | "balanced" | "accuracy";
  /** Bytes of image features that are kept for the next question about the same image. */
  featureCache?: number;
  /** What the decoder keeps of what it has read: `f32` is exact, `bf16` takes half the memory, `int8` a quarter. */
  kvCache?: "f32" | "bf16" | "int8";
  /** The module to take in the place of the best that this browser can run: to compare, or to find out what is wrong. */
  module?: ModuleName;
}

export type ModuleName = "simd128" | "relaxed" | "simd128-threads" | "relaxed-threads";

export interface RequestOptions {
  signal?: AbortSignal;
  /** Hears each piece of the answer. */
  onToken?: (piece: string) => void;
  /** Hears how far looking at the picture has come. */
  onProgress?: (progress: { stage: string; loaded: number; total: number }) => void;
  maxTokens?: number;
  /** How closely it is looked at: the whole picture once, as its pixels allow, or as the model's makers do it. */
  detail?: "low" | "auto" | "high";
  /** Most tiles that the picture is cut into, by models that cut any. */
  maxTiles?: number;
  lang?: Language;
  /** 0, the default, takes the likeliest token each time. */
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  /** The answer ends before any of these. */
  stop?: string[];
  /** Longest time in milliseconds. */
  deadline?: number;
}

export type ImageRequestOptions = Pick<RequestOptions, "signal" | "onProgress" | "deadline">;

/** A line of print, with its corners in the order of reading. */
export interface Line {
  text: string;
  quad: [[number, number], [number, number], [number, number], [number, number]];
  confidence: number;
}

/** A thing that stands out: left, top, right, bottom. */
export interface Thing {
  area: [number, number, number, number];
  confidence: number;
}

/** What an answer locates, with one of `box`, `quad` and `polygons`, in pixels of the picture. */
export interface Region {
  label: string;
  /** Left, top, right, bottom. */
  box?: [number, number, number, number];
  quad?: Line["quad"];
  polygons?: [number, number][][];
  score?: number;
}

/** A class that a picture may be of. */
export interface Class {
  number: number;
  label: string;
  /** Before the softmax. */
  score: number;
  probability: number;
}

interface Seen {
  /** Size of the picture, upright: lines and things are in its pixels. */
  image: { width: number; height: number };
  /** How well the cache of image features serves. */
  cache: { hits: number; misses: number; entries: number; bytes: number };
}

export interface Answer extends Seen {
  text: string;
  finish: "stop" | "length" | "stop-string" | "cancelled" | "deadline";
  meanLogprob: number;
  usage: { imageTokens: number; promptTokens: number; completionTokens: number };
  lines: Line[];
  things: Thing[];
  regions: Region[];
  notes: string[];
  /** Milliseconds. */
  timings: {
    encode: number;
    prefill: number;
    decode: number;
    firstToken: number;
    total: number;
    tokensPerSecond: number | null;
  };
}

export interface Reading extends Seen {
  text: string;
  lines: Line[];
  /** Milliseconds. */
  elapsed: number;
}

export interface Embedding extends Seen {
  /** As the model's classifier takes them: not brought to a length. */
  values: Float32Array;
  /** Milliseconds. */
  elapsed: number;
}

export interface Classification extends Seen {
  /** The likeliest first. */
  classes: Class[];
  /** Milliseconds. */
  elapsed: number;
}

interface LoadedInfo {
  family: string;
  precision: string;
  /** The module in use. */
  module: ModuleName;
  isa: string;
  parameters: number;
  weightBytes: number;
  threads: number;
  loadMs: number;
}

/** A model that answers in words. */
export interface AnsweringModelInfo extends LoadedInfo {
  kind: "answers";
  context: number;
  maxTokens: number;
  maxImages: number;
  converses: boolean;
  reads: boolean;
}

/** A model that takes a picture and no words, such as a ResNet. */
export interface ImageModelInfo extends LoadedInfo {
  kind: "images";
  /** Numbers of a picture's vector. */
  features: number;
  /** Sides of the square of pixels that it looks at. */
  side: number;
  /** What its classes are called; empty where it knows none. */
  labels: string[];
}

export type ModelInfo = AnsweringModelInfo | ImageModelInfo;

/** Await it for the whole answer, or iterate over its pieces. */
export interface Answering<T> extends PromiseLike<T>, AsyncIterable<string> {
  catch<U = never>(onRejected?: ((error: VlmError) => U | PromiseLike<U>) | null): Promise<T | U>;
  finally(onFinally?: (() => void) | null): Promise<T>;
}

export interface KeptFile {
  url: string;
  bytes: number;
  /** Whether nothing is missing. */
  whole: boolean;
}

export class VlmError extends Error {
  /**
   * A stable name: those of the library (`image-unknown-format`, `question-empty`, `model-config`, ...), and `cancelled`,
   * `disposed`, `download`, `checksum`, `model-bundle`, `model-no-vector` (a model that answers cannot embed or classify),
   * `model-no-words` (an image model cannot answer), `memory`, `module`, `no-simd`, `worker`, `request`, `fault`.
   */
  code: string;
  kind: "input" | "capacity" | "deadline" | "cancelled" | "fault";
  details: Record<string, string>;
}

export class Vlm {
  private constructor();
  static load(source?: ModelSource, options?: LoadOptions): Promise<Vlm>;
  /** Files kept for the next visit. */
  static readonly cache: {
    list(): Promise<KeptFile[]>;
    /** Deletes a file, the files of a folder (a URL that ends with `/`), or everything. */
    delete(url?: string | URL): Promise<void>;
  };
  static features(): { simd: boolean; relaxed: boolean; threads: boolean };
  readonly info: ModelInfo;
  /** Bytes of memory that the module took when it was last heard of. */
  readonly memoryBytes: number;
  ask(image: Picture, question: string, options?: RequestOptions): Answering<Answer>;
  caption(image: Picture, options?: RequestOptions): Answering<Answer>;
  ocr(image: Picture, options?: RequestOptions): Answering<Reading>;
  /** The things on a picture: a model that locates answers with regions, one that finds them as it looks with things. */
  detect(image: Picture, options?: RequestOptions): Answering<Answer>;
  /** The vector of a picture, by an image model. */
  embed(image: Picture, options?: ImageRequestOptions): Answering<Embedding>;
  /** The likeliest classes of a picture, five where `top` does not say, by an image model. */
  classify(image: Picture, options?: ImageRequestOptions & { top?: number }): Answering<Classification>;
  /** Ends the worker, which gives all memory back. */
  dispose(): void;
}
