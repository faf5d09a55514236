// Faults: a form for any of them, the list of those that stand, and switches for the chosen slot.
import { $, attribute, call, has, make, post, put, t } from "/ui/base.mjs";

const HANDS = new Set(["lock-jammed", "bms-silent"]); // the slot has buttons for these already
const NEEDS_PACK = new Set(["bms-hot", "cell-imbalance"]);
let kinds = [], standing = [], chosen = null;

const nice = (kind) => (has(`fault.${kind}`) ? t(`fault.${kind}`) : kind);
const target = (slot) => `slot-${String(slot).padStart(2, "0")}`;
const number = (slot) => String(slot).padStart(2, "0");
const clear = (fault) => call("DELETE", `/faults?target=${encodeURIComponent(fault.target)}&kind=${fault.kind}`);

export function faultsOf(slot) {
  const here = [target(slot.slot), `bms-${number(slot.slot)}`, `charger-${number(slot.slot)}`];
  return standing.filter((fault) => here.includes(fault.target) && !HANDS.has(fault.kind)).map((fault) => nice(fault.kind));
}

export async function setUpFaults() {
  kinds = (await call("GET", "/faults/kinds")) ?? [];
  for (const each of kinds) $("fault-kind").append(make("option", { value: each.kind }));
  $("fault-kind").addEventListener("change", refit);
  $("fault-form").addEventListener("submit", set);
  $("faults-clear").addEventListener("click", () => call("DELETE", "/faults"));
  for (const each of kinds.filter((kind) => kind.scope === "slot" && !HANDS.has(kind.kind))) {
    $("slot-faults").append(make("button", { type: "button", id: `fault-${each.kind}`, className: "bad", on: { click: () => turn(each.kind) } }));
  }
  $("slot-faults").append(make("button", { type: "button", id: "fault-wire", on: { click: onWire } }));
  speak();
  refit();
}

function speak() {
  for (const option of $("fault-kind").options) put(option, nice(option.value));
  for (const each of kinds) if ($(`fault-${each.kind}`)) put($(`fault-${each.kind}`), nice(each.kind));
  if ($("fault-wire")) put($("fault-wire"), t("fault.on-wire"));
}

// The form shows what the chosen kind can befall, and the number it takes.
function refit() {
  const kind = kinds.find((each) => each.kind === $("fault-kind").value);
  if (!kind) return;
  const before = $("fault-target").value;
  $("fault-target").replaceChildren(...kind.targets.map((each) => make("option", { value: each, textContent: each })));
  if (kind.targets.includes(before)) $("fault-target").value = before;
  $("fault-number").hidden = kind.default === null;
  $("fault-chance").hidden = !["wire", "line"].includes(kind.scope);
  $("fault-unit").textContent = kind.unit ? `(${kind.unit})` : "";
  Object.assign($("fault-value"), { min: kind.low, max: kind.high, value: kind.default ?? "" });
}

function set(event) {
  event.preventDefault();
  const body = { target: $("fault-target").value, kind: $("fault-kind").value };
  if (!$("fault-number").hidden && $("fault-value").value !== "") body.value = Number($("fault-value").value);
  if (!$("fault-chance").hidden) body.probability = Number($("fault-rate").value) / 100;
  post("/faults", body);
}

const found = (kind) => standing.find((fault) => fault.kind === kind && fault.target === target(chosen));
function turn(kind) { return found(kind) ? clear(found(kind)) : post("/faults", { target: target(chosen), kind }); }

function onWire() {
  $("fault-kind").value = "no-answer";
  refit();
  $("fault-target").value = `bms-${number(chosen)}`;
  $("fault-kind").focus();
}

export function paintFaults(now, slot, hasPack) {
  standing = now;
  chosen = slot;
  speak();
  $("fault-none").hidden = standing.length > 0;
  const list = $("standing");
  while (list.children.length > standing.length) list.lastChild.remove();
  standing.forEach((fault, index) => {
    const item = list.children[index] ?? list.appendChild(make("li", {}, make("span"),
      make("button", { type: "button", on: { click: (event) => clear(event.currentTarget.parentNode.fault) } })));
    item.fault = fault;
    put(item.firstChild, `${fault.target}: ${nice(fault.kind)}${fault.value ? ` ${fault.value}` : ""} · ${fault.struck} ${t("fault.struck")}`);
    put(item.lastChild, t("fault.clear"));
    attribute(item.lastChild, "aria-label", `${t("fault.clear")}: ${fault.target} ${nice(fault.kind)}`);
  });
  if (chosen === null) return;
  for (const each of kinds.filter((kind) => $(`fault-${kind.kind}`))) {
    const button = $(`fault-${each.kind}`);
    attribute(button, "aria-pressed", Boolean(found(each.kind)));
    button.disabled = NEEDS_PACK.has(each.kind) && !hasPack;
  }
}
