// Tables: sorted by a column through the address, rows fixed by their first cell, values as text. Cells that change fade once.
import { html, useEffect, useRef } from "../h.js";
import { set } from "../store.js";

/** Rows in the order that `sort` (`name` or `-name`) asks for; without it as they came. */
export function sorted(rows, columns, sort) {
  const name = sort.replace(/^-/, ""), column = columns.find((c) => c.id === name);
  if (!column) return rows;
  const sign = sort.startsWith("-") ? -1 : 1;
  const read = column.sortBy ?? column.value;
  return [...rows].sort((a, b) => {
    const x = read(a), y = read(b);
    if (x == null || y == null) return (x == null) - (y == null);
    const numbers = typeof x === "number" || column.num;
    return sign * (numbers ? Number(x) - Number(y) : String(x).localeCompare(String(y)));
  });
}

/** A cell whose text changed since it was painted fades once, so that the eye finds what moved. */
export function Fading({ value, children }) {
  const cell = useRef(null), before = useRef(value);
  useEffect(() => {
    if (before.current === value) return;
    before.current = value;
    const element = cell.current;
    element.classList.remove("moved");
    void element.offsetWidth;
    element.classList.add("moved");
  }, [value]);
  return html`<span ref=${cell}>${children}</span>`;
}

/**
 * `columns`: [{id, label, value(row), show(row), num, fixed, title, help}]. `show` gives what is painted, `value` what is sorted and
 * exported. `foot`: one more row. `sortKey`: false for a table that keeps its order.
 */
export function Table({ columns, rows, label, sort = "", sortable = true, foot = null, rowKey, rowClass, onRow }) {
  const listed = sortable ? sorted(rows, columns, sort) : rows;
  const head = (column) => {
    if (!sortable || column.unsorted) return column.label;
    const on = sort.replace(/^-/, "") === column.id;
    const next = !on ? (column.num ? `-${column.id}` : column.id) : sort.startsWith("-") === !!column.num ? (column.num ? column.id : `-${column.id}`) : "";
    return html`<button type="button" onClick=${() => set({ sort: next }, { replace: true })}>${column.label}${on ? (sort.startsWith("-") ? " ↓" : " ↑") : ""}</button>`;
  };
  const cell = (column, row, footer = false) => {
    const inside = column.show ? column.show(row, footer) : column.value(row);
    const classes = `${column.num ? "num" : ""} ${column.fixed ? "fixed" : ""} ${column.className ?? ""}`;
    return column.fixed
      ? html`<th scope="row" class=${classes} key=${column.id}>${inside}</th>`
      : html`<td class=${classes} key=${column.id} title=${column.title?.(row)}>${inside}</td>`;
  };
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}><table aria-label=${label}>
    <thead><tr>${columns.map((column) => {
      const on = sortable && sort.replace(/^-/, "") === column.id;
      return html`<th scope="col" key=${column.id} class="${column.num ? "num" : ""} ${column.fixed ? "fixed" : ""} ${column.className ?? ""}" title=${column.help}
        aria-sort=${on ? (sort.startsWith("-") ? "descending" : "ascending") : undefined}>${head(column)}</th>`;
    })}</tr></thead>
    <tbody>${listed.map((row, i) => html`<tr key=${rowKey ? rowKey(row) : i} class=${rowClass?.(row) ?? ""} ...${onRow ? onRow(row) : {}}>${columns.map((column) => cell(column, row))}</tr>`)}</tbody>
    ${foot && html`<tfoot><tr>${columns.map((column) => cell(column, foot, true))}</tr></tfoot>`}
  </table></div>`;
}

/** Columns and rows as [[text]], first the heads: what CSV, copying and pictures are made of. */
export function grid(columns, rows, foot) {
  const text = (column, row) => { const value = column.value(row); return value == null ? "" : String(value); };
  const named = columns.filter((column) => column.label && column.value);
  return [named.map((column) => column.label), ...[...rows, ...(foot ? [foot] : [])].map((row) => named.map((column) => text(column, row)))];
}
