// Where does this column come from?
import { html, useEffect, useRef, useState } from "../h.js";
import { useAnswer } from "../api.js";
import { link, set } from "../store.js";
import * as f from "../format.js";
import { dag } from "../charts/dag.js";
import { Panel } from "../ui/panel.js";
import { Trouble } from "../ui/state.js";
import { Sql } from "../ui/sql.js";
import { copy } from "../ui/toast.js";
import { Table } from "../ui/table.js";
import { Mark } from "./health.js";

/** A description of a project: what stands between backticks is code. */
const told = (text) => text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));

function Node({ name, state }) {
  const answer = useAnswer(`/nodes/${encodeURIComponent(name)}`);
  const [tab, pick] = useState("columns"), node = answer.body?.data;
  const about = node?.description;
  return html`<${Panel} title=${name} name="node-${name}" flush answer=${answer} sub=${node ? `${node.materialized ?? node.resource_type}${node.rows != null ? `, ${f.plural(node.rows, "row")}` : ""}` : ""} cli=${node?.command ?? `clicktrail show -s ${name}`}
      rows=${() => [["column", "type", "description"], ...(node.columns ?? []).map((c) => [c.name, c.type ?? "", c.description ?? ""])]}
      actions=${html`<span class="segments slim" role="group" aria-label="Show">${["columns", "tests", "sql", "compiled"].map((id) => html`<button type="button" aria-pressed=${tab === id ? "true" : "false"} onClick=${() => pick(id)}>${{ columns: "Columns", tests: "Tests", sql: "SQL", compiled: "Compiled" }[id]}</button>`)}</span>
        <button type="button" class="btn plain icon" aria-label="Close ${name}" onClick=${() => set({ node: "" })}>✕</button>`}>
    ${answer.error ? html`<div class="padded"><${Trouble} error=${answer.error} again=${answer.again} /></div>` : ""}
    ${node && html`<div class="padded stack">${about && html`<p>${told(about)}</p>`}<p class="small muted">${node.path && html`<code>${node.path}</code> · `}reads ${(node.parents ?? []).map((d, i) => html`${i ? ", " : ""}<a class="code" href=${link("/lineage", { node: d.name, select: state.select })}>${d.name}</a>`)}${!(node.parents ?? []).length ? "nothing" : ""}${(node.children ?? []).length ? html` · read by ${node.children.map((d, i) => html`${i ? ", " : ""}<a class="code" href=${link("/lineage", { node: d.name, select: state.select })}>${d.name}</a>`)}` : ""} · ${node.live ? "follows the stream" : html`made at builds${node.why_not_live ? `: ${node.why_not_live}` : ""}`}</p></div>
      ${tab === "columns" && ((node.columns ?? []).length ? html`<${Table} label="Columns of ${name}" sortable=${false} rows=${node.columns} columns=${[{ id: "n", label: "Column", fixed: true, value: (c) => c.name, show: (c) => html`<code>${c.name}</code>` }, { id: "t", label: "Type", value: (c) => c.type, show: (c) => html`<span class="code muted">${c.type ?? "–"}</span>` }, { id: "d", label: "Meaning", className: "prose", value: (c) => c.description, show: (c) => told(c.description ?? "") }, { id: "x", label: "Tests", value: (c) => (c.tests ?? []).length, show: (c) => ((c.tests ?? []).length ? html`<span title=${c.tests.join(", ")}>${f.plural(c.tests.length, "test")}</span>` : "") }]} />` : html`<div class="padded muted">No columns are described.</div>`)}
      ${tab === "tests" && html`<${Table} label="Tests of ${name}" sortable=${false} rows=${node.tests ?? []} columns=${[{ id: "n", label: "Data test", fixed: true, value: (t) => t.name, show: (t) => html`<bdi class="cut code wide">${t.name}</bdi>` }, { id: "s", label: "Result", value: (t) => t.status, show: (t) => html`<${Mark} status=${t.status} />` }, { id: "f", label: "Rows", num: true, value: (t) => t.failures, show: (t) => (t.failures ? f.count(t.failures) : "–") }]} />`}
      ${(tab === "sql" || tab === "compiled") && html`<div class="padded stack"><${Sql} text=${(tab === "sql" ? node.raw_sql : node.compiled_sql) ?? "-- none"} /><div class="row"><button type="button" class="btn" onClick=${() => copy(tab === "sql" ? node.raw_sql : node.compiled_sql, "SQL copied")}>Copy SQL</button></div></div>`}`}<//>`;
}

export function Lineage({ state }) {
  const answer = useAnswer(`/lineage${state.select ? `?select=${encodeURIComponent(state.select)}` : ""}`);
  const { data } = answer.body ?? {};
  const [typed, type] = useState(state.select);
  useEffect(() => type(state.select), [state.select]);
  const graph = useRef(null);
  useEffect(() => {
    // What was picked, or else the first that is selected, is what one came for. A whole graph is read from its sources on.
    const box = graph.current, picked = box?.querySelector(".picked"), node = picked ?? (state.select && box?.querySelector(".node:not(.dim)"));
    if (!box || !node) return;
    const at = node.getBoundingClientRect().left - box.getBoundingClientRect().left + box.scrollLeft;
    box.scrollLeft = picked ? at - box.clientWidth / 2 + 104 : at - 24;
  }, [state.node, state.select, !!data]);
  const nameOf = new Map((data?.nodes ?? []).map((n) => [n.unique_id, n.name]));
  const nodes = (data?.nodes ?? []).map((n) => {
    const failed = f.failedTests(n.tests), warned = n.tests?.warn ?? 0;
    return {
      id: n.name, name: n.name, kind: n.resource_type === "model" ? n.materialized : n.resource_type, chosen: n.selected,
      state: failed || n.status === "error" ? "fail" : warned ? "warned" : n.status === "skipped" ? "stale" : "",
      badge: failed ? `✗${failed}` : warned ? `⚠${warned}` : n.tests?.pass ? `✓${n.tests.pass}` : "",
      spoken: [n.materialized, n.rows != null && f.plural(n.rows, "row"), failed && f.plural(failed, "failing test"), warned && f.plural(warned, "warning"), n.status === "skipped" && "skipped in the last run", n.live && "follows the stream"].filter(Boolean).join(", "),
    };
  });
  const edges = (data?.edges ?? []).map((e) => [nameOf.get(e.from) ?? e.from, nameOf.get(e.to) ?? e.to]);
  return html`<div class="head"><h1>Lineage</h1><form class="controls no-print" onSubmit=${(e) => { e.preventDefault(); set({ select: typed.trim() }); }}>
      <label class="muted small code" for="select">--select</label><input id="select" class="field code select" value=${typed} placeholder="+fct_credits, tag:…, path:…" spellcheck="false" onInput=${(e) => type(e.target.value)} /><button class="btn" type="submit">Select</button>
      ${state.select && html`<button type="button" class="btn plain" onClick=${() => set({ select: "" })}>All</button>`}<button type="button" class="btn plain" onClick=${() => copy(`clicktrail build${state.select ? ` -s '${state.select}'` : ""}`, "Command copied")}>Copy as command</button></form></div>
    ${answer.error && html`<${Trouble} error=${answer.error} again=${answer.again} />`}
    <${Panel} title="Graph" name="lineage" answer=${answer} size="h320" sub=${data ? `${f.plural(nodes.length, "node")}${state.select ? `, ${nodes.filter((n) => n.chosen !== false).length} selected` : ""}${state.node ? "" : "; pick one to see its columns, tests and SQL"}` : ""} cli="clicktrail ls${state.select ? ` -s '${state.select}'` : ""}" rows=${() => [["node", "kind", "reads"], ...nodes.map((n) => [n.name, n.kind ?? "", edges.filter(([, to]) => to === n.id).map(([from]) => from).join(" ")])]}
      chart=${() => html`<div ref=${graph} class="scroll dag-scroll" tabindex="0" role="group" aria-label="Graph of models">${dag({ nodes, edges, picked: state.node, label: "Graph of models: what is left is read by what is right", onPick: (id) => set({ node: id === state.node ? "" : id }, { replace: true }) })}</div>
        <p class="legend kinds"><span><i class="k source"></i>source, seed</span><span><i class="k view"></i>view</span><span><i class="k table"></i>table</span><span>✓ tests held</span><span>⚠ warns</span><span>✗ failed</span></p>`}
      table=${() => html`<${Table} label="Nodes" sort=${state.sort} rows=${nodes} rowKey=${(n) => n.id} columns=${[{ id: "name", label: "Node", fixed: true, value: (n) => n.name, show: (n) => html`<a class="code" href=${link("/lineage", { node: n.name, select: state.select })}>${n.name}</a>` }, { id: "kind", label: "Kind", value: (n) => n.kind }, { id: "reads", label: "Reads", unsorted: true, value: (n) => edges.filter(([, to]) => to === n.id).map(([from]) => from).join(", ") }, { id: "tests", label: "Tests", value: (n) => n.badge }]} />`} />
    ${state.node && html`<${Node} key=${state.node} name=${state.node} state=${state} />`}`;
}
