// Credit by a dimension, as the overview and the models page get it: the columns of its table.
import { html } from "../h.js";
import { link, modelsOf, set, toggleFilter } from "../store.js";
import * as f from "../format.js";
import { bar } from "../charts/bar.js";
import { channelClass } from "../charts/color.js";
import { Fading } from "../ui/table.js";
import { shown } from "./report.js";

const Dot = () => html`<svg width="10" height="10" aria-hidden="true"><circle class="dot-first" cx="5" cy="5" r="4.5" /></svg>`;
const Diamond = () => html`<svg width="11" height="11" aria-hidden="true"><path class="dot-last" d="M5.5 0 11 5.5 5.5 11 0 5.5z" /></svg>`;

/** First ● and last ◆ with their names; on paper only where they can be picked on screen. */
export const Legend = ({ first, last, meta }) => html`<span class="legend ${(meta?.definition?.models_known ?? []).length < 2 ? "" : "only-print"}"><span><${Dot} />${f.modelName(first)}</span>${last !== first && html`<span><${Diamond} />${f.modelName(last)}</span>`}</span>`;
export { Diamond, Dot };

/** The two attribution models of a page, each to be picked from those that the tables hold. Picking the other one swaps them. */
export function ModelPick({ state, meta, only = null }) {
  const known = meta?.definition?.models_known ?? [], picked = modelsOf(state, meta), first = picked[0], last = picked[picked.length - 1];
  if (known.length < 2) return null;
  const pick = (side, name) => {
    const [a, b] = side === "first" ? [name, name === last ? first : last] : [name === first && !only ? last : first, name];
    set({ m: a === b ? a : `${a},${b}` });
  };
  const one = (side, value, label, mark) => html`<label class="pick"><span class="hidden">${label}</span>${mark}<select class="field slim" aria-label=${label} value=${value} onChange=${(e) => pick(side, e.target.value)}>${known.map(({ name }) => html`<option key=${name} value=${name} selected=${name === value}>${f.modelName(name)}</option>`)}</select></label>`;
  if (only) return one("last", last, only, html`<${Diamond} />`);
  return html`<span class="picks">${one("first", first, "First attribution model", html`<${Dot} />`)}${one("last", last, "Second attribution model", html`<${Diamond} />`)}</span>`;
}

/** Rows of the table: names, and what is beyond them. */
export function rowsOf(credit) {
  if (!credit) return [];
  const other = credit.other && { name: `${f.count(credit.other.names)} more`, values: credit.other.values, other: true };
  return [...credit.rows, ...(other ? [other] : [])];
}

/** Reads the page's figure of a row under an attribution model, as sent. */
export const figure = (row, model, v) => row.values?.[model]?.[v === "rev" ? "revenue" : "conversions"] ?? "0";

/** A name that filters when it is clicked; Alt excludes. */
export const Name = ({ row, by, state }) => (row.other ? html`<span class="muted">${row.name}</span>`
  : html`<button type="button" class="namebtn" title="${row.name}: click to filter, Alt-click to exclude" onClick=${(e) => set({ f: toggleFilter(state.f, by, row.name, e.altKey) })}>
    <span class="swatch-dot ${by === "channel" ? channelClass(row.name) : "ch-other"}"></span><bdi class="cut">${row.name}</bdi></button>`);

/** Columns: the name, one for each attribution model, the shift from `first` to `last`. `bars`: with a bar beside each number. */
export function creditColumns({ credit, state, currency, first, last, bars = false }) {
  const total = { values: credit?.total ?? {} }, rows = rowsOf(credit), by = credit?.by ?? state.by, models = credit?.models ?? [];
  const of = (row, m) => Number(figure(row, m, state.v));
  const all = rows.filter((row) => !row.other).flatMap((row) => models.map((m) => of(row, m)));
  const most = Math.max(1e-9, ...all), least = Math.min(0, ...all);
  const writing = (m) => (state.v === "rev" ? (value) => shown(value, "rev", currency) : f.counting([...rows, total].map((row) => figure(row, m, state.v))));
  const side = (m, show = writing(m)) => ({
    id: m, label: f.modelName(m), num: true, className: bars ? "bars" : "", value: (row) => figure(row, m, state.v),
    show: (row, foot) => {
      const sum = of(total, m), share = html`<span class="share muted">${sum ? f.percent(of(row, m) / sum, 0) : ""}</span>`;
      const text = show(figure(row, m, state.v)), plain = foot || row.other;
      const inside = html`<${Fading} value=${figure(row, m, state.v)}>${text}<//>`;
      const cell = plain ? html`<span class="figure-num">${inside}</span>` : html`<a class="cell-link figure-num" href=${link("/conversions", { m, by, f: toggleFilter(state.f, by, row.name) })}>${inside}</a>`;
      return html`<span class="barcell" data-cell="${foot ? "total" : row.name}|${m}" data-exact=${figure(row, m, state.v)}>${bars && !foot && html`<span class="only-wide">${bar({ value: of(row, m), low: least, high: most, width: 220, className: m === first ? "first" : m === last ? "last" : "" })}</span>`}${cell}${foot && credit?.left_out?.[m] && html`<small class="muted" data-left=${m} title="Their lookback windows start before the first loaded day">+ ${show(figure({ values: credit.left_out }, m, state.v))} left out</small>`}${bars && share}</span>`;
    },
  });
  return [
    { id: "name", label: f.capital(by), fixed: true, value: (row) => row.name, show: (row, foot) => (foot ? html`Σ all ${f.plural(2, by).slice(2)}` : html`<${Name} row=${row} by=${by} state=${state} />`) },
    ...models.map((m) => side(m)),
    ...(first !== last ? [{
      id: "shift", label: models.length > 2 ? `${f.modelName(first)} → ${f.modelName(last).toLowerCase()}` : "Shift", num: true, value: (row) => of(row, last) - of(row, first),
      show: (row, foot) => {
        if (foot) return credit.reconciled === false ? html`<span class="bad">does not reconcile</span>` : html`<span class="good" title="reconciled"><span class="only-roomy">reconciled </span>✓</span>`;
        if (isUneven(credit, first, last)) return html`<span class="muted" title="One of the two leaves conversions out: compare the shares, or count them all the same">–</span>`;
        const moved = f.shift(of(row, first), of(row, last), (value) => (state.v === "rev" ? f.money(value, currency) : f.count(Math.round(value * 100) / 100)));
        return html`<span class=${moved.direction ? "" : "muted"}><span class="muted" aria-hidden="true">${moved.direction > 0 ? "▶ " : moved.direction < 0 ? "◀ " : ""}</span>${moved.text}${moved.share && html`<span class="only-roomy"> (${moved.share})</span>`}</span>`;
      },
    }] : []),
  ];
}

/** Whether one of the two leaves conversions out that the other counts: their numbers are then of different conversions. */
export const isUneven = (credit, first, last) => Boolean(credit?.left_out?.[first]) !== Boolean(credit?.left_out?.[last]);

/** The last row of the table. */
export const totalRow = (credit) => (credit ? { name: "total", values: credit.total } : null);

/** What a panel says when its sums are wrong. */
export const brokenText = (credit) => (credit?.reconciled === false ? "The sums of this panel do not reconcile with the conversions: “Show SQL” has the query." : null);

/** Conversions or revenue. */
export const ValueSwitch = ({ state }) => html`<span class="segments slim" role="group" aria-label="Value"><button type="button" aria-pressed=${state.v === "conv" ? "true" : "false"} onClick=${() => set({ v: "conv" })}>Conversions</button>
  <button type="button" aria-pressed=${state.v === "rev" ? "true" : "false"} onClick=${() => set({ v: "rev" })}>Revenue</button></span>`;
