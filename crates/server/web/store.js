// The state of a page is its address. One schema says which keys there are, what they may hold and what they are when absent;
// everything else reads and writes through it, so that Back, Share and reload need no code of their own.
import { useEffect, useState } from "preact/hooks";

const one = (...values) => (text) => (values.includes(text) ? text : undefined);
const names = (text) => {
  const picked = [...new Set(text.split(",").filter(Boolean))];
  return picked.length && picked.every((name) => /^[\w.-]{1,60}$/.test(name)) ? picked.join(",") : undefined;
};
const text = (value) => (value.length <= 400 ? value : undefined);
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Dimensions that credit can be split by. */
export const DIMENSIONS = ["channel", "source", "medium", "campaign"];

/** Every key of an address: its default and what it may hold. `undefined` from `read` means: not understood. */
export const SCHEMA = {
  d: {
    initial: "28",
    read(value) {
      const [from, to] = value.split("..");
      if (DAY.test(from) && DAY.test(to ?? "") && from <= to) return value;
      return /^[1-9]\d{0,2}$/.test(value) && Number(value) <= 400 ? value : undefined;
    },
    hint: "a number of days from 1 to 400, or 2026-09-01..2026-09-28",
  },
  cmp: { initial: "prev", read: one("prev", "none"), hint: "prev or none" },
  dow: { initial: "1", read: one("1", "0"), hint: "1 or 0" },
  conv: { initial: "", read: text, hint: "the name of a key event" },
  by: { initial: "channel", read: one(...DIMENSIONS), hint: DIMENSIONS.join(", ") },
  m: { initial: "first_click,last_click", read: names, hint: "names of attribution models, such as first,last" },
  v: { initial: "conv", read: one("conv", "rev"), hint: "conv or rev" },
  cur: { initial: "", read: text, hint: "a currency such as EUR" },
  cut: { initial: "out", read: one("out", "in"), hint: "out or in" },
  f: { initial: "", read: text, hint: "dimension:value|value, with a leading - to exclude" },
  tz: { initial: "", read: text, hint: "a time zone such as Europe/Paris" },
  snap: { initial: "", read: text, hint: "the id of a snapshot" },
  q: { initial: "", read: text, hint: "a text to look for" },
  sort: { initial: "", read: text, hint: "a column, with a leading - for descending" },
  select: { initial: "", read: text, hint: "a selection, such as +fct_credits" },
  node: { initial: "", read: text, hint: "the name of a model" },
  opened: { initial: "", read: text, hint: "what the first click says" },
  closed: { initial: "", read: text, hint: "what the last click says" },
  type: { initial: "", read: text, hint: "the name of an event" },
  channel: { initial: "", read: text, hint: "a channel" },
  path: { initial: "", read: text, hint: "the channels of a path" },
  length: { initial: "", read: text, hint: "a number of touches" },
  day: { initial: "", read: text, hint: "a day such as 2026-09-01" },
  lag: { initial: "", read: text, hint: "days from first touch to conversion" },
  limit: { initial: "50", read: (value) => (/^[1-9]\d{0,3}$/.test(value) && Number(value) <= 1000 ? value : undefined), hint: "1 to 1000" },
  after: { initial: "", read: text, hint: "the last row of the page before" },
  collapse: { initial: "0", read: one("0", "1"), hint: "1 or 0" },
};

const FULL = { first: "first_click", last: "last_click" };

/** Attribution models that an address asks for, by their full names; where it asks for none and the usual two are not there, those of the answer. */
export function modelsOf(state, meta) {
  const asked = state.m.split(",").map((name) => FULL[name] ?? name), known = meta?.definition?.models_known ?? [];
  const usual = state.m !== SCHEMA.m.initial || !known.length || asked.every((name) => known.some((model) => model.name === name));
  return usual ? asked : meta.definition.models;
}

/** Attribution models that a page shows: those of its answer, which may be one behind the address. */
export const shownModels = (state, meta) => meta?.definition?.models ?? modelsOf(state, meta);

/** Keys that the bar of controls sets and that go from page to page. */
export const SHARED = ["d", "cmp", "dow", "conv", "m", "v", "cur", "cut", "f", "tz", "snap"];

/** Reads an address. Bad values fall back to the default and are told in `problems`. */
export function readAddress(path, search) {
  const state = {}, problems = [];
  for (const [key, { initial }] of Object.entries(SCHEMA)) state[key] = initial;
  for (const [key, value] of new URLSearchParams(search)) {
    const rule = SCHEMA[key];
    if (!rule) { problems.push(`${key} is not a key of this page`); continue; }
    const read = value === "" ? rule.initial : rule.read(value);
    if (read === undefined) problems.push(`${key}=${value} is not understood: ${rule.hint}`);
    else state[key] = read;
  }
  return { path, state, problems };
}

/** Writes a query; keys at their default are left out. */
export function writeQuery(state, keys = Object.keys(SCHEMA)) {
  const query = new URLSearchParams();
  for (const key of keys) {
    const value = state[key];
    if (value !== undefined && value !== "" && value !== SCHEMA[key].initial) query.set(key, value);
  }
  // Readable in the address bar: these are allowed in a query as they are.
  const written = query.toString().replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%7C/g, "|");
  return written ? `?${written}` : "";
}

let current = readAddress(location.pathname, location.search);
const listeners = new Set();
const tell = () => {
  current = readAddress(location.pathname, location.search);
  for (const listener of listeners) listener(current);
};
addEventListener("popstate", tell);

/** The address as it is now. */
export const address = () => current;

/** The address of a page with the shared keys of the present one, and `changes`. */
export function link(path, changes = {}) {
  const kept = {};
  for (const key of SHARED) kept[key] = current.state[key];
  return path + writeQuery({ ...kept, ...changes });
}

/** Goes somewhere; the page is not loaded anew. */
export function go(href, { replace = false } = {}) {
  if (href === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", href);
  tell();
}

/** Changes keys of the present page. */
export function set(changes, options) {
  go(current.path + writeQuery({ ...current.state, ...changes }), options);
}

/** The address, for components. */
export function useAddress() {
  const [value, update] = useState(current);
  useEffect(() => {
    listeners.add(update);
    update(current);
    return () => listeners.delete(update);
  }, []);
  return value;
}

/** Reads `f`: `medium:cpc|email;-country:FR` → [{dim, values, out}]. */
export function readFilters(f) {
  return f.split(";").filter(Boolean).map((part) => {
    const out = part.startsWith("-");
    const rest = out ? part.slice(1) : part;
    const cut = rest.indexOf(":");
    const values = rest.slice(cut + 1).split("|").filter(Boolean).map(unescapeValue);
    return { dim: rest.slice(0, cut), values, out };
  });
}

const escapeValue = (value) => value.replace(/[%;|]/g, (c) => "%" + c.charCodeAt(0).toString(16));
const unescapeValue = (value) => value.replace(/%(25|3b|7c)/gi, (_, code) => String.fromCharCode(parseInt(code, 16)));

/** Writes what `readFilters` reads. */
export function writeFilters(filters) {
  return filters.filter((filter) => filter.values.length)
    .map(({ dim, values, out }) => `${out ? "-" : ""}${dim}:${values.map(escapeValue).join("|")}`).join(";");
}

/** The filters with one value more, or without it when it was there. */
export function toggleFilter(f, dim, value, out = false) {
  const filters = readFilters(f);
  const found = filters.find((filter) => filter.dim === dim && filter.out === out);
  if (!found) return writeFilters([...filters, { dim, values: [value], out }]);
  found.values = found.values.includes(value) ? found.values.filter((v) => v !== value) : [...found.values, value];
  return writeFilters(filters);
}
