// What happened, and who gets the credit.
import { html, useEffect, useState } from "../h.js";
import { useAnswer } from "../api.js";
import { DIMENSIONS, SHARED, link, shownModels, writeQuery } from "../store.js";
import { onLive, live } from "../live.js";
import * as f from "../format.js";
import { line, nearest, placeOf } from "../charts/line.js";
import { spark } from "../charts/spark.js";
import { Controls, Definition } from "../ui/controls.js";
import { Panel, useWidth } from "../ui/panel.js";
import { Empty, Skeleton } from "../ui/state.js";
import { Fading, Table, grid } from "../ui/table.js";
import { Notices, number, shown, stampOf, useFollowing } from "./report.js";
import { Legend, ModelPick, ValueSwitch, brokenText, creditColumns, rowsOf, totalRow } from "./credit.js";

const KPIS = [["conversions", "Conversions"], ["revenue", "Revenue"], ["conversion_rate", "Conversion rate"], ["average_order_value", "Average order value"], ["sessions", "Sessions"]];

function Kpi({ label, kpi, currency, to, compared, holes }) {
  if (!kpi) return html`<div class="kpi"><span class="label">${label}</span><${Skeleton} size="h28" /><${Skeleton} size="h16" /></div>`;
  const rate = kpi.unit === "rate";
  const show = (v) => (v == null ? "–" : rate ? f.percent(v, 2) : kpi.unit === "money" ? f.money(v, currency) : f.count(v));
  const moved = f.change(kpi.value, kpi.previous, { rate }), text = show(kpi.value);
  const low = kpi.low_volume;
  return html`<a class="kpi" href=${to} data-kpi=${kpi.key} data-exact=${kpi.value ?? ""} data-previous=${kpi.previous ?? ""}>
    <span class="label">${label}</span>
    <span class="big" title=${kpi.value ?? ""}><${Fading} value=${text}>${text}<//></span>
    <span class="under"><span class="delta ${low ? "low" : moved.tone}" title=${kpi.previous != null ? `before: ${show(kpi.previous)}` : "nothing to compare with"}>
      <span aria-hidden="true">${moved.tone !== "none" || compared ? moved.text : ""}</span><span class="hidden">${moved.spoken}</span>${low && html`<small class="mark" title="Fewer than 30 conversions in one of the periods: the change says little">low volume</small>`}</span>
      <span class="line">${spark({ values: (kpi.spark ?? []).map((v, i) => (holes[i] ? null : number(v))), width: 88, height: 26 })}</span></span></a>`;
}

/** The time series; arrows move along it, and what is pointed at is read aloud. */
function Series({ points, value, currency, label }) {
  const [element, width] = useWidth(), [cursor, point] = useState(null);
  const show = (v) => (v == null ? "–" : value === "rev" ? f.money(v, currency) : f.count(v));
  const axis = (v) => (value === "rev" ? f.shortMoney(v, currency) : f.short(v));
  const keys = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 }[event.key];
    if (!step) { if (event.key === "Escape" && cursor != null) { event.preventDefault(); point(null); } return; }
    event.preventDefault();
    point(Math.max(0, Math.min(points.length - 1, (cursor ?? (step > 0 ? -1 : points.length)) + step)));
  };
  const at = cursor == null ? null : points[cursor];
  const x = at ? placeOf(points, width, cursor) : 0;
  useEffect(() => {
    const box = element.current?.querySelector(".reading");
    if (box) box.style.transform = `translate(${x > width / 2 ? x - box.offsetWidth - 12 : x + 12}px, 8px)`;
  });
  return html`<div ref=${element} class="figure" tabindex="0" role="application" aria-roledescription="chart" aria-label="${label}. Arrow keys move along the days." onKeyDown=${keys} onBlur=${() => point(null)}
      onPointerMove=${(e) => point(nearest(points, width, e.clientX - element.current.getBoundingClientRect().left))} onPointerLeave=${() => point(null)}>
    ${at && html`<div class="reading"><b>${f.longDay(at.day)}${at.partial ? " · not over yet" : ""}</b>${at.silent ? "no events" : show(at.value)}${at.before != null && html` <i>${show(at.before)} before</i>`}</div>`}
    ${line({ points, width, height: 230, cursor, format: axis, label, whole: value !== "rev" })}
    <span class="hidden" aria-live="polite">${at ? `${f.longDay(at.day)}: ${at.silent ? "no events" : show(at.value)}${at.before != null ? `, before ${show(at.before)}` : ""}` : ""}</span></div>`;
}

/** Credit by a dimension under two attribution models, with the row that has to reconcile. */
function Credit({ answer, state, currency, stamp }) {
  const { data, meta } = answer.body ?? {}, credit = data?.credit, models = shownModels(state, meta);
  const first = models[0], last = models[models.length - 1], [lit, light] = useState(null);
  const columns = creditColumns({ credit, state, currency, first, last, bars: true }), rows = rowsOf(credit), total = totalRow(credit);
  return html`<${Panel} title="Credit by ${state.by}" name="credit-by-${state.by}" flush answer=${answer} size="h320" stamp=${stamp} sub=${html`<${Legend} first=${first} last=${last} meta=${meta} />`}
      rows=${() => grid(columns, rows, total)} sqlId=${credit?.sql_id} cli=${meta?.open_in_cli && `${meta.open_in_cli} -o csv`} broken=${brokenText(credit)}
      actions=${html`<${ModelPick} state=${state} meta=${meta} /><span class="segments slim" role="group" aria-label="Split by">${DIMENSIONS.map((dim) => html`<a href=${"/" + writeQuery({ ...state, by: dim, sort: "" })} aria-current=${state.by === dim ? "true" : undefined}>${f.capital(dim)}</a>`)}</span>`}>
    ${rows.length ? html`<${Table} columns=${columns} rows=${rows} label="Credit by ${state.by}" sort=${state.sort} foot=${total} rowKey=${(row) => row.name}
        rowClass=${(row) => (lit === row.name ? "lit" : "")} onRow=${(row) => ({ onPointerEnter: () => light(row.name), onPointerLeave: () => light(null) })} />` : html`<${Empty} state=${state} meta=${meta} />`}
  <//>`;
}

function Strip() {
  const [, tick] = useState(0);
  useEffect(() => onLive(() => tick((n) => n + 1)), []);
  const last = live.ring.slice(-3).reverse();
  const rates = live.rates.slice(-60).map((r) => r.rate);
  if (live.readOnly) return null;
  return html`<section class="panel strip" aria-label="Live"><a class="strip-rate" href=${link("/live")}><span class="pulse ${live.status === "live" ? "live" : "waiting"}"></span>
      <b>${live.agg ? `${Number(live.agg.rate ?? 0).toFixed(1)} ev/s` : "–"}</b>${spark({ values: rates.length ? rates : [0], width: 120, height: 22 })}</a>
    ${!last.length && html`<span class="muted">no events since this page was opened</span>`}<ol>${last.map((event) => html`<li key=${event.seq}><span class="muted">${f.clock(event.ts)}</span> <bdi>${event.name}</bdi> <span class="muted"><bdi>${event.channel ?? ""}</bdi></span>${event.value != null && html` <b>${event.value}</b>`}</li>`)}</ol>
    <a class="small" href=${link("/live")}>Live →</a></section>`;
}

export function Overview({ state }) {
  const answer = useAnswer(`/overview${writeQuery(state, [...SHARED, "by"])}`);
  const { data, meta } = answer.body ?? {};
  useFollowing(answer, state);
  const currency = data?.currency, field = state.v === "rev" ? "revenue" : "conversions", what = state.v === "rev" ? "Revenue" : "Conversions";
  // A day without one session was not loaded, or nothing ran: a hole, not a zero.
  const silent = (p) => !state.f && !p.partial && Number(p.sessions) === 0 && Number(p.conversions) === 0;
  const holes = (data?.series?.days ?? []).map(silent), silentDays = holes.filter(Boolean).length;
  const points = (data?.series?.days ?? []).map((p) => ({ day: p.date, value: silent(p) ? null : number(p[field]), silent: silent(p), exact: p[field], before: p.previous ? number(p.previous[field]) : null, partial: p.partial }));
  const stamp = stampOf(state, meta);
  const columns = [{ id: "day", label: "Day", fixed: true, value: (p) => p.day, show: (p) => html`${f.longDay(p.day)}${p.partial ? html` <span class="badge">not over yet</span>` : p.silent ? html` <span class="badge">no events</span>` : ""}` },
    { id: "value", label: what, num: true, value: (p) => p.exact, show: (p) => html`<span data-cell="${p.day}|${field}" data-exact=${p.exact}>${shown(p.exact, state.v, currency)}</span>` },
    { id: "before", label: "Previous", num: true, value: (p) => p.before, show: (p) => shown(p.before, state.v, currency) }];
  if (meta?.empty?.reason === "no_data") return html`<div class="head"><h1>Overview</h1></div><section class="panel"><${Empty} state=${state} meta=${meta} /></section><${Strip} />`;
  return html`<div class="head"><h1>Overview</h1><${Controls} state=${state} meta=${meta} events=${data?.conversions_known ?? []} currencies=${data?.currencies ?? []} /></div>
    <${Definition} meta=${meta} />
    <${Notices} answer=${answer} state=${state} meta=${meta} credit=${data?.credit} />
    ${meta?.empty && html`<section class="panel"><${Empty} state=${state} meta=${meta} /></section>`}
    <div class="kpis">${KPIS.map(([key, label]) => html`<${Kpi} key=${key} label=${label} kpi=${data?.kpis?.find((kpi) => kpi.key === key)} currency=${currency} to=${link("/conversions")} compared=${state.cmp !== "none"} holes=${holes} />`)}</div>
    <${Panel} title=${what} name="series-${field}" answer=${answer} size="h220" stamp=${stamp} sqlId=${data?.series?.sql_id} cli=${meta?.open_in_cli} rows=${() => grid(columns, points)}
      sub=${html`<span class="legend"><span><svg width="18" height="8" aria-hidden="true"><path d="M0 4h18" class="key-now" /></svg>this period</span>${points.some((p) => p.before != null) && html`<span><svg width="18" height="8" aria-hidden="true"><path d="M0 4h18" class="key-before" /></svg>previous</span>`}${meta?.partial_day && html`<span>▒ today, not over yet</span>`}${silentDays > 0 && html`<span class="warn">no events on ${f.plural(silentDays, "day")}</span>`}</span>`}
      actions=${html`<${ValueSwitch} state=${state} />`}
      chart=${() => html`<${Series} points=${points} value=${state.v} currency=${currency} label="${what} by day" />`}
      table=${() => html`<${Table} columns=${columns} rows=${points} label="${what} by day" sortable=${false} rowKey=${(p) => p.day} />`} />
    <${Credit} answer=${answer} state=${state} currency=${currency} stamp=${stamp} />
    <${Strip} />`;
}
