// The chosen slot: what is true of it, and what hands and mishaps can do to it.
import { $, attribute, make, post, put, t } from "/ui/base.mjs";
import { degrees, name, soc } from "/ui/draw.mjs";

const ACTS = ["door", "insert", "remove", "jam", "mute", "hold"];
let slot = null;

// `packs` are within reach; `hand` is the one that is chosen, or null.
export function paintPanel(found, packs, hand) {
  slot = found;
  put($("h-panel"), slot ? `${t("slot.slot")} ${slot.slot}` : t("slot.slot"));
  $("panel-hint").hidden = Boolean(slot);
  $("panel-body").hidden = !slot;
  if (!slot) return;
  const pack = slot.pack;
  facts([
    ["act.serial", pack ? name(pack) : t("slot.empty")],
    ["act.soc", pack ? soc(pack) : "–"],
    ["act.temp", pack ? pack.temps_c.map(degrees).join(" / ") : "–"],
    ["slot.cells", pack ? `${Math.min(...pack.cell_v).toFixed(3)}–${Math.max(...pack.cell_v).toFixed(3)} V` : "–"],
    ["slot.charger", `${slot.charger.voltage_v.toFixed(1)} V ${slot.charger.current_a.toFixed(2)} A`],
    ["slot.mains", t(slot.ac_on ? "slot.on" : "slot.off")],
    ["slot.air", degrees(slot.air_temp_c)],
    ["slot.protection", [...(pack?.protection ?? []), slot.charger.protection].filter(Boolean).join(", ") || t("slot.none")],
  ]);
  const open = slot.door === "open";
  button("door", open ? "act.close" : "act.open");
  offer(packs, hand);
  button("insert", "act.insert", !hand || Boolean(pack));
  button("remove", "act.remove", !pack);
  button("jam", slot.lock_jammed ? "act.free" : "act.jam");
  button("mute", pack?.bms_silent ? "act.talk" : "act.mute", !pack);
  button("hold", pack?.hold_temp ? "act.loose" : "act.hold", !pack);
  for (const id of ["alter-soc", "alter-temp", "alter-serial"]) $(id).disabled = !pack;
  $("alter").querySelector("button").disabled = !pack;
  place("alter-soc", pack?.soc_exact.toFixed(1));
  place("alter-temp", pack?.temps_c[0].toFixed(1));
  place("alter-serial", pack?.serial);
}

function offer(packs, hand) {
  const list = $("hand"), wanted = [{ id: "", label: "–", note: "" }, ...packs];
  while (list.options.length > wanted.length) list.lastChild.remove();
  wanted.forEach((each, index) => {
    const option = list.options[index] ?? list.appendChild(make("option"));
    if (option.value !== each.id) option.value = each.id;
    put(option, `${each.label} ${each.note}`);
  });
  if (list.value !== (hand?.id ?? "")) list.value = hand?.id ?? "";
}

function facts(rows) {
  const list = $("facts");
  while (list.children.length < rows.length) list.append(make("div", {}, make("dt"), make("dd")));
  rows.forEach(([key, value], index) => {
    put(list.children[index].firstChild, t(key));
    put(list.children[index].lastChild, value);
  });
}

function button(act, key, disabled = false) {
  const element = $(`act-${act}`);
  put(element, t(key));
  if (element.disabled !== disabled) element.disabled = disabled;
}

// The present value stands in a field as its hint; what is typed is what changes.
function place(id, value) { attribute($(id), "placeholder", value ?? ""); }

export function setUpPanel(act, take) {
  $("hand").addEventListener("change", () => take($("hand").value));
  for (const each of ACTS) $("acts").append(make("button", { type: "button", id: `act-${each}`, on: { click: () => act(each) } }));
  $("alter").addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = {}, typed = (id) => $(id).value.trim();
    if (typed("alter-soc")) body.soc_pct = Number(typed("alter-soc"));
    if (typed("alter-temp")) body.temp_c = Number(typed("alter-temp"));
    if (typed("alter-serial")) body.serial = typed("alter-serial");
    if (Object.keys(body).length && await post(`/slots/${slot.slot}/pack`, body)) $("alter").reset();
  });
}
