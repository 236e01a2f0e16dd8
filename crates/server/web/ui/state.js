// What is shown instead of data: still coming, nothing there, something wrong.
import { html, useEffect, useState } from "../h.js";
import { set, readFilters } from "../store.js";

const SLOW_MS = 400;

/** Seconds since a question was asked; shown from 0.4 s on, so that quick answers do not flicker. */
export function Elapsed({ since }) {
  const [now, tick] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => tick(performance.now()), 100);
    return () => clearInterval(timer);
  }, []);
  const ms = now - since;
  return ms > SLOW_MS ? html`<span class="elapsed" role="status">${(ms / 1000).toFixed(1)} s</span>` : null;
}

export const Skeleton = ({ size = "h220" }) => html`<div class="skeleton ${size}" aria-hidden="true"></div>`;

/** Nothing to show: says which filter did it and takes it away on request. */
export function Empty({ state, meta, what = "conversions" }) {
  const filters = readFilters(state.f), why = meta?.empty;
  if (why?.reason === "no_data") return html`<${FirstSteps} />`;
  return html`<div class="state"><h2>No ${what} here</h2>${why?.text && html`<p>${why.text}</p>`}
    ${why?.reason === "cut" ? html`<button type="button" class="btn" onClick=${() => set({ cut: "in" })}>Count them all the same</button>` : filters.length ? html`<p>These filters leave nothing: ${filters.map(({ dim, values, out }) => `${dim} ${out ? "not " : ""}${values.join(" or ")}`).join("; ")}.</p>
      <button type="button" class="btn" onClick=${() => set({ f: "" })}>Remove filters</button>`
    : html`<p>The period holds none. A longer one may, or another key event.</p>
      ${state.d !== "90" && html`<button type="button" class="btn" onClick=${() => set({ d: "90" })}>Show 90 days</button>`}`}</div>`;
}

/** Nothing was loaded yet: what to run. The stream tells when something came, and the page fills itself. */
export const FirstSteps = () => html`<div class="state"><h2>There are no events yet</h2><p>Any of these brings some; this page notices by itself.</p>
  <pre class="sql" tabindex="0" role="group" aria-label="Commands"><code>clicktrail up --demo                      # generated shop data and a live stream
clicktrail build --vars '{ga4_export: "path/events_*.parquet"}'
clicktrail stream --count 10              # ten demo events to this server</code></pre></div>`;

/** Words as a sentence, so that what follows does not run into them. */
const sentence = (words) => /[.!?…]$/.test(words) ? words : `${words}.`;

/** A problem as the server told it: its code, what to do, and again. */
export function Trouble({ error, again }) {
  const expired = error.status === 410;
  return html`<div class="notice ${error.status === 503 ? "warn" : "bad"}" role="alert"><span><strong>${error.status === 503 ? "Not ready" : "That did not work"}</strong>: ${sentence(error.message)}
    ${error.hint && html` <span>Hint: ${sentence(error.hint)}</span>`} ${error.code && html`<code>${error.code}</code>`}${error.rest?.keys?.map((k) => html` <span><code>${k.key}=${k.value}</code>: ${k.why}.</span>`)}</span>
    ${error.rest?.keys?.length > 0 && html`<button type="button" class="btn" onClick=${() => set(Object.fromEntries(error.rest.keys.map((k) => [k.key, ""])))}>Leave ${error.rest.keys.length === 1 ? "it" : "them"} out</button>`}
    ${expired && html`<button type="button" class="btn" onClick=${() => set({ snap: "" })}>Show the newest</button>`}
    <button type="button" class="btn" onClick=${() => again()}>Try again</button></div>`;
}
