// First against last, one row for each name: how far a name moves when the attribution model changes.
import { html } from "../h.js";
import { channelClass } from "./color.js";
import { extent, fit, linear } from "./scale.js";

const ROW = 34;

/** `rows`: [{name, first, last, note}]; `mark` is the name that is pointed at. */
export function dumbbell({ rows, width, format, label, mark = null, names = ["First click", "Last click"] }) {
  const wide = width >= 640;
  const left = wide ? 150 : 112, right = wide ? 220 : 0, pad = wide ? 46 : 34;
  const [low, high] = extent(rows.flatMap((row) => [row.first, row.last]));
  const x = linear(low, high, left + pad, width - right - pad);
  const height = rows.length * ROW + 6;
  const diamond = (cx, cy, r) => `M${cx} ${cy - r}L${cx + r} ${cy}L${cx} ${cy + r}L${cx - r} ${cy}Z`;
  return html`<svg class="chart dumbbell" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}>
    ${rows.map((row, i) => {
      const y = i * ROW + ROW / 2 + 3, a = x(row.first), b = x(row.last);
      const near = Math.abs(a - b) < 1;
      const firstLeft = a <= b;
      return html`<g key=${row.name} class=${mark === row.name ? "row on" : "row"}>
        <title>${row.name}: ${names[0]} ${format(row.first)}, ${names[1]} ${format(row.last)}. ${row.note}</title>
        <rect x="0" y=${y - ROW / 2} width=${width} height=${ROW} class="band" />
        <rect x="0" y=${y - 5} width="4" height="10" rx="2" class="swatch ${channelClass(row.name)}" />
        <text x="10" y=${y + 4} class="name">${fit(row.name, left - 14, 13)}</text>
        <line x1=${left + pad} x2=${width - right - pad} y1=${y} y2=${y} class="grid" />
        <line x1=${a} x2=${b} y1=${y} y2=${y} class="link" />
        <text x=${a < b ? a - 10 : a + 10} y=${y + 4} class="value" text-anchor=${a < b ? "end" : "start"}>${format(row.first)}</text>
        ${Math.abs(row.first - row.last) > 1e-9 && html`<text x=${firstLeft ? b + 10 : b - 10} y=${y + 4} class="value" text-anchor=${firstLeft ? "start" : "end"}>${format(row.last)}</text>`}
        <circle cx=${a} cy=${y} r=${near ? 7 : 5.5} class="first" />
        <path d=${diamond(b, y, near ? 5 : 6.5)} class="last" />
        ${wide && html`<text x=${width - right + 16} y=${y + 4} class="note">${row.note}</text>`}
      </g>`;
    })}
  </svg>`;
}
