// Live pages: whole states by SSE, watched for silence, by polling when streams don't get through.
// And one tap that is sent until it arrives, with a key that is kept before the first try.
const SILENCE_MS = 5000, POLL_MS = 2000, TRIES = 3, PENDING_MS = 60000, ANSWER_MS = 8000, KEPT = "yz-start";
const main = document.querySelector("main"), say = document.getElementById("say");
const net = document.getElementById("net"), { live, poll } = main.dataset;
let source, timer, failures = 0, finished = false, sending = false;

const banner = (text) => { net.hidden = !text; if (text) net.textContent = net.dataset[text]; };

function apply(state) {
  for (const [id, part] of Object.entries(state.parts ?? {})) {
    const old = document.getElementById(id);
    if (!old || old.dataset.v === part.v) continue;
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.dataset.v = part.v;
    old.innerHTML = part.html;
    if (focused) document.getElementById(focused)?.focus();
    stamp(old);
  }
  if (state.say && say.textContent !== state.say) {
    say.textContent = state.say;
    if (state.buzz && navigator.userActivation?.hasBeenActive !== false) navigator.vibrate?.([200, 80, 200]);
  }
  if (state.settled) { finished = true; close(); }
}

function close() { clearTimeout(timer); source?.close(); source = undefined; }
function beat() { clearTimeout(timer); timer = setTimeout(fail, SILENCE_MS); if (!sending) banner(""); }
function fail() { failures++; if (!sending) banner("offline"); open(); }

function open() {
  close();
  if (finished || !live) return;
  if (failures >= TRIES || !window.EventSource) return ask();
  source = new EventSource(live);
  timer = setTimeout(fail, SILENCE_MS);
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "ended") { close(); return location.reload(); } // signed out, or may do less now
    failures = 0; beat(); apply(told);
  };
}

async function ask() {
  try {
    const reply = await fetch(poll, { cache: "no-store", signal: AbortSignal.timeout?.(SILENCE_MS) });
    if ([401, 403, 404].includes(reply.status)) return location.reload();
    if (reply.ok) { apply(await reply.json()); if (!sending) banner(""); }
  } catch { if (!sending) banner("offline"); }
  if (!finished) timer = setTimeout(ask, POLL_MS);
}

const afresh = () => { failures = 0; open(); };
addEventListener("online", afresh);
addEventListener("offline", () => { if (live && !finished) fail(); }); // sooner than by the silence
addEventListener("pageshow", (event) => { if (event.persisted && form) location.reload(); else afresh(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) afresh(); });

// --- the one tap ---------------------------------------------------------------------------------
const form = document.querySelector("form[data-start]");
const keep = (order) => { try { order ? localStorage.setItem(KEPT, JSON.stringify(order)) : localStorage.removeItem(KEPT); } catch { /* private mode */ } };
const kept = () => { try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; } };

async function send(order) {
  if (sending) return;
  sending = true;
  keep(order);
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    banner("sending");
    try {
      const reply = await fetch("/api/v1/swaps", {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": order.key },
        body: JSON.stringify({ cabinet_id: order.cabinet, kind: order.kind }),
        signal: AbortSignal.timeout?.(ANSWER_MS), // a connection may have died without a word
      });
      if (reply.ok) { const swap = await reply.json(); keep(); return location.assign(`/s/${swap.id}`); }
      if (reply.status < 500) break;
    } catch { /* no network: the key makes it safe to try again */ }
    banner("offline");
    await new Promise((next) => setTimeout(next, wait));
  }
  keep(); // refused: let the server's page say why
  form.elements.key.value = order.key;
  form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "kind", value: order.kind }));
  form.submit();
}

form?.addEventListener("submit", (event) => {
  if (!event.submitter || !window.fetch) return;
  event.preventDefault();
  send({ cabinet: form.dataset.start, kind: event.submitter.value, key: form.elements.key.value, at: Date.now() });
});
const waiting = form && kept();
if (waiting?.cabinet === form?.dataset.start && Date.now() - waiting?.at < PENDING_MS) send(waiting);

// --- clocks --------------------------------------------------------------------------------------
const ages = document.body.dataset.ages.split("|");
const stamp = (root) => root.querySelectorAll("[data-age],[data-left]").forEach((each) => { each.since = performance.now(); });
function tick() {
  for (const each of document.querySelectorAll("[data-age],[data-left]")) {
    const s = Math.floor((performance.now() - each.since) / 1000);
    if (each.dataset.left) {
      const left = Math.max(0, each.dataset.left - s);
      each.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    } else {
      const age = Math.floor(each.dataset.age / 1000) + s;
      const [n, unit] = age < 60 ? [age, 0] : age < 3600 ? [age / 60, 1] : age < 86400 ? [age / 3600, 2] : [age / 86400, 3];
      each.textContent = ages[unit].replace("#", Math.floor(n));
      each.closest("[data-fresh]")?.classList.toggle("stale", age * 1000 > each.closest("[data-fresh]").dataset.fresh);
    }
  }
}
stamp(document);
setInterval(tick, 1000);
