// The packed package in a project of its own, built with Vite and opened in Chromium.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { test } from "node:test";
import { PATIENCE, folder, launch } from "./chromium.mjs";

const here = new URL(".", import.meta.url).pathname;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".png": "image/png" };
/** What the package is made of: nothing less, and nothing that does not belong. */
const FILES = [
  ...["LICENSE-APACHE", "LICENSE-MIT", "README.md", "index.d.ts", "nano.bundle", "package.json"],
  ...["download", "engine", "error", "features", "helper", "helpers", "index", "picture", "source", "store", "worker"].map(
    (name) => `${name}.js`,
  ),
];

function npm(cwd, ...options) {
  return execFileSync("npm", options, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

test("a project that uses the packed package builds and answers", { timeout: 4 * PATIENCE }, async () => {
  const project = join(folder, "../vite");
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project);
  const [{ files, filename }] = JSON.parse(npm(project, "pack", "--json", folder));
  const names = files.map(({ path }) => path);
  assert.deepEqual(names.filter((name) => !name.endsWith(".wasm")).sort(), FILES.sort());

  cpSync(join(here, "vite"), project, { recursive: true });
  cpSync(join(here, "../../../fixtures/images/penguin.png"), join(project, "penguin.png"));
  npm(project, "install", "--no-audit", "--no-fund", "--save", `./${filename}`);
  npm(project, "run", "build");

  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    const file = join(project, "dist", path === "/" ? "index.html" : path);
    const headers = {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    };
    if (existsSync(file)) response.writeHead(200, headers).end(readFileSync(file));
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await launch();
  try {
    const page = await browser.context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => document.querySelector("#answer").textContent);
    assert.equal(await page.textContent("#answer"), "penguin");
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
});
