// A fresh Chromium for tests, and what they are told by `cargo xtask wasm --test`.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const {
  TINY_VLM_PACKAGE: folder,
  TINY_VLM_TOOLS: tools,
  TINY_VLM_XTASK: xtask,
  CHROMIUM: executablePath,
} = process.env;
const { chromium } = createRequire(join(tools, "x.js"))("playwright-core");

// A machine that does nothing else needs a tenth of this.
export const PATIENCE = 240_000;
const ARGUMENTS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync"],
  ...["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
];

export async function launch(options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "tiny-vlm-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args: ARGUMENTS,
    viewport: { width: 1280, height: 860 },
    locale: "en-US",
    ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}

/** The page's server, as `cargo xtask demo` takes options. */
export async function serve(...options) {
  const child = spawn(xtask, ["demo", "--port", "0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    child.stdout.on("data", (data) => resolve(String(data).trim()));
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { url, stop: () => child.kill() };
}
