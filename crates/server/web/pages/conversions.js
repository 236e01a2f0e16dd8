// The conversions behind a number.
import { html } from "../h.js";
import { useAnswer } from "../api.js";
import { SHARED, link, set, shownModels, writeQuery } from "../store.js";
import * as f from "../format.js";
import { channelClass } from "../charts/color.js";
import { Controls, Definition } from "../ui/controls.js";
import { Panel } from "../ui/panel.js";
import { Empty } from "../ui/state.js";
import { Table, grid } from "../ui/table.js";
import { Notices, stampOf } from "./report.js";

const KEYS = [...SHARED, "by", "q", "opened", "closed", "channel", "path", "length", "lag", "day", "collapse", "limit", "after"];
const LIMITS = [["opened", "opened by"], ["closed", "closed by"], ["channel", "credited to"], ["path", "path"], ["length", "touches"], ["lag", "days of lag"], ["day", "on"]];

export function Conversions({ state }) {
  const answer = useAnswer(`/conversions${writeQuery(state, KEYS)}`);
  const { data, meta } = answer.body ?? {}, zone = meta?.definition?.timezone, rows = data?.rows ?? [], by = state.by;
  const total = meta?.totals?.conversions;
  const cut = rows.filter((r) => !r.lookback_complete).length;
  const columns = [
    { id: "at", label: "When", fixed: true, value: (r) => r.at, show: (r) => html`<a href=${link(`/c/${encodeURIComponent(r.id)}`)} class="nowrap">${f.moment(r.at, zone)}</a>` },
    { id: "revenue", label: "Value", num: true, value: (r) => r.revenue ?? "", show: (r) => html`<span data-cell="${r.id}|revenue" data-exact=${r.revenue}>${f.money(r.revenue, r.currency)}</span>` },
    ...shownModels(state, meta).map((m) => ({ id: m, label: f.modelName(m), value: (r) => r.credits?.[m]?.[by] ?? "", show: (r) => { const of = r.credits?.[m], name = of?.[by]; return name == null ? "–" : html`<span class="nowrap">${by === "channel" && html`<span class="swatch-dot ${channelClass(name)}"></span>`}<bdi class="cut inline">${name}</bdi>${of.others > 0 && html` <span class="muted small">${f.percent(of.credit, 0)} and ${of.others} more</span>`}</span>`; } })),
    { id: "touches", label: "Touches", num: true, value: (r) => r.touches },
    { id: "transaction_id", label: "Order", value: (r) => r.transaction_id ?? "", show: (r) => html`<bdi class="cut">${r.transaction_id ?? "–"}</bdi>` },
    { id: "person", label: "Person", value: (r) => r.person ?? "", show: (r) => html`<bdi class="cut code">${r.person ?? "–"}</bdi>` },
    ...(!cut || cut === rows.length ? [] : [{ id: "window", label: "Window", value: (r) => (r.lookback_complete ? "" : "cut"), show: (r) => (r.lookback_complete ? "" : html`<span class="badge" title="The lookback window starts before the first loaded day">cut</span>`) }]),
  ];
  const limits = LIMITS.filter(([key]) => state[key]);
  const nothing = Object.fromEntries([...LIMITS.map(([key]) => [key, ""]), ["q", ""], ["after", ""]]);
  return html`<div class="head"><h1>Conversions</h1><${Controls} state=${state} meta=${meta} compare=${false} /></div><${Definition} meta=${meta} models=${false} /><${Notices} answer=${answer} state=${state} meta=${meta} />
    ${limits.length > 0 && html`<div class="chips">${limits.map(([key, words]) => html`<span class="chip"><span class="words">${words} <b><bdi>${state[key].replaceAll(">", " › ")}</bdi></b></span><button type="button" class="drop" aria-label="Remove ${words}" onClick=${() => set({ [key]: "", after: "" })}>✕</button></span>`)}</div>`}
    <${Panel} title=${meta?.definition?.conversion ?? "Conversions"} name="conversions" flush answer=${answer} size="h320" stamp=${stampOf(state, meta)} sub=${total != null ? `${f.plural(total, "conversion")}, newest first${cut && cut === rows.length ? "; their lookback windows start before the first loaded day" : ""}` : ""} sqlId=${data?.sql_id} cli=${meta?.open_in_cli} rows=${() => grid(columns, rows)}
        actions=${html`<input class="field slim" type="search" aria-label="Find by id, order or person" placeholder="id, order, person" value=${state.q} onChange=${(e) => set({ q: e.target.value.trim(), after: "" })} />`}>
      ${rows.length ? html`<${Table} columns=${columns} rows=${rows} label="Conversions" sort=${state.sort} rowKey=${(r) => r.id} />` : html`<${Empty} state=${state} meta=${meta} />`}
      ${!rows.length && (limits.length > 0 || state.q) ? html`<p class="foot"><button type="button" class="btn" onClick=${() => set(nothing)}>Show all conversions</button></p>` : ""}
      ${(data?.next || state.after) && html`<p class="foot row">${state.after && html`<a class="btn" href=${`/conversions${writeQuery({ ...state, after: "" })}`}>Newest</a>`}${data?.next && html`<a class="btn" href=${`/conversions${writeQuery({ ...state, after: data.next })}`}>Older ones</a>`}</p>`}<//>`;
}
