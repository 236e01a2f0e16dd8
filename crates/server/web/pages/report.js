// What the pages of the report share: how values are shown, what is said above them, what is stamped on their pictures.
import { html, useEffect, useRef } from "../h.js";
import { set } from "../store.js";
import { on } from "../live.js";
import * as f from "../format.js";
import { Trouble } from "../ui/state.js";

/** A value as the page shows it: conversions or revenue. */
export const shown = (value, v, currency) => (value == null ? "–" : v === "rev" ? f.money(value, currency) : f.count(value));

export const number = (value) => (value == null ? null : Number(value));

/** What a picture says below its title. */
export function stampOf(state, meta) {
  const d = meta?.definition;
  if (!d) return "";
  return [d.conversion, `${f.day(d.from)} – ${f.day(d.to)}`, state.f && `filter ${state.f}`, `${d.lookback_days}-day lookback`, d.timezone, meta.as_of && `as of ${meta.as_of.slice(0, 19)}Z`].filter(Boolean).join(" · ");
}

/** Marts can move four times a second; nobody reads numbers faster than this. The first move is shown at once, the last one always. */
const FOLLOW_MS = 1000;

/** Asks again when the marts moved or events were skipped; a pinned page does not, a hidden tab does when it is looked at. */
export function useFollowing(answer, state) {
  const again = useRef(null);
  again.current = answer.again;
  useEffect(() => {
    if (state.snap) return undefined;
    let last = 0, timer = 0;
    const ask = () => { timer = 0; last = Date.now(); again.current({ quiet: true }); };
    const moved = () => {
      if (timer) return;
      if (document.hidden) timer = -1; // asked for when the tab is seen again
      else timer = setTimeout(ask, Math.max(0, last + FOLLOW_MS - Date.now()));
    };
    const seen = () => { if (!document.hidden && timer === -1) ask(); };
    const off = [on("mart", moved), on("gap", moved)];
    document.addEventListener("visibilitychange", seen);
    return () => { clearTimeout(timer); off.forEach((stop) => stop()); document.removeEventListener("visibilitychange", seen); };
  }, [state.snap, answer.path]);
}

/** What models of the first touch leave out, since nobody saw it, and how to count it all the same. `credit`: the table of the page, if it has one. */
function LeftOut({ state, meta, credit }) {
  const own = Number(meta?.left_out?.conversions) > 0 ? { [meta.definition.model]: meta.left_out } : {};
  const sums = { ...credit?.left_out, ...own }, models = Object.keys(sums);
  if (state.cut === "in") {
    const asked = [...(meta?.definition?.models ?? []), ...(credit?.models ?? [])].some((model) => model.startsWith("first_"));
    return asked ? html`<p class="aside muted small">First touches that nobody could see are counted: of conversions whose lookback windows start before the first loaded day. <button type="button" class="btn plain" data-cut="out" onClick=${() => set({ cut: "" })}>Leave them out</button></p>` : "";
  }
  if (!models.length) return "";
  return html`<p class="aside muted small" data-left-out=${sums[models[0]].conversions}>Left out of ${models.map((model) => f.modelName(model).toLowerCase()).join(" and ")}: ${f.plural(sums[models[0]].conversions, "conversion")} whose lookback windows start before the first loaded day, as nobody saw the first touch. <button type="button" class="btn plain" data-cut="in" onClick=${() => set({ cut: "in" })}>Count them all the same</button></p>`;
}

/** Messages above a page: trouble, a build on its way, a pinned snapshot, what is left out. */
export function Notices({ answer, state, meta, credit = null }) {
  const { error } = answer, progress = error?.rest?.progress;
  return html`${progress ? html`<div class="notice" role="status"><span><strong>${progress.phase === "waiting" ? "Waiting for tables" : "Building the tables"}</strong>${progress.total ? ` · ${progress.done} of ${progress.total}` : ""}${progress.phase === "waiting" ? ` · ${progress.current}` : progress.current ? html` · <code>${progress.current}</code>` : ""}. This page fills itself.</span>
      ${progress.total ? html`<progress max=${progress.total} value=${progress.done} aria-label="Build"></progress>` : html`<progress aria-label="Build"></progress>`}</div>`
    : error ? html`<${Trouble} error=${error} again=${answer.again} />` : ""}
    ${state.snap && !error ? html`<div class="notice"><span>Pinned to snapshot <code>${state.snap}</code>: these numbers do not move.</span><button type="button" class="btn" onClick=${() => set({ snap: "" })}>Show the newest</button></div>` : ""}
    ${Number(meta?.unattributed?.conversions) > 0 ? html`<p class="aside muted small">${f.plural(meta.unattributed.conversions, "conversion")} without any touch, credited to (no touch): no user or session is known for them, or their channels are left out.</p>` : ""}
    ${!error && html`<${LeftOut} state=${state} meta=${meta} credit=${credit} />`}
    <p class="printed">${location.href}</p>`;
}
