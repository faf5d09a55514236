// The cabinet as it stands: one button per slot, its picture changed in place.
import { $, attribute, make, mark, put, t } from "/ui/base.mjs";

const NS = "http://www.w3.org/2000/svg";
const CASE = { x: 34, y: 16, width: 36, height: 56 };
const SHUT = "M14 4h76v72H14z", OPEN = "M14 4L2 12v66l12-2z";
const HOT_C = 50, LOW_PCT = 30;
export const soc = (pack) => `${pack.soc_pct} %`;
export const degrees = (value) => `${value.toFixed(1)} °C`;
export const name = (pack) => pack.serial ?? t("slot.unreadable");

function shape(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function build(number, onTap) {
  const svg = shape("svg", { viewBox: "0 0 104 80", "aria-hidden": "true" });
  const pack = shape("g", { class: "pack" });
  pack.append(
    shape("rect", { class: "cap", x: 44, y: 10, width: 16, height: 6, rx: 2 }),
    shape("rect", { class: "case", ...CASE, rx: 4 }),
    shape("rect", { class: "juice", x: CASE.x + 3, width: CASE.width - 6, rx: 2 }),
    shape("path", { class: "bolt", d: "M54 24L42 46h8l-4 18 16-24h-9l6-16z" }),
  );
  svg.append(shape("rect", { class: "hole", x: 14, y: 4, width: 76, height: 72 }), pack,
    shape("path", { class: "leaf" }), shape("circle", { class: "knob", r: 4, cx: 83, cy: 40 }));
  const button = make("button", { type: "button", className: "slot", id: `slot-${number}`, on: { click: () => onTap(number) } },
    make("span", { className: "top" }, make("b", { textContent: String(number) }), make("span", { className: "word" })),
    svg,
    make("span", { className: "facts-line" }, make("strong", { className: "soc" }), make("span", { className: "temp" })),
    make("span", { className: "marks" }));
  button.dataset.slot = number;
  return make("li", {}, button);
}

export function trouble(slot, faults) {
  const found = [];
  if (slot.lock_jammed) found.push(t("slot.jammed"));
  if (slot.pack?.bms_silent) found.push(t("act.mute"));
  if (slot.pack?.protection.length) found.push(slot.pack.protection.join(" "));
  if (slot.charger.protection) found.push(`${t("slot.charger")}: ${slot.charger.protection}`);
  if (slot.door === "closed" && !slot.latched) found.push(t("slot.unlatched"));
  return found.concat(faults);
}

function paint(button, slot, faults, chosen) {
  const pack = slot.pack, open = slot.door === "open";
  attribute(button, "data-door", slot.door);
  attribute(button, "aria-pressed", chosen);
  button.tabIndex = chosen ? 0 : -1;
  mark(button, "data-jam", slot.lock_jammed);
  put(button.querySelector(".word"), t(`slot.${slot.door}`));
  const drawn = button.querySelector(".pack");
  drawn.style.display = pack ? "" : "none";
  attribute(button.querySelector(".leaf"), "d", open ? OPEN : SHUT);
  attribute(button.querySelector(".knob"), "cx", open ? 8 : 83);
  if (pack) {
    const height = (CASE.height - 6) * pack.soc_exact / 100, juice = drawn.querySelector(".juice");
    attribute(juice, "height", height.toFixed(1));
    attribute(juice, "y", (CASE.y + CASE.height - 3 - height).toFixed(1));
    mark(drawn, "data-hot", pack.temps_c[0] >= HOT_C);
    mark(drawn, "data-low", pack.soc_pct < LOW_PCT);
    drawn.querySelector(".bolt").style.display = slot.charging ? "" : "none";
  }
  put(button.querySelector(".soc"), pack ? soc(pack) : t("slot.empty"));
  put(button.querySelector(".temp"), pack ? degrees(pack.temps_c[0]) : "");
  const troubles = trouble(slot, faults), marks = button.querySelector(".marks");
  put(marks, troubles.length ? `⚠ ${troubles.join(", ")}` : slot.charging ? `${slot.charge_power_w.toFixed(0)} W` : "");
  attribute(marks, "data-tone", troubles.length ? "bad" : "charge");
  const held = pack ? `${name(pack)} ${soc(pack)} ${degrees(pack.temps_c[0])}` : t("slot.empty");
  attribute(button, "aria-label", [`${t("slot.slot")} ${slot.slot}`, t(`slot.${slot.door}`), held,
    slot.charging ? t("slot.charging") : "", ...troubles].filter(Boolean).join(", "));
}

// `faultsOf(slot)` gives the words of the wire faults that stand at its devices.
export function paintSlots(state, chosen, faultsOf, onTap) {
  const list = $("slots");
  state.slots.forEach((slot, index) => {
    const item = list.children[index] ?? list.appendChild(build(slot.slot, onTap));
    paint(item.firstChild, slot, faultsOf(slot), slot.slot === (chosen ?? 1) && (chosen !== null || index === 0));
  });
  if (chosen === null) { attribute(list.firstChild.firstChild, "aria-pressed", false); list.firstChild.firstChild.tabIndex = 0; }
}
