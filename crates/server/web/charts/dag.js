// The graph of models from left to right: a node stands one layer right of the last thing it reads, level with what it is joined to.
import { html } from "../h.js";
import { fit } from "./scale.js";

export const NODE = { width: 208, height: 32, gapX: 26, gapY: 10 };

/** `nodes`: [{id, …}], `edges`: [[from, to]] → places. Layers by longest path, order by the middle of what is read. */
export function layout(nodes, edges) {
  const reads = new Map(nodes.map((n) => [n.id, []])), read = new Map(nodes.map((n) => [n.id, []]));
  for (const [from, to] of edges) if (reads.has(to) && read.has(from)) { reads.get(to).push(from); read.get(from).push(to); }
  const layer = new Map();
  const depth = (id, seen = new Set()) => {
    if (layer.has(id)) return layer.get(id);
    if (seen.has(id)) return 0;
    seen.add(id);
    const found = reads.get(id).length ? 1 + Math.max(...reads.get(id).map((r) => depth(r, seen))) : 0;
    layer.set(id, found);
    return found;
  };
  for (const node of nodes) depth(node.id);
  // Sources and seeds stand just before their first reader, so that lines stay short.
  for (const node of nodes) {
    if (!reads.get(node.id).length && read.get(node.id).length) {
      layer.set(node.id, Math.max(0, Math.min(...read.get(node.id).map((r) => layer.get(r))) - 1));
    }
  }
  // An edge over several layers goes through a place of its own in each, so that it passes between nodes and not behind them.
  const columns = [], joined = new Map(nodes.map((n) => [n.id, [[], []]])), routes = new Map();
  for (const node of nodes) (columns[layer.get(node.id)] ??= []).push(node.id);
  for (const [from, to] of edges) {
    if (!layer.has(from) || !layer.has(to) || layer.get(from) >= layer.get(to)) continue;
    const route = [from];
    for (let at = layer.get(from) + 1; at < layer.get(to); at++) {
      const place = `${from} ${to} ${at}`;
      (columns[at] ??= []).push(place);
      joined.set(place, [[], []]);
      route.push(place);
    }
    route.push(to);
    route.slice(1).forEach((id, i) => { joined.get(id)[0].push(route[i]); joined.get(route[i])[1].push(id); });
    routes.set(`${from} ${to}`, route);
  }
  const apart = (p, q) => (tall(p) + tall(q)) / 2 + NODE.gapY, tall = (id) => (layer.has(id) ? NODE.height : 4), y = new Map();
  const middle = (id, side) => { const near = joined.get(id)[side].filter((n) => y.has(n)); return near.length ? near.reduce((sum, n) => sum + y.get(n), 0) / near.length : y.get(id) ?? 0; };
  // As near to what they are joined with as their neighbours allow: from above, from below, and between the two.
  const settle = (whole, side) => {
    const column = whole.filter((id) => joined.get(id).some((near) => near.length));
    const wanted = new Map(column.map((id) => [id, middle(id, side)]));
    column.sort((p, q) => wanted.get(p) - wanted.get(q) || (p < q ? -1 : 1));
    const down = [], up = [];
    column.forEach((id, i) => { down[i] = i ? Math.max(wanted.get(id), down[i - 1] + apart(column[i - 1], id)) : wanted.get(id); });
    for (let i = column.length - 1; i >= 0; i--) up[i] = i < column.length - 1 ? Math.min(wanted.get(column[i]), up[i + 1] - apart(column[i], column[i + 1])) : wanted.get(column[i]);
    column.forEach((id, i) => y.set(id, (down[i] + up[i]) / 2));
    // What nothing is joined with stands below the others.
    for (const id of whole) if (!column.includes(id)) { column.push(id); y.set(id, column.length > 1 ? y.get(column[column.length - 2]) + NODE.height + NODE.gapY : 0); }
  };
  for (let turn = 0; turn < 8; turn++) {
    for (const column of columns) if (column) settle(column, 0);
    for (const column of [...columns].reverse()) if (column) settle(column, 1);
  }
  const least = nodes.length ? Math.min(...[...y].map(([id, at]) => at - tall(id) / 2)) : 0;
  const places = new Map();
  columns.forEach((column, c) => column?.forEach((id) => places.set(id, { x: c * (NODE.width + NODE.gapX) + 4, y: y.get(id) - tall(id) / 2 - least + 4, mid: y.get(id) - least + 4 })));
  const right = Math.max(0, ...[...places.values()].map((p) => p.x)), low = Math.max(0, ...[...places].map(([id, p]) => p.y + tall(id)));
  return { places, routes, width: right + NODE.width + 8, height: low + 8 };
}

/** A line through the places of a route. */
function drawn(route, places) {
  return route.slice(1).map((id, i) => {
    const a = places.get(route[i]), b = places.get(id), x0 = a.x + NODE.width, m = (x0 + b.x) / 2;
    return `${i ? `L${x0} ${a.mid}` : `M${x0} ${a.mid}`}C${m} ${a.mid} ${m} ${b.mid} ${b.x} ${b.mid}`;
  }).join("");
}

/** `nodes`: [{id, name, kind, state, chosen}]; `onPick(id)` when one is picked. */
export function dag({ nodes, edges, picked, label, onPick }) {
  const made = layout(nodes, edges);
  const near = new Set(edges.filter(([a, b]) => a === picked || b === picked).flat());
  return html`<svg class="chart dag" viewBox="0 0 ${made.width} ${made.height}" width=${made.width} height=${made.height} role="group" aria-label=${label}>
    ${edges.map(([from, to]) => {
      const route = made.routes.get(`${from} ${to}`);
      if (!route) return null;
      const on = from === picked || to === picked;
      return html`<path key="${from}-${to}" d=${drawn(route, made.places)} class=${on ? "edge on" : "edge"} />`;
    })}
    ${nodes.map((node) => {
      const place = made.places.get(node.id);
      const classes = ["node", node.kind, node.state, node.chosen === false ? "dim" : "", node.id === picked ? "picked" : near.has(node.id) ? "near" : ""];
      return html`<g key=${node.id} class=${classes.join(" ")} transform="translate(${place.x} ${place.y})" tabindex="0" role="button"
          aria-pressed=${node.id === picked ? "true" : "false"} aria-label="${node.kind} ${node.name}${node.spoken ? `, ${node.spoken}` : ""}"
          onClick=${() => onPick(node.id)} onKeyDown=${(e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); onPick(node.id); } }}>
        <title>${node.name}${node.spoken ? `: ${node.spoken}` : ""}</title>
        <rect width=${NODE.width} height=${NODE.height} rx="6" class="box" /><rect width="4" height=${NODE.height} rx="2" class="edge-mark" />
        <text x="12" y="20" class="name">${fit(node.name, NODE.width - (node.badge ? 48 : 18), 12.4)}</text>
        ${node.badge && html`<text x=${NODE.width - 8} y="20" text-anchor="end" class="badge">${node.badge}</text>`}
      </g>`;
    })}
  </svg>`;
}
