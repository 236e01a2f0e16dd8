// Things that open: menus, words explained, dialogs. Each closes on Esc and gives the focus back to what opened it.
import { html, useLayoutEffect, useRef, useState } from "../h.js";

function useClosing(open, close, root) {
  useLayoutEffect(() => {
    if (!open) return undefined;
    const outside = (event) => { if (!root.current?.contains(event.target)) close(false); };
    const escape = (event) => { if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(true); } };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", escape, true);
    return () => { document.removeEventListener("pointerdown", outside); document.removeEventListener("keydown", escape, true); };
  }, [open]);
}

/** Keeps a sheet inside the window: near an edge it moves away from it. */
function inside(sheet) {
  const box = sheet.getBoundingClientRect(), wide = document.documentElement.clientWidth;
  const by = box.left < 8 ? 8 - box.left : Math.min(0, wide - 8 - box.right);
  if (by) sheet.style.translate = `${by}px 0`;
}

/** A button with actions: `items` [{label, hint, run, href, download} | null for a line]. */
export function Menu({ label, text = "⋯", items, left = false, plain = true }) {
  const [open, put] = useState(false);
  const root = useRef(null), button = useRef(null), sheet = useRef(null);
  const close = (focus) => { put(false); if (focus) button.current?.focus(); };
  useClosing(open, close, root);
  useLayoutEffect(() => {
    if (!open) return;
    inside(sheet.current);
    sheet.current.querySelector('[role="menuitem"]')?.focus();
  }, [open]);
  const move = (event) => {
    const all = [...sheet.current.querySelectorAll('[role="menuitem"]')];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[(to + all.length) % all.length]?.focus();
  };
  return html`<span class="menu" ref=${root}>
    <button type="button" class="btn ${plain ? "plain" : ""} ${text === "⋯" ? "icon" : ""}" ref=${button} aria-haspopup="menu" aria-expanded=${open ? "true" : "false"}
      aria-label=${label} title=${label} onClick=${() => put(!open)}>${text}</button>
    ${open && html`<div class="sheet ${left ? "left" : ""}" role="menu" aria-label=${label} ref=${sheet} onKeyDown=${move}>
      ${items.filter(Boolean).map((item) => {
        const inside = html`<span>${item.label}</span>${item.hint && html`<span class="muted small">${item.hint}</span>`}`;
        return item.href
          ? html`<a role="menuitem" tabindex="-1" href=${item.href} download=${item.download} onClick=${() => close(true)}>${inside}</a>`
          : html`<button type="button" role="menuitem" tabindex="-1" onClick=${() => { close(true); item.run(); }}>${inside}</button>`;
      })}</div>`}</span>`;
}

/** A word that explains itself when it is clicked. */
export function Word({ text, children, tone = "" }) {
  const [open, put] = useState(false);
  const root = useRef(null), button = useRef(null), sheet = useRef(null);
  useClosing(open, (focus) => { put(false); if (focus) button.current?.focus(); }, root);
  useLayoutEffect(() => { if (open) inside(sheet.current); }, [open]);
  return html`<span class="menu ${tone}" ref=${root}><button type="button" ref=${button} aria-expanded=${open ? "true" : "false"} onClick=${() => put(!open)}>${text}</button>
    ${open && html`<div class="sheet left words small" role="note" ref=${sheet}>${children}</div>`}</span>`;
}

/** A modal dialog; the browser keeps the focus inside, and closing gives it back to what opened it. */
export function Dialog({ title, onClose, children, wide = false, className = "", bare = false }) {
  const dialog = useRef(null);
  // Before the next key: what is typed after ⌘K belongs to the dialog.
  useLayoutEffect(() => {
    const element = dialog.current, opener = document.activeElement;
    element.showModal();
    return () => { element.close(); if (opener?.isConnected) opener.focus(); };
  }, []);
  // `close()` tells `onClose` in a later task, by when the next key may have opened another dialog: keys and buttons close at once,
  // and what the browser tells of a dialog that is gone by then is not listened to.
  const told = () => { if (dialog.current) onClose(); };
  const escape = (event) => { if (event.key === "Escape" && !event.isComposing) { event.preventDefault(); onClose(); } };
  const outside = (event) => { if (event.target === dialog.current) onClose(); };
  return html`<dialog ref=${dialog} class="${wide ? "wide" : ""} ${className}" aria-label=${title} onClose=${told} onKeyDown=${escape} onClick=${outside}>
    ${!bare && html`<header><h2>${title}</h2><button type="button" class="btn plain icon" aria-label="Close" onClick=${onClose}>✕</button></header>`}
    ${bare ? children : html`<div class="inside">${children}</div>`}</dialog>`;
}
