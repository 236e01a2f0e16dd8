// Does the answer depend on the attribution model?
import { html, useState } from "../h.js";
import { useAnswer } from "../api.js";
import { DIMENSIONS, SHARED, link, set, shownModels, writeQuery } from "../store.js";
import * as f from "../format.js";
import { dumbbell } from "../charts/dumbbell.js";
import { heat } from "../charts/heat.js";
import { Controls, Definition } from "../ui/controls.js";
import { Panel, Wide } from "../ui/panel.js";
import { Empty } from "../ui/state.js";
import { Word } from "../ui/menu.js";
import { Table, grid } from "../ui/table.js";
import { Notices, stampOf, useFollowing } from "./report.js";
import { Legend, ModelPick, ValueSwitch, brokenText, creditColumns, figure, isUneven, rowsOf, totalRow } from "./credit.js";

/** What a shift means, in words: `ends` are the names of the models where they are not one of the first and one of the last touch. */
export function lean(first, last, ends = null) {
  const a = Number(first), b = Number(last);
  if (Math.abs(a - b) < 1e-9) return "same under both";
  const share = a + b ? (b - a) / ((a + b) / 2) : 0;
  if (Math.abs(share) < 0.05) return "nearly the same";
  if (ends) return `${Math.abs(share) > 0.5 ? "much more" : "more"} under ${ends[share > 0 ? 1 : 0].toLowerCase()}`;
  if (share > 0.5) return "closes more than it opens";
  if (share > 0) return "closes a little more";
  return share < -0.5 ? "opens more than it closes" : "opens a little more";
}

const MOST = 14;

export function Models({ state }) {
  const answer = useAnswer(`/models${writeQuery(state, [...SHARED, "by"])}`);
  const { data, meta } = answer.body ?? {}, [mark, point] = useState(null);
  const picked = shownModels(state, meta), first = picked[0], last = picked[picked.length - 1];
  useFollowing(answer, state);
  const currency = data?.currency, field = state.v === "rev" ? "revenue" : "conversions", credit = data?.credit, rows = rowsOf(credit), total = totalRow(credit);
  const of = (row, m) => Number(figure(row, m, state.v)), gap = (row) => Math.abs(of(row, last) - of(row, first));
  const order = state.sort === "size" ? "size" : "shift";
  const named = rows.filter((row) => !row.other).sort((a, b) => (order === "size" ? 0 : gap(b) - gap(a)) || of(b, last) - of(a, last));
  const opens = first.startsWith("first_") && last.startsWith("last_"), ends = opens ? null : [f.modelName(first), f.modelName(last)];
  const bells = named.slice(0, MOST).map((row) => ({ name: row.name, first: of(row, first), last: of(row, last), note: isUneven(credit, first, last) ? "" : lean(of(row, first), of(row, last), ends) }));
  const columns = creditColumns({ credit, state, currency, first, last });
  const stamp = stampOf(state, meta), names = [f.modelName(first), f.modelName(last)], cli = meta?.open_in_cli && `${meta.open_in_cli} -o csv`;
  const written = (values) => (state.v === "rev" ? (v) => f.shortMoney(v, currency) : f.counting(values));
  const matrix = data?.matrix, agreement = data?.agreement, cells = new Map((matrix?.cells ?? []).map((cell) => [`${cell.opened}\u0000${cell.closed}`, cell]));
  const cell = (o, c) => Number(cells.get(`${o}\u0000${c}`)?.[field] ?? 0);
  const active = (side) => (matrix?.names ?? []).filter((name) => matrix.cells.some((one) => one[side] === name));
  const matrixColumns = ["opened", "closed", "conversions", "revenue"].map((id) => ({ id, label: id, value: (r) => r[id] }));
  return html`<div class="head"><h1>Models</h1><${Controls} state=${state} meta=${meta} events=${data?.conversions_known ?? []} currencies=${data?.currencies ?? []} compare=${false} /></div>
    <${Definition} meta=${meta} /><${Notices} answer=${answer} state=${state} meta=${meta} credit=${data?.credit} />
    ${meta?.empty ? html`<section class="panel"><${Empty} state=${state} meta=${meta} /></section>` : html`
    <${Panel} title="${names[0]} against ${names[1].toLowerCase()}" name="models-shift" answer=${answer} size="h320" stamp=${stamp} sqlId=${credit?.sql_id} cli=${cli} rows=${() => grid(columns, rows, total)} broken=${brokenText(credit)} sub=${html`<${Legend} first=${first} last=${last} meta=${meta} />`}
        actions=${html`<${ModelPick} state=${state} meta=${meta} /><select class="field slim" aria-label="Order" value=${order} onChange=${(e) => set({ sort: e.target.value === "shift" ? "" : "size" }, { replace: true })}><option value="shift">biggest shift</option><option value="size">biggest first</option></select><${ValueSwitch} state=${state} />`}
        chart=${() => html`<${Wide} draw=${(width) => dumbbell({ rows: bells, width, names, format: written(bells.flatMap((bell) => [bell.first, bell.last])), mark, label: `${names[0]} against ${names[1]} by ${state.by}. The table holds the numbers.` })} />${named.length > MOST ? html`<p class="muted small">${named.length - MOST} smaller ones are in the table.</p>` : ""}`}
        table=${() => html`<${Table} columns=${columns.filter((c) => ["name", first, last, "shift"].includes(c.id))} rows=${rows} label="First against last" sortable=${false} foot=${total} rowKey=${(r) => r.name} />`} />
    <${Panel} title="All attribution models" name="models-table" flush answer=${answer} size="h320" stamp=${stamp} sqlId=${credit?.sql_id} cli=${cli} rows=${() => grid(columns, rows, total)}
        actions=${html`<span class="segments slim" role="group" aria-label="Split by">${DIMENSIONS.map((dim) => html`<a href=${"/models" + writeQuery({ ...state, by: dim, sort: "" })} aria-current=${state.by === dim ? "true" : undefined}>${f.capital(dim)}</a>`)}</span>`}>
      <${Table} columns=${columns} rows=${rows} label="Credit under each attribution model" sort=${state.sort} foot=${total} rowKey=${(r) => r.name} rowClass=${(r) => (mark === r.name ? "lit" : "")} onRow=${(r) => ({ onPointerEnter: () => point(r.name), onPointerLeave: () => point(null) })} /><//>
    <${Panel} title=${opens ? "Who opens, who closes" : `From ${names[0].toLowerCase()} to ${names[1].toLowerCase()}`} name="models-matrix" flush answer=${answer} size="h320" stamp=${stamp} sqlId=${matrix?.sql_id} cli=${cli} rows=${() => grid(matrixColumns, matrix.cells)} actions=${html`<${ValueSwitch} state=${state} />`}>
      ${agreement && html`<p class="lead"><b data-agreement=${agreement.same}>${agreement.share == null ? "–" : f.percent(agreement.share, 0)}</b> of conversions credit the same ${state.by} under both (${f.count(Math.round(agreement.same * 100) / 100)} of ${f.count(agreement.total)}${Object.keys(credit?.left_out ?? {}).length ? "; the others are left out of one of them" : ""}). <${Word} text="Why?">A conversion agrees when both attribution models name the same ${state.by}: mostly journeys with one known touch. Where a model divides a conversion, the part that both give to the same ${state.by} agrees; the rest goes from those that have less to those that have more, in proportion. That is where the choice of model changes the answer.<//></p>`}
      ${matrix && heat({ rows: active("opened"), columns: active("closed"), cell, swatch: state.by === "channel", show: written(matrix.cells.map((one) => one[field])), label: opens ? "Opened by, closed by" : `${names[0]}, ${names[1]}`, corner: opens ? "opened by ↓ closed by →" : `${names[0].toLowerCase()} ↓ ${names[1].toLowerCase()} →`, to: (o, c) => link("/conversions", { opened: o, closed: c, by: state.by }) })}<//>`}`;
}
