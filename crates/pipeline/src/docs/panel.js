'use strict';
// The details below the graph, the keys, and the start of it all.

const list = (items) => el('ul', { class: 'plain' }, ...items.map((item) => el('li', {}, ...[item].flat())));
const section = (title, ...content) => [el('h3', {}, title), ...content];
const fact = (value, label) => el('span', {}, label ? `${label} ` : '', el('b', {}, value));

// A test's arguments in one line.
function argumentsOf(test) {
  const plain = (value) => {
    if (Array.isArray(value)) return value.map(plain).join(', ');
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  };
  return Object.entries(test.arguments ?? {}).map(([name, value]) => `${name}: ${plain(value)}`).join('; ');
}

function facts(node) {
  const place = node.line > 1 ? `${node.file}:${node.line}` : node.file;
  return el('p', { class: 'facts' },
    fact(node.made === node.kind || isTest(node) ? node.kind.replace('_', ' ') : `${node.made} ${node.kind}`),
    isTest(node) && node.kind === 'test' ? fact(node.made, node.made === 'singular' ? '' : 'generic') : null,
    node.severity ? fact(node.severity, 'severity') : null,
    el('code', {}, place),
    typeof node.rows === 'number' ? fact(count(node.rows, 'row')) : null,
    typeof node.bytes === 'number' ? fact(bytes(node.bytes)) : null,
    node.built === false && !isTest(node) ? fact(node.kind === 'source' ? 'no files' : 'not built') : null,
    node.result || isTest(node) ? mark(node) : null,
    ...node.tags.map((tag) => el('span', { class: 'tag' }, `tag:${tag}`)));
}

// Links to other nodes under a term.
function relatives(node) {
  const row = (term, ids) => (ids.length
    ? [el('dt', {}, term), el('dd', {}, ...ids.map((id) => link(id)))] : []);
  const tested = node.tested && nodes.has(node.tested) ? [node.tested] : [];
  const parents = node.parents.filter((id) => !tested.includes(id));
  const rows = [...row('Tests', tested), ...row('Reads', parents), ...row('Read by', kin(node.id, 'children'))];
  return rows.length ? el('dl', { class: 'kin' }, ...rows) : null;
}

function testLine(test) {
  const label = test.kind === 'test' && test.made !== 'singular' ? test.made : test.name;
  const words = test.kind === 'unit_test' ? 'unit test' : argumentsOf(test);
  const more = words ? el('span', { class: 'words' }, ` ${clip(words, 90)}`) : null;
  return [mark(test), ' ', link(test.id, label), more];
}

function columnTable(node) {
  if (!node.columns.length) return null;
  const tests = testsOf(node);
  const row = (column) => {
    const own = tests.filter((test) => test.column?.toLowerCase() === column.name.toLowerCase());
    return el('tr', {},
      el('td', { class: 'name' }, el('code', {}, column.name)),
      el('td', { class: 'type', title: column.type }, el('code', {}, clip(column.type ?? '', 160)),
        column.missing ? el('span', { class: 'mark warn' }, '⚠ not in the relation') : null),
      el('td', { class: 'words' }, ...prose(column.description)),
      el('td', {}, own.length ? list(own.map(testLine)) : ''));
  };
  const head = ['Column', 'Type', 'Description', 'Data tests'].map((title) => el('th', { scope: 'col' }, title));
  return el('div', { class: 'wide' }, el('table', {}, el('thead', {}, el('tr', {}, ...head)),
    el('tbody', {}, ...node.columns.map(row))));
}

function otherTests(node) {
  const known = new Set(node.columns.map((column) => column.name.toLowerCase()));
  const rest = testsOf(node).filter((test) => !test.column || !known.has(test.column.toLowerCase()));
  return rest.length ? section('Tests', list(rest.map(testLine))) : [];
}

function code(title, text) {
  if (!text) return null;
  return el('details', { open: '' }, el('summary', {}, title), el('pre', { tabindex: 0 }, el('code', {}, text.trim())));
}

function details(node) {
  const { result } = node;
  const words = result?.message && !['pass', 'success'].includes(result.status) ? result.message : null;
  const at = result?.at?.slice(0, 19).replace('T', ' ');
  const ran = at ? `Last result: ${at} UTC, ${Number(result.seconds ?? 0).toFixed(2)} s` : '';
  const args = argumentsOf(node);
  const table = columnTable(node);
  const sql = [code('SQL as written', node.raw), code('Compiled SQL', node.compiled),
    code('Rows given and expected', node.rows_given)];
  return [
    el('h2', {}, node.name), facts(node),
    node.fault ? el('p', { class: 'fault' }, node.fault) : null,
    words ? el('p', { class: 'text' }, words) : null,
    node.description ? el('p', { class: 'text' }, ...prose(node.description)) : null,
    args ? el('p', { class: 'text' }, args) : null,
    relatives(node),
    ...(table ? section(count(node.columns.length, 'column'), table) : []),
    ...(isTest(node) ? [] : otherTests(node)),
    sql.some(Boolean) ? el('div', { class: 'sql' }, ...sql) : null,
    ran ? el('p', { class: 'facts' }, ran) : null,
  ];
}

// Without a node: what is not well, and what there is; the many tests stay folded.
function overview() {
  const ill = data.nodes.filter((node) => ['bad', 'warn'].includes(markOf(node)[1]) || node.fault);
  const kinds = [['source', 'Sources'], ['seed', 'Seeds'], ['model', 'Models'], ['test', 'Data tests'],
    ['unit_test', 'Unit tests']]
    .map(([kind, title]) => ({ kind, title, all: data.nodes.filter((node) => node.kind === kind) }))
    .filter(({ all }) => all.length);
  const entries = (all) => list(all.map((node) =>
    (node.result || isTest(node) ? [mark(node), ' ', link(node.id)] : link(node.id))));
  const group = ({ title, all }) => (isTest(all[0])
    ? el('details', {}, el('summary', {}, `${title} (${all.length})`), el('div', { class: 'fold' }, entries(all)))
    : el('div', { class: all.length > 8 ? 'long' : null }, el('h3', {}, `${title} (${all.length})`), entries(all)));
  const why = (node) => clip(node.fault ?? node.result?.message ?? '', 140);
  return [
    el('h2', {}, data.project),
    el('p', { class: 'facts' }, fact(data.target, 'target'), fact(data.engine, 'engine')),
    ...(ill.length ? section('Not well', list(ill.map((node) =>
      [mark(node), ' ', link(node.id), el('span', { class: 'words' }, ' ', ...prose(why(node)))]))) : []),
    el('div', { class: 'lists' }, ...kinds.filter(({ all }) => !isTest(all[0])).map(group)),
    ...kinds.filter(({ all }) => isTest(all[0])).map(group),
  ];
}

/* ---- the hash, the keys ---- */

function current() {
  try {
    return nodes.get(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return undefined;
  }
}

// Brings a node that is out of sight, or at its edge, to the middle of the graph's frame.
function reveal(cell) {
  const frame = $('scroll');
  const [around, own] = [frame.getBoundingClientRect(), cell.group.getBoundingClientRect()];
  const margin = 24;
  if (own.left < around.left + margin || own.right > around.right - margin) {
    frame.scrollLeft += (own.left + own.right - around.left - around.right) / 2;
  }
  if (own.top < around.top + margin || own.bottom > around.bottom - margin) {
    frame.scrollTop += (own.top + own.bottom - around.top - around.bottom) / 2;
  }
}

function show() {
  const node = current();
  $('panel').replaceChildren(...(node ? details(node) : overview()).filter(Boolean));
  document.title = `${node ? `${node.name} · ` : ''}${data.project} · Clicktrail docs`;
  const center = node && (shapes.has(node.id) ? node.id : node.tested ?? node.parents[0]);
  for (const [id, cell] of shapes) {
    if (id === node?.id) {
      cell.group.setAttribute('aria-current', 'true');
    } else {
      cell.group.removeAttribute('aria-current');
    }
    if (id === center) {
      rove(cell);
      reveal(cell);
    }
  }
  for (const line of lines) line.path.classList.toggle('near', [line.from, line.to].includes(node?.id));
}

$('scroll').addEventListener('keydown', (event) => {
  const id = event.target.closest?.('.node')?.dataset.id;
  if (!id || !event.key.startsWith('Arrow')) return;
  event.preventDefault();
  const cell = neighbour(id, event.key);
  if (!cell) return;
  rove(cell);
  cell.group.focus({ preventScroll: true });
  reveal(cell);
});
document.addEventListener('keydown', (event) => {
  const typing = event.target === $('select');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $('select').focus();
  } else if (event.key === 'Escape') {
    if (typing) {
      $('select').value = '';
      applySelector();
    } else {
      location.hash = '';
    }
  }
});
$('find').addEventListener('submit', (event) => {
  event.preventDefault();
  const exact = drawn.find((node) => node.name === $('select').value.trim());
  if (exact) location.hash = hash(exact.id);
});
$('select').addEventListener('input', applySelector);
$('skip').addEventListener('click', (event) => {
  event.preventDefault();
  $('panel').focus();
});
$('in').addEventListener('click', () => zoom(scale * 1.2));
$('out').addEventListener('click', () => zoom(scale / 1.2));
$('fit').addEventListener('click', () => zoom(($('scroll').clientWidth - 24) / natural.width));
window.addEventListener('hashchange', () => {
  show();
  $('panel').scrollIntoView({ block: 'nearest' });
});

$('project').textContent = data.project;
$('names').append(...drawn.map((node) => el('option', { value: node.name })));
const generated = data.generated_at.slice(0, 19).replace('T', ' ');
$('footer').textContent = `Generated ${generated} UTC by Clicktrail ${data.version}.`;
draw();
applySelector();
show();
