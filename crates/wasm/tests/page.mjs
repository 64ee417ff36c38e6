// The package and its page in Chromium: `cargo xtask wasm --test` runs this where Chromium and playwright-core are.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PATIENCE, folder, launch, serve } from "./chromium.mjs";
import { agrees } from "./families.mjs";

const here = new URL(".", import.meta.url).pathname;
const cases = JSON.parse(readFileSync(join(here, "answers.json"), "utf8"));
const families = JSON.parse(readFileSync(join(here, "families.json"), "utf8"));
const models = join(here, "../../../fixtures/models");
const fixtures = join(here, "../../../fixtures");
const bundle = readFileSync(join(folder, "nano.bundle"));
const screens = join(folder, "../screens");

/** Milliseconds within which a cancelled promise is rejected. */
const CANCEL = 50;
/** Milliseconds within which a model is ready again whose worker had to be ended. */
const READY_AGAIN = 500;

/** A page of its own for the package alone, with `Vlm` and a few helpers at hand. */
async function blank(context, site) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error("[page]", error.message));
  // A document without a script of its own on the site's origin, under the site's headers.
  await page.goto(`${site}icon.svg`);
  await page.evaluate(async () => {
    Object.assign(globalThis, await import("/pkg/index.js"));
    globalThis.picture = async (name) => (await fetch(`/images/${name}`)).blob();
    globalThis.rejected = (promise) => Promise.resolve(promise).then(() => "no error", (error) => error.code);
  });
  return page;
}

/** The modules, and whether they have threads. */
const MODULES = { simd128: false, relaxed: false, "simd128-threads": true, "relaxed-threads": true };
const threaded = existsSync(join(folder, "relaxed-threads.wasm"));
const single = existsSync(join(folder, "relaxed.wasm"));
const SITES = [
  ...(threaded ? [{ name: "isolated", options: [], module: "relaxed-threads" }] : []),
  ...(single ? [{ name: "not isolated", options: ["--plain"], module: "relaxed" }] : []),
];
assert.ok(SITES.length > 0, "neither of the modules that Chromium takes is built");

for (const { name, options, module } of SITES) {
  describe(name, { timeout: 8 * PATIENCE }, () => {
    let server, browser, page;
    before(async () => {
      server = await serve(...options, "--models", models);
      browser = await launch({ serviceWorkers: "block" });
      page = await blank(browser.context, server.url);
    });
    after(async () => {
      await browser?.close();
      server?.stop();
    });

    test("loads with progress and answers as the native library does", async () => {
      const { info, progress } = await page.evaluate(async () => {
        const progress = [];
        globalThis.vlm = await Vlm.load(undefined, { onProgress: (step) => progress.push(step), threads: 2 });
        return { info: vlm.info, progress };
      });
      assert.equal(info.module, module);
      assert.equal(info.threads, module.endsWith("threads") ? 2 : 1);
      const downloads = progress.filter(({ stage }) => stage === "download");
      assert.ok(downloads.length > 1 && downloads.every(({ loaded, total }) => loaded <= total));
      assert.equal(downloads.at(-1).loaded, downloads.at(-1).total);
      assert.equal(progress.at(-1).stage, "prepare");
      for (const { image, task, question, lang, text } of cases) {
        const answer = await page.evaluate(
          async ({ image, task, question, lang }) => {
            const file = await picture(image);
            if (task === "ask") return vlm.ask(file, question);
            return task === "caption" ? vlm.caption(file, { lang }) : vlm.ocr(file);
          },
          { image, task, question, lang },
        );
        assert.equal(answer.text, text, `${image} ${question ?? lang ?? task}`);
      }
    });

    test("streams to a callback and to an iterator", async () => {
      const { text, heard, drawn } = await page.evaluate(async () => {
        const file = await picture("market.png");
        let heard = "";
        const { text } = await vlm.caption(file, { onToken: (piece) => (heard += piece) });
        let drawn = "";
        for await (const piece of vlm.caption(file)) drawn += piece;
        return { text, heard, drawn };
      });
      assert.ok(text.length > 0);
      assert.deepEqual([heard, drawn], [text, text]);
    });

    test("answers two questions at once, in order", async () => {
      const { texts, order } = await page.evaluate(async () => {
        const order = [];
        const file = await picture("market.png");
        const ask = async (question) => {
          const { text } = await vlm.ask(file, question);
          order.push(question);
          return text;
        };
        const questions = ["What is on the left?", "Where is the dog?"];
        return { texts: await Promise.all(questions.map(ask)), order };
      });
      assert.deepEqual(texts, ["apple", "right"]);
      assert.deepEqual(order, ["What is on the left?", "Where is the dog?"]);
    });

    test("takes every kind of picture and leaves the caller's alone", async () => {
      const texts = await page.evaluate(async () => {
        const blob = await picture("penguin.png");
        const bitmap = await createImageBitmap(blob);
        const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
        const context = canvas.getContext("2d");
        context.drawImage(bitmap, 0, 0);
        const element = new Image();
        element.src = "/images/penguin.png";
        await element.decode();
        const bytes = new Uint8Array(await blob.arrayBuffer());
        const frame = new VideoFrame(canvas, { timestamp: 0 });
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
        const kinds = [blob, bitmap, pixels, canvas, element, bytes, bytes.buffer, frame];
        const texts = [];
        for (const kind of kinds) texts.push((await vlm.ask(kind, "What is this?")).text);
        if (!bytes.length || !bitmap.width || !pixels.data.length || !frame.codedWidth) texts.push("taken away");
        return texts;
      });
      assert.deepEqual(texts, Array(8).fill("penguin"));
    });

    test("names what is wrong", async () => {
      const codes = await page.evaluate(async () => {
        const file = await picture("market.png");
        return Promise.all([
          rejected(vlm.ask(file, " ")),
          rejected(vlm.ask(new Blob(["no picture"]), "What is this?")),
          rejected(vlm.ask({}, "What is this?")),
          rejected(vlm.ask(file, "What?", { maxTokens: 0 })),
          rejected(vlm.caption(file, { lang: "tlh" })),
        ]);
      });
      const expected = ["question-empty", "image-unknown-format", "image-read", "parameter-range", "unknown-language"];
      assert.deepEqual(codes, expected);
    });

    test("cancels while it waits, while it looks, and is ready again", async () => {
      const cancelled = () =>
        page.evaluate(async () => {
          const file = await picture("why-rust.png");
          const timed = async (start, wait) => {
            const controller = new AbortController();
            const promise = rejected(start(controller.signal));
            await wait();
            const aborted = performance.now();
            controller.abort();
            return { code: await promise, took: performance.now() - aborted };
          };
          const before = await rejected(vlm.ocr(file, { signal: AbortSignal.abort() }));
          let busy;
          const looks = new Promise((resolve) => (busy = resolve));
          let heard = 0;
          const looked = timed((signal) => vlm.ocr(file, { signal, onProgress: () => busy(heard++) }), () => looks);
          const waiting = await timed((signal) => vlm.ask(file, "What is this?", { signal }), () => 0);
          const looking = await looked;
          const start = performance.now();
          const again = await vlm.ask(await picture("penguin.png"), "What is this?");
          const ready = performance.now() - start - again.timings.total;
          return { before, waiting, looking, heard, again: again.text, ready };
        });
      let outcome = await cancelled();
      // A machine that does other things besides may need another attempt to show how fast it is.
      for (let left = 2; outcome.ready > READY_AGAIN && left > 0; left--) outcome = await cancelled();
      const { before, waiting, looking, heard, again, ready } = outcome;
      assert.equal(before, "cancelled");
      for (const { code, took } of [waiting, looking]) {
        assert.equal(code, "cancelled");
        assert.ok(took < CANCEL, `${took} ms`);
      }
      assert.ok(heard > 0 && again === "penguin");
      console.log(`# ${name}: ready again after ${Math.round(ready)} ms`);
      assert.ok(ready < READY_AGAIN, `${ready} ms`);
    });

    test("cancels while it writes", async () => {
      const { code, took, again } = await page.evaluate(async () => {
        const vlm = await Vlm.load("/models/smolvlm-tiny/", { threads: 2, store: false });
        const file = await picture("penguin.png");
        const controller = new AbortController();
        let writing;
        const writes = new Promise((resolve) => (writing = resolve));
        const options = { signal: controller.signal, maxTokens: 1e6, detail: "low", onToken: () => writing() };
        const promise = rejected(vlm.ask(file, "What is this?", options));
        await writes;
        const aborted = performance.now();
        controller.abort();
        const outcome = { code: await promise, took: performance.now() - aborted };
        const again = await vlm.ask(file, "What is this?", { maxTokens: 3, detail: "low" });
        vlm.dispose();
        return { ...outcome, again: again.usage.completionTokens };
      });
      assert.equal(code, "cancelled");
      assert.ok(took < CANCEL, `${took} ms`);
      assert.equal(again, 3);
    });

    test("cancels while it loads, at each stage of it", async () => {
      const outcomes = await page.evaluate(async () => {
        const outcomes = [];
        for (const stage of ["start", "download", "prepare"]) {
          const controller = new AbortController();
          let reached;
          const reaches = new Promise((resolve) => (reached = resolve));
          const onProgress = (progress) => progress.stage === stage && reached();
          const promise = rejected(Vlm.load(undefined, { signal: controller.signal, onProgress, store: false }));
          if (stage !== "start") await reaches;
          const aborted = performance.now();
          controller.abort();
          outcomes.push({ stage, code: await promise, took: performance.now() - aborted });
        }
        return outcomes;
      });
      for (const { stage, code, took } of outcomes) {
        assert.equal(code, "cancelled", stage);
        assert.ok(took < CANCEL, `${stage}: ${took} ms`);
      }
    });

    test("runs every family from a folder's address, and from files", async () => {
      for (const { model, open, image, request, reply } of families) {
        const names = readdirSync(join(models, model));
        const picture = [...readFileSync(join(fixtures, image))];
        const found = await page.evaluate(
          async ({ model, names, open, picture, request: { task, question, ...options } }) => {
            const file = new Blob([Uint8Array.from(picture)]);
            const answers = [];
            const at = names.map((name) => [name, `/models/${model}/${name}`]);
            const gguf = names.some((name) => name.endsWith(".gguf"));
            const bytes = async ([name, url]) => new File([await (await fetch(url)).blob()], name);
            for (const source of [gguf ? Object.fromEntries(at) : `/models/${model}`, await Promise.all(at.map(bytes))]) {
              const vlm = await Vlm.load(source, { threads: 2, store: false, ...open });
              const more = task === "ask" ? [question, options] : [options];
              const { values, ...answer } = await vlm[task](file, ...more);
              answers.push({ ...answer, values: values && [...values] });
              vlm.dispose();
            }
            return answers;
          },
          { model, names, open, picture, request },
        );
        for (const answer of found) agrees(answer, reply, `${model} ${request.task}`);
      }
    });

    test("takes the module that is asked for", async () => {
      const built = Object.keys(MODULES).filter((name) => existsSync(join(folder, `${name}.wasm`)));
      for (const module of built) {
        const { loaded, text, code } = await page.evaluate(async (module) => {
          const code = await rejected(Vlm.load(undefined, { module, threads: 2 }).then((found) => (globalThis.other = found)));
          if (code !== "no error") return { code };
          const { text } = await other.ask(await picture("penguin.png"), "What is this?");
          other.dispose();
          return { loaded: other.info.module, text, code };
        }, module);
        if (options.includes("--plain") && MODULES[module]) assert.equal(code, "module", module);
        else assert.deepEqual([loaded, text], [module, "penguin"], `${module}: ${code}`);
      }
      assert.equal(await page.evaluate(() => rejected(Vlm.load(undefined, { module: "simd512" }))), "module");
    });

    test("takes a photograph of 20 megapixels", async () => {
      const { image, memory } = await page.evaluate(async () => {
        const canvas = new OffscreenCanvas(5472, 3648);
        const context = canvas.getContext("2d");
        context.fillStyle = "#bcd";
        context.fillRect(0, 0, 5472, 3648);
        context.fillStyle = "#c22";
        context.arc(2700, 1800, 900, 0, 7);
        context.fill();
        const photo = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
        const { image } = await vlm.ask(photo, "What colour is the circle?");
        return { image, memory: vlm.memoryBytes };
      });
      assert.deepEqual(image, { width: 5472, height: 3648 });
      assert.ok(memory < 512e6, `${memory} bytes`);
    });

    test("gives everything back when it is disposed of", async () => {
      assert.ok(page.workers().length >= 1);
      const code = await page.evaluate(async () => {
        const pending = rejected(vlm.ocr(await picture("why-rust.png")));
        vlm.dispose();
        const codes = [await pending, await rejected(vlm.ask(new Blob(), "What?"))];
        return { codes, memory: vlm.memoryBytes };
      });
      assert.deepEqual(code, { codes: ["disposed", "disposed"], memory: 0 });
      for (let left = 50; page.workers().length > 0 && left > 0; left--) await page.waitForTimeout(50);
      assert.equal(page.workers().length, 0);
    });

    test("keeps the model for the next visit, lists and deletes it", async () => {
      const [kept] = await page.evaluate(() => Vlm.cache.list());
      assert.ok(kept.whole && kept.url.endsWith("/pkg/nano.bundle"), JSON.stringify(kept));
      assert.equal(kept.bytes, bundle.length);
      const next = await blank(browser.context, server.url);
      await next.route("**/nano.bundle", (route) => route.abort());
      const text = await next.evaluate(async () => {
        const vlm = await Vlm.load(undefined, { threads: 1 });
        const { text } = await vlm.ask(await picture("penguin.png"), "What is this?");
        vlm.dispose();
        return text;
      });
      assert.equal(text, "penguin");
      const { left, code } = await next.evaluate(async () => {
        await Vlm.cache.delete();
        return { left: await Vlm.cache.list(), code: await rejected(Vlm.load()) };
      });
      assert.deepEqual([left, code], [[], "download"]);
      await next.close();
    });

    test("keeps a folder for the next visit, and what is not in it", async () => {
      const next = await blank(browser.context, server.url);
      const load = () =>
        next.evaluate(async () => {
          const vlm = await Vlm.load("/models/smolvlm-tiny/", { threads: 1 });
          vlm.dispose();
          return vlm.info.family;
        });
      const family = await load();
      await next.route("**/models/**", (route) => route.abort());
      assert.equal(await load(), family);
      const left = await next.evaluate(async () => {
        await Vlm.cache.delete(new URL("/models/smolvlm-tiny/", location));
        return (await Vlm.cache.list()).map(({ url }) => url);
      });
      assert.deepEqual(left.filter((url) => url.includes("smolvlm")), []);
      await next.close();
    });

    test("refuses what arrives damaged, and keeps nothing of it", async () => {
      const next = await blank(browser.context, server.url);
      const damaged = Buffer.from(bundle);
      damaged[damaged.length - 1000] ^= 1;
      await next.route("**/nano.bundle", (route) => route.fulfill({ body: damaged }));
      assert.equal(await next.evaluate(() => rejected(Vlm.load())), "checksum");
      await next.unroute("**/nano.bundle");
      await next.route("**/nano.bundle", (route) => route.fulfill({ body: bundle.subarray(0, 1 << 20) }));
      assert.equal(await next.evaluate(() => rejected(Vlm.load())), "model-bundle");
      await next.unroute("**/nano.bundle");
      assert.deepEqual(await next.evaluate(async () => (await Vlm.cache.list()).filter(({ whole }) => whole)), []);
      const family = await next.evaluate(async () => {
        const vlm = await Vlm.load();
        vlm.dispose();
        return vlm.info.family;
      });
      assert.equal(family, "tiny-vlm-nano");
      await next.close();
    });

    test("stops a download at once and goes on with it later", async () => {
      const half = bundle.length >> 1;
      const ranges = [];
      const flaky = createServer((request, response) => {
        const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
        ranges.push(from);
        const headers = {
          "access-control-allow-origin": "*",
          "access-control-allow-headers": "range, if-range",
          "access-control-expose-headers": "etag, content-range",
          "cross-origin-resource-policy": "cross-origin",
          "content-length": bundle.length - from,
          etag: '"one"',
        };
        if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
        if (from) headers["content-range"] = `bytes ${from}-${bundle.length - 1}/${bundle.length}`;
        response.writeHead(from ? 206 : 200, headers);
        if (from) response.end(bundle.subarray(from));
        else response.write(bundle.subarray(0, half)); // and then nothing
      });
      await new Promise((resolve) => flaky.listen(0, "127.0.0.1", resolve));
      const url = `http://127.0.0.1:${flaky.address().port}/nano.bundle`;
      const next = await blank(browser.context, server.url);
      const { code, took } = await next.evaluate(
        async ({ url, half }) => {
          const controller = new AbortController();
          let arrived;
          const there = new Promise((resolve) => (arrived = resolve));
          const onProgress = ({ loaded }) => loaded > half - 100_000 && arrived();
          const promise = rejected(Vlm.load(url, { signal: controller.signal, onProgress }));
          await there;
          const aborted = performance.now();
          controller.abort();
          return { code: await promise, took: performance.now() - aborted };
        },
        { url, half },
      );
      assert.equal(code, "cancelled");
      assert.ok(took < CANCEL, `${took} ms`);
      const family = await next.evaluate(async (url) => {
        const vlm = await Vlm.load(url);
        vlm.dispose();
        return vlm.info.family;
      }, url);
      assert.equal(family, "tiny-vlm-nano");
      assert.ok(ranges.at(-1) > 0, `resumed from ${ranges}`);
      await next.close();
      flaky.closeAllConnections();
      flaky.close();
    });

    test("says so where there is no memory, and loads from files and bytes", async () => {
      const next = await blank(browser.context, server.url);
      const { codes, texts } = await next.evaluate(async () => {
        const line = JSON.stringify({ files: [{ name: "config.json", bytes: 4_200_000_000 }] });
        const codes = [
          await rejected(Vlm.load(new Blob([`${line}\n`]))),
          await rejected(Vlm.load(new Blob(["no bundle\n"]))),
          await rejected(Vlm.load([new File(["{}"], "config.json")])),
        ];
        const bytes = new Uint8Array(await (await fetch("/pkg/nano.bundle")).arrayBuffer());
        const end = bytes.indexOf(10);
        let at = end + 1;
        const files = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))).files.map(
          ({ name, bytes: length }) => new File([bytes.subarray(at, (at += length))], name),
        );
        const texts = [];
        for (const source of [files, bytes]) {
          const vlm = await Vlm.load(source);
          texts.push((await vlm.ask(await picture("penguin.png"), "What is this?")).text);
          vlm.dispose();
        }
        return { codes, texts };
      });
      assert.deepEqual(codes, ["memory", "model-bundle", "model-read"]);
      assert.deepEqual(texts, ["penguin", "penguin"]);
      await next.close();
    });
  });
}

describe("the page", { timeout: 8 * PATIENCE }, () => {
  const { options } = SITES[0];
  let server, browser, page;
  const shoot = (name) => page.screenshot({ path: join(screens, `${name}.png`) });
  const ready = () => page.waitForFunction(() => document.documentElement.dataset.state === "ready");
  const answers = (count) =>
    page.waitForFunction((count) => document.querySelectorAll(".answer:not(.busy)").length === count, count);
  before(async () => {
    mkdirSync(screens, { recursive: true });
    server = await serve(...options);
    browser = await launch();
    page = await browser.context.newPage();
  });
  after(async () => {
    await browser?.close();
    server?.stop();
  });

  test("answers a first question by keyboard alone", async () => {
    const faults = [];
    page.on("pageerror", (error) => faults.push(error.message));
    const start = Date.now();
    await page.goto(server.url);
    await shoot("loading");
    await ready();
    await shoot("ready");
    const loaded = Date.now() - start;
    await page.locator("#samples button").first().focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#picture").naturalWidth > 0);
    await page.focus("#question");
    await page.keyboard.type("What is on the left?");
    await page.keyboard.press("Enter");
    await answers(1);
    assert.equal(await page.textContent(".answer"), "apple");
    console.log(`# the page: ready after ${loaded} ms, first answer after ${Date.now() - start} ms`);
    await page.click("#chips button:nth-child(2)");
    await answers(2);
    assert.ok((await page.locator("#overlay rect").count()) > 0, "things are drawn");
    assert.notEqual(await page.textContent("#stat-total"), "–");
    assert.notEqual(await page.textContent("#stat-memory"), "–");
    await shoot("answer");
    assert.deepEqual(faults, []);
  });

  test("stops an answer with Escape, and says what is wrong", async () => {
    await page.setInputFiles("#file", join(here, "../../../fixtures/images/why-rust.png"));
    await page.click("#chips button:nth-child(3)");
    await page.waitForSelector("#stop:visible");
    await shoot("busy");
    await page.keyboard.press("Escape");
    await page.waitForSelector("#ask:visible");
    await answers(3);
    assert.equal(await page.locator(".note").last().textContent(), "stopped");
    await page.setInputFiles("#file", { name: "a.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await page.waitForSelector("#problem:visible");
    assert.equal(await page.getAttribute("#problem", "data-code"), "image-unknown-format");
    await shoot("problem");
  });

  test("speaks six languages, in the dark and on a phone", async () => {
    const questions = new Set();
    for (const lang of ["es", "fr", "de", "ja", "zh", "en"]) {
      await page.selectOption("#language", lang);
      questions.add(await page.getAttribute("#question", "placeholder"));
      assert.equal(await page.getAttribute("html", "lang"), lang);
      const empty = await page.evaluate(
        () => [...document.querySelectorAll("[data-text]")].filter((element) => !element.textContent).length,
      );
      assert.equal(empty, 0, lang);
      // What was said to be wrong is said in the language that is chosen since.
      questions.add(await page.textContent("#problem"));
      if (lang === "ja") await shoot("japanese");
    }
    assert.equal(questions.size, 12);
    await page.click("#theme");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
    await page.click("#samples button:nth-child(4)");
    await page.click("#chips button:nth-child(3)");
    await answers(4);
    await page.click("summary");
    await page.waitForFunction(() => document.querySelector("#kept button"));
    await shoot("dark");
    await page.setViewportSize({ width: 390, height: 844 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.ok(!wide, "nothing sticks out");
    await page.screenshot({ path: join(screens, "phone.png"), fullPage: true });
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.click("#theme");
    // Everything that can be used has a name for those who do not see it.
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("button, input, select")]
        .filter((element) => element.offsetParent)
        .filter((element) => {
          const image = element.querySelector?.("img[alt]")?.alt;
          const label = element.labels?.[0]?.textContent;
          return !(element.textContent.trim() || element.ariaLabel || label || image);
        })
        .map((element) => element.outerHTML),
    );
    assert.deepEqual(nameless, []);
  });

  test("watches the camera", async () => {
    const before = await page.locator(".answer").count();
    await page.click("#camera");
    await page.waitForFunction(() => document.querySelector("#live-text").textContent.includes("·"));
    assert.ok((await page.locator(".answer").count()) > before);
    assert.equal(await page.getAttribute("#camera", "aria-pressed"), "true");
    await shoot("camera");
    await page.click("#camera");
    await page.waitForSelector("#live", { state: "hidden" });
    assert.equal(await page.evaluate(() => document.querySelector("#video").srcObject), null);
  });

  test("works without a network after the first visit", async () => {
    await page.waitForFunction(async () => {
      const cache = await caches.open("tiny-vlm-page");
      return (await cache.keys()).some(({ url }) => url.endsWith(".wasm"));
    });
    server.stop();
    await page.reload();
    await ready();
    await page.click("#samples button:nth-child(5)");
    await page.waitForFunction(() => document.querySelector("#picture").naturalWidth > 0);
    await page.click("#chips button:nth-child(1)");
    await answers(1);
    assert.equal(await page.textContent(".answer"), "penguin");
  });
});
