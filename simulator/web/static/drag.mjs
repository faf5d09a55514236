// Dragging with finger, pen or mouse: a pack from the shelf into a slot, and from a slot to the shelf.
import { make } from "/ui/base.mjs";

const FAR_PX = 8;

// `what(target)` says what would be dragged from there, null for nothing; `drop(thing, target)` ends it.
export function draggable(what, targetAt, drop) {
  let start = null, ghost = null, over = null;

  function leave() { over?.removeAttribute("data-drop"); over = null; }
  function end() {
    ghost?.remove();
    leave();
    start = ghost = null;
  }

  document.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    const thing = what(event.target);
    if (thing) start = { thing, x: event.clientX, y: event.clientY };
  });
  document.addEventListener("pointermove", (event) => {
    if (!start || !event.isPrimary) return;
    if (!ghost) {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) < FAR_PX) return;
      ghost = document.body.appendChild(make("div", { className: "ghost", textContent: start.thing.label }));
    }
    ghost.style.left = `${event.clientX}px`;
    ghost.style.top = `${event.clientY}px`;
    const target = targetAt(document.elementFromPoint(event.clientX, event.clientY), start.thing);
    if (target !== over) { leave(); over = target; over?.setAttribute("data-drop", ""); }
  });
  document.addEventListener("pointerup", (event) => {
    if (!start || !event.isPrimary) return;
    const { thing } = start, target = over, dragged = Boolean(ghost);
    end();
    if (!dragged) return;
    // The click that follows a drag is no tap.
    const swallow = (click) => { click.stopPropagation(); click.preventDefault(); };
    addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
    if (target) drop(thing, target);
  });
  document.addEventListener("pointercancel", end);
  addEventListener("blur", end);
}
