// What goes over the wires, in words and bytes: filtered, chosen, copied, exported.
import { $, attribute, call, make, put, say, t } from "/ui/base.mjs";

const LOOK_MS = 500, ROWS_MAX = 300;
let since = 0, turn = 0, paused = false, filter = "", chosen = new Set(), visible = false;

const query = () => (filter ? `contains=${encodeURIComponent(filter)}` : "");

function row(frame) {
  const pick = make("button", { type: "button", textContent: frame.hex, on: { click: () => choose(line) } });
  const line = make("tr", {},
    make("td", { textContent: new Date(frame.wall_ms).toISOString().slice(11, 23) }),
    make("td", { textContent: frame.line }),
    make("td", { className: "way" }),
    make("td", { textContent: frame.text }),
    make("td", {}, pick));
  line.frame = frame;
  line.toggleAttribute("data-bad", frame.stray);
  attribute(pick, "aria-pressed", false);
  return line;
}

function choose(line) {
  chosen.has(line) ? chosen.delete(line) : chosen.add(line);
  attribute(line, "aria-selected", chosen.has(line));
  attribute(line.querySelector("button"), "aria-pressed", chosen.has(line));
  speakTrace();
}

async function look() {
  if (visible && !paused && !document.hidden) {
    const asked = turn;
    const page = await call("GET", `/trace?since=${since}&limit=${ROWS_MAX}&${query()}`);
    if (page && asked === turn) { // else the filter has changed meanwhile
      if (page.next < since) clear(); // another simulator answers now
      else {
        add(page.frames);
        since = page.next;
      }
    }
  }
  setTimeout(look, LOOK_MS);
}

function add(frames) {
  if (!frames.length) return;
  const body = $("trace");
  body.prepend(...frames.map(row).reverse());
  while (body.children.length > ROWS_MAX) { chosen.delete(body.lastChild); body.lastChild.remove(); }
  speakTrace();
}

function clear() {
  since = 0;
  turn++;
  chosen = new Set();
  $("trace").replaceChildren();
}

// The chosen frames, else all that are shown, in the order in which they went.
async function copy() {
  const lines = (chosen.size ? [...$("trace").children].filter((line) => chosen.has(line)) : [...$("trace").children]).reverse();
  try {
    await navigator.clipboard.writeText(lines.map((line) => line.frame.hex).join("\n"));
    say(t("say.copied"));
  } catch (error) { say(`${t("say.failed")} ${error.message}`); }
}

export function speakTrace() {
  put($("trace-pause"), t(paused ? "trace.go" : "trace.pause"));
  attribute($("trace-pause"), "aria-pressed", paused);
  const rows = $("trace").children;
  for (const line of rows) put(line.children[2], t(`trace.${line.frame.direction}`));
  put($("trace-count"), `${rows.length} ${t("trace.frames")}${chosen.size ? ` · ${chosen.size} ${t("trace.chosen")}` : ""}`);
  $("trace-empty").hidden = rows.length > 0;
  $("trace-export").href = `/trace/export?${query()}`;
}

export function setUpTrace() {
  $("trace-pause").addEventListener("click", () => { paused = !paused; speakTrace(); });
  $("trace-copy").addEventListener("click", copy);
  $("trace-filter").addEventListener("input", () => { filter = $("trace-filter").value.trim(); clear(); speakTrace(); });
  new IntersectionObserver((seen) => { visible = seen.at(-1).isIntersecting; }).observe($("trace-count"));
  speakTrace();
  look();
}
