// Opens the page of codes when there is no network. It keeps that page's empty form and our script,
// nothing of a rider's.
const CACHE = "__CACHE__", SHELL = "/offline?shell=1", FILES = __FILES__;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([SHELL, ...FILES])).then(() => skipWaiting()));
});
addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)))));
});
addEventListener("fetch", (event) => {
  const { request } = event, path = new URL(request.url).pathname;
  if (request.mode === "navigate" && request.method === "GET") {
    event.respondWith(fetch(request).catch(() => caches.match(SHELL)));
    if (path === "/offline") event.waitUntil(caches.open(CACHE).then((cache) => cache.add(SHELL)).catch(() => {})); // its language may have changed
  } else if (FILES.includes(path)) {
    event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request)));
  }
});
