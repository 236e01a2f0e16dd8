// SQL with a little colour: spans made from tokens, never markup from text.
import { html } from "../h.js";

const TOKENS = /(--[^\n]*|\/\*[\s\S]*?\*\/|\{#[\s\S]*?#\})|('(?:[^']|'')*')|(\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\})|\b(\d+(?:\.\d+)?)\b|\b(select|from|where|group|order|by|join|left|right|full|outer|inner|cross|on|using|as|and|or|not|in|is|null|case|when|then|else|end|with|union|all|except|distinct|having|limit|over|partition|between|like|true|false|sum|count|min|max|coalesce|cast|filter|desc|asc|values|lateral|exists)\b/gi;

/** `text` as code; long ones scroll. */
export function Sql({ text, label = "SQL" }) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(TOKENS)) {
    if (match.index > at) parts.push(text.slice(at, match.index));
    const [whole, comment, string, jinja, number] = match;
    parts.push(html`<span class=${comment ? "c" : string ? "s" : jinja ? "n" : number ? "n" : "k"}>${whole}</span>`);
    at = match.index + whole.length;
  }
  parts.push(text.slice(at));
  return html`<pre class="sql" tabindex="0" role="group" aria-label=${label}><code>${parts}</code></pre>`;
}
