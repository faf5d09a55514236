// The kiosk page: shows what the cabinet streams, and takes number and code, or a typed ticket.
// Nothing that a rider typed stays on the screen: it is cleared when it is sent, on leaving, and
// after a minute without a touch.
"use strict";

const IDLE_MS = 60000;
const TYPED_GAP_MS = 500; // a scanner in keyboard mode types faster than any hand
const TICKET = "YZT1.";
const NUMBER_DIGITS = 8;
const CODE_DIGITS = 6;
const RELOAD_MS = 3000;

const $ = (id) => document.getElementById(id);
const token = document.querySelector('meta[name="kiosk-token"]').content;

// A shape per state, drawn on a field of 24 by 24.
const SHAPES = {
  ready: "M4 13l5 5L20 6",
  charging: "M13 2L5 14h6l-1 8 9-13h-6z",
  waiting: "M12 3a9 9 0 1 0 .1 0M12 7v5l4 2",
  empty: "M4 4h16v16H4z",
  reserved: "M12 2l10 10-10 10L2 12z",
  quarantine: "M12 3L2 21h20zM12 10v5M12 18v1",
  faulted: "M5 5l14 14M19 5L5 19",
  "out-of-service": "M12 3a9 9 0 1 0 .1 0M6 6l12 12",
  unknown: "M8 9a4 4 0 1 1 5 4q-1 .5-1 2M12 19v1",
};

// Where a door that is shut now waits to be opened once more.
const AGAIN = new Set(["open-return", "nothing-in", "take-back", "open-pickup", "not-taken"]);

let words = { zh: {}, en: {} };
let language = navigator.language.toLowerCase().startsWith("en") ? "en" : "zh";
let first = ""; // the language that the operator has set
let now = null; // the newest state
let view = "start"; // start, pad or help; "going" is shown for start while a swap is under way
let wish = "go";
let typed = { number: "", code: "" };
let typing = { text: "", at: 0 };
let idle = 0;
let busy = false;
let lastScan = null;
let unlockAt = 0;

const t = (key) => words[language][key] ?? key;
const reason = (code) => words[language][`reason.${code}`] ?? t("reason.unknown");

// --- showing -------------------------------------------------------------------------------------

function paint() {
  document.documentElement.lang = language === "en" ? "en" : "zh-CN";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = t(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
  if (!now) return;
  const shown = view === "start" && now.active ? "going" : view;
  document.body.dataset.view = shown;
  document.body.dataset.tone = now.prompt.tone;
  $("name").textContent = now.name;
  $("cabinet").textContent = $("help-cabinet").textContent = now.cabinet;
  $("network").hidden = now.network;
  $("network").textContent = t("no-network");
  put("note", now.note[language] ?? "");
  $("note").hidden = !$("note").textContent;
  const say = now.prompt.say[language];
  $("big").textContent = now.prompt.slot ?? "";
  put("prompt", say.title);
  put("sentence", say.text);
  put("why", say.why);
  $("qr").hidden = $("qr-hint").hidden = !now.qr;
  if (now.qr && !$("qr").src) $("qr").src = "/kiosk/qr.svg";
  const why = t(now.network ? "scan-here" : "scan-for-code");
  $("qr").alt = $("qr-hint").textContent = why;
  $("begin").hidden = !now.codes;
  $("ticket-hint").hidden = !(now.tickets && now.scanner);
  $("again").hidden = !AGAIN.has(now.prompt.key);
  $("own-back").hidden = !now.own_back;
  paintDoors();
  paintSockets();
  paintPad();
}

function put(id, text) {
  // Only a change is spoken again by a screen reader.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function paintDoors() {
  const doors = $("doors");
  doors.style.gridTemplateColumns = `repeat(${now.columns}, minmax(0, 1fr))`;
  while (doors.children.length > now.slots.length) doors.lastChild.remove();
  now.slots.forEach((slot, index) => {
    const cell = doors.children[index] ?? doors.appendChild(door());
    cell.dataset.state = slot.state;
    cell.dataset.door = slot.door;
    cell.toggleAttribute("data-target", slot.slot === now.prompt.slot);
    cell.querySelector("path").setAttribute("d", SHAPES[slot.state] ?? SHAPES.unknown);
    const soc = slot.soc_pct === null || slot.state === "empty" ? "" : ` ${slot.soc_pct} %`;
    cell.querySelector("b").firstChild.data = String(slot.slot);
    cell.querySelector("small").textContent = soc;
    const what = slot.door === "open" ? "door-open" : `state-${slot.state}`;
    cell.querySelector("span").textContent = t(what);
  });
}

// What a socket is to a rider: free, in use, or neither.
const SOCKET_SHAPES = { idle: SHAPES.ready, faulted: SHAPES.faulted, unknown: SHAPES.unknown };

function paintSockets() {
  const list = $("sockets");
  $("area").hidden = now.sockets.length === 0;
  while (list.children.length > now.sockets.length) list.lastChild.remove();
  now.sockets.forEach((socket, index) => {
    const item = list.children[index] ?? list.appendChild(socketItem());
    item.dataset.state = socket.state;
    item.querySelector("path").setAttribute("d", SOCKET_SHAPES[socket.state] ?? SHAPES.charging);
    item.querySelector("b").textContent = String(socket.socket);
    item.querySelector("span").textContent = t(`socket-${socket.state}`);
  });
  put("socket-how", t(now.network ? "socket-how" : "socket-how-offline"));
}

function socketItem() {
  const item = document.createElement("li");
  item.append(icon(), document.createElement("b"), document.createElement("span"));
  return item;
}

function icon() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  return svg;
}

function door() {
  const cell = document.createElement("div");
  cell.className = "door";
  const number = document.createElement("b");
  number.append(document.createTextNode(""), document.createElement("small"));
  cell.append(icon(), number, document.createElement("span"));
  return cell;
}

function paintPad() {
  const atCode = typed.number.length === NUMBER_DIGITS;
  $("number").textContent = typed.number.replace(/^(.{4})/, "$1 ");
  $("code").textContent = typed.code;
  $("number").toggleAttribute("data-now", !atCode);
  $("code").toggleAttribute("data-now", atCode);
  $("who").hidden = wish === "go" && !now.active;
  const left = Math.max(now.keypad_wait_s, Math.ceil((unlockAt - performance.now()) / 1000));
  const locked = now.keypad_wait_s > 0;
  $("ok").disabled = busy || locked || !atCode || typed.code.length !== CODE_DIGITS;
  if (locked) tell(`${reason("keypad-locked")} ${left} ${t("seconds")}`);
}

function tell(text) {
  put("answer", text);
}

// --- going from view to view ---------------------------------------------------------------------

function show(next, nextWish = "go") {
  view = next;
  wish = nextWish;
  clear();
  tell("");
  paint();
  if (next === "pad") {
    send("/kiosk/wish", { wish });
    $("keys").firstChild.focus();
  }
}

function clear() {
  typed = { number: "", code: "" };
  typing = { text: "", at: 0 };
}

function touched() {
  clearTimeout(idle);
  idle = setTimeout(() => {
    language = first || language;
    show("start");
  }, IDLE_MS);
}

// --- typing --------------------------------------------------------------------------------------

function press(key) {
  if (busy) return;
  if (key === "delete") {
    if (typed.code) typed.code = typed.code.slice(0, -1);
    else typed.number = typed.number.slice(0, -1);
  } else if (typed.number.length < NUMBER_DIGITS) {
    typed.number += key;
    if (typed.number.length === NUMBER_DIGITS && !fits(typed.number)) {
      tell(reason("bad-number"));
      typed.number = "";
    } else {
      tell("");
    }
  } else if (typed.code.length < CODE_DIGITS) {
    typed.code += key;
    tell("");
  }
  paint();
}

// The check digit (Luhn), so that a mistyped number is told before the code is asked for.
function fits(number) {
  let sum = 0;
  for (let place = 0; place < number.length; place += 1) {
    let digit = Number(number[number.length - 1 - place]);
    if (place % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

function onKey(event) {
  touched();
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const gap = event.timeStamp - typing.at > TYPED_GAP_MS;
  if (event.key.length === 1) {
    typing.text = (gap ? "" : typing.text) + event.key;
    typing.at = event.timeStamp;
  }
  if (event.key === "Enter" && !gap && typing.text.startsWith(TICKET)) {
    event.preventDefault();
    const text = typing.text;
    typing.text = "";
    sendTicket(text);
    return;
  }
  if (TICKET.startsWith(typing.text.slice(0, TICKET.length)) && typing.text && !/^\d/.test(typing.text)) return;
  if (typing.text.startsWith(TICKET)) return;
  if (/^\d$/.test(event.key)) {
    if (view === "start" && !now?.active && now?.codes) show("pad");
    if (view === "pad") press(event.key);
  } else if (event.key === "Backspace" && view === "pad") {
    press("delete");
  } else if (event.key === "Escape") {
    show("start");
  } else if (event.key === "Enter" && view === "pad" && !$("ok").disabled) {
    event.preventDefault();
    sendCode();
  }
}

// --- asking --------------------------------------------------------------------------------------

async function send(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Kiosk-Token": token },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (answer.reason === "token") location.reload(); // the cabinet's program was started anew
    return answer;
  } catch {
    return { reason: "unknown" };
  }
}

async function sendCode() {
  const body = { number: typed.number, code: typed.code, wish };
  typed.code = "";
  await ask("/kiosk/code", body);
}

async function sendTicket(text) {
  const body = { text, wish };
  if (view !== "pad") show("pad", wish);
  await ask("/kiosk/ticket", body);
}

async function ask(path, body) {
  busy = true;
  tell(t("wait"));
  paint();
  const answer = await send(path, body);
  busy = false;
  if (answer.reason) {
    const more = answer.wait_s ? ` ${answer.wait_s} ${t("seconds")}` : "";
    unlockAt = performance.now() + (answer.wait_s ?? 0) * 1000;
    tell(reason(answer.reason) + more);
    paint();
  } else {
    show("start");
  }
}

// --- life ----------------------------------------------------------------------------------------

function take(state) {
  if (now && now.boot_id !== state.boot_id) location.reload();
  const began = now && !now.active && state.active;
  now = state;
  if (state.language && state.language !== first) language = first = state.language;
  const scanned = state.scan && (!lastScan || lastScan !== state.scan.number);
  if (scanned && lastScan !== null) {
    if (state.scan.reason) {
      show("pad", wish);
      tell(reason(state.scan.reason));
    } else {
      show("start");
    }
  }
  lastScan = state.scan ? state.scan.number : (lastScan ?? 0);
  if (began && view === "pad" && !busy && !$("answer").textContent) show("start");
  paint();
}

function listen() {
  const stream = new EventSource("/kiosk/events");
  stream.onmessage = (event) => {
    $("lost").hidden = true;
    take(JSON.parse(event.data));
  };
  stream.onerror = () => {
    $("lost").hidden = false;
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RELOAD_MS);
  };
}

function wire() {
  for (const key of ["1", "2", "3", "4", "5", "6", "7", "8", "9", "", "0", "delete"]) {
    const button = document.createElement(key ? "button" : "span");
    if (key) {
      button.type = "button";
      button.id = `key-${key}`;
      if (key === "delete") button.dataset.word = "delete";
      else button.textContent = key;
      button.addEventListener("click", () => press(key));
    }
    $("keys").append(button);
  }
  $("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    paint();
  });
  $("help-button").addEventListener("click", () => show("help"));
  $("help-back").addEventListener("click", () => show("start"));
  $("back").addEventListener("click", () => show("start"));
  $("begin").addEventListener("click", () => show("pad"));
  $("again").addEventListener("click", () => show("pad", "go"));
  $("cancel").addEventListener("click", () => show("pad", "cancel"));
  $("own-back").addEventListener("click", () => show("pad", "give-back"));
  $("pad").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("ok").disabled) sendCode();
  });
  for (const kind of ["pointerdown", "touchstart"]) document.addEventListener(kind, touched, { passive: true });
  document.addEventListener("keydown", onKey);
}

async function main() {
  wire();
  words = await (await fetch("/kiosk/texts.json")).json();
  paint();
  touched();
  listen();
}

main();
