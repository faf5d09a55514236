// The page of one simulated cabinet: follows /stream, draws what is true, and passes on what hands do.
import { $, attribute, call, loadWords, make, mark, otherLanguage, otherTheme, post, put, say, t } from "/ui/base.mjs";
import { draggable } from "/ui/drag.mjs";
import { name, paintSlots, soc } from "/ui/draw.mjs";
import { paintPanel, setUpPanel } from "/ui/panel.mjs";
import { faultsOf, paintFaults, setUpFaults } from "/ui/faults.mjs";
import { paintWorld, setUpWorld } from "/ui/world.mjs";
import { setUpTrace, speakTrace } from "/ui/trace.mjs";

const SILENCE_MS = 5000, AGAIN_MS = 1000, LOG_MAX = 200;

let state = null, faults = [], shelf = [], chosen = null, hand = null, seen = 0, asking = false, silence = 0;

// --- hands ---------------------------------------------------------------------------------------

const at = (number) => state.slots[number - 1];

async function insert(number, pack) {
  if (!pack) return say(t("say.pick"));
  if (at(number).door !== "open") return say(t("say.shut"));
  if (at(number).pack) return say(t("say.taken"));
  if (await post(`/slots/${number}/insert`, pack.body)) { hand = null; say(t("say.inserted")); paint(); }
}

async function remove(number) {
  if (!at(number).pack) return say(t("say.no-pack"));
  if (at(number).door !== "open") return say(t("say.shut"));
  if (await post(`/slots/${number}/remove`)) say(t("say.removed"));
}

async function act(what) {
  const slot = at(chosen), path = `/slots/${chosen}`;
  if (what === "insert") return insert(chosen, hand);
  if (what === "remove") return remove(chosen);
  if (what === "jam") return post(`${path}/lock`, { jammed: !slot.lock_jammed });
  if (what === "door") {
    if (slot.door === "closed" && slot.latched) return say(t("say.latched"));
    return post(`${path}/door`, { action: slot.door === "open" ? "close" : "open" });
  }
  if (!slot.pack) return say(t("say.no-pack"));
  return post(`${path}/pack`, what === "mute" ? { bms_silent: !slot.pack.bms_silent } : { hold_temp: !slot.pack.hold_temp });
}

function choose(number) {
  chosen = number;
  mark($("panel"), "data-open", number !== null);
  mark(document.body, "data-panel", number !== null);
  paint();
}

function tap(number) {
  if (hand && at(number).door === "open" && !at(number).pack) insert(number, hand);
  choose(number);
}

// --- the shelf -----------------------------------------------------------------------------------

const labelled = (pack) => ({ ...pack, label: pack.fresh ? t(`shelf.${pack.fresh}`) : pack.id, note: pack.fresh ? "" : soc(pack) });
const packs = () => shelf.map(labelled);

function paintShelf() {
  const wanted = packs(), list = $("shelf");
  while (list.children.length > wanted.length) list.lastChild.remove();
  wanted.forEach((pack, index) => {
    const item = list.children[index] ?? list.appendChild(make("li", {}, make("button", { type: "button", on: { click: (event) => take(event.currentTarget.dataset.pack) } }, make("span"), make("small"))));
    const button = item.firstChild;
    attribute(button, "data-pack", pack.id);
    put(button.firstChild, pack.label);
    put(button.lastChild, pack.note);
    attribute(button, "aria-pressed", hand?.id === pack.id);
  });
}

function take(id) {
  hand = hand?.id === id ? null : (packs().find((pack) => pack.id === id) ?? null);
  paint();
}

draggable(
  (target) => {
    const chip = target.closest?.("[data-pack]");
    if (chip) return packs().find((pack) => pack.id === chip.dataset.pack);
    const slot = target.closest?.(".pack") && Number(target.closest(".slot").dataset.slot);
    return slot ? { from: slot, label: name(at(slot).pack) } : null;
  },
  (under, thing) => (thing.from ? under?.closest("#shelf") ?? otherSlot(under, thing.from) : under?.closest(".slot")) ?? null,
  async (thing, target) => {
    const number = Number(target.dataset.slot);
    if (!thing.from) return insert(number, thing);
    const serial = at(thing.from).pack?.serial ?? null;
    await remove(thing.from);
    if (number) await insert(number, { body: { serial } });
    return undefined;
  },
);

function otherSlot(under, from) {
  const slot = under?.closest(".slot");
  return slot && Number(slot.dataset.slot) !== from ? slot : null;
}

// --- showing -------------------------------------------------------------------------------------

const seconds = (ms) => `${(ms / 1000).toFixed(0)} s`;

function paint() {
  if (!state) return;
  put($("cabinet-id"), state.cabinet_id);
  put($("sim-time"), seconds(state.sim_ms));
  put($("power"), `${state.meter.power_w.toFixed(0)} W`);
  put($("energy"), `${state.meter.import_kwh.toFixed(3)} kWh`);
  put($("air"), `${state.climate.temp_c.toFixed(1)} °C`);
  put($("humidity"), `${state.climate.humidity_pct.toFixed(0)} %`);
  paintSlots(state, chosen, faultsOf, tap);
  paintShelf();
  paintPanel(chosen === null ? null : at(chosen), packs(), hand);
  paintWorld(state);
  paintFaults(faults, chosen, Boolean(chosen && at(chosen).pack));
}

function told(event) {
  const known = ["seq", "sim_ms", "wall_ms", "kind", "slot"];
  const rest = Object.entries(event).filter(([key, value]) => !known.includes(key) && value !== null).map(([key, value]) => `${key}=${value}`);
  const place = event.slot ? `${t("slot.slot")} ${event.slot} · ` : "";
  return `${(event.sim_ms / 1000).toFixed(1)} s · ${place}${t(`log.${event.kind}`)} ${rest.join(" ")}`;
}

async function askLog() {
  if (asking || state.event_seq === seen) return;
  asking = true;
  if (state.event_seq < seen) { seen = 0; $("log").replaceChildren(); } // another simulator answers now
  const page = await call("GET", `/events?since=${Math.max(seen, state.event_seq - LOG_MAX)}`);
  for (const event of page?.events ?? []) {
    seen = event.seq;
    const line = make("li", { textContent: told(event) });
    line.event = event;
    $("log").prepend(line);
  }
  while ($("log").children.length > LOG_MAX) $("log").lastChild.remove();
  asking = false;
}

// --- following -----------------------------------------------------------------------------------

function beat() {
  $("lost").hidden = true;
  clearTimeout(silence);
  silence = setTimeout(() => { $("lost").hidden = false; }, SILENCE_MS);
}

function follow() {
  const source = new EventSource("/stream");
  source.onmessage = (event) => {
    beat();
    const told = JSON.parse(event.data);
    if (told.type === "beat") return;
    state = told.state;
    faults = told.faults;
    shelf = told.shelf;
    paint();
    askLog();
  };
  source.onerror = () => {
    $("lost").hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
  };
}

// --- keyboard ------------------------------------------------------------------------------------

const KEYS = { o: "door", i: "insert", r: "remove", j: "jam", m: "mute" };

$("slots").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const number = Number(event.target.closest(".slot")?.dataset.slot);
  const wide = getComputedStyle($("slots")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
  const next = number + (step ?? 0);
  if (step && next >= 1 && next <= state.slots.length) {
    event.preventDefault();
    choose(next);
    $(`slot-${next}`).focus();
  } else if (KEYS[event.key.toLowerCase()]) {
    event.preventDefault();
    choose(number);
    act(KEYS[event.key.toLowerCase()]);
  } else if (event.key === "Escape") choose(null);
});

// --- beginning -----------------------------------------------------------------------------------

$("language").addEventListener("click", () => {
  otherLanguage();
  for (const line of $("log").children) line.textContent = told(line.event);
  speakTrace();
  paint();
});
$("theme").addEventListener("click", otherTheme);
$("panel-close").addEventListener("click", () => {
  const number = chosen;
  choose(null);
  $(`slot-${number}`).focus({ preventScroll: true });
});
setUpPanel(act, take);
await loadWords();
setUpWorld();
await setUpFaults();
setUpTrace();
follow();
