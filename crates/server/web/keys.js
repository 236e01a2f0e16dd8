// Keyboard: single letters and "g" followed by a letter. Off while typing, and while a dialog is open.

/** Every shortcut, as the `?` dialog lists it. */
export const HELP = [
  ["Go", [["g o", "Overview"], ["g m", "Models"], ["g p", "Paths"], ["g l", "Live"], ["g h", "Health"], ["g d", "Lineage"], ["g s", "Settings"]]],
  ["Period", [["W", "14 days"], ["F", "28 days"], ["N", "90 days"], ["X", "comparison on or off"], ["D", "match weekdays on or off"]]],
  ["Show", [["V", "conversions or revenue"], ["P", "pause or resume the stream"], ["T", "light, dark or as the system"], ["Esc", "close, then clear filters"]]],
  ["Find", [["⌘K or /", "search pages, models, campaigns"], ["?", "this list"], ["← →", "move along a chart"]]],
];

const GO_MS = 1200;
/** When `g` was pressed, by the event's own clock: a busy page handles keys late, which is no pause of the reader's. */
let waiting = 0;

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

/** Calls `actions[key]` for a key, `actions["g o"]` for two. */
export function listen(actions) {
  const handle = (event) => {
    const command = event.metaKey || event.ctrlKey;
    if (command && event.key.toLowerCase() === "k") { event.preventDefault(); actions["mod k"]?.(); return; }
    if (command || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.defaultPrevented) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (waiting && event.timeStamp - waiting < GO_MS) {
      waiting = 0;
      const action = actions[`g ${key}`];
      if (action) { event.preventDefault(); action(); }
      return;
    }
    if (key === "g") { waiting = event.timeStamp; return; }
    const action = actions[key];
    if (action) { event.preventDefault(); action(event); }
  };
  addEventListener("keydown", handle);
  return () => removeEventListener("keydown", handle);
}
