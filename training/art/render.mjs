// Draws every emoji named in concepts.json and untaught.json, once per artwork
// set, and every drawing listed in named.json, into plain 256 px PNG files.
// `atlas.py` trims and packs them.
//
//   node render.mjs <folder for the drawings>
//
// Writes <folder>/<source>/<hex or name>[_<variant>].<png|webp> and <folder>/drawings.json.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Resvg } from "@resvg/resvg-js";
import { NAMED, SOURCES, hexOf, openNamed, openSources } from "./sources.mjs";

const SIZE = 256; // twice the sprite size, so the final shrink is smooth

const here = (path) => new URL(path, import.meta.url).pathname;
const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

const out = process.argv[2];
if (!out) throw new Error("usage: node render.mjs <folder for the drawings>");

const concepts = readJson(here("../concepts.json"));
const untaught = readJson(here("../untaught.json"));
const named = readJson(here("named.json"));

// Which sets an emoji is drawn from depends on its role:
//   taught          training sets for "train", the unseen sets for "eval-art"
//   untaught train  training sets only
//   untaught eval   every set in colour
const jobs = [];
concepts.forEach((concept, index) => {
  for (const emoji of [concept.emoji, ...(concept.also ?? [])]) {
    for (const source of SOURCES) {
      jobs.push({ emoji, concept: index, source, split: source.train ? "train" : "eval-art" });
    }
  }
});
for (const source of SOURCES) {
  if (source.train) {
    for (const emoji of untaught.train) jobs.push({ emoji, concept: -1, source, split: "untaught-train" });
  }
  if (!source.black) {
    for (const emoji of untaught.eval) jobs.push({ emoji, concept: -1, source, split: "untaught-eval" });
  }
}
for (const source of NAMED) {
  const { taught, untaught: others } = named[source.id];
  for (const [emoji, names] of Object.entries(taught)) {
    const concept = concepts.findIndex((c) => c.emoji === emoji);
    if (concept < 0) throw new Error(`named.json: ${emoji} is no concept`);
    for (const name of names) jobs.push({ emoji, name, concept, source, split: "train" });
  }
  for (const name of others) jobs.push({ emoji: "", name, concept: -1, source, split: "untaught-train" });
}

// The renderer aborts the whole process on the odd drawing with a degenerate
// filter region. So the work happens in a child that notes what it is drawing;
// when it dies, that drawing is left out and a new child carries on.
const inProgress = join(out, "in-progress");
const crashed = new Set(JSON.parse(process.env.ART_CRASHED ?? "[]"));
if (!process.env.ART_CRASHED) {
  mkdirSync(out, { recursive: true });
  const child = () =>
    spawnSync(process.execPath, process.argv.slice(1), {
      stdio: ["ignore", "inherit", "ignore"],
      env: { ...process.env, ART_CRASHED: JSON.stringify([...crashed]) },
    });
  rmSync(inProgress, { force: true });
  while (child().status !== 0) {
    const file = existsSync(inProgress) ? readFileSync(inProgress, "utf8") : null;
    if (!file || crashed.has(file)) throw new Error("rendering failed; run with ART_CRASHED=[] to see why");
    console.warn(`left out, the renderer cannot draw it: ${file}`);
    crashed.add(file);
  }
  rmSync(inProgress, { force: true });
  process.exit(0);
}

function draw({ svg, cropped }) {
  const font = { loadSystemFonts: false };
  if (!cropped) return new Resvg(svg, { fitTo: { mode: "width", value: SIZE }, font }).render();
  const box = new Resvg(svg, { font }).getBBox();
  const image = new Resvg(svg, { fitTo: { mode: box.height > box.width ? "height" : "width", value: SIZE }, font });
  image.cropByBBox(box);
  return image.render();
}

const art = openSources(readJson(join(out, "unicode-names.json")));
const opened = new Map();
const drawings = [];
for (const { emoji, name, concept, source, split } of jobs) {
  // A child that carries on has most of them drawn: it opens what it needs.
  if (name && !opened.has(source.id)) opened.set(source.id, openNamed(source));
  const found = name ? [opened.get(source.id)(name)] : art.find(source, emoji);
  found.forEach((drawing, variant) => {
    const stem = name ?? hexOf(emoji) + (variant ? `_${variant + 1}` : "");
    const file = `${source.id}/${stem}.${drawing.svg ? "png" : "webp"}`;
    mkdirSync(dirname(join(out, file)), { recursive: true });
    // A drawing that is there already is kept, so an interrupted run picks up
    // where it stopped. Remove the folder after a change to sources.mjs.
    if (crashed.has(file)) return;
    if (!existsSync(join(out, file))) {
      if (drawing.svg) {
        writeFileSync(inProgress, file);
        writeFileSync(join(out, file), draw(drawing).asPng());
      } else {
        copyFileSync(drawing.file, join(out, file));
      }
    }
    drawings.push({ emoji, concept, source: source.id, split, file });
  });
}
writeFileSync(join(out, "drawings.json"), JSON.stringify(drawings));

const perSource = {};
for (const d of drawings) perSource[d.source] = (perSource[d.source] ?? 0) + 1;
console.log(`${drawings.length} drawings`, perSource);
