// A matrix as a table: it reads aloud as it is, and its tint is one of seven steps beside the number.
import { html } from "../h.js";
import { channelClass } from "./color.js";

/** `cell(row, column)` → number; `to(row, column)` → where it leads. */
export function heat({ rows, columns, cell, show, label, corner, to, swatch = true }) {
  const most = Math.max(1e-9, ...rows.flatMap((r) => columns.map((c) => cell(r, c))));
  const step = (value) => (value <= 0 ? 0 : 1 + Math.min(5, Math.floor(Math.sqrt(value / most) * 6)));
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}><table class="heat" aria-label=${label}>
    <thead><tr><th scope="col" class="fixed">${corner}</th>${columns.map((c) => html`<th scope="col" class="num" key=${c}><bdi class="cut">${c}</bdi></th>`)}</tr></thead>
    <tbody>${rows.map((r) => html`<tr key=${r}><th scope="row" class="fixed"><span class="nowrap">${swatch && html`<span class="swatch-dot ${channelClass(r)}"></span>`}<bdi class="cut inline">${r}</bdi></span></th>
      ${columns.map((c) => { const value = cell(r, c); return html`<td key=${c} class="num heat-${step(value)} ${r === c ? "own" : ""}">${value ? html`<a href=${to(r, c)}>${show(value)}</a>` : html`<span class="muted">·</span>`}</td>`; })}</tr>`)}</tbody></table></div>`;
}
