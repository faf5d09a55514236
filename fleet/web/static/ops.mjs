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
