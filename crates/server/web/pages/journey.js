// Why did this channel get this credit? One conversion, the touches before it, and the rule for each.
import { html, useState } from "../h.js";
import { useAnswer } from "../api.js";
import { link } from "../store.js";
import * as f from "../format.js";
import { channelClass } from "../charts/color.js";
import { linear } from "../charts/scale.js";
import { Panel, Wide } from "../ui/panel.js";
import { Skeleton, Elapsed, Trouble } from "../ui/state.js";
import { Table, grid } from "../ui/table.js";
import { Sql } from "../ui/sql.js";
import { copy } from "../ui/toast.js";

/** The lookback window with the touches in it, and what stands before it. */
function axis({ touches, conversion, lookback, width }) {
  const days = lookback, at = Date.parse(conversion.at), start = at - days * 86400e3, height = 78, pad = 14;
  const oldest = Math.min(start, ...touches.map((t) => Date.parse(t.at)));
  const before = oldest < start ? Math.min(0.3, (start - oldest) / (at - oldest)) : 0.04;
  const edge = pad + (width - pad * 2) * before;
  const inside = linear(start, at, edge, width - pad - 8), outside = linear(oldest, start, pad, edge);
  const x = (t) => (t < start ? outside(t) : inside(t));
  return html`<svg class="chart timeline" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label="Lookback window of ${days} days with ${touches.filter((t) => t.in).length} touches in it">
    <rect x=${edge} y="22" width=${Math.max(0, width - pad - 8 - edge)} height="26" rx="3" class="window" /><line x1=${pad} x2=${width - pad} y1="35" y2="35" class="axis" />
    <line x1=${edge} x2=${edge} y1="16" y2="54" class="axis" /><text x=${edge + 4} y="13" class="tick">${days}-day lookback</text>
    <text x=${edge + 4} y="70" class="tick">${f.day(new Date(start).toISOString())}</text><text x=${width - pad - 8} y="70" class="tick" text-anchor="end">${f.day(conversion.at)}</text>
    ${touches.map((t, i) => html`<g key=${i} class=${channelClass(t.channel)}><title>${t.channel}, ${f.span((at - Date.parse(t.at)) / 1000)} ${Date.parse(t.at) > at ? "after" : "before"}</title>
      ${t.in ? html`<circle cx=${x(Date.parse(t.at))} cy="35" r="7" class="stock ring" />` : html`<path d="M${x(Date.parse(t.at)) - 5} 30l10 10m0-10-10 10" class="out" />`}</g>`)}
    <path d="m${width - pad - 8} 23 3.500 8 8.500.600-6.500 5.600 2 8.300-7.500-4.500-7.500 4.500 2-8.300-6.500-5.600 8.500-.600z" class="star"><title>conversion</title></path></svg>`;
}

const CLICKS = ["first_click", "last_click"];

const credited = (touch, model) => Number(touch.credit?.[model] ?? 0);

function Touch({ touch, conversion, models, zone }) {
  const seconds = (Date.parse(conversion.at) - Date.parse(touch.at)) / 1000;
  const first = credited(touch, "first_click") > 0, last = credited(touch, "last_click") > 0;
  const earned = models.filter((m) => credited(touch, m) > 0);
  return html`<li class="touch ${touch.in ? "" : "dropped"} ${channelClass(touch.channel)}"><span class="knot" aria-hidden="true"></span>
    <div class="when"><b>${f.moment(touch.at, zone)}</b><span class="muted small">${f.span(seconds)} ${seconds < 0 ? "after" : "before"}</span></div>
    <div class="what"><b><bdi>${touch.channel}</bdi></b> <span class="muted"><bdi>${touch.source}</bdi> / <bdi>${touch.medium}</bdi>${touch.campaign && !/^\((not set|direct|referral|organic)\)$/.test(touch.campaign) ? html` · <bdi>${touch.campaign}</bdi>` : ""}</span>
      <p>${touch.in ? "" : html`<span class="bad" aria-hidden="true">✗ </span>`}${touch.why}</p><p class="muted small">${touch.rule_text && html`${touch.channel}: ${touch.rule_text}. `}${touch.evidence_text && html`Evidence: ${touch.evidence_text}.`}${touch.semantics && html` <span class="nowrap" title="The section of the attribution rules that the SQL of the models cites">Rule ${touch.semantics}</span>`}</p></div>
    <div class="earned">${first && html`<span class="badge-first"><svg width="10" height="10" aria-hidden="true"><circle class="dot-first" cx="5" cy="5" r="4.500" /></svg>first click ${credited(touch, "first_click").toFixed(2)}</span>`}
      ${last && html`<span class="badge-last"><svg width="11" height="11" aria-hidden="true"><path class="dot-last" d="M5.500 0 11 5.500 5.500 11 0 5.500z" /></svg>last click ${credited(touch, "last_click").toFixed(2)}</span>`}
      ${earned.some((m) => !CLICKS.includes(m)) && html`<span class="muted small others">${earned.filter((m) => !CLICKS.includes(m)).map((m) => `${f.modelName(m).toLowerCase()} ${credited(touch, m).toFixed(2)}`).join(" · ")}</span>`}${touch.in && !earned.length && html`<span class="muted small">0 under all</span>`}</div></li>`;
}

/** Credits by touch: what each attribution model gives it. */
function sharesOf(credits, touches) {
  const shares = new Map();
  for (const row of credits) {
    const id = row.touch_id ?? "none";
    if (!shares.has(id)) shares.set(id, { id, label: row.channel, channel: row.channel, source: row.source, medium: row.medium, of: {} });
    shares.get(id).of[row.model] = row;
  }
  const place = (share) => touches.findIndex((touch) => touch.id === share.id);
  return [...shares.values()].sort((a, b) => place(a) - place(b));
}

/** A sum of decimal texts of at most six places, exactly. */
const exactSum = (texts) => String(texts.reduce((sum, text) => sum + Math.round(Number(text) * 1e6), 0) / 1e6);

const quoted = (text) => `"${text.replace(/["\\$`]/g, "\\$&")}"`;

const hostOf = (address) => { try { return new URL(address).host; } catch { return ""; } };

/** An address without what every row would repeat: the scheme, and the site's own host. */
const bare = (address, home) => (address ? address.replace(/^https?:\/\//, "").replace(home && new RegExp(`^${home.replace(/[.]/g, "\\.")}(?=/|$)`), "") || "/" : "–");

/** Events nearest to the conversion; the others on request. */
const EVENTS_SHOWN = 12;

export function Journey({ place }) {
  const id = decodeURIComponent(place.path.slice(3));
  const answer = useAnswer(`/conversions/${encodeURIComponent(id)}/explain${place.state.snap ? `?snap=${encodeURIComponent(place.state.snap)}` : ""}`);
  const { data, meta } = answer.body ?? {};
  const [tab, pick] = useState("rows"), [all, more] = useState(false);
  if (!data) {
    return html`<div class="head"><h1>Journey</h1></div>${answer.error ? html`<${Trouble} error=${answer.error} again=${answer.again} /><p><a href=${link("/conversions")}>All conversions</a></p>` : html`<section class="panel"><div class="inside">${answer.busy && html`<${Elapsed} since=${answer.since} />`}<${Skeleton} size="h320" /></div></section>`}`;
  }
  const c = data.conversion, zone = meta.definition?.timezone, touches = data.touches ?? [], models = (data.models ?? []).filter((m) => (data.credits ?? []).some((r) => r.model === m));
  const source = data.events ?? [];
  const home = hostOf(c.page ?? source.find((e) => e.is_conversion)?.page ?? source[0]?.page);
  const text = (id, label, extra = {}) => ({ id, label, value: (r) => r[id] ?? "", show: (r) => html`<bdi class="cut" title=${r[id] ?? ""}>${r[id] ?? "–"}</bdi>`, ...extra });
  const columns = [{ id: "at", label: "When", fixed: true, value: (r) => r.at, show: (r) => html`<span class="nowrap">${f.moment(r.at, zone)}</span>` }, text("name", "Event"), text("page", "Page", { show: (r) => html`<bdi class="cut wide" title=${r.page ?? ""}>${bare(r.page, home)}</bdi>` }), text("referrer", "Referrer", { show: (r) => html`<bdi class="cut" title=${r.referrer ?? ""}>${bare(r.referrer, home)}</bdi>` }), text("evidence", "Evidence"),
    { id: "touch", label: "Touch", num: true, value: (r) => r.touch_number ?? "", show: (r) => r.touch_number ?? "–" }, text("key", "Event key", { className: "code" })];
  const credits = data.credits ?? [], shares = sharesOf(credits, touches), sums = Object.fromEntries(models.map((m) => [m, exactSum(credits.filter((r) => r.model === m).map((r) => r.credit))]));
  const creditColumns = [{ id: "touch", label: "Touch", fixed: true, value: (s) => s.label, show: (s, foot) => (foot ? "Σ" : html`<span class="nowrap"><span class="swatch-dot ${channelClass(s.channel)}"></span><bdi class="cut inline">${s.channel}</bdi></span>`) }, { id: "s", label: "Source / medium", value: (s) => `${s.source ?? ""} / ${s.medium ?? ""}`, show: (s, foot) => (foot ? "" : html`<bdi class="cut">${s.source ?? ""} / ${s.medium ?? ""}</bdi>`) },
    ...models.map((m) => ({ id: m, label: f.modelName(m), num: true, value: (s) => (s.total ? sums[m] : s.of[m]?.credit ?? "0"), show: (s, foot) => { const one = foot ? { credit: sums[m] } : s.of[m]; return html`<span data-cell="${foot ? `${m}|credit` : `${s.id}|${m}`}" data-exact=${one?.credit ?? "0"} title=${one?.revenue ? f.money(one.revenue, c.currency) : ""} class=${one ? "" : "muted"}>${one ? Number(one.credit).toFixed(2) : "·"}</span>`; } }))];
  return html`<div class="head"><h1><bdi>${c.name}</bdi> ${c.transaction_id && html`<span class="muted">#<bdi>${c.transaction_id}</bdi></span>`} · ${f.money(c.revenue, c.currency)}</h1>
      <div class="controls no-print">${data.neighbours?.previous && html`<a class="btn plain" href=${link(`/c/${encodeURIComponent(data.neighbours.previous)}`)}>← earlier</a>`}${data.neighbours?.next && html`<a class="btn plain" href=${link(`/c/${encodeURIComponent(data.neighbours.next)}`)}>later →</a>`}<a class="btn" href=${link("/lineage", { node: data.sql?.model ?? "fct_credits" })}>Lineage</a><button type="button" class="btn" onClick=${() => copy(data.sentence, "Sentence copied")}>Copy as sentence</button></div></div>
    <p class="definition journey-line"><span>${f.moment(c.at, zone)} ${zone}</span> <span>user <bdi class="code">${c.person ?? "unknown (no consent)"}</bdi></span> <span>conversion <bdi class="code cut inline">${c.id ?? id}</bdi></span></p>
    <blockquote class="sentence">${data.sentence}</blockquote><p class="printed">${location.href}</p>
    ${answer.error && html`<${Trouble} error=${answer.error} again=${answer.again} />`}
    ${c.is_counted === false && html`<div class="notice warn"><span>This conversion is not counted: ${c.not_counted_because}. ${c.duplicate_of && html`<a href=${link(`/c/${encodeURIComponent(c.duplicate_of)}`)}>The one that counts</a>`}</span></div>`}
    ${data.without_touch && html`<div class="notice"><span>${data.without_touch.text}</span></div>`}
    ${c.lookback_complete === false && html`<div class="notice"><span>The lookback window starts before the first loaded day: earlier touches may be missing.</span></div>`}
    <${Panel} title="Touches" name="journey-touches" answer=${answer} stamp=${c.id ?? id} sub="${touches.filter((t) => t.in).length} kept, ${touches.filter((t) => !t.in).length} dropped" cli="clicktrail explain ${id}" rows=${() => [["at", "channel", "source", "medium", "campaign", "kept", "why", "rule"], ...touches.map((t) => [t.at, t.channel, t.source, t.medium, t.campaign ?? "", String(t.in), t.why ?? "", t.rule ?? ""])]}>
      <${Wide} draw=${(width) => axis({ touches, conversion: c, lookback: data.lookback_days, width })} />
      <ol class="touches">${touches.filter((t) => t.at <= c.at).map((t) => html`<${Touch} key=${t.id} touch=${t} conversion=${c} models=${models} zone=${zone} />`)}
        <li class="touch end"><span class="knot" aria-hidden="true">★</span><div class="when"><b>${f.moment(c.at, zone)}</b></div><div class="what"><b><bdi>${c.name}</bdi></b> ${f.money(c.revenue, c.currency)}</div></li>
        ${touches.filter((t) => t.at > c.at).map((t) => html`<${Touch} key=${t.id} touch=${t} conversion=${c} models=${models} zone=${zone} />`)}</ol><//>
    ${credits.length > 0 && html`<${Panel} title="Credit under each attribution model" name="journey-credit" flush answer=${answer} cli="clicktrail query ${quoted(`select * from fct_credits where conversion_id = '${c.id}'`)}" sub="each attribution model gives one conversion away" rows=${() => [["attribution_model", "channel", "source", "medium", "campaign", "touch", "credit", "revenue"], ...credits.map((r) => [r.model, r.channel, r.source, r.medium, r.campaign, r.touch_id, r.credit, r.revenue].map((v) => v ?? ""))]}><${Table} columns=${creditColumns} rows=${shares} foot=${{ total: true, label: "total", of: {} }} label="Credit" sortable=${false} rowKey=${(s) => s.id} /><//>`}
    <${Panel} title="Where it comes from" name="journey-source" flush answer=${answer} rows=${() => grid(columns, source)} actions=${html`<span class="segments slim" role="group" aria-label="Show"><button type="button" aria-pressed=${tab === "rows" ? "true" : "false"} onClick=${() => pick("rows")}>Events ${source.length}</button><button type="button" aria-pressed=${tab === "sql" ? "true" : "false"} onClick=${() => pick("sql")}>SQL</button></span>`}>
      ${tab === "rows" && data.events_note ? html`<p class="padded muted small">${data.events_note}.</p>` : ""}${tab === "rows" && data.events_more ? html`<p class="padded muted small">${f.plural(data.events_more, "more event")} of this person are in int_events.</p>` : ""}${tab === "rows" ? html`<${Table} columns=${columns} rows=${all ? source : source.slice(-EVENTS_SHOWN)} label="Events" sortable=${false} />${!all && source.length > EVENTS_SHOWN ? html`<p class="foot"><button type="button" class="btn" onClick=${() => more(true)}>Show all ${source.length} events</button></p>` : ""}` : html`<div class="padded"><${Sql} text=${data.sql?.query ?? "-- no SQL was told"} /></div>`}<//>`;
}
