// Tens of thousands of cabinets on one canvas: places in typed arrays, fetched once; then only the
// marks that change. Where cabinets would cover one another they are drawn as groups.
const box = document.getElementById("map"), canvas = box.querySelector("canvas"), pen = canvas.getContext("2d");
const tip = box.querySelector(".tip"), say = document.getElementById("map-say"), note = document.getElementById("map-note");
const MARKS = ["alarm", "fault", "offline", "stale", "never", "short", "ok"], NAMES = box.dataset.marks.split("|");
const TROUBLE = 1, SILENT = 4; // marks up to TROUBLE are trouble, above it up to SILENT no report
const [WORD_CABINETS, WORD_FULL, WORD_KM, WORD_M] = box.dataset.words.split("|");
const CELL = 64, SINGLE_MAX = 400, NEAR = 14, SILENCE_MS = 5000, DAY_MS = 30000, EARTH_M = 40075017, ZOOM_MAX = 2 ** 26;
const ZERO = 48, TILE = 256, ZOOM_TILES = 17, TILES_KEPT = 256, AT_MS = 400;
/** Which marks are shown at all, where the map was opened, and the licensed tiles below, if any. */
const only = MARKS.map((_, mark) => box.dataset.only.split(",").includes(String(mark)));
const layer = box.dataset.tiles;

let version = "", ids = [], names = [], stations = [], count = 0;
let xs = new Float64Array(0), ys = new Float64Array(0), marks = new Uint8Array(0), full = new Uint8Array(0), placed = new Int32Array(0);
let order = new Int32Array(0); // of those with a place, by their column of the world, for what is in view
let scale = 256, left = 0, top = 0, width = 0, height = 0, ratio = 1, picked = -1, drawing = 0, since = 0, home = true;
let colours = {}, sprites = [];

// --- places ------------------------------------------------------------------------------------------
const toX = (lon) => lon / 360 + 0.5;
const toY = (lat) => { const s = Math.sin((lat * Math.PI) / 180); return 0.5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI); };
const latOf = (y) => (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;

async function fetchPlaces() {
  const reply = await fetch(box.dataset.map, { cache: "no-cache" });
  if (reply.status === 401 || reply.status === 403) return location.reload();
  if (!reply.ok) throw new Error(`map: ${reply.status}`);
  const told = await reply.json();
  ({ v: version, ids, names } = told);
  count = ids.length;
  xs = new Float64Array(count); ys = new Float64Array(count);
  if (marks.length !== count) { marks = new Uint8Array(count).fill(SILENT); full = new Uint8Array(count); }
  const there = [];
  for (let i = 0; i < count; i++) {
    if (told.lat[i] === null || told.lon[i] === null) continue;
    xs[i] = toX(told.lon[i]); ys[i] = toY(told.lat[i]); there.push(i);
  }
  placed = Int32Array.from(there);
  order = Int32Array.from(placed).sort((a, b) => xs[a] - xs[b]);
  stations = told.stations.map(([name, lat, lon]) => ({ name, x: toX(lon), y: toY(lat) }));
  const off = count - placed.length;
  note.hidden = !off;
  note.textContent = note.dataset.text.replace("#", off);
  if (home && !opened()) fit();
}

/** To where the address says; once. */
let wanted = box.dataset.at;
function opened() {
  if (!wanted || !width) return false;
  const [lat, lon, size] = wanted.split(",").map(Number);
  scale = Math.min(ZOOM_MAX, Math.max(128, size)); left = toX(lon) - width / 2 / scale; top = toY(lat) - height / 2 / scale;
  wanted = ""; home = false;
  draw();
  return true;
}

/** The address and what would be saved follow the map, so that a link shows the same part. */
let following;
function follow() {
  clearTimeout(following);
  following = setTimeout(() => {
    const at = home ? "" : [latOf(top + height / 2 / scale).toFixed(5), ((left + width / 2 / scale - 0.5) * 360).toFixed(5), Math.round(scale)].join(",");
    const url = new URL(location.href);
    if (at) url.searchParams.set("at", at); else url.searchParams.delete("at");
    history.replaceState(history.state, "", url);
    const saved = document.getElementById("view-query"), asked = document.getElementById("map-at");
    if (saved) saved.value = url.search.slice(1);
    if (asked) asked.value = at;
  }, AT_MS);
}

function fit() {
  home = true; wanted = ""; follow();
  if (!placed.length || !width) return draw();
  let x0 = 1, x1 = 0, y0 = 1, y1 = 0;
  for (const i of placed) { x0 = Math.min(x0, xs[i]); x1 = Math.max(x1, xs[i]); y0 = Math.min(y0, ys[i]); y1 = Math.max(y1, ys[i]); }
  scale = Math.min(ZOOM_MAX, 0.86 * Math.min(width / Math.max(x1 - x0, 1e-6), height / Math.max(y1 - y0, 1e-6)));
  left = (x0 + x1) / 2 - width / 2 / scale; top = (y0 + y1) / 2 - height / 2 / scale;
  draw();
}

function zoom(factor, px = width / 2, py = height / 2) {
  const next = Math.min(ZOOM_MAX, Math.max(128, scale * factor)), x = left + px / scale, y = top + py / scale;
  scale = next; left = x - px / scale; top = y - py / scale; home = false; follow();
  draw();
}
function pan(dx, dy) { left -= dx / scale; top -= dy / scale; home = false; follow(); draw(); }

/** The cabinets in view, as indices: a range of the sorted columns, then by row. */
function inView(margin = 0) {
  const x0 = left - margin / scale, x1 = left + (width + margin) / scale, y0 = top - margin / scale, y1 = top + (height + margin) / scale;
  let low = 0, high = order.length;
  while (low < high) { const mid = (low + high) >> 1; if (xs[order[mid]] < x0) low = mid + 1; else high = mid; }
  const seen = [];
  for (; low < order.length && xs[order[low]] <= x1; low++) { const i = order[low]; if (ys[i] >= y0 && ys[i] <= y1 && only[marks[i]]) seen.push(i); }
  return seen;
}

// --- looks -------------------------------------------------------------------------------------------
const SHAPES = {
  alarm: (c) => { c.beginPath(); c.moveTo(0, -8); c.lineTo(8, 7); c.lineTo(-8, 7); c.closePath(); c.fill(); c.stroke(); },
  fault: (c) => { c.beginPath(); c.moveTo(0, -8); c.lineTo(8, 0); c.lineTo(0, 8); c.lineTo(-8, 0); c.closePath(); c.fill(); c.stroke(); },
  offline: (c) => { c.lineWidth = 3; c.strokeStyle = c.fillStyle; c.beginPath(); c.moveTo(-5, -5); c.lineTo(5, 5); c.moveTo(5, -5); c.lineTo(-5, 5); c.stroke(); },
  stale: (c) => { c.lineWidth = 2.5; c.strokeStyle = c.fillStyle; c.strokeRect(-5, -5, 10, 10); },
  never: (c) => { c.fillRect(-6, -1.5, 12, 3); },
  short: (c) => { c.lineWidth = 3; c.strokeStyle = c.fillStyle; c.beginPath(); c.arc(0, 0, 5.5, 0, 7); c.stroke(); },
  ok: (c) => { c.beginPath(); c.arc(0, 0, 6, 0, 7); c.fill(); c.stroke(); },
};
function dress() {
  const style = getComputedStyle(box), of = (name) => style.getPropertyValue(name).trim();
  colours = { ink: of("--ink"), soft: of("--soft"), line: of("--line"), card: of("--card"), go: of("--go"), bad: of("--bad"), charge: of("--charge") };
  const tone = { alarm: colours.bad, fault: colours.bad, offline: colours.soft, stale: colours.soft, never: colours.soft, short: colours.charge, ok: colours.go };
  sprites = MARKS.map((mark) => {
    const sprite = document.createElement("canvas");
    sprite.width = sprite.height = 20 * ratio;
    const c = sprite.getContext("2d");
    c.scale(ratio, ratio); c.translate(10, 10);
    c.fillStyle = tone[mark]; c.strokeStyle = colours.card; c.lineWidth = 1;
    SHAPES[mark](c);
    return sprite;
  });
}

// --- tiles: only where they are configured, and only of their one host ----------------------------------
const tiles = new Map(); // by address; the longest unused first
function tile(url) {
  let image = tiles.get(url);
  tiles.delete(url);
  if (!image) {
    image = new Image();
    image.onload = draw;
    image.src = url;
    if (tiles.size >= TILES_KEPT) tiles.delete(tiles.keys().next().value);
  }
  tiles.set(url, image);
  return image;
}
function ground() {
  const level = Math.max(0, Math.min(ZOOM_TILES, Math.round(Math.log2(scale / TILE)))), n = 2 ** level, size = scale / n;
  for (let x = Math.floor(left * n); (x / n - left) * scale < width; x++)
    for (let y = Math.max(0, Math.floor(top * n)); y < n && (y / n - top) * scale < height; y++) {
      const image = tile(layer.replace("{z}", level).replace("{x}", ((x % n) + n) % n).replace("{y}", y));
      if (image.complete && image.naturalWidth) pen.drawImage(image, (x / n - left) * scale, (y / n - top) * scale, size + 0.5, size + 0.5);
    }
}

function grid() {
  const metre = (EARTH_M * Math.cos((latOf(top + height / 2 / scale) * Math.PI) / 180)) / scale; // of one pixel
  const want = metre * 110, power = 10 ** Math.floor(Math.log10(want)), step = [1, 2, 5, 10].find((n) => n * power >= want) * power;
  const gap = step / metre, world = gap / scale, text = step >= 1000 ? `${step / 1000} ${WORD_KM}` : `${step} ${WORD_M}`;
  if (layer) { ground(); return { gap, text }; }
  pen.strokeStyle = colours.line; pen.lineWidth = 1; pen.beginPath();
  for (let x = Math.ceil(left / world) * world; (x - left) * scale < width; x += world) { const px = Math.round((x - left) * scale) + 0.5; pen.moveTo(px, 0); pen.lineTo(px, height); }
  for (let y = Math.ceil(top / world) * world; (y - top) * scale < height; y += world) { const py = Math.round((y - top) * scale) + 0.5; pen.moveTo(0, py); pen.lineTo(width, py); }
  pen.stroke();
  return { gap, text };
}

/** Groups by cells of the screen that stay where they are while the map is moved. */
function groups(seen) {
  const size = CELL / scale, cells = new Map();
  for (const i of seen) {
    const key = Math.floor(xs[i] / size) * 1e7 + Math.floor(ys[i] / size);
    let cell = cells.get(key);
    if (!cell) cells.set(key, (cell = { n: 0, x: 0, y: 0, trouble: 0, silent: 0, one: i }));
    cell.n++; cell.x += xs[i]; cell.y += ys[i];
    if (marks[i] <= TROUBLE) cell.trouble++; else if (marks[i] <= SILENT) cell.silent++;
  }
  return cells.values();
}

function group(cell) {
  const px = (cell.x / cell.n - left) * scale, py = (cell.y / cell.n - top) * scale, r = Math.min(28, 10 + 3 * Math.log2(cell.n));
  pen.fillStyle = colours.card; pen.beginPath(); pen.arc(px, py, r, 0, 7); pen.fill();
  let from = -Math.PI / 2;
  pen.lineWidth = 4;
  for (const [n, colour] of [[cell.trouble, colours.bad], [cell.silent, colours.soft], [cell.n - cell.trouble - cell.silent, colours.go]]) {
    if (!n) continue;
    const to = from + (2 * Math.PI * n) / cell.n;
    pen.strokeStyle = colour; pen.beginPath(); pen.arc(px, py, r - 2, from, to); pen.stroke();
    from = to;
  }
  pen.fillStyle = colours.ink; pen.fillText(cell.n, px, py + 4);
  if (cell.trouble) pen.drawImage(sprites[0], px + r - 12, py - r - 6, 20, 20); // a shape, not the colour alone
}

function render() {
  drawing = 0;
  if (!width) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const bar = grid(), seen = inView(NEAR);
  pen.font = "12px system-ui,sans-serif"; pen.textAlign = "center";
  if (seen.length > SINGLE_MAX) { for (const cell of groups(seen)) if (cell.n > 1) group(cell); else point(cell.one); }
  else for (const i of seen) point(i);
  pen.fillStyle = colours.ink; pen.textAlign = "left";
  const shown = stations.filter((s) => s.x >= left && s.y >= top && (s.x - left) * scale < width && (s.y - top) * scale < height);
  if (shown.length <= 40) for (const s of shown) pen.fillText(s.name, (s.x - left) * scale + 10, (s.y - top) * scale - 8);
  pen.fillStyle = colours.card; pen.fillRect(8, height - 30, Math.max(bar.gap + 16, 70), 24);
  pen.strokeStyle = pen.fillStyle = colours.ink; pen.lineWidth = 2; pen.beginPath();
  pen.moveTo(14, height - 16); pen.lineTo(14, height - 11); pen.lineTo(14 + bar.gap, height - 11); pen.lineTo(14 + bar.gap, height - 16); pen.stroke();
  pen.fillText(bar.text, 18, height - 16);
  if (since) { box.dataset.applied = (performance.now() - since).toFixed(1); since = 0; }
  if (version && box.dataset.whole === version && !box.dataset.ready) box.dataset.ready = Math.round(performance.now());
}
function point(i) {
  const px = (xs[i] - left) * scale, py = (ys[i] - top) * scale;
  pen.drawImage(sprites[marks[i]], px - 10, py - 10, 20, 20);
  if (i === picked) { pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.beginPath(); pen.arc(px, py, 12, 0, 7); pen.stroke(); }
}
function draw() { drawing ||= requestAnimationFrame(render); }

function resize() {
  const room = canvas.getBoundingClientRect();
  ratio = Math.min(2, devicePixelRatio || 1);
  width = room.width; height = room.height;
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  dress();
  if (!home || !opened()) { if (home) fit(); else draw(); }
}

// --- picking -----------------------------------------------------------------------------------------
function nearest(px, py) {
  let best = -1, least = NEAR * NEAR;
  for (const i of inView(NEAR)) {
    const dx = (xs[i] - left) * scale - px, dy = (ys[i] - top) * scale - py, far = dx * dx + dy * dy;
    if (far < least) { least = far; best = i; }
  }
  return best;
}
const words = (i) => `${names[i]} ${ids[i]}: ${NAMES[marks[i]]}, ${full[i]} ${WORD_FULL}`;
function pick(i, aloud = false) {
  if (picked === i && !aloud) return;
  picked = i;
  tip.hidden = i < 0;
  canvas.classList.toggle("over", i >= 0);
  if (i >= 0) {
    tip.textContent = words(i);
    tip.style.left = `${Math.min(Math.max(0, (xs[i] - left) * scale + 12), Math.max(0, width - 200))}px`;
    tip.style.top = `${Math.max(0, (ys[i] - top) * scale - 44)}px`;
    if (aloud) say.textContent = words(i);
  }
  draw();
}
const open = (i) => location.assign(`/ops/cabinets/${encodeURIComponent(ids[i])}`);
function enter(px, py) {
  const seen = inView(NEAR), i = nearest(px, py);
  if (i >= 0 && (seen.length <= SINGLE_MAX || alone(i, seen))) return open(i);
  if (seen.length > SINGLE_MAX) zoom(4, px, py);
}
const alone = (i, seen) => [...groups(seen)].some((cell) => cell.n === 1 && cell.one === i);

function step(by) {
  const seen = inView().sort((a, b) => marks[a] - marks[b] || a - b);
  if (!seen.length) return;
  const at = seen.indexOf(picked);
  pick(seen[at < 0 ? (by > 0 ? 0 : seen.length - 1) : (at + by + seen.length) % seen.length], true);
}
const KEYS = {
  ArrowLeft: () => pan(80, 0), ArrowRight: () => pan(-80, 0), ArrowUp: () => pan(0, 80), ArrowDown: () => pan(0, -80),
  "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5), 0: fit, n: () => step(1), p: () => step(-1),
  Enter: () => { if (picked >= 0) open(picked); },
};
canvas.addEventListener("keydown", (event) => {
  const act = !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) { event.preventDefault(); act(); }
});

const fingers = new Map();
let moved = 0, spread = 0;
const at = (event) => { const room = canvas.getBoundingClientRect(); return [event.clientX - room.left, event.clientY - room.top]; };
canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, at(event)); moved = spread = 0; });
canvas.addEventListener("pointermove", (event) => {
  const here = at(event), before = fingers.get(event.pointerId);
  if (!before) return pick(inView(NEAR).length > SINGLE_MAX ? -1 : nearest(...here));
  fingers.set(event.pointerId, here);
  moved += Math.abs(here[0] - before[0]) + Math.abs(here[1] - before[1]);
  if (fingers.size === 1) return pan(here[0] - before[0], here[1] - before[1]);
  const [[ax, ay], [bx, by]] = fingers.values(), wide = Math.hypot(ax - bx, ay - by);
  if (spread) zoom(wide / spread, (ax + bx) / 2, (ay + by) / 2);
  spread = wide;
});
canvas.addEventListener("pointerup", (event) => {
  const single = fingers.size === 1;
  fingers.delete(event.pointerId);
  if (single && moved < 6) enter(...at(event));
});
canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => { if (!fingers.size) pick(-1); });
// The page scrolls with the wheel; the map zooms with Ctrl, or once it has the focus.
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && document.activeElement !== canvas) return;
  event.preventDefault();
  zoom(2 ** (-event.deltaY / 300), ...at(event));
}, { passive: false });
box.addEventListener("click", (event) => { const act = event.target.dataset?.do; if (act) ({ in: () => zoom(2), out: () => zoom(0.5), fit })[act](); });

// --- what changes --------------------------------------------------------------------------------------
let source, timer, loading;
function figures(told) {
  for (const each of document.querySelectorAll("[data-n]")) {
    const value = told[each.dataset.n];
    each.textContent = value === null || value === undefined ? "–" : (value / (each.dataset.scale ?? 1)).toFixed(each.dataset.digits ?? 0);
  }
  for (const each of document.querySelectorAll("[data-bad]")) each.classList.toggle("bad", told[each.dataset.bad] > 0);
}
function tally() {
  const totals = new Uint32Array(MARKS.length);
  for (const mark of marks) totals[mark]++;
  for (const each of box.querySelectorAll("[data-mark]")) each.textContent = totals[each.dataset.mark];
}
function apply(told) {
  const began = performance.now();
  if (told.n) figures(told.n);
  if (told.m !== undefined) {
    marks = new Uint8Array(told.m.length); full = new Uint8Array(told.m.length);
    for (let i = 0; i < marks.length; i++) { marks[i] = told.m.charCodeAt(i) - ZERO; full[i] = told.f.charCodeAt(i) - ZERO; }
    box.dataset.whole = told.v;
  } else {
    if (told.v !== box.dataset.whole) return begin(); // the places have changed meanwhile
    for (let k = 0; k < told.d.length; k += 3) { marks[told.d[k]] = told.d[k + 1]; full[told.d[k]] = told.d[k + 2]; }
    since ||= began;
  }
  tally();
  if (told.v !== version) return places();
  if (picked >= 0) tip.textContent = words(picked);
  draw();
}
function places() {
  loading ??= fetchPlaces().then(draw, () => {}).finally(() => { loading = undefined; });
  return loading;
}
const net = document.getElementById("net");
function beat() { clearTimeout(timer); timer = setTimeout(fail, SILENCE_MS); net.hidden = true; }
function fail() { net.hidden = false; net.textContent = net.dataset.offline; begin(); }
function begin() {
  source?.close();
  source = new EventSource(box.dataset.stream);
  clearTimeout(timer);
  timer = setTimeout(fail, SILENCE_MS);
  source.onmessage = (event) => { beat(); const told = JSON.parse(event.data); if (told.type === "map") apply(told); if (told.type === "ended") location.reload(); };
}
async function day() {
  try {
    const reply = await fetch(box.dataset.day, { cache: "no-store" });
    const part = reply.ok && (await reply.json()).parts.day, old = document.getElementById("day");
    if (part && old.dataset.v !== part.v) { old.dataset.v = part.v; old.innerHTML = part.html; }
  } catch { /* the next time */ }
}

new ResizeObserver(resize).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { dress(); draw(); });
addEventListener("online", begin);
addEventListener("pageshow", (event) => { if (event.persisted) begin(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) begin(); });
resize();
places();
begin();
setInterval(day, DAY_MS);
