// Words, calls and small helpers that the parts of the page share.
const LANGUAGE_KEY = "swapsim-language", THEME_KEY = "swapsim-theme", SAY_MS = 4000, CALL_MS = 5000;

export const $ = (id) => document.getElementById(id);
const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };

export let language = kept(LANGUAGE_KEY) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
let words = {};
export const t = (key) => words[language]?.[key] ?? key;
export const has = (key) => key in (words[language] ?? {});

export async function loadWords() {
  words = await (await fetch("/ui/texts.json")).json();
  speak();
}

export function otherLanguage() {
  language = language === "zh" ? "en" : "zh";
  keep(LANGUAGE_KEY, language);
  speak();
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("app.title");
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = t(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) each.setAttribute("aria-label", t(each.dataset.label));
  for (const each of document.querySelectorAll("[data-hint]")) each.placeholder = t(each.dataset.hint);
}

const root = document.documentElement;
if (kept(THEME_KEY)) root.dataset.theme = kept(THEME_KEY);
export function otherTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  keep(THEME_KEY, root.dataset.theme);
}

let saying = 0;
export function say(text) {
  $("say").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { $("say").textContent = ""; }, SAY_MS);
}

// One request; the answer, or null when it was refused, which is said.
export async function call(method, path, body) {
  try {
    const reply = await fetch(path, {
      method, headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout?.(CALL_MS),
    });
    const answer = await reply.json();
    if (reply.ok) return answer;
    const detail = Array.isArray(answer.detail) ? answer.detail.map((each) => each.msg).join("; ") : answer.detail;
    say(`${t("say.failed")} ${detail}`);
  } catch { say(t("app.lost")); }
  return null;
}
export const post = (path, body = {}) => call("POST", path, body);

// Only a change touches the page: a screen reader hears it once, and a finger does not miss.
export function put(element, text) { if (element.textContent !== text) element.textContent = text; }
export function mark(element, name, on) { if (element.hasAttribute(name) !== Boolean(on)) element.toggleAttribute(name, Boolean(on)); }
export function attribute(element, name, value) { if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value); }

export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "on") for (const [name, run] of Object.entries(value)) element.addEventListener(name, run);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
