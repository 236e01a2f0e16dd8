// ⌘K: pages, settings, channels and campaigns, models. Ranked by where the words begin.
import { html, useEffect, useMemo, useState } from "../h.js";
import { ask } from "../api.js";
import { go, link, toggleFilter, address } from "../store.js";
import { Dialog } from "./menu.js";

const LIMIT = 12;

function rank(item, words) {
  const text = `${item.label} ${item.kind}`.toLowerCase();
  let score = 0;
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return -1;
    score += at === 0 ? 3 : /\W/.test(text[at - 1]) ? 2 : 1;
  }
  return score;
}

/** `pages`: [{label, href}], `actions`: [{label, run}]. */
export function Palette({ pages, actions, onClose }) {
  const [q, type] = useState(""), [at, move] = useState(0), [found, put] = useState([]), [nodes, know] = useState([]);
  // The graph does not depend on the words.
  useEffect(() => {
    let gone = false;
    ask("/lineage").then((body) => gone || know((body.data.nodes ?? []).map((node) => ({ node: node.name }))), () => {});
    return () => { gone = true; };
  }, []);
  useEffect(() => {
    let gone = false;
    const timer = setTimeout(async () => {
      const asked = ["campaign", "channel", "source"].map((dim) => ask(`/filters/${dim}?q=${encodeURIComponent(q)}`)
        .then((body) => body.data.rows.slice(0, 6).map((item) => ({ dim, value: item.value })), () => []));
      const all = (await Promise.all(asked)).flat();
      if (!gone) put(all);
    }, 120);
    return () => { gone = true; clearTimeout(timer); };
  }, [q]);
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const list = useMemo(() => {
    const items = [
      ...pages.map((page) => ({ kind: "page", label: page.label, run: () => go(page.href) })),
      ...actions.map((action) => ({ kind: "action", ...action })),
      ...[...found, ...nodes].map((item) => (item.node ? { kind: "model", label: item.node, run: () => go(link("/lineage", { node: item.node })) }
        : { kind: item.dim, label: item.value, run: () => go(link("/", { f: toggleFilter(address().state.f, item.dim, item.value), by: item.dim })) })),
    ];
    return items.map((item, i) => ({ ...item, i, score: rank(item, words) })).filter((item) => item.score >= 0)
      .sort((a, b) => b.score - a.score || a.i - b.i).slice(0, LIMIT);
  }, [q, found, nodes]);
  const run = (item) => { onClose(); item?.run(); };
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); move((at + step + list.length) % Math.max(1, list.length)); }
    if (event.key === "Enter") { event.preventDefault(); run(list[at]); }
  };
  return html`<${Dialog} title="Search" bare className="palette" onClose=${onClose}>
    <input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant=${list[at] ? `palette-${at}` : undefined} aria-label="Search pages, campaigns, channels, models"
      placeholder="Pages, campaigns, channels, models…" value=${q} autofocus onInput=${(e) => { type(e.target.value); move(0); }} onKeyDown=${keys} />
    <ul role="listbox" id="palette-list" aria-label="Found">${list.map((item, i) => html`<li role="option" id="palette-${i}" key="${item.kind}-${item.label}" aria-selected=${i === at ? "true" : "false"}
      onClick=${() => run(item)} onPointerMove=${() => move(i)}><span><bdi>${item.label}</bdi></span><small>${item.kind}</small></li>`)}</ul>
    ${!list.length && html`<p class="none">Nothing with these words.</p>`}<//>`;
}
