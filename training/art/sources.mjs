// Where the drawings come from, and how to find one emoji in each set.
//
// Every set is an ordinary npm package. Most are Iconify collections: one JSON
// file with the body of each SVG under a readable name. Some collections carry
// a code point table (`chars.json`), others only names, so an emoji is looked
// up by code point first and then by every name the sets are known to use.

import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(import.meta.url);

// `train: false` marks the sets that stay unseen: they measure whether the
// model recognises a known thing in a drawing style it was never shown. `black`
// marks drawings in one colour, which are not in "untaught-eval": what that
// measures should stay the same.
export const SOURCES = [
  { id: "noto", package: "@iconify-json/noto", train: true },
  { id: "noto-v1", package: "@iconify-json/noto-v1", train: true },
  { id: "fluent-color", package: "@iconify-json/fluent-emoji", train: true },
  { id: "fluent-flat", package: "@iconify-json/fluent-emoji-flat", train: true },
  { id: "fluent-3d", package: "@lobehub/fluent-emoji-3d", train: true, webp: true },
  { id: "fxemoji", package: "@iconify-json/fxemoji", train: true },
  { id: "emojione", package: "@iconify-json/emojione", train: true },
  { id: "emojione-v1", package: "@iconify-json/emojione-v1", train: true },
  { id: "streamline", package: "@iconify-json/streamline-emojis", train: true },
  { id: "fluent-line", package: "@iconify-json/fluent-emoji-high-contrast", train: true, black: true },
  { id: "emojione-line", package: "@iconify-json/emojione-monotone", train: true, black: true },
  { id: "twemoji", package: "@iconify-json/twemoji", train: false },
  { id: "openmoji", package: "@iconify-json/openmoji", train: false },
];

// Sets that know nothing of emoji: which of their drawings show what is listed,
// by name, in named.json. Kameleon puts each thing on a coloured disc (`disc`),
// without which all its things would have the outline of a disc.
export const NAMED = [
  { id: "openclipart", folder: "/usr/share/openclipart/svg" },
  { id: "flat-color-icons", package: "@iconify-json/flat-color-icons" },
  { id: "flat-ui", package: "@iconify-json/flat-ui" },
  { id: "fluent-icons", package: "@iconify-json/fluent-color" },
  { id: "game-icons", package: "@iconify-json/game-icons" },
  { id: "icon-park", package: "@iconify-json/icon-park" },
  { id: "marketeq", package: "@iconify-json/marketeq" },
  { id: "meteocons", package: "@iconify-json/meteocons" },
  { id: "streamline-color", package: "@iconify-json/streamline-color" },
  { id: "streamline-cyber-color", package: "@iconify-json/streamline-cyber-color" },
  { id: "streamline-flex-color", package: "@iconify-json/streamline-flex-color" },
  { id: "streamline-freehand-color", package: "@iconify-json/streamline-freehand-color" },
  {
    id: "streamline-kameleon-color",
    package: "@iconify-json/streamline-kameleon-color",
    disc: /<path fill="#[0-9a-f]+" d="M24 47\.99[^"]*"\/>/,
  },
  { id: "streamline-plump-color", package: "@iconify-json/streamline-plump-color" },
  { id: "streamline-stickies-color", package: "@iconify-json/streamline-stickies-color" },
  { id: "streamline-ultimate-color", package: "@iconify-json/streamline-ultimate-color" },
];

// FxEmoji was drawn before names settled: "dog" is the dog's face, "keyboard" a
// synthesizer, "sunglasses" a face wearing them. These are its own names.
const FXEMOJI_NAMES = {
  "🐶": "dog", "🐕": "dogside", "🐱": "cat", "🐈": "catside", "🐯": "tiger", "🐅": "tigerside",
  "🐷": "pig", "🐖": "pigside", "🐭": "mouse", "🐁": "mouseside", "🐹": "hampster", "🐰": "bunny",
  "🐇": "bunnyside", "🐥": "frontfacingchick", "🐲": "dragonhead", "🐉": "dragonside",
  "🐳": "spurtingwhale", "🐆": "leopardside", "🌲": "evergreen", "🍂": "fallingleaf",
  "🍃": "leaffluttering", "🌶": "chilipepper", "🍽": "forkknife", "🌍": "europeafricaglobe",
  "🌎": "americasglobe", "🌏": "asiaaustraliaglobe", "🏔": "snowmountains", "🏖": "beachumbrella",
  "🚅": "highspeedtrainbulletnose", "🏎": "racecar", "⏳": "hourglassflowingsand", "☀": "whitesun",
  "🌤": "whitesunsmallcloud", "🌧": "raincloud", "🌨": "snowcloud", "⛈": "stormcloud", "🌊": "wave",
  "🎀": "bow", "🎁": "present", "🎾": "tennisball", "👔": "tie", "👛": "pinkwallet",
  "👞": "mensshoe", "👟": "mensrunner", "👠": "heels", "👡": "sandals", "👢": "boot", "💎": "gem",
  "🔊": "speaker3soundwaves", "🔉": "speakeronesoundwave", "🎙": "studiomic", "📱": "cellphone",
  "💾": "floppydisk2", "🔍": "leftmagnifyingglass", "🔎": "rightmagnifyingglass",
  "📔": "notebookdecorativecover", "💵": "banknotedollar", "💴": "banknoteyen",
  "💶": "banknoteeuro", "💷": "banknotepound", "📩": "envelopedownarrowabove",
  "📫": "closedmailboxraised", "📪": "closedmailboxlowered", "📬": "openmailboxraised",
  "📭": "openmailboxlowered", "🖊": "lowerleftpen", "🔐": "lockandkey", "💪": "flexbicep",
  "💙": "heartblue", "💛": "heartyellow", "💚": "heartgreen", "💜": "heartpurple",
  "💓": "beating-heart", "🕶": "darksunglasses", "😎": "sunglasses", "⌨": "wiredkeyboard",
};

// Names that lead to a picture of something else (the country for the bird, the
// bat and ball for the insect), and drawings that are not what they should be.
const MISLEADING = {
  streamline: ["🦃"],
  "noto-v1": ["🦗"],
  emojione: ["🦗"],
  "emojione-line": ["🦗"],
  fxemoji: ["🚋", "🪟"],
};

function packageFolder(name) {
  // Not every package exports its package.json, so walk the lookup paths.
  for (const base of require.resolve.paths(name)) {
    if (existsSync(join(base, name))) return join(base, name);
  }
  throw new Error(`npm package ${name} is not installed (run npm install in training/art)`);
}

const readJson = (path, fallback) =>
  existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : fallback;

/** "🌶️" -> "1f336": the file-name form, without variation selectors. */
export const hexOf = (emoji) =>
  [...emoji]
    .map((c) => c.codePointAt(0))
    .filter((c) => c !== 0xfe0f)
    .map((c) => c.toString(16).padStart(4, "0"))
    .join("-");

const slug = (s) =>
  s.normalize("NFD").replace(/[\u0300-\u036f’'“”.]/g, "").toLowerCase()
    .replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

function loadIconify(source) {
  const folder = packageFolder(source.package);
  const icons = readJson(join(folder, "icons.json"));
  const chars = new Map();
  for (const [key, name] of Object.entries(readJson(join(folder, "chars.json"), {}))) {
    const hex = key.split("-").filter((c) => c !== "fe0f").join("-");
    if (!chars.has(hex)) chars.set(hex, name);
  }
  const body = (name) => {
    // Aliases only rename, but for a few pointing hands that are mirrored; which
    // way those point makes no difference here.
    const icon = icons.icons[name] ?? icons.icons[icons.aliases?.[name]?.parent];
    if (!icon) return null;
    const w = icon.width ?? icons.width ?? 16;
    const h = icon.height ?? icons.height ?? 16;
    const x = icon.left ?? icons.left ?? 0;
    const y = icon.top ?? icons.top ?? 0;
    return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
      `viewBox="${x} ${y} ${w} ${h}" width="${w}" height="${h}">${icon.body}</svg>`;
  };
  return { chars, body };
}

/**
 * Opens every set. `unicodeNames` maps "1f346" to "aubergine": Unicode's own
 * (older) names are what FxEmoji and the early sets were named by. The result's
 * `find(source, emoji)` gives a list of drawings, `{ svg }` or `{ file }`; a
 * list because Streamline has numbered variants.
 */
export function openSources(unicodeNames = {}) {
  const sets = new Map(
    SOURCES.filter((s) => !s.webp).map((s) => [s.id, loadIconify(s)]),
  );
  const labels = new Map(
    require("emojibase-data/en/data.json").map((e) => [hexOf(e.emoji), e.label]),
  );

  function namesOf(hex) {
    const names = new Set();
    for (const id of ["noto", "fluent-flat", "twemoji", "openmoji"]) {
      const name = sets.get(id).chars.get(hex);
      if (name) names.add(name);
    }
    for (const text of [labels.get(hex), unicodeNames[hex]]) {
      if (text) names.add(slug(text));
    }
    return [...names];
  }

  function find(source, emoji) {
    const hex = hexOf(emoji);
    const plain = emoji.replaceAll("\ufe0f", "");
    if (MISLEADING[source.id]?.includes(plain)) return [];
    if (source.webp) {
      // A few file names keep the variation selector, most do not.
      for (const name of [hex, `${hex}-fe0f`]) {
        const file = join(packageFolder(source.package), "assets", `${name}.webp`);
        if (existsSync(file)) return [{ file }];
      }
      return [];
    }
    const set = sets.get(source.id);
    if (set.chars.size) {
      const svg = set.chars.has(hex) ? set.body(set.chars.get(hex)) : null;
      return svg ? [{ svg }] : [];
    }
    const squash = source.id === "fxemoji";
    if (squash && FXEMOJI_NAMES[plain]) return [{ svg: set.body(FXEMOJI_NAMES[plain]) }];
    const found = [];
    for (const name of namesOf(hex)) {
      const key = squash ? name.replaceAll("-", "") : name;
      const tries = source.id === "streamline" ? [key, `${key}-1`, `${key}-2`, `${key}-3`] : [key];
      for (const t of tries) {
        const svg = set.body(t);
        if (svg) found.push({ svg });
      }
      if (found.length) break;
    }
    return found;
  }

  return { find };
}

/** Opens a set of `NAMED`: a function from a drawing's name to `{ svg, cropped }`. */
export function openNamed(source) {
  // Artwork on a page may be small on it, or reach beyond its edges.
  const cropped = true;
  if (source.folder) return (name) => ({ svg: readFileSync(join(source.folder, `${name}.svg`)), cropped });
  const { body } = loadIconify(source);
  return (name) => {
    const svg = body(name);
    return { svg: source.disc ? svg.replace(source.disc, "") : svg, cropped };
  };
}
