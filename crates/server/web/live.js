// The stream of events. What it brings is kept out of the component tree, in a ring, and listeners hear of it once a frame. The reader sees
// how long it has been away, and a hidden tab stops listening.
import { wire } from "./wire.js";

const URL_LIVE = "/api/v1/live";
/** Events kept while paused. More than that and the oldest go; the count goes on. */
export const RING = 10_000;
const HIDDEN_MS = 30_000;
/** Events that one who comes is told first; the server does the same. */
const FIRST = 10;

/** Everything known of the stream. Read it in a listener; it is changed in place. */
export const live = {
  status: "connecting", // connecting | live | waiting | hidden
  readOnly: false, // the server takes no events
  stale: null, // why tables that are copies are not the newest
  downSince: 0, seq: 0, build: null, snapshot: null,
  paused: false, pausedAt: 0, pausedCount: 0,
  ring: [], held: [], hello: null, agg: null, rates: [], health: null, gaps: [], mart: null, updated: false, delays: [],
};

const listeners = new Set();
const hooks = { mart: new Set(), gap: new Set() };
let hiddenTimer = 0, frame = 0;

/** Hears of changes, at most once a frame. */
export function onLive(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Hears of `mart` (the marts moved) or `gap` (events were skipped). */
export function on(name, listener) {
  hooks[name].add(listener);
  return () => hooks[name].delete(listener);
}

function flush() {
  if (frame) return;
  // In hidden tabs there are no frames; there is nobody to paint for either.
  frame = requestAnimationFrame(() => {
    frame = 0;
    for (const listener of listeners) listener(live);
  });
}

function push(list, items, bound) {
  list.push(...items);
  if (list.length > bound) list.splice(0, list.length - bound);
}

const heard = {
  hello(data) {
    live.hello = data;
    if (live.build && data.build && data.build !== live.build) live.updated = true;
    live.build = data.build ?? live.build;
    // A server that starts anew may count anew: what we know of the old numbering is of no use then.
    if (data.seq != null && data.seq < live.seq) live.seq = 0;
    live.readOnly = data.phase === "read-only";
    live.stale = data.stale ?? null;
    const before = live.snapshot;
    live.snapshot = data.snapshot_id ?? live.snapshot;
    live.progress = data.ready === false ? data.progress ?? { current: data.phase } : null;
    if (before && live.snapshot !== before) for (const hook of hooks.mart) hook(data);
  },
  events(data) {
    const at = Date.now();
    const fresh = (data.e ?? []).filter((event) => event.seq == null || event.seq > live.seq);
    for (const event of fresh) {
      event.delay_ms = event.ingest_us && !data.replayed ? Math.max(0, at - event.ingest_us / 1000) : null;
      if (event.seq != null) live.seq = Math.max(live.seq, event.seq);
      if (event.delay_ms != null) push(live.delays, [event.delay_ms], 500);
    }
    if (live.paused) {
      live.pausedCount += fresh.length;
      push(live.held, fresh, RING);
    } else push(live.ring, fresh, RING);
  },
  agg(data) {
    live.agg = data;
    if (data.rates?.length) live.rates = data.rates.slice(-900).map((rate, i, all) => ({ at: Date.now() - (all.length - i) * 1000, rate }));
    else push(live.rates, [{ at: Date.now(), rate: Number(data.rate ?? 0) }], 900);
  },
  mart(data) {
    live.snapshot = data.snapshot_id ?? live.snapshot;
    live.mart = data;
    for (const hook of hooks.mart) hook(data);
  },
  health(data) {
    const was = live.health?.ready;
    live.readOnly = data.phase === "read-only";
    live.stale = data.stale ?? null;
    live.health = data;
    // Tables that became ready are asked for at once.
    if (data.ready && was === false) for (const hook of hooks.mart) hook(data);
  },
  gap(data) {
    push(live.gaps, [data], 20);
    if (data.to != null) {
      // Skipped events came as well: whoever paused is told of all.
      if (live.paused) live.pausedCount += Math.max(0, data.to - Math.max(live.seq, data.from - 1));
      live.seq = Math.max(live.seq, data.to);
    }
    for (const hook of hooks.gap) hook(data);
  },
};

/** What one who knows the events up to `seq` has missed; null while nothing is known here. */
function past(seq) {
  if (!live.hello) return null;
  const last = Math.max(live.seq, live.hello.seq ?? 0), known = seq > last ? 0 : seq;
  const all = [...live.ring, ...live.held];
  const missed = known ? all.filter((event) => event.seq > known) : all.slice(-FIRST);
  const said = [["hello", { ...live.hello, seq: last, snapshot_id: live.snapshot }]];
  if (live.health) said.push(["health", live.health]);
  if (live.agg) said.push(["agg", { ...live.agg, rates: live.rates.map(({ rate }) => rate) }]);
  if (known && live.seq > known && missed[0]?.seq !== known + 1) said.push(["gap", { from: known + 1, to: (missed[0]?.seq ?? live.seq + 1) - 1 }]);
  if (missed.length) said.push(["events", { n: missed.length, replayed: true, e: missed }]);
  return said;
}

const connection = wire({
  address: () => `${URL_LIVE}${live.seq ? `?after=${live.seq}` : ""}`,
  hear(name, data) {
    heard[name](data);
    flush();
  },
  status(word, since) {
    if (live.status === word && live.downSince === since) return;
    Object.assign(live, { status: word, downSince: since });
    flush();
  },
  seq: () => live.seq,
  past,
});

/** Listens until the page goes. */
export function start() {
  connection.enter();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => { live.status = "hidden"; connection.leave(); }, HIDDEN_MS);
    } else if (!connection.entered()) { live.status = "connecting"; connection.enter(); }
    flush();
  });
  addEventListener("pagehide", connection.leave);
  addEventListener("pageshow", (event) => { if (event.persisted) connection.enter(); });
}

/** Stops what is shown, not what comes. */
export function pause() {
  if (live.paused) return;
  Object.assign(live, { paused: true, pausedAt: Date.now(), pausedCount: 0 });
  flush();
}

/** Goes on; what came meanwhile is shown. */
export function resume() {
  if (!live.paused) return;
  push(live.ring, live.held, RING);
  Object.assign(live, { paused: false, held: [], pausedCount: 0 });
  flush();
}

/** A percentile of the delays seen, in ms; null before the first. */
export function delay(p) {
  if (!live.delays.length) return null;
  const sorted = [...live.delays].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))];
}
