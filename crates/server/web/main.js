// Starts: reads the address, paints the page for it, keeps the bar, the stream and the keyboard alive around it.
import { html, render, useEffect, useRef, useState } from "./h.js";
import { seed } from "./api.js";
import { address, go, link, set, useAddress } from "./store.js";
import { HELP, listen } from "./keys.js";
import { live, onLive, pause, resume, start } from "./live.js";
import { failedTests, span } from "./format.js";
import { Dialog } from "./ui/menu.js";
import { Palette } from "./ui/palette.js";
import { Toasts, toast } from "./ui/toast.js";
import { Overview } from "./pages/overview.js";
import { Models } from "./pages/models.js";
import { Paths } from "./pages/paths.js";
import { Journey } from "./pages/journey.js";
import { Conversions } from "./pages/conversions.js";
import { Live } from "./pages/live.js";
import { Health } from "./pages/health.js";
import { Lineage } from "./pages/lineage.js";
import { Settings } from "./pages/settings.js";

const PAGES = [
  ["/", "Overview", Overview, "o"], ["/models", "Models", Models, "m"], ["/paths", "Paths", Paths, "p"], ["/live", "Live", Live, "l"],
  ["/health", "Health", Health, "h"], ["/lineage", "Lineage", Lineage, "d"], ["/settings", "Settings", Settings, "s"],
];
const ICONS = {
  "/": "M3 17V9m5 8V4m5 13v-6m4 6V7", "/models": "M4 6h12M4 14h12M7 3.5v5M13 11.500v5", "/paths": "M3 5h4l6 10h4M3 15h4l2-3.500M11.500 7 13 5h4",
  "/live": "M2 10h3l3-6 4 12 3-6h3",
};
const THEMES = ["", "light", "dark"];

const Mark = () => html`<svg width="26" height="20" viewBox="0 0 26 20" aria-hidden="true"><circle class="a" cx="4" cy="15" r="3.2" /><path d="M7 13.500 12 8l3 3 4-5" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" /><path class="b" d="m21 .8 4 4-4 4-4-4z" /></svg>`;

/** The stream's state as a thing to look at and to hear. */
function useLiveState() {
  const read = () => ({ status: live.status, paused: live.paused, count: live.pausedCount, rate: live.agg?.rate, down: live.downSince, updated: live.updated, readOnly: live.readOnly, stale: live.stale,
    tests: failedTests(live.health?.tests) });
  const [state, put] = useState(read);
  useEffect(() => {
    const update = () => put((old) => { const now = read(); return JSON.stringify(old) === JSON.stringify(now) ? old : now; });
    const timer = setInterval(update, 1000);
    const off = onLive(update);
    return () => { clearInterval(timer); off(); };
  }, []);
  return state;
}

function StreamState() {
  const s = useLiveState();
  const [kind, text] = s.paused ? ["paused", `paused${s.count ? `, ${s.count} new` : ""}`]
    : s.status === "live" && s.readOnly ? ["hidden-tab", "read-only"]
    : s.status === "live" ? ["live", s.rate != null ? `live ${Number(s.rate) >= 10 ? Math.round(s.rate) : Number(Number(s.rate).toFixed(1))}/s` : "live"]
    : s.status === "waiting" ? ["waiting", `reconnecting ${span((Date.now() - s.down) / 1000)}…`]
    : s.status === "hidden" ? ["hidden-tab", "resting"] : ["connecting", "connecting…"];
  return html`<a class="stream-state" href=${link("/live")} aria-label="Stream: ${text}"><span class="pulse ${kind}"></span><span>${text}</span></a>`;
}

/** Above every page: its tables are copies, and not the newest. */
function Stale() {
  const { stale } = useLiveState();
  return stale && html`<div class="notice warn" role="status" data-stale><span>Not the newest: ${stale}.</span></div>`;
}

// Who has the system force its colours has chosen already: light tokens on a black canvas would be read by nobody.
const forced = matchMedia("(forced-colors: active)");
function theme(next) {
  if (next && !forced.matches) document.documentElement.dataset.theme = next; else delete document.documentElement.dataset.theme;
  try { if (next) localStorage.setItem("theme", next); else localStorage.removeItem("theme"); } catch { /* a browser that keeps nothing */ }
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  theme(next);
  toast(`Theme: ${next || "as the system"}`);
}

const Help = ({ onClose }) => html`<${Dialog} title="Keyboard" onClose=${onClose}><div class="keys">${HELP.map(([title, keys]) => html`<section><h3>${title}</h3>
  <dl>${keys.map(([key, does]) => html`<dt>${key.split(" ").map((part) => (part === "or" ? html`<span class="muted small">or</span>` : html`<kbd>${part}</kbd>`))}</dt><dd>${does}</dd>`)}</dl></section>`)}</div><//>`;

/** Tab title and icon say what the tab is about while it is in the background. */
function useTitle(title) {
  const s = useLiveState();
  useEffect(() => {
    document.title = `${s.paused ? "‖ " : s.tests ? `⚠ ${s.tests} ` : s.status === "waiting" ? "○ " : ""}${title} · Clicktrail`;
    const icon = document.getElementById("favicon");
    const base = icon.href.replace(/\/icon[^/]*\.svg$/, "");
    const wanted = `${base}/icon${s.status === "live" && !s.paused ? "-live" : ""}.svg`;
    if (icon.href !== wanted) icon.href = wanted;
  }, [title, s.status, s.paused, s.tests]);
}

function App() {
  const place = useAddress(), [dialog, show] = useState(null), main = useRef(null), first = useRef(true);
  const { path, state, problems } = place;
  const journey = path.startsWith("/c/");
  const found = PAGES.find(([at]) => at === path);
  const Page = journey ? Journey : path === "/conversions" ? Conversions : found?.[2];
  useTitle(journey ? "Journey" : path === "/conversions" ? "Conversions" : found?.[1] ?? "Not found");
  useEffect(() => {
    if (first.current) { first.current = false; return; }
    // A new page starts at its top and with the focus on it, as a loaded page would.
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [path]);
  useEffect(() => {
    const actions = {
      "mod k": () => show("palette"), "/": () => show("palette"), "?": () => show("help"), t: nextTheme,
      w: () => set({ d: "14" }), f: () => set({ d: "28" }), n: () => set({ d: "90" }),
      x: () => set({ cmp: address().state.cmp === "none" ? "prev" : "none" }),
      d: () => set({ dow: address().state.dow === "1" ? "0" : "1" }),
      v: () => set({ v: address().state.v === "rev" ? "conv" : "rev" }),
      p: () => (live.paused ? resume() : pause()),
      Escape: () => { if (address().state.f) set({ f: "" }); },
    };
    for (const [at, , , key] of PAGES) actions[`g ${key}`] = () => go(link(at));
    return listen(actions);
  }, []);
  useEffect(() => {
    // Links inside the dashboard do not load the page anew.
    const click = (event) => {
      const a = event.target.closest?.("a[href]");
      if (!a || a.target || a.hasAttribute("download") || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const url = new URL(a.href);
      if (url.origin !== location.origin || /^\/(api|a|licenses)\b/.test(url.pathname) || (url.hash && url.pathname === location.pathname)) return;
      event.preventDefault();
      go(url.pathname + url.search);
    };
    document.addEventListener("click", click);
    const off = onLive(() => { if (live.updated) { live.updated = false; toast("Clicktrail was updated", { label: "Reload", run: () => location.reload() }); } });
    return () => { document.removeEventListener("click", click); off(); };
  }, []);
  const here = journey || path === "/conversions" ? null : path;
  const palette = {
    pages: PAGES.map(([at, label]) => ({ label, href: link(at) })),
    actions: [{ label: "Theme: light, dark, system", run: nextTheme }, { label: "Keyboard shortcuts", run: () => show("help") }, { label: live.paused ? "Resume the stream" : "Pause the stream", run: () => (live.paused ? resume() : pause()) },
      { label: "Print this page", run: () => print() }, { label: "Licences", run: () => { location.href = "/licenses"; } }],
  };
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current?.focus(); }}>To the content</a>
    <header class="bar-top no-print"><a class="brand" href=${link("/")} aria-label="Clicktrail, Overview"><${Mark} /><span>clicktrail</span></a>
      <nav aria-label="Pages">${PAGES.map(([at, label]) => html`<a href=${link(at)} key=${at} aria-current=${at === here ? "page" : undefined}>${label}</a>`)}</nav>
      <div class="end"><${StreamState} />
        <button type="button" class="btn plain" aria-label="Search" title="Search (⌘K)" onClick=${() => show("palette")}><svg width="15" height="15" viewBox="0 0 16 16" aria-hidden="true"><circle cx="7" cy="7" r="5" fill="none" stroke="currentColor" stroke-width="1.600" /><path d="m11 11 4 4" stroke="currentColor" stroke-width="1.600" stroke-linecap="round" /></svg><kbd class="only-wide">⌘K</kbd></button>
        <button type="button" class="btn plain icon only-wide" aria-label="Keyboard shortcuts" title="Keyboard (?)" onClick=${() => show("help")}>?</button>
        <button type="button" class="btn plain icon" aria-label="Theme" title="Light, dark, system (T)" onClick=${nextTheme}><svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.200" fill="none" stroke="currentColor" stroke-width="1.600" /><path d="M8 1.800a6.200 6.200 0 0 1 0 12.400z" fill="currentColor" /></svg></button></div></header>
    <main id="main" tabindex="-1" ref=${main}>
      <${Stale} />
      ${problems.length > 0 && html`<div class="notice warn" role="alert"><span>This address holds something that was left out: ${problems.join("; ")}.</span><button type="button" class="btn" onClick=${() => set({}, { replace: true })}>Clean the address</button></div>`}
      ${Page ? html`<${Page} key=${journey ? path : found?.[0] ?? path} place=${place} state=${state} />` : html`<div class="state"><h1>There is no page ${path}</h1><p><a href="/">To the overview</a></p></div>`}
    </main>
    <nav class="nav-low no-print" aria-label="Pages, at the foot">${PAGES.slice(0, 4).map(([at, label]) => html`<a href=${link(at)} key=${at} aria-current=${at === here ? "page" : undefined}>
      <svg width="20" height="20" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.600" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${ICONS[at]} /></svg>${label}</a>`)}
      <button type="button" onClick=${() => show("palette")}><svg width="20" height="20" viewBox="0 0 20 20" fill="currentColor" aria-hidden="true"><circle cx="4" cy="10" r="1.600" /><circle cx="10" cy="10" r="1.600" /><circle cx="16" cy="10" r="1.600" /></svg>More</button></nav>
    ${dialog === "help" && html`<${Help} onClose=${() => show(null)} />`}
    ${dialog === "palette" && html`<${Palette} ...${palette} onClose=${() => show(null)} />`}
    <${Toasts} />`;
}

try { theme(localStorage.getItem("theme") ?? ""); } catch { /* a browser that keeps nothing */ }
seed(document.getElementById("page"));
render(html`<${App} />`, document.getElementById("app"));
start();
// Prints come out light, whatever is on screen.
addEventListener("beforeprint", () => { document.documentElement.dataset.screen = document.documentElement.dataset.theme ?? ""; document.documentElement.dataset.theme = "light"; });
addEventListener("afterprint", () => { const was = document.documentElement.dataset.screen; if (was) document.documentElement.dataset.theme = was; else delete document.documentElement.dataset.theme; });
