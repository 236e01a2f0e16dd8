// Can I trust it?
import { html } from "../h.js";
import { useAnswer } from "../api.js";
import { link, set } from "../store.js";
import * as f from "../format.js";
import { live } from "../live.js";
import { Panel } from "../ui/panel.js";
import { Table, grid } from "../ui/table.js";
import { Definition } from "../ui/controls.js";
import { copy } from "../ui/toast.js";
import { Notices, useFollowing } from "./report.js";

const MARKS = { pass: ["good", "✓ held"], warn: ["warn", "⚠ warns"], fail: ["bad", "✗ failed"], error: ["bad", "✗ error"], skipped: ["", "skipped"], skip: ["", "skipped"], success: ["good", "✓ done"] };
export const Mark = ({ status }) => { const [tone, text] = MARKS[status] ?? ["", status ?? "not run"]; return html`<span class="badge ${tone}">${text}</span>`; };
const RANK = { error: 0, fail: 1, warn: 2, skip: 3, skipped: 3, pass: 4 };

/** Runs of days that are missing between two days with events, as rows of their own. */
function withHoles(days) {
  return days.flatMap((d, i) => {
    const next = days[i - 1], missing = next ? Math.round((Date.parse(next.date) - Date.parse(d.date)) / 86400e3) - 1 : 0;
    return missing > 0 ? [{ date: `after ${d.date}`, hole: missing, sessions: 0, conversions: 0 }, d] : [d];
  });
}

/** Where a figure that changed stands: names in the order of the table, without words that say nothing. */
function placeOf(dimensions, conversion) {
  let read = dimensions;
  try { read = typeof dimensions === "string" ? JSON.parse(dimensions) : dimensions ?? {}; } catch { return { model: "", name: String(dimensions) }; }
  const { attribution_model: model = "", ...names } = read;
  return { model: model && f.modelName(model), name: Object.values(names).filter((v) => v != null && v !== "" && v !== conversion).join(" / ") };
}

/** A changed figure as it is read: credit in conversions, no zeros that say nothing. */
const changed = (measure, value) => (value == null ? "–" : f.count(measure === "credit_micros" ? Number(value) / 1e6 : Number(value)));
const MOVES_SHOWN = 8;

const none = (text) => html`<p class="padded muted">${text}</p>`;
// Of tests that hold, or were skipped because something before them failed.
const REST_SHOWN = 8;

function Summary({ data, zone }) {
  const counts = data.tests?.counts ?? {}, failed = f.failedTests(counts), all = Object.values(counts).reduce((a, b) => a + b, 0), stream = { ...data.stream }, last = stream.last_event_at;
  // The stream tells its counters each second; what the page was told may be older.
  stream.late = live.agg?.late ?? stream.late;
  stream.duplicates = live.agg?.duplicate ?? stream.duplicates;
  return html`<div class="kpis four"><div class="kpi" data-kpi="tests"><span class="label">Data tests</span><span class="big ${failed ? "bad" : counts.warn ? "warn" : all ? "good" : ""}">${failed ? `${failed} failed` : counts.warn ? `${counts.warn} warn` : all ? "all held" : "not run yet"}</span><span class="small muted">${all ? `${counts.pass ?? 0} of ${all} held${counts.skipped ? `, ${counts.skipped} skipped` : ""}${data.tests.at ? `, ${f.moment(data.tests.at, zone)}` : ""}` : "clicktrail test"}</span></div>
    <div class="kpi"><span class="label">Last event</span><span class="big ${stream.stopped ? "warn" : ""}">${last ? f.ago(last) : "–"}</span><span class="small muted">${!last ? "no events yet" : stream.stopped ? "⚠ the stream stopped: nothing for five minutes" : stream.lag_seconds > 5 ? `tables are ${f.span(stream.lag_seconds)} behind` : data.ready ? "tables are up to date" : data.phase}</span></div>
    <div class="kpi"><span class="label">Duplicates · late</span><span class="big">${f.count(stream.duplicates ?? 0)} · ${f.count(stream.late ?? 0)}</span><span class="small muted">counted once · placed where they belong</span></div>
    <div class="kpi"><span class="label">Rejected</span><span class="big ${data.dead_letters?.total ? "warn" : ""}">${f.count(data.dead_letters?.total ?? 0)}</span><span class="small muted">${stream.mismatches ? html`<b class="bad">⚠ ${f.plural(stream.mismatches, "mismatch")} of live and batch</b>` : "kept as dead letters"}</span></div></div>`;
}

/** A figure between its least and greatest of the week before. */
function Band({ value, low, high, most }) {
  const x = (v) => (Number(v) / most) * 140;
  return html`<svg class="chart bandline" width="140" height="14" viewBox="0 0 140 14" aria-hidden="true"><line x1="0" x2="140" y1="7" y2="7" class="grid" />${low != null && html`<rect x=${x(low)} width=${Math.max(2, x(high) - x(low))} y="3" height="8" rx="2" class="usual" />`}<circle cx=${x(value)} cy="7" r="3.5" class="dot" /></svg>`;
}

export function Health({ state }) {
  const answer = useAnswer("/health");
  const { data, meta } = answer.body ?? {}, zone = meta?.definition?.timezone;
  useFollowing(answer, state);
  const tests = [...(data?.tests?.rows ?? [])].sort((a, b) => (RANK[a.status] ?? 3) - (RANK[b.status] ?? 3) || (a.name < b.name ? -1 : 1));
  const bad = tests.filter((t) => RANK[t.status] < RANK.skip), rest = tests.slice(bad.length);
  const columns = [
    { id: "name", label: "Data test", fixed: true, value: (t) => t.name, show: (t) => html`<bdi class="cut code wide long" title=${t.description || t.name}>${t.name}</bdi>` },
    { id: "node", label: "Model", value: (t) => (t.nodes ?? []).join(", "), show: (t) => (t.nodes ?? []).map((n, i) => html`${i ? ", " : ""}<a class="code" href=${link("/lineage", { node: n })}>${n}</a>`) },
    { id: "severity", label: "Severity", value: (t) => t.severity }, { id: "status", label: "Result", value: (t) => t.status, show: (t) => html`<${Mark} status=${t.status} />` },
    { id: "failures", label: "Rows", num: true, value: (t) => t.failures, show: (t) => (t.failures ? f.count(t.failures) : "–") },
    { id: "look", label: "Look", unsorted: true, value: (t) => t.command ?? "", show: (t) => (t.status === "pass" ? "" : html`<button type="button" class="btn plain slim" onClick=${() => copy(t.command, "Command copied")}>copy command</button>`) },
  ];
  const days = withHoles([...(data?.days ?? [])].reverse()), most = Math.max(1, ...days.flatMap((d) => [Number(d.sessions), Number(d.high ?? 0)]));
  const dayColumns = [{ id: "day", label: "Day", fixed: true, value: (d) => d.date, show: (d) => (d.hole ? html`<span class="nowrap warn">${f.plural(d.hole, "day")} missing</span>` : html`<span class="nowrap">${f.longDay(d.date).slice(0, -5)}</span>`) }, { id: "sessions", label: "Sessions", num: true, value: (d) => d.sessions, show: (d) => (d.hole ? "–" : html`<span data-cell="${d.date}|sessions" data-exact=${d.sessions}>${f.count(d.sessions)}</span>`) },
    { id: "line", label: "Against usual", value: () => "", show: (d) => !d.hole && html`<${Band} value=${d.sessions} low=${d.low} high=${d.high} most=${most} />` }, { id: "band", label: "Usual", num: true, value: (d) => (d.low == null ? "" : `${d.low} to ${d.high}`), show: (d) => (d.low == null ? "–" : `${f.count(d.low)} – ${f.count(d.high)}`) },
    { id: "conversions", label: "Conversions", num: true, value: (d) => d.conversions, show: (d) => (d.hole ? "–" : f.count(d.conversions)) }, { id: "mark", label: "State", value: (d) => (d.partial ? "not over yet" : d.usual === false ? "unusual" : ""), show: (d) => (d.hole ? html`<span class="badge warn">no events</span>` : d.partial ? html`<span class="badge">not over yet</span>` : d.usual === false ? html`<span class="badge warn">unusual</span>` : "") }];
  const tables = data?.tables ?? [];
  const tableColumns = [{ id: "table", label: "Table", fixed: true, value: (t) => t.name, show: (t) => html`<a class="code" href=${link("/lineage", { node: t.name })}>${t.name}</a>` }, { id: "rows", label: "Rows", num: true, value: (t) => t.rows ?? "", show: (t) => html`<span data-cell="${t.name}|rows" data-exact=${t.rows}>${f.count(t.rows)}</span>` }, { id: "live", label: "Follows the stream", value: (t) => (t.live ? "yes" : "no"), show: (t) => (t.live ? html`<span class="badge good">live</span>` : html`<span class="badge" title=${t.why_not_live ?? ""}>at builds</span>`) }];
  const letters = data?.dead_letters?.last ?? [], moves = data?.restatements?.last ?? [], runs = data?.runs ?? [], fresh = data?.freshness ?? [];
  const cut = (value, className = "") => html`<bdi class="cut ${className}" title=${value ?? ""}>${value ?? "–"}</bdi>`;
  const letterColumns = [{ id: "at", label: "When", fixed: true, value: (d) => d.received_at, show: (d) => html`<span class="nowrap">${f.moment(d.received_at, zone)}</span>` }, { id: "reason", label: "Reason", value: (d) => d.reason, show: (d) => cut(d.reason) }, { id: "detail", label: "Detail", value: (d) => d.detail, show: (d) => cut(d.detail) }, { id: "raw", label: "As it came", value: (d) => d.raw, show: (d) => cut(d.raw, "code") }];
  const moveColumns = [{ id: "day", label: "Day", fixed: true, value: (r) => r.date, show: (r) => html`<span class="nowrap">${f.dated(r.date)}</span>` }, { id: "of", label: "Of", value: (r) => r.dimensions, show: (r) => cut(placeOf(r.dimensions, meta?.definition?.conversion).name || "all", "wide") }, { id: "model", label: "Attribution model", value: (r) => placeOf(r.dimensions).model, show: (r) => html`<span class="nowrap">${placeOf(r.dimensions).model || "–"}</span>` }, { id: "what", label: "Figure", value: (r) => r.measure, show: (r) => (r.measure === "credit_micros" ? "credit" : r.measure) },
    { id: "from", label: "Was", num: true, value: (r) => r.from, show: (r) => changed(r.measure, r.from) }, { id: "to", label: "Is", num: true, value: (r) => r.to, show: (r) => changed(r.measure, r.to) }, { id: "cause", label: "Because", value: (r) => r.cause, show: (r) => cut(r.cause) }, { id: "at", label: "Changed", value: (r) => r.at, show: (r) => html`<span class="nowrap">${f.moment(r.at, zone)}</span>` }];
  const runColumns = [{ id: "at", label: "Started", fixed: true, value: (r) => r.at, show: (r) => f.moment(r.at, zone) }, { id: "command", label: "Command", value: (r) => r.command, show: (r) => html`<code>clicktrail ${r.command}</code>` }, { id: "result", label: "Result", value: (r) => r.errors, show: (r) => html`<${Mark} status=${r.errors ? "fail" : "success"} />` }, { id: "nodes", label: "Nodes", num: true, value: (r) => r.nodes }, { id: "s", label: "Took", num: true, value: (r) => r.seconds, show: (r) => (r.seconds == null ? "–" : `${Number(r.seconds).toFixed(1)} s`) }];
  const freshColumns = [{ id: "source", label: "Source", fixed: true, value: (s) => s.source, show: (s) => html`<code>${s.source}</code>` }, { id: "age", label: "Newest row", className: "prose", value: (s) => s.message, show: (s) => s.message || "–" }, { id: "status", label: "Result", value: (s) => s.status, show: (s) => html`<${Mark} status=${s.status} />` }];
  return html`<div class="head"><h1>Health</h1></div><${Definition} meta=${meta} models=${false} /><${Notices} answer=${answer} state=${state} meta=${meta} />
    ${data && html`<${Summary} data=${data} zone=${zone} />`}
    <${Panel} title="Data tests" name="health-tests" flush answer=${answer} size="h320" sub="what does not hold comes first" cli="clicktrail test" rows=${() => grid(columns, tests)}>
      ${tests.length ? html`<${Table} columns=${columns} rows=${state.sort || state.q === "all" ? tests : [...bad, ...rest.slice(0, REST_SHOWN)]} label="Data tests" sort=${state.sort} rowKey=${(t) => t.unique_id ?? t.name} />
        ${rest.length > REST_SHOWN && !state.sort && state.q !== "all" ? html`<p class="foot"><button type="button" class="btn" onClick=${() => set({ q: "all" })}>Show all ${tests.length}</button></p>` : ""}` : none("No data test ran yet: clicktrail test")}<//>
    <div class="grid"><${Panel} title="Days" name="health-days" className="w7" flush answer=${answer} sub="against the seven days before each" rows=${() => grid(dayColumns, days)}>${days.length ? html`<${Table} columns=${dayColumns} rows=${days.slice(0, 14)} label="Days" sortable=${false} rowKey=${(d) => d.date} />` : none("No day has events yet.")}<//>
      <${Panel} title="Tables" name="health-tables" className="w5" flush answer=${answer} rows=${() => grid(tableColumns, tables)}>${tables.length ? html`<${Table} columns=${tableColumns} rows=${tables} label="Tables" sortable=${false} rowKey=${(t) => t.name} />` : none("No tables yet: clicktrail build")}<//></div>
    <div class="grid"><${Panel} title="Rejected events" name="health-rejected" className="w6" flush answer=${answer} sub=${data?.dead_letters?.total ? f.count(data.dead_letters.total) : ""} sqlId=${data?.dead_letters?.sql_id} cli="clicktrail query 'select * from events_dead_letter'" rows=${() => grid(letterColumns, letters)}>${letters.length ? html`<${Table} columns=${letterColumns} rows=${letters} label="Rejected events" sortable=${false} />` : none("Nothing was rejected.")}<//>
      <${Panel} title="Source freshness" name="health-freshness" className="w6" flush answer=${answer} cli="clicktrail source freshness" rows=${() => grid(freshColumns, fresh)}>${fresh.length ? html`<${Table} columns=${freshColumns} rows=${fresh} label="Source freshness" sortable=${false} />` : none("No source says how fresh it has to be.")}<//></div>
    <${Panel} title="Restated figures" name="health-restated" flush answer=${answer} sub=${data?.restatements?.total ? `${f.plural(data.restatements.total, "change")} of published days` : ""} cli="clicktrail query 'select * from restatements'" rows=${() => grid(moveColumns, moves)}>${moves.length ? html`<${Table} columns=${moveColumns} rows=${moves.slice(0, MOVES_SHOWN)} label="Restated figures" sortable=${false} />${data.restatements.total > MOVES_SHOWN ? html`<p class="foot">The last ${MOVES_SHOWN} of ${f.count(data.restatements.total)}. All: <code>clicktrail query 'select * from restatements'</code></p>` : ""}` : none("No figure of a past day has changed.")}<//>
    <${Panel} title="Last runs" name="health-runs" flush answer=${answer} rows=${() => grid(runColumns, runs)}>${runs.length ? html`<${Table} columns=${runColumns} rows=${runs} label="Last runs" sortable=${false} />` : none("No run is recorded.")}<//>`;
}
