// One connection for all tabs of a browser. Over HTTP/1.1 a browser gives a host about six connections: with one for each tab the seventh
// tab, and every page after it, would wait for ever. The tab that holds a lock has the connection and tells the others what it hears; when
// it goes or is hidden the lock passes on by itself. Where there are no locks (pages that came over plain HTTP from another machine) each
// tab has its own connection.

const SILENCE_MS = 40_000;
const RETRY_MS = [500, 1000, 2000, 4000];
const NAMES = ["hello", "events", "agg", "mart", "health", "gap"];
// Tabs that run another build of these files keep to themselves.
const LOCK = `clicktrail ${new URL(".", import.meta.url).pathname}`;

/**
 * `address()` is where to listen; `hear(name, data)` gets what was said; `status(word, since)` how the connection is; `seq()` is the last
 * number known here; `past(seq)` what one who knows up to `seq` has missed, as `[name, data]`, or null when nothing is known here either.
 */
export function wire({ address, hear, status, seq, past }) {
  const shared = !!navigator.locks && typeof BroadcastChannel !== "undefined";
  const me = Math.random().toString(36).slice(2);
  let channel = null, source = null, entered = false, leading = false, caughtUp = false;
  let word = "connecting", tries = 0, since = 0, retry = 0, silence = 0, turns = 0, waiting = null, release = null;

  const say = (message) => channel?.postMessage(message);

  function close() {
    clearTimeout(retry);
    clearTimeout(silence);
    source?.close();
    source = null;
  }

  function tell(now) {
    if (now === word && now === "live") return;
    word = now;
    status(word, since);
    if (leading) say({ kind: "status", word, since });
  }

  function away() {
    close();
    since ||= Date.now();
    tell("waiting");
    retry = setTimeout(open, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  }

  /** Something was heard: the connection lives, ours or the leading tab's. */
  function alive(quiet) {
    clearTimeout(silence);
    silence = setTimeout(quiet, SILENCE_MS);
    tries = 0;
    since = 0;
    tell("live");
  }

  function open() {
    close();
    source = new EventSource(address());
    source.onopen = () => alive(away);
    source.onerror = away;
    for (const name of NAMES) {
      source.addEventListener(name, (message) => {
        alive(away);
        let data;
        try { data = JSON.parse(message.data); } catch { return; }
        say({ kind: "said", name, data });
        hear(name, data);
      });
    }
  }

  /** Waits for the lock and then leads until it leaves, or until the lock is taken from it. */
  function queue(options) {
    const turn = ++turns;
    waiting = options ? null : new AbortController();
    const lead = () => {
      if (!entered || turn !== turns) return undefined;
      leading = true;
      clearTimeout(silence);
      open();
      return new Promise((done) => { release = done; });
    };
    navigator.locks.request(LOCK, options ?? { signal: waiting.signal }, lead).catch(() => {}).then(() => {
      if (!leading || turn !== turns) return;
      // Taken by a tab that had heard nothing for long: this one listens to it from now on.
      leading = false;
      close();
      follow();
    });
  }

  function follow() {
    caughtUp = false;
    say({ kind: "join", from: me, seq: seq() });
    silence = setTimeout(takeOver, SILENCE_MS);
    queue();
  }

  function takeOver() {
    waiting?.abort();
    queue({ steal: true });
  }

  function onMessage({ data: message }) {
    if (leading) {
      if (message.kind !== "join") return;
      for (const [name, data] of past(message.seq) ?? []) say({ kind: "said", to: message.from, name, data });
      if (word !== "live") say({ kind: "status", word, since });
      return;
    }
    if (message.kind === "status") {
      since = message.since;
      tell(message.word);
    }
    if (message.kind !== "said" || (message.to && message.to !== me)) return;
    const { name, data } = message;
    alive(takeOver);
    if (name === "hello") caughtUp = true;
    else if (!caughtUp) return;
    // What was said while this tab stood still is asked for again.
    const first = name === "events" && !message.to ? data.e?.[0]?.seq : null;
    if (first && seq() && first > seq() + 1) say({ kind: "join", from: me, seq: seq() });
    else hear(name, data);
  }

  return {
    /** Begins to listen. */
    enter() {
      if (entered) return;
      entered = true;
      if (!shared) {
        open();
        return;
      }
      channel = new BroadcastChannel(LOCK);
      channel.onmessage = onMessage;
      follow();
    },
    /** Stops, and leaves the connection to another tab. */
    leave() {
      if (!entered) return;
      entered = leading = false;
      turns++;
      word = "connecting";
      close();
      channel?.close();
      channel = null;
      waiting?.abort();
      release?.();
      release = null;
    },
    entered: () => entered,
  };
}
