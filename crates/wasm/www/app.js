// The page: pictures in, questions to the package, answers out.

import { Camera } from "./camera.js";
import { choose, fillPage, language, LANGUAGES, say, sayError } from "./strings.js";
import { Vlm, VlmError } from "./pkg/index.js";

const SAMPLES = ["market.png", "three-cats.png", "shapes.png", "sign.png", "penguin.png"];
/** An answer longer than this is set as text, not as a headline. */
const LONG = 90;

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const remember = {
  get: (key) => {
    try {
      return localStorage.getItem(`tiny-vlm-${key}`);
    } catch {
      return null; // A browser may refuse to keep anything.
    }
  },
  set: (key, value) => {
    try {
      localStorage.setItem(`tiny-vlm-${key}`, value);
    } catch {
      // Then the next visit begins with the defaults.
    }
  },
};

const number = (value, digits = 0) => value.toLocaleString(language(), { maximumFractionDigits: digits });
const megabytes = (bytes) => `${number(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;
const duration = (ms) => (ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000, 2)} s`);

/** The picture that questions are about: a file, or the camera's frames. */
let picture = null;
let shownUrl = null;
let vlm = null;
let loading = 0;
/** Settles when the model of the last `load` is there, or is known not to come. */
let loaded = Promise.resolve();
let answering = null;
let camera = null;

// Languages and colours.

function setLanguage(code) {
  choose([code]);
  remember.set("language", language());
  $("language").value = language();
  fillPage();
  $("turns").dataset.empty = say("noTurns");
  $("camera").textContent = say(camera ? "cameraOff" : "camera");
  fillChips();
  tellModel();
  problem(wrong);
  listKept();
}

function fillChips() {
  const chips = [
    ["what", () => ask(say("what"))],
    ["describe", () => ask(say("describe"), "caption")],
    ["read", () => ask(say("read"), "ocr")],
    ["left", () => ask(say("left"))],
    ["count", () => ask(say("count"))],
  ];
  $("chips").replaceChildren(
    ...chips.map(([key, onclick]) => make("button", { type: "button", textContent: say(key), onclick })),
  );
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  remember.set("theme", theme ?? "");
}

$("theme").onclick = () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
};

// The model.

function tell(text, progress) {
  $("model-text").textContent = text;
  $("model-progress").hidden = progress === undefined;
  if (progress !== undefined) $("model-progress").value = progress;
}

function tellModel() {
  if (!vlm) return;
  const { family, module, threads, weightBytes, loadMs } = vlm.info;
  tell(say("ready", { name: family, size: megabytes(weightBytes), time: duration(vlm.loadedIn ?? loadMs) }));
  const workers = threads === 1 ? say("oneThread") : say("threads", { n: threads });
  $("machine").textContent = say("machine", { module, threads: workers });
}

function onProgress({ stage, loaded, total }) {
  if (stage === "prepare") tell(say("preparing"), 1);
  else tell(say("downloading", { done: megabytes(loaded), total: megabytes(total) }), loaded / total);
}

const load = (source) => (loaded = begin(source));

async function begin(source) {
  const turn = ++loading;
  stop();
  vlm?.dispose();
  vlm = null;
  problem(null);
  tell(say("preparing"), 0);
  const started = performance.now();
  const query = new URLSearchParams(location.search);
  const threads = Number(query.get("threads")) || undefined;
  try {
    const model = await Vlm.load(source, { onProgress, threads });
    if (turn !== loading) return model.dispose();
    model.loadedIn = performance.now() - started;
    vlm = model;
    tellModel();
    document.documentElement.dataset.state = "ready";
    stats();
    listKept();
    keepForOffline();
  } catch (error) {
    if (turn !== loading) return;
    tell("");
    problem(error);
    document.documentElement.dataset.state = "failed";
  }
}

async function listKept() {
  const kept = await Vlm.cache.list().catch(() => []);
  const items = kept.map(({ url, bytes }) => {
    const remove = make("button", { type: "button", textContent: say("delete") });
    remove.onclick = async () => {
      await Vlm.cache.delete(url);
      listKept();
    };
    return make("li", {}, make("span", { textContent: `${url.split("/").pop()}, ${megabytes(bytes)}`, title: url }), remove);
  });
  $("kept").replaceChildren(...(items.length ? items : [make("li", { textContent: say("nothingKept") })]));
}

$("from-url").onsubmit = (event) => {
  event.preventDefault();
  if ($("url").value) load($("url").value);
};
$("folder").onchange = () => {
  const files = [...$("folder").files];
  if (files.length) load(files.length === 1 && files[0].name.endsWith(".bundle") ? files[0] : files);
};
$("embedded").onclick = () => load();

// The picture.

function show(blob, name = "") {
  stopCamera();
  picture = blob;
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(blob);
  $("picture").src = shownUrl;
  $("picture").alt = name || say("picture");
  $("picture").hidden = false;
  $("frame").hidden = false;
  $("drop").classList.remove("empty");
  draw(null);
  problem(null);
}

$("picture").onerror = () => {
  picture = null;
  $("frame").hidden = true;
  $("drop").classList.add("empty");
  problem(new VlmError({ code: "image-unknown-format" }));
};

$("file").onchange = () => {
  const [file] = $("file").files;
  if (file) show(file, file.name);
  $("file").value = "";
};
$("choose").onclick = () => $("file").click();
addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) show(file, file.name);
});
for (const type of ["dragenter", "dragover"]) {
  addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) show(file, file.name);
});

for (const name of SAMPLES) {
  const image = make("img", { src: `images/${name}`, alt: name.replace(".png", "").replace("-", " "), loading: "lazy" });
  const button = make("button", { type: "button" }, image);
  button.onclick = async () => show(await (await fetch(image.src)).blob(), image.alt);
  $("samples").append(button);
}

/** Draws the things and the print that an answer found. */
function draw(answer) {
  const overlay = $("overlay");
  overlay.replaceChildren();
  if (!answer?.image || !$("boxes").checked) return;
  const { width, height } = answer.image;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const add = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    overlay.append(element);
  };
  for (const { quad } of answer.lines ?? []) add("polygon", { points: quad.map((corner) => corner.join(",")).join(" ") });
  for (const { area: [left, top, right, bottom] } of answer.things ?? []) {
    add("rect", { x: left, y: top, width: right - left, height: bottom - top, rx: 6 });
  }
}

let last = null;
$("boxes").onchange = () => draw(last);

// Questions.

let wrong = null;

function problem(error) {
  wrong = error;
  $("problem").hidden = !error;
  $("problem").textContent = error ? sayError(error) : "";
  if (error) $("problem").dataset.code = error.code;
}

function busy(on) {
  $("ask").hidden = on;
  $("stop").hidden = !on;
}

function stats(answer) {
  const { firstToken, total, tokensPerSecond } = answer?.timings ?? {};
  $("stat-first").textContent = firstToken ? duration(firstToken) : "–";
  $("stat-total").textContent = total ? duration(total) : answer?.elapsed ? duration(answer.elapsed) : "–";
  $("stat-speed").textContent = tokensPerSecond ? number(tokensPerSecond) : "–";
  $("stat-memory").textContent = vlm?.memoryBytes ? megabytes(vlm.memoryBytes) : "–";
}

function turnFor(question) {
  const text = make("p", { className: "answer busy" });
  const note = make("p", { className: "note" });
  const item = make("li", {}, make("p", { className: "asked", textContent: question }), text, note);
  $("turns").append(item);
  const write = (words) => {
    text.textContent = words;
    text.classList.toggle("long", words.length > LONG);
    $("turns").scrollTop = $("turns").scrollHeight;
  };
  write("");
  return { item, write, note: (words) => (note.textContent = words), done: () => text.classList.remove("busy") };
}

async function ask(question, task = "ask") {
  problem(null);
  if (camera) return camera.ask(question, task);
  if (!picture) return problem(new VlmError({ code: "no-image" }));
  stop();
  const controller = new AbortController();
  answering = controller;
  busy(true);
  const turn = turnFor(question);
  try {
    const answer = await answerTo(picture, question, task, controller.signal, turn.write);
    if (!answer) return turn.item.remove();
    turn.write(answer.text || say("nothingRead"));
    turn.note(findings(answer));
  } catch (error) {
    if (error.code === "cancelled") turn.note(say("stopped"));
    else {
      turn.item.remove();
      problem(error);
    }
  } finally {
    turn.done();
    if (answering === controller) {
      answering = null;
      busy(false);
    }
  }
}

/** One answer, shown as it comes; nothing where there is no model, which has been said. */
async function answerTo(image, question, task, signal, write) {
  await loaded;
  if (signal.aborted) throw new VlmError({ code: "cancelled" });
  if (!vlm) return null;
  if (vlm.info.kind === "images") return classesOf(image, signal);
  let text = "";
  const options = {
    signal,
    lang: task === "caption" ? language() : undefined,
    onToken: (piece) => write((text += piece)),
  };
  const answer = await (task === "ask" ? vlm.ask(image, question, options) : vlm[task](image, options));
  last = answer;
  draw(answer);
  stats(answer);
  return answer;
}

/** What an image model makes of a picture, whatever the question: it hears none. */
async function classesOf(image, signal) {
  const { classes, elapsed, ...seen } = await vlm.classify(image, { signal });
  const share = (value) => value.toLocaleString(language(), { style: "percent", maximumFractionDigits: 1 });
  const text = classes.map(({ label, number, probability }) => `${label || number}: ${share(probability)}`).join("\n");
  const answer = { ...seen, text, elapsed };
  last = answer;
  draw(answer);
  stats(answer);
  return answer;
}

function findings({ things = [], lines = [] }) {
  return things.length || lines.length ? say("found", { things: things.length, lines: lines.length }) : "";
}

function stop() {
  answering?.abort();
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question) return problem(new VlmError({ code: "question-empty" }));
  $("question").value = "";
  ask(question);
};
$("stop").onclick = () => (camera ? stopCamera() : stop());
addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("stop").click();
});

// The camera.

async function startCamera() {
  problem(null);
  try {
    camera = await Camera.start($("video"));
  } catch (error) {
    return problem(new VlmError({ code: "camera", message: String(error) }));
  }
  $("drop").classList.remove("empty");
  $("frame").hidden = false;
  $("picture").hidden = true;
  $("video").hidden = false;
  $("live").hidden = false;
  $("camera").setAttribute("aria-pressed", "true");
  $("camera").textContent = say("cameraOff");
  draw(null);
  busy(true);
  let turn = null;
  camera.onQuestion = (question) => {
    turn?.done();
    turn = turnFor(question);
  };
  camera.answer = (frame, question, task, signal) => answerTo(frame, question, task, signal, () => {});
  camera.onAnswer = (answer, { rate, unchanged }) => {
    if (!answer) return stopCamera();
    turn.write(answer.text || say("nothingRead"));
    turn.note(unchanged ? say("unchanged") : findings(answer));
    $("live-text").textContent = `${say("live")} · ${say("frames", { rate: number(rate, 1) })}`;
  };
  camera.onError = (error) => {
    stopCamera();
    problem(error);
  };
  camera.onEnd = () => turn?.done();
  camera.ask(say("describe"), "caption");
}

function stopCamera() {
  if (!camera) return;
  camera.stop();
  camera = null;
  $("video").hidden = true;
  $("live").hidden = true;
  $("frame").hidden = !picture;
  $("picture").hidden = !picture;
  $("drop").classList.toggle("empty", !picture);
  $("camera").setAttribute("aria-pressed", "false");
  $("camera").textContent = say("camera");
  busy(false);
}

$("camera").onclick = () => (camera ? stopCamera() : startCamera());

// Offline: the service worker keeps the page and the module in use; the model keeps itself.

async function keepForOffline() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    active.postMessage({ keep: [`pkg/${vlm.info.module}.wasm`] });
  } catch {
    // Without one the page needs its server.
  }
}

setTheme(remember.get("theme"));
for (const { code, name } of LANGUAGES) $("language").append(make("option", { value: code, textContent: name }));
$("language").onchange = () => setLanguage($("language").value);
setLanguage(choose([new URLSearchParams(location.search).get("lang"), remember.get("language"), ...navigator.languages]));
load(new URLSearchParams(location.search).get("model") ?? undefined);
