// Keeps the page for visits without a network: what the network gives is shown and kept, what it does not is taken from
// what was kept. The model's bytes are not kept here; the package does that itself.

const CACHE = "tiny-vlm-page";
const PAGE = [
  ...["./", "style.css", "app.js", "camera.js", "strings.js", "icon.svg", "app.webmanifest"],
  ...["index", "worker", "helper", "helpers", "engine", "error", "features", "picture", "source", "download", "store"].map(
    (name) => `pkg/${name}.js`,
  ),
  ...["market", "three-cats", "shapes", "sign", "penguin"].map((name) => `images/${name}.png`),
];

const keep = async (urls) => (await caches.open(CACHE)).addAll(urls);

self.addEventListener("install", (event) => {
  event.waitUntil(keep(PAGE).then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("message", (event) => {
  if (Array.isArray(event.data?.keep)) event.waitUntil(keep(event.data.keep));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const ours = request.method === "GET" && url.origin === self.location.origin && url.pathname.startsWith(scope());
  if (ours && !request.headers.has("range") && !url.pathname.endsWith(".bundle")) event.respondWith(respond(request));
});

const scope = () => new URL(self.registration.scope).pathname;

async function respond(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.status === 200) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
