// Without a network: the code of this half minute and the ticket, out of what is kept on this phone.
// What is kept is renewed whenever the page is seen with a network, and forgotten at log-out.
const KEPT = "yz-offline", STEP_MS = 30000, RENEW_MS = 300000, WAIT_MS = 8000, COME_BACK_MS = 5000;
const box = document.getElementById("off"), $ = (id) => document.getElementById(id);
const read = () => { try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; } };
let kept = read(), shown, keys = {};

function keep(pass) {
  kept = pass;
  keys = {};
  shown = undefined;
  try { pass ? localStorage.setItem(KEPT, JSON.stringify(pass)) : localStorage.removeItem(KEPT); } catch { /* private mode */ }
}

// Returns whether the fleet answered.
async function renew() {
  let answered = false;
  try {
    const sent = Date.now();
    const reply = await fetch("/api/v1/me/offline", { cache: "no-store", signal: AbortSignal.timeout?.(WAIT_MS) });
    answered = reply.status < 500;
    if (reply.ok) {
      const pass = await reply.json();
      keep({ ...pass, skew_ms: pass.now_ms - (sent + Date.now()) / 2 });
    } else if (reply.status < 500 && reply.status !== 429) keep(null); // logged out, or blocked
  } catch { /* no network: what is kept is what there is */ }
  if (box) show();
  return answered;
}

async function code(month, step) {
  keys[month] = keys[month] || await crypto.subtle.importKey(
    "raw", Uint8Array.from(atob(kept.secrets[month]), (c) => c.charCodeAt(0)), { name: "HMAC", hash: "SHA-1" }, false, ["sign"]);
  const counter = new DataView(new ArrayBuffer(8));
  counter.setUint32(0, Math.floor(step / 2 ** 32));
  counter.setUint32(4, step);
  const mac = new DataView(await crypto.subtle.sign("HMAC", keys[month], counter));
  return String((mac.getUint32(mac.getUint8(19) & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}

async function show() {
  $("off-none").hidden = Boolean(kept);
  box.hidden = !kept;
  if (!kept) return;
  const now = Date.now() + kept.skew_ms, step = Math.floor(now / STEP_MS);
  const month = new Date(now).toISOString().slice(0, 7), fresh = month in kept.secrets;
  $("off-left").textContent = Math.ceil((step + 1) * STEP_MS / 1000 - now / 1000);
  $("off-code-old").hidden = fresh;
  $("off-now").hidden = !fresh;
  const good = now < kept.ticket_expires_ms;
  $("off-qr").toggleAttribute("hidden", !good);
  $("off-until").hidden = !good;
  $("off-ticket-old").hidden = good;
  if (shown === step || !fresh) return;
  shown = step;
  const digits = await code(month, step);
  if (shown !== step) return;
  $("off-code").textContent = digits;
  $("off-number").textContent = `${kept.number.slice(0, 4)} ${kept.number.slice(4)}`;
  $("off-qr").setAttribute("viewBox", `0 0 ${kept.qr_size} ${kept.qr_size}`);
  $("off-qr").firstElementChild.setAttribute("d", kept.qr_path);
  $("off-qr").dataset.ticket = kept.ticket;
  const until = new Date(kept.ticket_expires_ms);
  $("off-time").textContent = until.toLocaleString(document.documentElement.lang, { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

document.querySelector("form[action='/logout']")?.addEventListener("submit", () => keep(null));
if (window.crypto?.subtle) {
  if (box) { if (kept) show(); setInterval(show, 1000); }
  // Where this page stands in for the one that was asked for, that one comes as soon as the fleet
  // answers: a phone says "online" before anything goes through, and then never again.
  const standsIn = box && location.pathname !== "/offline";
  const look = standsIn ? async () => { if (await renew()) location.reload(); } : renew;
  renew();
  addEventListener("online", look);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  setInterval(() => { if (!standsIn || !document.hidden) look(); }, standsIn ? COME_BACK_MS : RENEW_MS);
  // What a rider came for goes first: where a swap begins, the worker waits so many ms.
  const { worker } = document.body.dataset;
  if (worker) setTimeout(() => navigator.serviceWorker?.register("/sw.js").catch(() => { /* then only while it is open */ }), worker);
} else if (box && !box.hidden) {
  setTimeout(() => location.reload(), 1000 * $("off-left").textContent); // plain http: the server makes the codes
}
