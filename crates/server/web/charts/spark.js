// A line without axes. An empty one is a baseline, so that data that comes later changes no layout.
import { html } from "../h.js";
import { extent, linear } from "./scale.js";

/** `values`: numbers in order; null where there is none. */
export function spark({ values, width = 96, height = 28, label = "", area = true }) {
  const known = values.filter((value) => value != null);
  const [low, high] = extent(known);
  const x = linear(0, Math.max(1, values.length - 1), 1, width - 3);
  const y = linear(low, high || 1, height - 3, 3);
  let drawn = "", pen = "M", last = -1, first = -1, holes = false;
  values.forEach((value, i) => {
    // A day without a value is a hole, not a slope.
    if (value == null) { holes ||= first >= 0; pen = "M"; return; }
    drawn += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    if (first < 0) first = i;
    pen = "L"; last = i;
  });
  const base = y(0);
  return html`<svg class="chart spark" viewBox="0 0 ${width} ${height}" width=${width} height=${height} preserveAspectRatio="none"
      role=${label ? "img" : undefined} aria-label=${label || undefined} aria-hidden=${label ? undefined : "true"}>
    <line x1="1" x2=${width - 1} y1=${base} y2=${base} class="grid" />
    ${area && last > first && !holes && html`<path d="${drawn}L${x(last).toFixed(1)} ${base}L${x(first).toFixed(1)} ${base}Z" class="area" />`}
    ${last > first && html`<path d=${drawn} class="now" />`}
    ${last >= 0 && html`<circle cx=${x(last)} cy=${y(values[last])} r="2" class="dot" />`}
  </svg>`;
}
