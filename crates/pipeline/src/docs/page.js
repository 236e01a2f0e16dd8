'use strict';
// Shows the data of this page: the graph, the selector box, the details of the node in the hash.
// Texts reach the page through `textContent` and text nodes only.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($('data').textContent);
const nodes = new Map(data.nodes.map((node) => [node.id, node]));
for (const node of data.nodes) node.children = [];
for (const node of data.nodes) {
  node.parents = [...new Set(node.parents)].filter((id) => nodes.has(id));
  for (const id of node.parents) nodes.get(id).children.push(node.id);
}
const isTest = (node) => node.kind === 'test' || node.kind === 'unit_test';
const drawn = data.nodes.filter((node) => !isTest(node));
const kin = (id, way) => nodes.get(id)[way].filter((other) => !isTest(nodes.get(other)));
const testsOf = (node) => data.nodes.filter((one) => isTest(one)
  && (one.tested ? one.tested === node.id : one.parents.includes(node.id)));

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null && child !== ''));
  return element;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
const hash = (id) => `#${encodeURIComponent(id)}`;
const link = (id, text) => el('a', { href: hash(id) }, text ?? nodes.get(id).name);
const count = (value, one) => `${value.toLocaleString('en')} ${one}${value === 1 ? '' : 's'}`;
const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

const MARKS = {
  pass: ['✓', 'good'], success: ['✓', 'good'], warn: ['⚠', 'warn'], fail: ['✗', 'bad'], error: ['✗', 'bad'],
  skipped: ['–', 'none'],
};
const markOf = (node) => MARKS[node.result?.status] ?? ['·', 'none'];

function mark(node) {
  const [sign, tone] = markOf(node);
  const { status, failures } = node.result ?? {};
  const more = failures ? ` ${count(failures, 'row')}` : '';
  return el('span', { class: `mark ${tone}` }, `${sign} ${status ?? 'not run'}${more}`);
}

// A description; what stands between backticks is code.
const prose = (text) => text.split('`').map((part, i) => (i % 2 ? el('code', {}, part) : part));

// One sign for a node's tests in the graph: the worst of them, and how many.
function testSign(node) {
  const tests = testsOf(node).filter((test) => test.result);
  if (!tests.length) return undefined;
  const tones = tests.map((test) => markOf(test)[1]);
  const worst = ['bad', 'warn', 'good'].find((tone) => tones.includes(tone));
  if (!worst) return undefined;
  const sign = { bad: '✗', warn: '⚠', good: '✓' }[worst];
  const few = tones.filter((tone) => tone === worst).length;
  return { tone: worst, text: worst === 'good' ? `${sign} ${tests.length}` : `${sign} ${few}/${tests.length}` };
}

/* ---- graph ---- */

const longest = Math.max(14, ...drawn.map((node) => node.name.length));
const box = { width: Math.min(260, Math.max(168, 28 + longest * 7.4)), height: 44 };
const letters = Math.floor((box.width - 28) / 7.4);
const shapes = new Map();
const lines = [];
let natural = { width: 0, height: 0 };
let scale = 1;

function subline(node) {
  if (node.kind === 'source') return node.built ? `source · ${bytes(node.bytes)}` : 'source · no files';
  if (typeof node.rows === 'number') return `${node.made} · ${node.rows.toLocaleString('en')}`;
  return node.built === false ? `${node.made} · not built` : node.made;
}

function shape(cell) {
  const node = nodes.get(cell.id);
  const sign = testSign(node);
  const broken = node.fault || node.result?.status === 'error';
  const group = svg('a', {
    href: hash(node.id), class: `node ${node.kind} ${node.made}${broken ? ' failed' : ''}`, tabindex: -1,
    transform: `translate(${cell.x} ${cell.y - box.height / 2})`, 'data-id': node.id,
  },
  svg('title', {}, `${node.name} (${subline(node)})`),
  svg('rect', { class: 'box', width: box.width, height: box.height, rx: 8 }),
  svg('rect', { class: 'bar', x: 6, y: 8, width: 3, height: box.height - 16, rx: 1.5 }),
  svg('text', { x: 18, y: 18 }, clip(node.name, letters)),
  svg('text', { x: 18, y: 35, class: 'sub' }, subline(node)));
  if (sign) {
    const place = { x: box.width - 10, y: 35, 'text-anchor': 'end', class: `sub ${sign.tone}` };
    group.append(svg('text', place, sign.text));
  }
  Object.assign(cell, { group });
  shapes.set(node.id, cell);
  return group;
}

function draw() {
  if (!drawn.length) return;
  const ids = drawn.map((node) => node.id);
  const plan = layout(ids, (id) => kin(id, 'parents'), (id) => kin(id, 'children'), box);
  natural = plan;
  const edges = plan.edges.map((edge) => {
    const path = svg('path', { class: 'edge', d: edge.path });
    lines.push({ ...edge, path });
    return path;
  });
  $('scroll').replaceChildren(svg('svg', { viewBox: `0 0 ${plan.width} ${plan.height}`, role: 'group' },
    ...edges, ...plan.cells.map(shape)));
  shapes.get(ids[0]).group.setAttribute('tabindex', 0);
  zoom(fitting());
}

// As large as the page is wide, but never too small to read.
const fitting = () => Math.min(1, Math.max(0.8, ($('scroll').clientWidth - 24) / natural.width));

function zoom(to) {
  scale = Math.min(2, Math.max(0.25, to));
  const graph = $('scroll').firstElementChild;
  graph?.setAttribute('width', natural.width * scale);
  graph?.setAttribute('height', natural.height * scale);
}

// The nearest node in the direction of an arrow key.
function neighbour(id, key) {
  const here = shapes.get(id);
  const sideways = { ArrowLeft: 'parents', ArrowRight: 'children' }[key];
  const near = (a, b) => Math.abs(a.y - here.y) - Math.abs(b.y - here.y);
  if (sideways) return kin(id, sideways).map((other) => shapes.get(other)).sort(near)[0];
  const side = key === 'ArrowUp' ? -1 : 1;
  return [...shapes.values()].filter((cell) => cell.layer === here.layer && (cell.y - here.y) * side > 0).sort(near)[0];
}

function rove(cell) {
  for (const other of shapes.values()) other.group.setAttribute('tabindex', other === cell ? 0 : -1);
}

/* ---- selector ---- */

// `*` and `?` are wild, all else is itself.
function glob(text) {
  const literal = text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal.replace(/\\\*/g, '.*').replace(/\\\?/g, '.')}$`, 'i');
}
const inFolders = (fqn, value) => [0, 1].some((from) =>
  value.split('.').every((part, i) => glob(part).test(fqn[from + i] ?? '')));
const METHODS = {
  fqn: (node, value) => glob(value).test(node.name) || inFolders(node.fqn, value),
  tag: (node, value) => node.tags.some((tag) => glob(value).test(tag)),
  path: (node, value) => glob(value).test(node.file) || node.file.startsWith(`${value.replace(/\/$/, '')}/`),
  file: (node, value) => glob(value).test(node.file.split('/').pop()),
  source: (node, value) => node.kind === 'source'
    && [node.name, node.name.split('.')[0]].some((name) => glob(value).test(name)),
  resource_type: (node, value) => node.kind === value,
  'config.materialized': (node, value) => node.made === value,
};

function reach(ids, way, steps) {
  const found = new Set(ids);
  let edge = [...ids];
  for (let step = 0; step < steps && edge.length; step++) {
    edge = edge.flatMap((id) => kin(id, way)).filter((id) => !found.has(id) && found.add(id));
  }
  return found;
}

function criterion(text) {
  const [, family, before, value, after] = /^(@)?(?:(\d*)\+)?(.+?)(?:\+(\d*))?$/.exec(text) ?? [];
  if (!value) throw new Error(`can't read ${text}`);
  const colon = value.indexOf(':');
  const method = colon > 0 ? value.slice(0, colon) : /[/]/.test(value) ? 'path' : 'fqn';
  if (!METHODS[method]) throw new Error(`unknown method ${method}:`);
  const base = drawn.filter((node) => METHODS[method](node, value.slice(colon + 1))).map((node) => node.id);
  const found = new Set(base);
  const steps = (number) => (number === '' ? Infinity : Number(number));
  if (before !== undefined) reach(base, 'parents', steps(before)).forEach((id) => found.add(id));
  if (after !== undefined) reach(base, 'children', steps(after)).forEach((id) => found.add(id));
  return family ? reach(reach(base, 'children', Infinity), 'parents', Infinity) : found;
}

// Space: any of them; comma: all of them.
function chosen(text) {
  const any = text.trim().split(/\s+/).map((part) => part.split(',').filter(Boolean).map(criterion)
    .reduce((all, one) => new Set([...all].filter((id) => one.has(id)))));
  return new Set(any.flatMap((set) => [...set]));
}

function applySelector() {
  const text = $('select').value;
  let ids = null;
  let words = count(drawn.length, 'node');
  let wrong = false;
  try {
    if (text.trim()) {
      ids = chosen(text);
      wrong = !ids.size;
      words = wrong ? 'matches nothing' : `${ids.size} of ${drawn.length}`;
    }
  } catch (error) {
    [words, wrong] = [error instanceof TypeError ? `can't read ${text}` : error.message, true];
  }
  $('count').textContent = words;
  $('count').classList.toggle('bad', wrong);
  const outside = (id) => Boolean(ids?.size) && !ids.has(id);
  for (const [id, { group }] of shapes) group.classList.toggle('dim', outside(id));
  for (const line of lines) line.path.classList.toggle('dim', outside(line.from) || outside(line.to));
}
