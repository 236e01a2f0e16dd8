// Questions to the server. Answers are kept with their ETag, so an unchanged snapshot costs one 304; a page that is asked again
// keeps showing its last good answer until the next one is there.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

const BASE = "/api/v1";
const KEPT = 60;
const kept = new Map();

/** What the server said went wrong: its code, its words, its hint. */
export class Problem extends Error {
  constructor({ status = 0, code = "", title = "", detail = "", hint = "", docs = "", ...rest }) {
    super(detail || title || "the server gave no reason");
    Object.assign(this, { status, code, title, hint, docs, rest });
  }
}

function keep(path, entry) {
  kept.delete(path);
  kept.set(path, entry);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/** The page's own answer came inside its HTML: the first paint asks nothing. */
export function seed(element) {
  if (!element) return null;
  try {
    const page = JSON.parse(element.textContent);
    if (page?.path && page.body) keep(page.path.replace(BASE, ""), { etag: page.etag ?? null, body: page.body, fresh: true });
    return page;
  } catch { return null; }
}

/** Asks a path below `/api/v1`; the answer is `{data, meta}`. */
export async function ask(path, { signal, again = false } = {}) {
  const known = kept.get(path);
  if (known?.fresh && !again) { known.fresh = false; return known.body; }
  const headers = { accept: "application/json" };
  if (known?.etag) headers["if-none-match"] = known.etag;
  let answer;
  try {
    answer = await fetch(BASE + path, { headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "no answer", detail: "the server does not answer",
      hint: "is `clicktrail up` still running? This page tries again by itself when it is",
    });
  }
  if (answer.status === 304 && known) return known.body;
  let body = null;
  try { body = await answer.json(); } catch { /* told below */ }
  if (!answer.ok || !body) {
    throw new Problem({ status: answer.status, title: answer.statusText, ...(body ?? {}) });
  }
  keep(path, { etag: answer.headers.get("etag"), body });
  return body;
}

/** An answer that is already here, for a first paint without a flash. */
const present = (path) => kept.get(path)?.body ?? null;

/**
 * One question of a page: `{body, error, busy, since, again}`. `body` stays the last good answer of this question's *kind* (the part
 * before `?`) while the next is on its way or after it failed; the panel is dimmed then.
 */
export function useAnswer(path) {
  const [state, put] = useState(() => ({ path, body: path && present(path), error: null, busy: !!path, since: performance.now() }));
  const turn = useRef(0);
  const run = useCallback(async (options = {}) => {
    if (!path) return;
    const mine = ++turn.current;
    const before = present(path);
    put((old) => {
      const same = old.path?.split("?")[0] === path.split("?")[0];
      return { path, body: before ?? (same ? old.body : null), error: null, busy: true, quiet: options.quiet, since: performance.now() };
    });
    try {
      const body = await ask(path, options);
      if (mine === turn.current) put({ path, body, error: null, busy: false, at: Date.now() });
    } catch (error) {
      if (mine === turn.current && error.name !== "AbortError") put((old) => ({ ...old, error, busy: false }));
    }
  }, [path]);
  useEffect(() => { run(); return () => { turn.current++; }; }, [run]);
  // A server that builds or went away comes back by itself; so does the page.
  useEffect(() => {
    if (!state.error || (state.error.status && state.error.status !== 503)) return undefined;
    const timer = setTimeout(() => run({ again: true }), 2000);
    return () => clearTimeout(timer);
  }, [state.error]);
  return { ...state, again: (options) => run({ again: true, ...options }) };
}
