'use strict';
// The graph's shape: layers by longest path, few crossings, straight lines where there is room.
// Knows nothing of the page; `layout` gives cells with places and edges with their bends.

const GAP = { x: 40, y: 16, bend: 12, margin: 8 };

// Layer of each id: one more than its furthest parent; roots stand right before their first child.
function layers(ids, parents, children) {
  const layer = new Map();
  const depth = (id) => {
    if (!layer.has(id)) layer.set(id, Math.max(-1, ...parents(id).map(depth)) + 1);
    return layer.get(id);
  };
  ids.forEach(depth);
  for (const id of ids) {
    const below = children(id).map((child) => layer.get(child));
    if (!parents(id).length && below.length) layer.set(id, Math.min(...below) - 1);
  }
  return layer;
}

// Cells by column; an edge over several layers passes through a bend in each layer between.
function columnsOf(ids, parents, layer) {
  const columns = [];
  const put = (cell) => {
    (columns[cell.layer] ??= []).push(cell);
    return cell;
  };
  const cells = new Map(ids.map((id) => [id, put({ id, layer: layer.get(id), left: [], right: [] })]));
  const edges = [];
  for (const id of ids) {
    for (const parent of parents(id)) {
      const route = [cells.get(parent)];
      for (let at = layer.get(parent) + 1; at < layer.get(id); at++) {
        route.push(put({ layer: at, left: [], right: [] }));
      }
      route.push(cells.get(id));
      for (let i = 1; i < route.length; i++) {
        route[i - 1].right.push(route[i]);
        route[i].left.push(route[i - 1]);
      }
      edges.push({ from: parent, to: id, route });
    }
  }
  return { columns: columns.filter(Boolean), cells, edges };
}

function number(columns) {
  for (const column of columns) column.forEach((cell, index) => (cell.order = index));
}

function crossings(columns) {
  let count = 0;
  for (const column of columns) {
    const lines = column.flatMap((cell) => cell.right.map((to) => [cell.order, to.order]));
    for (let i = 0; i < lines.length; i++) {
      for (let j = i + 1; j < lines.length; j++) {
        if ((lines[i][0] - lines[j][0]) * (lines[i][1] - lines[j][1]) < 0) count++;
      }
    }
  }
  return count;
}

// Sorts each column by where its neighbours stand, to and fro; the best of all passes is kept.
function untangle(columns, passes) {
  number(columns);
  let best = { count: crossings(columns), order: columns.map((column) => [...column]) };
  for (let pass = 0; pass < passes && best.count; pass++) {
    const side = pass % 2 ? 'right' : 'left';
    for (const column of pass % 2 ? [...columns].reverse() : columns) {
      const wish = new Map(column.map((cell) => [cell, mean(cell[side].map((one) => one.order)) ?? cell.order]));
      column.sort((a, b) => wish.get(a) - wish.get(b) || a.order - b.order);
      column.forEach((cell, index) => (cell.order = index));
    }
    const count = crossings(columns);
    if (count < best.count) best = { count, order: columns.map((column) => [...column]) };
  }
  best.order.forEach((order, index) => columns[index].splice(0, Infinity, ...order));
  number(columns);
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined;
}

// Places for a column as near as can be to the wishes without touching: pools of cells that push each other.
function settle(column, wishes, height) {
  const half = (cell) => (cell.id === undefined ? 0 : height / 2);
  const space = (a, b) => half(a) + half(b) + (a.id === undefined || b.id === undefined ? GAP.bend : GAP.y);
  const offset = [0];
  for (let i = 1; i < column.length; i++) offset.push(offset[i - 1] + space(column[i - 1], column[i]));
  const pools = [];
  column.forEach((_, i) => {
    pools.push({ sum: wishes[i] - offset[i], size: 1 });
    while (pools.length > 1) {
      const [a, b] = pools.slice(-2);
      if (a.sum / a.size <= b.sum / b.size) break;
      pools.splice(-2, 2, { sum: a.sum + b.sum, size: a.size + b.size });
    }
  });
  let index = 0;
  for (const pool of pools) {
    for (let n = 0; n < pool.size; n++, index++) column[index].y = pool.sum / pool.size + offset[index];
  }
}

// Ids with parents → cells at x (left edge) and y (middle), edges as SVG paths, and the size of it all.
function layout(ids, parents, children, box) {
  const { columns, cells, edges } = columnsOf(ids, parents, layers(ids, parents, children));
  untangle(columns, 24);
  for (const column of columns) settle(column, column.map((_, i) => i * (box.height + GAP.y)), box.height);
  for (let pass = 0; pass < 24; pass++) {
    const side = pass % 2 ? 'right' : 'left';
    for (const column of pass % 2 ? [...columns].reverse() : columns) {
      settle(column, column.map((cell) => mean(cell[side].map((one) => one.y)) ?? cell.y), box.height);
    }
  }
  const all = columns.flat();
  const top = Math.min(...all.map((cell) => cell.y)) - box.height / 2 - GAP.margin;
  for (const cell of all) {
    cell.x = GAP.margin + cell.layer * (box.width + GAP.x);
    cell.y -= top;
  }
  const path = (route) => route.slice(1).reduce((text, to, i) => {
    const [x, y] = [route[i].x + box.width, route[i].y];
    const middle = (x + to.x) / 2;
    const curve = `C${middle} ${y} ${middle} ${to.y} ${to.x} ${to.y}`;
    return `${text}${curve}${to.id === undefined ? `H${to.x + box.width}` : ''}`;
  }, `M${route[0].x + box.width} ${route[0].y}`);
  return {
    cells: [...cells.values()],
    edges: edges.map(({ from, to, route }) => ({ from, to, path: path(route) })),
    width: GAP.margin * 2 + columns.length * (box.width + GAP.x) - GAP.x,
    height: Math.max(...all.map((cell) => cell.y)) + box.height / 2 + GAP.margin,
  };
}
