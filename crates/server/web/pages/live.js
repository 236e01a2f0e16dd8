// Is data arriving? The last ten events, fixed in height; pausing stops the picture, not the stream.
import { html, useEffect, useMemo, useState } from "../h.js";
import { ask } from "../api.js";
import { link, set } from "../store.js";
import { delay, live, onLive, pause, resume } from "../live.js";
import * as f from "../format.js";
import { channelClass } from "../charts/color.js";
import { spark } from "../charts/spark.js";
import { Panel, Wide } from "../ui/panel.js";
import { Dialog } from "../ui/menu.js";
import { Skeleton } from "../ui/state.js";

const ROWS = 10, SAMPLES = 900;

function EventDialog({ event, onClose }) {
  const [state, put] = useState({});
  useEffect(() => { ask(`/events/${encodeURIComponent(event.id)}`).then((body) => put({ body }), (error) => put({ error })); }, [event.id]);
  const doc = state.body?.data?.row ?? event;
  return html`<${Dialog} title="Event" wide onClose=${onClose}><div class="stack">${state.error ? html`<p class="muted small">${state.error.message}. What the stream told:</p>` : !state.body ? html`<${Skeleton} size="h16" />` : ""}
    <pre class="sql" tabindex="0" role="group" aria-label="Event as JSON"><code>${JSON.stringify(doc, null, 2)}</code></pre>${(event.conv ?? state.body?.data?.conversion_id) && html`<a class="btn" href=${link(`/c/${encodeURIComponent(event.conv ?? state.body.data.conversion_id)}`)} onClick=${onClose}>Open its journey</a>`}</div><//>`;
}

const matches = (event, words, type, channel) => (!type || event.name === type) && (!channel || event.channel === channel)
  && words.every((word) => [event.name, event.channel, event.source, event.medium, event.campaign, event.person, event.conv, event.id].some((text) => text && String(text).toLowerCase().includes(word)));

function Row({ event, zone, onOpen }) {
  return html`<tr data-seq=${event.seq} data-id=${event.id} data-ingest=${event.ingest_us}><td class="code nowrap"><button type="button" class="namebtn code" onClick=${() => onOpen(event)} title="Event as JSON">${f.clock(event.ts, zone)}<span class="muted">.${String(event.ts ?? "").match(/\.(\d{3})/)?.[1] ?? "000"}</span></button></td>
    <td><bdi class="cut">${event.name}</bdi></td><td><span class="nowrap">${event.channel && html`<span class="swatch-dot ${channelClass(event.channel)}"></span>`}<bdi>${event.channel ?? "–"}</bdi></span></td>
    <td><bdi class="cut">${event.source ? `${event.source} / ${event.medium ?? "–"}` : "–"}</bdi></td><td><bdi class="cut" title=${event.campaign ?? ""}>${event.campaign ?? "–"}</bdi></td>
    <td class="num">${event.value != null ? f.money(event.value, event.currency) : "–"}</td><td class="code"><bdi class="cut user">${event.person ?? "–"}</bdi></td>
    <td class="nowrap">${event.late_s > 60 ? html`<span class="badge warn">late ${f.span(event.late_s)}</span>` : ""}${event.duplicate ? html`<span class="badge">duplicate</span>` : ""}${event.conv ? html` <a class="nowrap" href=${link(`/c/${encodeURIComponent(event.conv)}`)}>▸ journey</a>` : ""}</td></tr>`;
}

export function Live({ state }) {
  const [, tick] = useState(0), [opened, open] = useState(null);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    const off = onLive(() => tick((n) => n + 1));
    return () => { clearInterval(timer); off(); };
  }, []);
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = [];
  for (let i = live.ring.length - 1; i >= 0 && shown.length < ROWS; i--) if (matches(live.ring[i], words, state.type, state.channel)) shown.push(live.ring[i]);
  // Once a second is enough for what is slow to make; rows are painted with each frame that brings some.
  const second = live.rates.at(-1)?.at;
  const [types, channels] = useMemo(() => { const recent = live.ring.slice(-2000); return [[...new Set(recent.map((e) => e.name))].sort(), [...new Set(recent.map((e) => e.channel).filter(Boolean))].sort()]; }, [second]);
  const agg = live.agg ?? {}, p95 = delay(0.95), down = live.status === "waiting";
  const strip = useMemo(() => {
    const rates = live.rates.slice(-SAMPLES).map((r) => r.rate), padded = [...Array(SAMPLES - rates.length).fill(null), ...rates];
    return html`<${Wide} draw=${(width) => spark({ values: padded, width, height: 64, label: "Events per second" })} />`;
  }, [second]);
  const state_words = { live: live.readOnly ? "read-only" : "streaming", waiting: `reconnecting ${f.span((Date.now() - live.downSince) / 1000)}…`, connecting: "connecting…", hidden: "resting while this tab is hidden" }[live.status];
  const gap = live.gaps[live.gaps.length - 1];
  const filtered = state.q || state.type || state.channel;
  return html`<div class="head"><h1>Live</h1><div class="controls no-print">
      <input class="field" type="search" placeholder="filter" aria-label="Filter events" value=${state.q} onInput=${(e) => set({ q: e.target.value }, { replace: true })} />
      <select class="field" aria-label="Event name" value=${state.type} onChange=${(e) => set({ type: e.target.value })}><option value="">all events</option>${[...new Set([...types, state.type])].filter(Boolean).map((t) => html`<option value=${t}>${t}</option>`)}</select>
      <select class="field" aria-label="Channel" value=${state.channel} onChange=${(e) => set({ channel: e.target.value })}><option value="">all channels</option>${[...new Set([...channels, state.channel])].filter(Boolean).map((t) => html`<option value=${t}>${t}</option>`)}</select>
      <button type="button" class="btn" aria-pressed=${live.paused ? "true" : "false"} onClick=${() => (live.paused ? resume() : pause())}>${live.paused ? "▶ Resume" : "‖ Pause"} <kbd>P</kbd></button></div></div>
    <div class="live-line"><span class="row"><span class="pulse ${live.paused ? "paused" : live.status === "live" ? "live" : down ? "waiting" : "connecting"}"></span><b role="status">${live.paused ? "paused" : state_words}</b></span>
      <dl><div><dt>rate</dt><dd data-live="rate">${agg.rate != null ? `${Number(agg.rate).toFixed(1)} ev/s` : "–"}</dd></div><div><dt>delay p95</dt><dd data-live="p95" title="from the server's stamp to this page, same clock">${p95 == null ? "–" : `${Math.round(p95)} ms`}</dd></div>
        <div><dt>event no.</dt><dd data-live="seq">${f.count(live.seq)}</dd></div><div><dt>late</dt><dd data-live="late">${f.count(agg.late ?? 0)}</dd></div><div><dt>duplicate</dt><dd data-live="duplicate">${f.count(agg.duplicate ?? 0)}</dd></div>
        <div><dt>rejected</dt><dd data-live="rejected">${agg.rejected ? html`<a href=${link("/health")}>${f.count(agg.rejected)} →</a>` : "0"}</dd></div></dl></div>
    ${live.readOnly && html`<div class="notice"><span>This server only shows tables: it takes no events. Builds of other processes are followed. Events come with <code>clicktrail serve</code> on tables of this machine, without <code>--read-only</code>.</span></div>`}
    ${gap && html`<div class="notice warn"><span>Events ${f.count(gap.from)} to ${f.count(gap.to)} came faster than they can be listed: they are in the tables, not in this list.</span></div>`}
    <${Panel} title="Events per second" name="live-rate" sub="last 15 minutes, at most ${f.short(Math.max(0, ...live.rates.slice(-SAMPLES).map((r) => r.rate)))} a second" rows=${() => [["at", "events_per_second"], ...live.rates.map((r) => [new Date(r.at).toISOString(), String(r.rate)])]}>${strip}<//>
    <${Panel} title="Last events" name="live-events" flush className="w12 events" sub=${filtered ? "filtered" : "newest first"} rows=${() => [["ts", "name", "channel", "source", "medium", "campaign", "value", "person", "id"], ...shown.map((e) => [e.ts, e.name, e.channel, e.source, e.medium, e.campaign, e.value, e.person, e.id].map((x) => (x == null ? "" : String(x))))]}>
      ${live.paused && html`<div class="paused-note" role="status"><span><b>${f.count(live.pausedCount)} new</b> since ${f.clock(live.pausedAt)}</span><button type="button" class="btn" onClick=${resume}>Resume</button></div>`}
      <div class="scroll" tabindex="0" role="group" aria-label="Last events"><table aria-label="Last ten events"><thead><tr>${["Time", "Event", "Channel", "Source / medium", "Campaign", "Value", "Person", "Notes"].map((name) => html`<th scope="col" class=${name === "Value" ? "num" : ""}>${name}</th>`)}</tr></thead>
        <tbody>${shown.map((event) => html`<${Row} key=${event.seq ?? event.id} event=${event} onOpen=${open} />`)}${Array.from({ length: ROWS - shown.length }, (_, i) => html`<tr key="none-${i}" class="none"><td colspan="8">${i === 0 && !shown.length ? (filtered ? "No event of this session fits the filter." : "Waiting for the first event. Send some: clicktrail stream --count 10") : "\u00a0"}</td></tr>`)}</tbody></table></div><//>
    ${opened && html`<${EventDialog} event=${opened} onClose=${() => open(null)} />`}`;
}
