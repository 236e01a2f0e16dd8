// Lines over days: this period, the one before, and the day that is not over yet.
import { html } from "../h.js";
import { day } from "../format.js";
import { extent, linear, ticks } from "./scale.js";

const PAD = { top: 12, right: 12, bottom: 24, left: 52 };

const path = (points, x, y) => {
  let drawn = "", pen = "M";
  points.forEach((value, i) => {
    if (value == null) { pen = "M"; return; }
    drawn += `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return drawn;
};

/** Which of `n` days get a label so that they do not touch. */
function labelled(n, width) {
  const room = Math.max(2, Math.floor(width / 64));
  const step = [1, 2, 7, 14, 28].find((s) => n / s <= room) ?? Math.ceil(n / room);
  return (i) => i % step === 0;
}

/**
 * `points`: [{day, value, before, partial}] in order of days. `cursor` is the index that is pointed at. Returns SVG.
 */
export function line({ points, width, height = 220, format, cursor = null, label, id = "line", whole = false }) {
  const now = points.map((p) => p.value), before = points.map((p) => p.before ?? null);
  const [low, high] = extent([...now, ...before]);
  const marks = ticks(low, high, 3, whole);
  const x = linear(0, Math.max(1, points.length - 1), PAD.left, width - PAD.right);
  const y = linear(marks[0], marks[marks.length - 1], height - PAD.bottom, PAD.top);
  const shown = labelled(points.length, width - PAD.left - PAD.right);
  const half = (width - PAD.left - PAD.right) / Math.max(1, points.length - 1) / 2;
  const partial = points.findIndex((p) => p.partial);
  const at = cursor == null ? null : points[cursor];
  // The last whole day ends the solid line; what leads to a partial day is dotted.
  const solid = now.map((value, i) => (partial >= 0 && i >= partial ? null : value));
  return html`<svg class="chart line" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}>
    <defs><pattern id="${id}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <line x1="0" y1="0" x2="0" y2="6" class="hatch" /></pattern></defs>
    ${marks.map((value) => html`<g key=${value}>
      <line x1=${PAD.left} x2=${width - PAD.right} y1=${y(value)} y2=${y(value)} class=${value === 0 ? "axis" : "grid"} />
      <text x=${PAD.left - 8} y=${y(value) + 4} class="tick" text-anchor="end">${format(value)}</text></g>`)}
    ${partial >= 0 && html`<rect x=${Math.max(PAD.left, x(partial) - half)} width=${Math.min(half * 2, width - PAD.right - Math.max(PAD.left, x(partial) - half))}
      y=${PAD.top} height=${height - PAD.top - PAD.bottom} fill="url(#${id}-hatch)" class="partial"><title>not over yet</title></rect>`}
    ${points.map((p, i) => shown(i) && html`<text key=${p.day} x=${x(i)} y=${height - 6} class="tick"
      text-anchor=${i === 0 ? "start" : i === points.length - 1 ? "end" : "middle"}>${day(p.day)}</text>`)}
    <path d=${path(before, x, y)} class="before" />
    ${partial > 0 && html`<path d=${path(now.map((v, i) => (i >= partial - 1 ? v : null)), x, y)} class="now unfinished" />`}
    <path d=${path(solid, x, y)} class="now" />
    ${now.map((value, i) => value != null && points.length > 1 && now[i - 1] == null && now[i + 1] == null && html`<circle key=${i} cx=${x(i)} cy=${y(value)} r="3" class="dot" />`)}
    ${points.length === 1 && html`<circle cx=${x(0)} cy=${y(now[0] ?? 0)} r="4" class="dot" />`}
    ${at && html`<g class="cursor"><line x1=${x(cursor)} x2=${x(cursor)} y1=${PAD.top} y2=${height - PAD.bottom} />
      ${at.before != null && html`<circle cx=${x(cursor)} cy=${y(at.before)} r="3.5" class="dot-before" />`}
      ${at.value != null && html`<circle cx=${x(cursor)} cy=${y(at.value)} r="4.5" class="dot" />`}</g>`}
  </svg>`;
}

/** The index of the point nearest to a place in px. */
export function nearest(points, width, px) {
  const share = (px - PAD.left) / (width - PAD.left - PAD.right);
  return Math.max(0, Math.min(points.length - 1, Math.round(share * (points.length - 1))));
}

/** The place in px of a point. */
export const placeOf = (points, width, index) => linear(0, Math.max(1, points.length - 1), PAD.left, width - PAD.right)(index);
