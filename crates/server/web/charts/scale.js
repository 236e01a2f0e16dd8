// Scales and ticks. Pure.

/** Maps [d0, d1] to [r0, r1]. */
export function linear(d0, d1, r0, r1) {
  const width = d1 - d0 || 1;
  return (value) => r0 + ((value - d0) / width) * (r1 - r0);
}

/** Round numbers that cover [low, high], about `wanted` of them. */
export function ticks(low, high, wanted = 4, whole = false) {
  if (!(high > low)) high = low + 1;
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw - 1e-12);
  if (whole) step = Math.max(1, Math.ceil(step));
  const found = [];
  for (let value = Math.floor(low / step) * step; value < high + step - 1e-9; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

/** Least and greatest of numbers, with zero among them. */
export function extent(values) {
  let low = 0, high = 0;
  for (const value of values) {
    if (value == null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Cuts a text to what fits into `width` px at `size` px letters. */
export function fit(text, width, size = 12) {
  const letters = Math.max(1, Math.floor(width / (size * 0.56)));
  return text.length <= letters ? text : `${text.slice(0, Math.max(1, letters - 1))}…`;
}
