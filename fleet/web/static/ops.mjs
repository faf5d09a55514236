// The operator's keyboard: / goes to the search, Escape leaves it.
const find = document.getElementById("find");
const typing = (target) => target.closest?.("input,select,textarea,[contenteditable]");
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === find) return find.blur();
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  event.preventDefault();
  find?.focus();
  find?.select();
});

// A page of figures is fetched anew, but never under somebody's hands.
const main = document.querySelector("main[data-again]");
if (main) {
  let touched = false;
  addEventListener("input", () => { touched = true; });
  const busy = () => touched || document.hidden || typing(document.activeElement) || main.querySelector("details[open]");
  setInterval(() => { if (!busy()) location.reload(); }, main.dataset.again * 1000);
}
// On a narrow screen a picture of yesterday and today is opened at today.
for (const each of document.querySelectorAll("[data-start]")) each.scrollLeft = (each.scrollWidth - each.clientWidth) * each.dataset.start;
