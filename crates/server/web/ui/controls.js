// The bar of controls of a report, its filters, and the line that says what its numbers mean.
import { html, useLayoutEffect, useRef, useState } from "../h.js";
import { link, readFilters, set, toggleFilter, writeFilters } from "../store.js";
import { useAnswer } from "../api.js";
import { ago, count, dated, day, failedTests, longDay, moment, plural } from "../format.js";
import { Dialog, Menu, Word } from "./menu.js";
import { copy } from "./toast.js";
import { Skeleton } from "./state.js";

const PERIODS = [["14", "14d", "W"], ["28", "28d", "F"], ["90", "90d", "N"]];

/** From this age on the last event says how old it is. */
const STALE_MS = 3600e3;

/** What can be filtered by, in the order of the dialog. */
export const FILTERS = ["channel", "source", "medium", "campaign", "country", "device"];

function FilterDialog({ dims, onClose }) {
  const [dim, pick] = useState(dims[0]), [q, type] = useState("");
  const answer = useAnswer(`/filters/${dim}?q=${encodeURIComponent(q)}`);
  const values = answer.body?.data?.rows ?? [];
  const add = (value, out) => { set({ f: toggleFilter(new URLSearchParams(location.search).get("f") ?? "", dim, value, out) }); onClose(); };
  return html`<${Dialog} title="Add a filter" onClose=${onClose}><div class="stack">
    <div class="row"><label class="hidden" for="filter-dim">Dimension</label><select id="filter-dim" class="field" value=${dim} onChange=${(e) => pick(e.target.value)}>${dims.map((name) => html`<option value=${name}>${name}</option>`)}</select>
      <input class="field" aria-label="Value to look for" placeholder="find a value" value=${q} onInput=${(e) => type(e.target.value)} /></div>
    ${!answer.body ? html`<${Skeleton} size="h140" />` : html`<div class="scroll" tabindex="0" role="group" aria-label="Values"><table><tbody>
      ${values.slice(0, 40).map((item) => { const value = item.value ?? item; return html`<tr key=${value}><th scope="row"><bdi class="cut">${value}</bdi></th>
        <td class="num muted">${item.touches != null ? plural(item.touches, "touch") : ""}</td>
        <td class="num"><button type="button" class="btn plain" onClick=${() => add(value, false)}>only</button><button type="button" class="btn plain" onClick=${() => add(value, true)}>without</button></td></tr>`; })}
    </tbody></table></div>${!values.length && html`<p class="muted">No value like that.</p>`}`}</div><//>`;
}

function Chip({ filter, f }) {
  const [text, edit] = useState(null), field = useRef(null), open = useRef(false), editing = text !== null;
  const { dim, values, out } = filter;
  useLayoutEffect(() => { if (editing) field.current.focus(); }, [editing]);
  const write = (text) => {
    if (editing && !open.current) return; // a field that goes away also says that it lost the focus
    open.current = false;
    edit(null);
    const others = readFilters(f).filter((other) => !(other.dim === dim && other.out === out));
    set({ f: writeFilters([...others, { dim, out, values: text.split("|").map((value) => value.trim()).filter(Boolean) }]) });
  };
  if (editing) {
    return html`<input class="field" aria-label="Values of ${dim}, parted by |" value=${text} ref=${field} onInput=${(e) => edit(e.target.value)}
      onBlur=${(e) => write(e.target.value)} onKeyDown=${(e) => { if (e.key === "Enter") write(e.target.value); if (e.key === "Escape") { e.stopPropagation(); open.current = false; edit(null); } }} />`;
  }
  return html`<span class="chip ${out ? "out" : ""}"><button type="button" class="words" title="Edit" onClick=${() => { open.current = true; edit(values.join("|")); }}>${dim} ${out ? "is not" : "is"} <b><bdi>${values.join(" or ")}</bdi></b></button>
    <button type="button" class="drop" aria-label="Remove filter ${dim}" onClick=${() => write("")}>✕</button></span>`;
}

/** Any days, first and last included. */
function PeriodDialog({ definition, onClose }) {
  const [from, setFrom] = useState(definition?.from ?? ""), [to, setTo] = useState(definition?.to ?? "");
  const good = from && to && from <= to;
  return html`<${Dialog} title="Choose days" onClose=${onClose}><form class="row" onSubmit=${(e) => { e.preventDefault(); if (good) { set({ d: `${from}..${to}` }); onClose(); } }}>
    <label>from <input class="field" type="date" value=${from} max=${to} onInput=${(e) => setFrom(e.target.value)} /></label><label>to <input class="field" type="date" value=${to} min=${from} onInput=${(e) => setTo(e.target.value)} /></label>
    <button class="btn" type="submit" disabled=${!good}>Show</button></form><//>`;
}

const share = (meta) => [
  { label: "Copy live link", hint: "moves with the data", run: () => copy(location.href, "Link copied") },
  meta?.snapshot_id && { label: "Copy pinned link", hint: "these numbers", run: () => {
    const url = new URL(location.href);
    url.searchParams.set("snap", meta.snapshot_id);
    copy(url.href, "Link to this snapshot copied");
  } },
  { label: "Print", run: () => print() },
];

/** Key event, period, comparison, filters, share. `compare`: whether the page compares periods at all. */
export function Controls({ state, meta, events = [], currencies = [], compare = true }) {
  const [adding, add] = useState(false), [choosing, choose] = useState(false);
  const custom = !PERIODS.some(([value]) => value === state.d);
  const filters = readFilters(state.f), money = currencies.filter(({ currency }) => currency);
  return html`<div class="controls no-print">
      ${events.length > 1 && html`<select class="field" aria-label="Key event" value=${meta?.definition?.conversion ?? ""} onChange=${(e) => set({ conv: e.target.value })}>${events.map(({ name }) => html`<option value=${name}>${name}</option>`)}</select>`}
      ${money.length > 1 && html`<select class="field" aria-label="Currency" value=${meta?.definition?.currency ?? ""} onChange=${(e) => set({ cur: e.target.value })}>${money.map(({ currency }) => html`<option value=${currency}>${currency}</option>`)}</select>`}
      <span class="segments" role="group" aria-label="Period">${PERIODS.map(([value, text, key]) => html`<a href=${link(location.pathname, { ...state, d: value })} aria-current=${state.d === value ? "true" : undefined} title="${value} days (${key})">${text}</a>`)}
        <button type="button" aria-current=${custom ? "true" : undefined} title="Any days" aria-label="Choose days" onClick=${() => choose(true)}>${!custom ? "…" : state.d.includes("..") ? state.d.split("..").map(day).join(" – ") : `${state.d}d`}</button></span>
      ${compare && html`<select class="field" aria-label="Comparison" value=${state.cmp === "none" ? "none" : state.dow === "1" ? "dow" : "prev"}
          onChange=${(e) => set({ cmp: e.target.value === "none" ? "none" : "prev", dow: e.target.value === "prev" ? "0" : "1" })}>
        <option value="dow">vs previous, same weekdays</option><option value="prev">vs previous period</option><option value="none">no comparison</option></select>`}
      <button type="button" class="btn" onClick=${() => add(true)}>+ Filter</button>
      <${Menu} label="Share" text="Share" plain=${false} items=${share(meta)} />
      ${choosing && html`<${PeriodDialog} definition=${meta?.definition} onClose=${() => choose(false)} />`}
      ${adding && html`<${FilterDialog} dims=${FILTERS} onClose=${() => add(false)} />`}
    </div>
    ${filters.length > 0 && html`<div class="chips">${filters.map((filter) => html`<${Chip} key="${filter.dim}${filter.out}" filter=${filter} f=${state.f} />`)}</div>`}`;
}

/** What the numbers of this page mean; each word explains itself. */
export function Definition({ meta, models = true }) {
  const d = meta?.definition;
  if (!d) return html`<p class="definition"><span>…</span></p>`;
  const tests = meta.tests, failed = failedTests(tests), warned = tests?.warn ?? 0, passed = tests?.pass ?? 0, zone = d.timezone;
  return html`<p class="definition">
    ${models && html`<span><${Word} text=${d.model_text ?? "Last non-direct click"}>${d.direct}. Each conversion is divided whole under each attribution model; <a href="/settings">Settings</a> says how. Filtered figures are counted under this attribution model.<//></span>`}
    <span><${Word} text=${`${d.lookback_days}-day lookback`}>A touch counts when it is at most ${d.lookback_days} days older than the conversion, to the microsecond. Conversions whose window starts before the first loaded day cannot show their true first touch: models of the first touch leave them out, and say how many.<//></span>
    <span><${Word} text=${d.conversion ?? "no key event"}>The key event that is credited. Each conversion is credited once under each attribution model; key events are never added up.<//></span>
    ${d.currency && html`<span><${Word} text=${d.currency}>Revenue is shown in one currency; others are never added at 1:1. Conversions in other currencies count as conversions; their money is not shown here.<//></span>`}
    <span><${Word} text=${zone}>Days begin and end in this time zone; windows are measured in UTC.<//></span>
    ${d.from && html`<span><${Word} text=${`${d.from.slice(0, 4) === d.to.slice(0, 4) ? day(d.from) : dated(d.from)} – ${dated(d.to)}`}>The period of this page, both days included: ${longDay(d.from)} to ${longDay(d.to)}.<//></span>`}
    <span title=${meta.as_of}><${Word} text=${`as of ${moment(meta.as_of, zone)}${Date.now() - Date.parse(meta.as_of) > STALE_MS ? `, ${ago(meta.as_of)}` : ""}`}>The time of the last event in these tables. All numbers of this page come from one snapshot, ${meta.snapshot_id}. ${meta.partial_day ? `${longDay(meta.partial_day)} is not over yet: it is hatched, and compared with the same hours.` : ""}<//></span>
    <span class=${failed ? "bad" : warned ? "warn" : ""}><${Word} text=${!tests ? "tests not run yet" : failed ? `✗ ${plural(failed, "test")} failed` : warned ? `⚠ ${plural(warned, "test")} warn${warned === 1 ? "s" : ""}` : `✓ ${plural(passed, "test")}`}>
      ${tests ? `${count(passed)} data tests held, ${count(warned)} warned, ${count(failed)} failed in the last run. ` : "No data test ran since these tables were built. "}<a href="/health">See Health</a>.<//></span>
  </p>`;
}
