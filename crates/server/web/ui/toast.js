// Short messages at the foot of the page, read aloud politely.
import { html, useEffect, useState } from "../h.js";

const SHOWN_MS = 4000;
let list = [], tell = () => {};
let next = 1;

/** Shows a message; with `action` {label, run} it stays until it is answered. */
export function toast(text, action) {
  const id = next++;
  list = [...list.filter((item) => item.text !== text), { id, text, action }];
  tell(list);
  if (!action) setTimeout(() => drop(id), SHOWN_MS);
}

function drop(id) {
  list = list.filter((item) => item.id !== id);
  tell(list);
}

/** Puts a text on the clipboard and says so. */
export async function copy(text, said = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast("The browser does not let pages copy here: select the text instead");
  }
}

export function Toasts() {
  const [shown, put] = useState(list);
  useEffect(() => { tell = put; return () => { tell = () => {}; }; }, []);
  return html`<div class="toasts" role="status" aria-live="polite">${shown.map((item) => html`<div class="toast" key=${item.id}><span>${item.text}</span>
    ${item.action && html`<button type="button" onClick=${() => { drop(item.id); item.action.run(); }}>${item.action.label}</button>`}</div>`)}</div>`;
}
