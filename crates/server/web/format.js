// Numbers, money, times and changes, as they are read by people. Money comes as decimal strings and is never computed with here,
// only rounded for the eye; the exact text stays in titles and in CSV.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const twoPlaces = new Intl.NumberFormat("en", { minimumFractionDigits: 0, maximumFractionDigits: 2 });
const onePlace = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const SIGNS = { EUR: "€", USD: "$", GBP: "£", JPY: "¥", CHF: "CHF ", INR: "₹" };

/** Conversions can be parts when credit is divided; whole ones show no places. */
export function count(value) {
  if (value == null) return "–";
  const number = Number(value);
  return Number.isInteger(number) ? whole.format(number) : twoPlaces.format(number);
}

/** How to write the counts of one column, so that their places stand below each other: `412.0` beside `3.5`. */
export const counting = (values) => (values.every((value) => Number.isInteger(Number(value))) ? count : (value) => (value == null ? "–" : onePlace.format(Number(value))));

export const short = (value) => (Math.abs(value) < 1000 ? count(Math.round(value * 100) / 100) : compact.format(value));

/** `84.9`, `EUR` → `€84.90`. From 10,000 on without cents. */
export function money(value, currency) {
  if (value == null) return "–";
  const number = Number(value);
  const places = Math.abs(number) >= 10000 ? 0 : 2;
  const digits = Math.abs(number).toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return `${number < 0 ? "−" : ""}${sign(currency)}${digits}`;
}

export const sign = (currency) => (currency ? SIGNS[currency] ?? `${currency} ` : "");

export const shortMoney = (value, currency) =>
  `${value < 0 ? "−" : ""}${sign(currency)}${short(Math.abs(value))}`;

/** 0.0231 → `2.31 %`. */
export const percent = (share, places = 1) => (share == null ? "–" : `${(Number(share) * 100).toFixed(places)}\u202f%`);

const arrow = (direction) => (direction > 0 ? "▲" : "▼");

/**
 * A change in words: `{text, tone, spoken}`; tone is `up`, `down`, `same` or `none`.
 * Nothing before is "new", never +∞ %; rates change in points.
 */
export function change(now, before, { rate = false } = {}) {
  if (before == null || now == null) return { text: "no earlier data", tone: "none", spoken: "nothing to compare with" };
  const difference = Number(now) - Number(before);
  if (difference === 0) return { text: "same", tone: "same", spoken: "same as before" };
  if (rate) {
    const points = Math.abs(difference) * 100;
    const text = points < 0.005 ? "same" : `${arrow(difference)} ${points.toFixed(2)}\u202fpp`;
    if (text === "same") return { text, tone: "same", spoken: "same as before" };
    return { text, tone: difference > 0 ? "up" : "down", spoken: `${difference > 0 ? "up" : "down"} ${points.toFixed(2)} points` };
  }
  if (Number(before) === 0) return { text: "new", tone: "up", spoken: "new: nothing in the period before" };
  const share = Math.abs(difference / Number(before)) * 100;
  const shown = share < 0.05 ? "<0.1" : share >= 1000 ? whole.format(share) : share.toFixed(1);
  return {
    text: `${arrow(difference)} ${shown}\u202f%`,
    tone: difference > 0 ? "up" : "down",
    spoken: `${difference > 0 ? "up" : "down"} ${shown} percent`,
  };
}

/** `+76` and `+18 %` for a shift between two attribution models. */
export function shift(from, to, show = count) {
  const difference = Number(to) - Number(from);
  if (Math.abs(difference) < 1e-9) return { text: "0", share: "", direction: 0 };
  const mark = difference > 0 ? "+" : "−";
  const share = Number(from) === 0 ? "new" : `${mark}${Math.abs(difference / Number(from) * 100).toFixed(0)}\u202f%`;
  return { text: `${mark}${show(Math.abs(difference))}`, share, direction: Math.sign(difference) };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** `2026-09-22` → `22 Sep`. */
export const day = (iso) => (iso ? `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1]}` : "–");

/** The same with its year when that is not this one. */
export const dated = (iso) => (iso && iso.slice(0, 4) !== String(new Date().getFullYear()) ? `${day(iso)} ${iso.slice(0, 4)}` : day(iso));

/** `2026-09-22` → `Tue 22 Sep 2026`. */
export const longDay = (iso) => `${WEEKDAYS[new Date(`${iso}T00:00:00Z`).getUTCDay()]} ${day(iso)} ${iso.slice(0, 4)}`;

const zoned = new Map();
function parts(instant, zone, options) {
  const key = JSON.stringify([zone, options]);
  if (!zoned.has(key)) {
    let made;
    try { made = new Intl.DateTimeFormat("en-CA", { ...options, timeZone: zone || "UTC" }); }
    catch { made = new Intl.DateTimeFormat("en-CA", { ...options, timeZone: "UTC" }); }
    zoned.set(key, made);
  }
  return zoned.get(key).format(instant);
}

const HMS = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

/** `14:02:07` in the report's time zone. */
export const clock = (instant, zone) => (instant ? parts(new Date(instant), zone, HMS) : "–");

/** `22 Sep 14:02`; with the year when that is not this one. */
export function moment(instant, zone) {
  if (!instant) return "–";
  // en-CA writes 2026-09-22, 14:02: parts that are put together as everywhere else.
  const text = parts(new Date(instant), zone, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return `${dated(text.slice(0, 10))} ${text.slice(-5)}`;
}

/** A length of time: `3 h`, `43 days`. */
export function span(seconds) {
  const s = Math.abs(Number(seconds));
  if (s < 1) return "0 s";
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${Math.round(s / 3600)} h`;
  const days = Math.round(s / 86400);
  if (days >= 730) return `${(days / 365.25).toFixed(1)} years`;
  return `${days} ${days === 1 ? "day" : "days"}`;
}

export const ago = (instant, now = Date.now()) => `${span(Math.max(0, now - Date.parse(instant)) / 1000)} ago`;

export const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} kB` : `${(n / 1048576).toFixed(1)} MB`);

export const plural = (n, word) => `${count(n)} ${word}${Number(n) === 1 ? "" : /(ch|s)$/.test(word) ? "es" : "s"}`;

/** Tests that failed or could not run, of counts by outcome. */
export const failedTests = (counts) => (counts?.fail ?? 0) + (counts?.error ?? 0);

/** `channel` → `Channel`. */
export const capital = (word) => word.replace(/^./, (c) => c.toUpperCase());

/** Names of attribution models as people say them. */
export const MODEL_NAMES = {
  first_click: "First click", last_click: "Last click", first_touch: "First touch", last_touch: "Last touch",
};
export const modelName = (name) => MODEL_NAMES[name] ?? capital(name.replace(/_/g, " "));
