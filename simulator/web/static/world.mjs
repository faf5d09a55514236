// What befalls the whole cabinet: contacts, relays, time.
import { $, attribute, make, mark, post, put, t } from "/ui/base.mjs";

const SPEEDS = [1, 10, 60, 600, 3600];
const OUTPUTS = ["contactor", "fan", "siren", "extinguisher"];
const ALARMS = new Set(["siren", "extinguisher"]);
let state = null;

export function setUpWorld() {
  $("freeze").addEventListener("click", () => post("/freeze", { frozen: !state.frozen }));
  for (const factor of SPEEDS) {
    $("speeds").append(make("button", { type: "button", textContent: `× ${factor}`, on: { click: () => post("/speed", { factor }) } }));
  }
  for (const output of OUTPUTS) {
    $("outputs").append(make("li", { className: ALARMS.has(output) ? "alarm" : "" }, make("i", { "aria-hidden": "true" }), make("span")));
  }
}

export function paintWorld(now) {
  state = now;
  OUTPUTS.forEach((output, index) => {
    const lamp = $("outputs").children[index];
    mark(lamp, "data-on", state.outputs[output]);
    put(lamp.lastChild, `${t(`world.${output}`)} ${t(state.outputs[output] ? "slot.on" : "slot.off")}`);
  });
  for (const [contact, active] of Object.entries(state.inputs)) {
    let button = $(`input-${contact}`);
    if (!button) {
      const turn = () => post(`/inputs/${contact}`, { active: !state.inputs[contact] });
      button = $("inputs").appendChild(make("button", { type: "button", id: `input-${contact}`, className: "bad", on: { click: turn } }));
    }
    put(button, t(`world.${contact}`));
    attribute(button, "aria-pressed", active);
  }
  put($("freeze"), t(state.frozen ? "time.run" : "time.freeze"));
  attribute($("freeze"), "aria-pressed", state.frozen);
  SPEEDS.forEach((factor, index) => attribute($("speeds").children[index], "aria-pressed", state.speed === factor));
  const seconds = (ms) => `${(ms / 1000).toFixed(0)} s`;
  put($("times"), `${t("time.simulated")} ${seconds(state.sim_ms)} · ${t("time.physics")} ${seconds(state.physics_ms)}`);
}
