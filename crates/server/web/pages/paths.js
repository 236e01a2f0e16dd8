// How do people arrive?
import { html } from "../h.js";
import { useAnswer } from "../api.js";
import { SHARED, link, set, writeQuery } from "../store.js";
import * as f from "../format.js";
import { columns as bars } from "../charts/bar.js";
import { channelClass } from "../charts/color.js";
import { sankey } from "../charts/sankey.js";
import { Controls, Definition } from "../ui/controls.js";
import { Panel, Wide } from "../ui/panel.js";
import { Empty } from "../ui/state.js";
import { Table, grid } from "../ui/table.js";
import { Notices, stampOf, useFollowing } from "./report.js";
import { ModelPick } from "./credit.js";

/** Steps of a path as chips; long ones are cut in the middle. */
export function Steps({ steps }) {
  if (!steps.length) return html`<span class="muted">no touch</span>`;
  const many = steps.length > 6;
  const shown = many ? [...steps.slice(0, 3), null, ...steps.slice(-2)] : steps;
  return html`<span class="steps" title=${steps.join(" › ")}>${shown.map((step, i) => html`${i > 0 && html`<span class="muted" aria-hidden="true">›</span>`}${step === null ? html`<span class="muted">… ${steps.length - 5} …</span>`
    : html`<span class="step"><span class="swatch-dot ${channelClass(step)}"></span><bdi>${step}</bdi></span>`}`)}</span>`;
}

const ORDER = ["", "First touch", "2nd touch", "3rd touch", "4th touch", "5th touch"];
const PARTS = [["only", "Only touch"], ["early", "First of several"], ["mid", "Between"], ["late", "Last of several"]];

/** A step in an address: `>` parts steps. */
const joined = (steps) => steps.map((step) => step.replace(/%/g, "%25").replace(/>/g, "%3E")).join(">");

/** Time lags as columns that tell something: single days, then weeks, then months. */
export function grouped(rows, untouched = 0) {
  const groups = [["same day", 0, 0], ["1", 1, 1], ["2–3", 2, 3], ["4–6", 4, 6], ["7–13", 7, 13], ["14–29", 14, 29], ["30–59", 30, 59], ["60–89", 60, 89], ["90+", 90, 1e9]];
  const sums = groups.map(([label, low, high]) => ({ label, value: rows.filter((r) => r.days >= low && r.days <= high).reduce((sum, r) => sum + Number(r.conversions), 0) }));
  // A conversion without a touch has no lag; the answer counts it as the same day.
  sums[0].value -= untouched;
  return untouched ? [{ label: "no touch", value: untouched }, ...sums] : sums;
}

export function Paths({ state }) {
  const answer = useAnswer(`/paths${writeQuery(state, [...SHARED, "by", "collapse"])}`);
  const { data, meta } = answer.body ?? {};
  useFollowing(answer, state);
  const currency = data?.currency, stamp = stampOf(state, meta), cli = meta?.open_in_cli && `${meta.open_in_cli} -o csv`;
  const total = Number(data?.paths?.total?.conversions ?? 0), other = data?.paths?.other;
  const paths = [...(data?.paths?.rows ?? []), ...(other ? [{ steps: [], other: true, ...other, paths: other.paths }] : [])];
  const columns = [
    { id: "path", label: "Path", value: (r) => (r.other ? `Other (${r.paths} paths)` : r.steps ? r.steps.join(" > ") : "total"), show: (r, foot) => (foot ? "Σ all paths" : r.other ? html`<span class="muted">${f.plural(r.paths, "other path")}</span>` : html`<${Steps} steps=${r.steps} />`) },
    { id: "conversions", label: "Conversions", num: true, value: (r) => r.conversions, show: (r, foot) => html`<span data-cell="${foot ? "total" : r.other ? "other" : r.steps.join(">")}|conversions" data-exact=${r.conversions}>${foot || r.other ? f.count(r.conversions) : html`<a class="cell-link" href=${link("/conversions", { path: joined(r.steps), collapse: state.collapse, by: data.by })}>${f.count(r.conversions)}</a>`}</span>` },
    { id: "share", label: "Share", num: true, value: (r) => (total ? Number(r.conversions) / total : 0), show: (r) => (total ? f.percent(Number(r.conversions) / total) : "–") },
    { id: "revenue", label: "Revenue", num: true, value: (r) => r.revenue, show: (r, foot) => html`<span data-cell="${foot ? "total" : r.other ? "other" : r.steps.join(">")}|revenue" data-exact=${r.revenue}>${f.money(r.revenue, currency)}</span>` },
    { id: "days", label: "Median days", num: true, value: (r) => r.days ?? "", show: (r, foot) => (foot ? (data.paths.reconciled === false ? html`<span class="bad">does not reconcile</span>` : html`<span class="good">reconciled ✓</span>`) : r.days == null || !r.steps.length ? html`<span data-cell="${r.steps.join(">")}|days" data-exact=${r.days ?? 0}>–</span>` : html`<span data-cell="${r.steps.join(">")}|days" data-exact=${r.days}>${f.count(r.days)}</span>`) },
  ];
  const foot = data ? data.paths.total : null;
  const flow = data?.sankey, nodes = (flow?.nodes ?? []).map((n) => ({ ...n, column: n.column - 1, value: Number(n.conversions) })), links = (flow?.links ?? []).map((l) => ({ ...l, column: l.column - 1, value: Number(l.conversions) }));
  // With what converts after a step, and what goes on beyond the last column, the rows of a step sum to all that come so far.
  const ends = (flow?.nodes ?? []).flatMap((n) => [["conversion", n.ends], ["more touches", n.goes_on]].filter(([, count]) => Number(count) > 0).map(([to, count]) => ({ column: n.column - 1, from: n.name, to, end: true, conversions: count, value: Number(count) })));
  const flowRows = [...links, ...ends].sort((a, b) => a.column - b.column || b.value - a.value);
  const flowColumns = [{ id: "p", label: "Touch", num: true, value: (l) => l.column + 1 }, { id: "from", label: "From", value: (l) => l.from }, { id: "to", label: "To", value: (l) => l.to, show: (l) => (l.end ? html`<span class="muted">${l.to}</span>` : l.to) }, { id: "v", label: "Conversions", num: true, value: (l) => l.conversions, show: (l) => html`<span data-cell="${l.column + 1}|${l.from}|${l.to}" data-exact=${l.conversions}>${f.count(l.value)}</span>` }];
  const simple = (what) => [{ id: "label", label: what, fixed: true, value: (r) => r.label }, { id: "value", label: "Conversions", num: true, value: (r) => r.value, show: (r) => html`<span data-cell="${r.label}|conversions" data-exact=${r.value}>${r.behind ? html`<a class="cell-link" href=${link("/conversions", { ...r.behind, collapse: state.collapse, by: data.by })}>${f.count(r.value)}</a>` : f.count(r.value)}</span>` }, { id: "share", label: "Share", num: true, value: (r) => (total ? r.value / total : 0), show: (r) => (total ? f.percent(r.value / total) : "–") }];
  const lengths = (data?.lengths?.rows ?? []).map((r) => ({ label: r.is_more ? `${r.touches}+` : String(r.touches), value: Number(r.conversions), behind: { length: String(r.touches) } })), untouched = Number(data?.lengths?.rows?.find((r) => r.touches === 0)?.conversions ?? 0), lags = grouped(data?.lags?.rows ?? [], untouched);
  const exactLags = () => [["days", "conversions", "revenue"], ...data.lags.rows.map((r) => [r.is_more || r.days >= 90 ? "90+" : String(r.days), r.conversions, r.revenue])];
  const positions = data?.positions?.rows ?? [];
  const positionColumns = [{ id: "name", label: f.capital(data?.by ?? "channel"), fixed: true, value: (r) => r.name, show: (r) => html`<span class="nowrap"><span class="swatch-dot ${channelClass(r.name)}"></span><bdi class="cut inline">${r.name}</bdi></span>` },
    ...PARTS.map(([id, label]) => ({ id, label, num: true, value: (r) => r[id], show: (r) => html`<span data-cell="${r.name}|${id}" data-exact=${r[id]}>${f.count(r[id])}</span>` }))];
  return html`<div class="head"><h1>Paths</h1><${Controls} state=${state} meta=${meta} events=${data?.conversions_known ?? []} currencies=${data?.currencies ?? []} compare=${false} /></div>
    <${Definition} meta=${meta} models=${!!state.f} /><${Notices} answer=${answer} state=${state} meta=${meta} />
    ${meta?.empty ? html`<section class="panel"><${Empty} state=${state} meta=${meta} /></section>` : html`
    <${Panel} title="Flow of touches" name="paths-flow" className="w12 only-roomy" sub="first five touches; what is small is Other; what does not go on converted there" answer=${answer} size="h320" stamp=${stamp} sqlId=${flow?.sql_id} cli=${cli} rows=${() => grid(flowColumns, flowRows)}
      actions=${html`${state.f ? html`<${ModelPick} state=${state} meta=${meta} only="Counted under" />` : ""}<button type="button" class="btn plain" aria-pressed=${state.collapse === "1" ? "true" : "false"} onClick=${() => set({ collapse: state.collapse === "1" ? "0" : "1" })}>Collapse repeats</button>`}
      chart=${() => html`<${Wide} draw=${(width) => sankey({ nodes, links, width, height: 360, format: f.count, title: (c) => ORDER[c + 1] ?? "", label: "Flow from touch to touch. The table holds the numbers." })} />`}
      table=${() => html`<${Table} columns=${flowColumns} rows=${flowRows} label="Flow of touches" sortable=${false} />`} />
    <${Panel} title="Top paths" name="paths-top" flush answer=${answer} size="h320" stamp=${stamp} sqlId=${data?.paths?.sql_id} cli=${cli} rows=${() => grid(columns, paths, foot)} broken=${data?.paths?.reconciled === false ? "The sums of the paths do not reconcile with the conversions." : null}
      actions=${html`<button type="button" class="btn plain only-narrow" aria-pressed=${state.collapse === "1" ? "true" : "false"} onClick=${() => set({ collapse: state.collapse === "1" ? "0" : "1" })}>Collapse repeats</button>`}>
      <${Table} columns=${columns} rows=${paths} label="Top paths" sort=${state.sort} foot=${foot} rowKey=${(r) => (r.other ? "other" : r.steps.join(">"))} /><//>
    <div class="grid">
      <${Panel} title="Path length" name="paths-length" className="w6" sub="touches before the conversion" answer=${answer} stamp=${stamp} sqlId=${data?.lengths?.sql_id} rows=${() => grid(simple("touches"), lengths)}
        chart=${() => html`<${Wide} draw=${(width) => bars({ items: lengths, width, format: f.short, label: "Conversions by number of touches" })} />`} table=${() => html`<${Table} columns=${simple("touches")} rows=${lengths} label="Path length" sortable=${false} />`} />
      <${Panel} title="Time lag" name="paths-lag" className="w6" sub="days from first touch to conversion" answer=${answer} stamp=${stamp} sqlId=${data?.lags?.sql_id} rows=${exactLags}
        chart=${() => html`<${Wide} draw=${(width) => bars({ items: lags, width, format: f.short, label: "Conversions by days from first touch" })} />`} table=${() => html`<${Table} columns=${simple("days")} rows=${lags} label="Time lag" sortable=${false} />`} /></div>
    <${Panel} title="Early, mid, late" name="paths-positions" flush sub="where in a path its touches stand" answer=${answer} size="h320" stamp=${stamp} sqlId=${data?.positions?.sql_id} rows=${() => grid(positionColumns, positions)}>
      <${Table} columns=${positionColumns} rows=${positions} label="Where touches stand in a path" sortable=${false} rowKey=${(r) => r.name} /><//>`}`;
}
