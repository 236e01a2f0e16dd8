// Bars: one beside a number in a table, and columns over an axis.
import { html } from "../h.js";
import { extent, fit, linear, ticks } from "./scale.js";

/** One bar from zero; below zero it goes the other way. `low`, `high` are of the whole column of the table. */
export function bar({ value, low = 0, high, width = 120, height = 10, className = "" }) {
  const x = linear(Math.min(0, low), high || 1, 0, width);
  const from = x(Math.min(0, value)), to = x(Math.max(0, value));
  return html`<svg class="chart bar ${className}" viewBox="0 0 ${width} ${height}" width=${width} height=${height} aria-hidden="true" preserveAspectRatio="none">
    <rect class="rail" x="0" y="0" width=${width} height=${height} rx="2" />
    <rect class="fill" x=${from.toFixed(1)} y="0" width=${Math.max(value ? 1.5 : 0, to - from).toFixed(1)} height=${height} rx="2" /></svg>`;
}

/** Columns over names: `items` [{label, value, sub}]. */
export function columns({ items, width, height = 180, format, label, cursor = null, className = "" }) {
  const left = 44, top = 18, right = 4, step = (width - left - right) / Math.max(1, items.length);
  // Names that do not fit beside each other stand on two lines by turns.
  const turns = items.some((item) => item.label.length * 7 > step - 4) ? 2 : 1, bottom = 10 + 14 * turns;
  const [low, high] = extent(items.map((item) => item.value));
  const marks = ticks(low, high, 3, true);
  const y = linear(marks[0], marks[marks.length - 1], height - bottom, top);
  const thick = Math.min(56, step * 0.68);
  return html`<svg class="chart columns ${className}" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}>
    ${marks.map((value) => html`<g key=${value}><line x1=${left} x2=${width - right} y1=${y(value)} y2=${y(value)} class=${value === 0 ? "axis" : "grid"} />
      <text x=${left - 8} y=${y(value) + 4} class="tick" text-anchor="end">${format(value)}</text></g>`)}
    ${items.map((item, i) => {
      const middle = left + step * (i + 0.5);
      return html`<g key=${item.label} class=${cursor === i ? "column on" : "column"}><title>${item.label}: ${format(item.value)}${item.sub ? `, ${item.sub}` : ""}</title>
        <rect x=${middle - thick / 2} width=${thick} y=${Math.min(y(0), y(item.value))} height=${Math.abs(y(0) - y(item.value))} rx="2" class="fill" />
        ${step >= 34 && html`<text x=${middle} y=${Math.min(y(0), y(item.value)) - 5} class="value" text-anchor="middle">${format(item.value)}</text>`}
        <text x=${middle} y=${height - 7 - 14 * (turns - 1 - (i % turns))} class="tick" text-anchor="middle">${fit(item.label, step * turns - 2, 12)}</text></g>`;
    })}
  </svg>`;
}
