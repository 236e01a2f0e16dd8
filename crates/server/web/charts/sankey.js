// Flows between positions of a path. The position gives the column, so no layout search is needed; order within a column is by size,
// with Other last. What leaves early stays in its column.
import { html } from "../h.js";
import { channelClass } from "./color.js";
import { fit } from "./scale.js";

const GAP = 10, BAR = 10, TOP = 26;

/** `nodes`: [{column, name, value}], `links`: [{column, from, to, value}] from `column` to the next. */
export function layout({ nodes, links, width, height }) {
  const last = Math.max(0, ...nodes.map((node) => node.column));
  const columns = Array.from({ length: last + 1 }, (_, c) => nodes.filter((n) => n.column === c)
    .sort((a, b) => (a.name === "Other") - (b.name === "Other") || b.value - a.value));
  const most = Math.max(1, ...columns.map((c) => c.length));
  const total = Math.max(1e-9, ...columns.map((c) => c.reduce((sum, n) => sum + n.value, 0)));
  const scale = Math.max(0, height - TOP - 6 - GAP * (most - 1)) / total;
  const room = (width - BAR) / Math.max(1, last);
  const placed = new Map();
  columns.forEach((column, c) => {
    let y = TOP;
    for (const node of column) {
      const tall = Math.max(1.5, node.value * scale);
      placed.set(`${c}\u0000${node.name}`, { ...node, x: last ? c * room : 0, y, tall, out: y, into: y });
      y += tall + GAP;
    }
  });
  const drawn = [];
  const order = (a, b) => (placed.get(`${a.column}\u0000${a.from}`)?.y ?? 0) - (placed.get(`${b.column}\u0000${b.from}`)?.y ?? 0)
    || (placed.get(`${a.column + 1}\u0000${a.to}`)?.y ?? 0) - (placed.get(`${b.column + 1}\u0000${b.to}`)?.y ?? 0);
  for (const link of [...links].sort(order)) {
    const from = placed.get(`${link.column}\u0000${link.from}`), to = placed.get(`${link.column + 1}\u0000${link.to}`);
    if (!from || !to) continue;
    const tall = link.value * scale;
    drawn.push({ ...link, tall, x0: from.x + BAR, y0: from.out + tall / 2, x1: to.x, y1: to.into + tall / 2 });
    from.out += tall; to.into += tall;
  }
  return { nodes: [...placed.values()], links: drawn, columns: last + 1, room };
}

/** SVG of the flows. `title(column)` names a column. */
export function sankey({ nodes, links, width, height = 320, format, label, title, mark = null }) {
  const made = layout({ nodes, links, width, height });
  const bend = (l) => { const m = (l.x0 + l.x1) / 2; return `M${l.x0} ${l.y0}C${m} ${l.y0} ${m} ${l.y1} ${l.x1} ${l.y1}`; };
  return html`<svg class="chart sankey" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}>
    ${Array.from({ length: made.columns }, (_, c) => html`<text key=${c} x=${c === made.columns - 1 && c ? c * made.room + BAR : c * made.room} y="12"
      class="tick" text-anchor=${c === made.columns - 1 && c ? "end" : "start"}>${title(c)}</text>`)}
    ${made.links.map((l) => html`<path key="${l.column}-${l.from}-${l.to}" d=${bend(l)} stroke-width=${Math.max(1, l.tall)}
      class="flow ${channelClass(l.from)} ${mark && mark !== l.from && mark !== l.to ? "dim" : ""}"><title>${l.from} → ${l.to}: ${format(l.value)}</title></path>`)}
    ${made.nodes.map((n) => {
      const end = n.column === made.columns - 1 && n.column > 0;
      return html`<g key="${n.column}-${n.name}"><title>${n.name}: ${format(n.value)}</title>
        <rect x=${n.x} y=${n.y} width=${BAR} height=${n.tall} rx="2" class="stock ${channelClass(n.name)}" />
        ${n.tall >= 9 && html`<text x=${end ? n.x - 6 : n.x + BAR + 6} y=${n.y + n.tall / 2 + 4} text-anchor=${end ? "end" : "start"} class="name">
          ${fit(`${n.name} ${format(n.value)}`, made.room * 0.86 - BAR, 12)}</text>`}
      </g>`;
    })}
  </svg>`;
}
