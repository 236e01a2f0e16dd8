// A panel: title, what is in it, and the same menu everywhere: CSV, picture, copy, SQL, command line, chart or table.
import { html, useLayoutEffect, useRef, useState } from "../h.js";
import { Dialog, Menu } from "./menu.js";
import { csv, picture, save, tabbed } from "./export.js";
import { Skeleton, Elapsed } from "./state.js";
import { Sql } from "./sql.js";
import { copy } from "./toast.js";

/** The width of an element, and again when it changes. */
export function useWidth(initial = 600) {
  const element = useRef(null), [width, put] = useState(initial);
  // Before the first paint, so that nothing is drawn at a width that it does not have.
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([entry]) => put(Math.max(200, Math.floor(entry.contentRect.width))));
    watcher.observe(element.current);
    put(Math.max(200, Math.floor(element.current.clientWidth)));
    return () => watcher.disconnect();
  }, []);
  return [element, width];
}

/** Draws a chart as wide as there is room: `draw(width)` → SVG. */
export function Wide({ draw, className = "" }) {
  const [element, width] = useWidth();
  return html`<div ref=${element} class="figure ${className}">${draw(width)}</div>`;
}

/** Data tests that did not hold upstream of exactly this panel's tables. */
export function failing(meta, sqlId) {
  const tables = meta?.sql_tables?.[sqlId] ?? [];
  return (meta?.tests?.failing ?? []).filter((test) => [...(test.tables ?? []), ...(test.nodes ?? [])].some((name) => tables.includes(name))).map((test) => test.name);
}

export const cliQuery = (sql) => `clicktrail query '${sql.replace(/'/g, `'\\''`)}'`;

/**
 * `rows()` gives the exact rows for CSV and copying; `sqlId` names its query in the answer; `cli` is a command. With `chart` and
 * `table` there is a switch between both.
 */
export function Panel({ title, sub, name, className = "w12", children, chart, table, rows, sqlId, cli, stamp = "", actions, flush = false, answer, size, broken }) {
  const panel = useRef(null), [shown, show] = useState(null), [asTable, put] = useState(false);
  const waiting = answer && !answer.body;
  const both = chart && table, meta = answer?.body?.meta, sql = sqlId && meta?.sql?.[sqlId], warnings = failing(meta, sqlId);
  const items = [
    rows && { label: "Download CSV", hint: ".csv", run: () => save(`${name}.csv`, csv(rows()), "text/csv") },
    rows && { label: "Download picture", hint: ".png", run: () => picture({ panel: panel.current, rows: rows(), title, stamp, name }) },
    rows && { label: "Copy as table", run: () => copy(tabbed(rows()), "Table copied") },
    sql && { label: "Show SQL", run: () => show("sql") },
    cli && { label: "Open in CLI", hint: "copies", run: () => copy(cli, `Copied: ${cli.length > 60 ? `${cli.slice(0, 59)}…` : cli}`) },
  ].filter(Boolean);
  return html`<section class="panel ${className} ${broken ? "broken" : ""} ${answer?.error && answer.body ? "dim" : ""}" ref=${panel} aria-label=${title} data-panel=${name}>
    <header><h2>${title}${sub && html`<small>${sub}</small>`}</h2>
      ${warnings.length > 0 && html`<a class="badge warn" href="/health" title=${warnings.join(", ")}>⚠ ${warnings.length === 1 ? warnings[0] : `${warnings.length} tests`}</a>`}
      ${actions}
      ${both && html`<span class="segments slim" role="group" aria-label="Show ${title} as">
        <button type="button" aria-pressed=${asTable ? "false" : "true"} onClick=${() => put(false)}>Chart</button>
        <button type="button" aria-pressed=${asTable ? "true" : "false"} onClick=${() => put(true)}>Table</button></span>`}
      ${items.length > 0 && !waiting && html`<${Menu} label="Menu of ${title}" items=${items} />`}
    </header>
    ${broken && html`<div class="inside"><div class="notice bad" role="alert">${broken}</div></div>`}
    <div class="inside ${flush || (both && asTable) ? "flush" : ""}">
      ${waiting ? html`${answer.busy ? html`<${Elapsed} since=${answer.since} />` : null}<${Skeleton} size=${size} />` : both ? (asTable ? table() : chart()) : children}
      ${answer?.busy && answer.body && !answer.quiet && html`<${Elapsed} since=${answer.since} />`}
    </div>
    ${shown === "sql" && html`<${Dialog} title="SQL of “${title}”" wide onClose=${() => show(null)}><div class="stack"><${Sql} text=${sql} />
      <div class="row"><button type="button" class="btn" onClick=${() => copy(sql, "SQL copied")}>Copy SQL</button>
      <button type="button" class="btn" onClick=${() => copy(cliQuery(sql), "Command copied")}>Copy as command</button></div></div><//>`}
  </section>`;
}
