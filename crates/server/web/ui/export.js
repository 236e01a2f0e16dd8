// What leaves a panel: CSV, a table for the clipboard, a picture. The picture is drawn by the browser from the panel's own SVG with
// its colours written into it, so it looks as on screen and needs no other program.
import { toast } from "./toast.js";

const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
// A text that a spreadsheet would run as a formula gets an apostrophe; plain numbers stay numbers.
const harmless = (text) => (/^[=+@\t\r-]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text);

export const csv = (rows) => rows.map((row) => row.map((text) => quoted(harmless(text))).join(",")).join("\r\n") + "\r\n";
export const tabbed = (rows) => rows.map((row) => row.map((text) => text.replace(/[\t\n\r]/g, " ")).join("\t")).join("\n");

export function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family", "text-anchor", "paint-order"];
const SVG = "http://www.w3.org/2000/svg";

const node = (name, attributes, text) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text != null) made.textContent = text;
  return made;
};

/** Writes what style sheets say into attributes: a picture has no style sheet. */
function baked(svg) {
  const copy = svg.cloneNode(true);
  const from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of STYLES) {
      const value = style.getPropertyValue(name);
      if (value && !(name === "fill" && value.startsWith("url"))) to[i].setAttribute(name, value);
    }
  });
  return copy;
}

/** A table as SVG, for panels that have no chart. */
function drawn(rows, style) {
  const widths = rows[0].map((_, c) => Math.min(300, 20 + 7.2 * Math.max(...rows.map((row) => (row[c] ?? "").length))));
  const width = widths.reduce((a, b) => a + b, 0), svg = node("svg", { width, height: rows.length * 24 + 4 });
  rows.forEach((row, r) => {
    let x = 0;
    row.forEach((text, c) => {
      const number = /^[−+\-€$£]?[\d.,]+/.test(rows[1]?.[c] ?? "") && c > 0;
      const cut = text.length > 40 ? `${text.slice(0, 39)}…` : text;
      svg.append(node("text", { x: number ? x + widths[c] - 10 : x, y: r * 24 + 17, "text-anchor": number ? "end" : "start", "font-size": 13,
        "font-family": style.fontFamily, fill: r ? style.ink : style.muted }, cut));
      x += widths[c];
    });
    svg.append(node("line", { x1: 0, x2: width, y1: r * 24 + 25, y2: r * 24 + 25, stroke: style.line }));
  });
  return svg;
}

/** Saves a picture of a panel: title, what it shows, its chart or table, and where it came from. */
export async function picture({ panel, rows, title, stamp, name }) {
  const root = getComputedStyle(document.documentElement);
  const color = (token) => root.getPropertyValue(token).trim();
  const style = { ink: color("--ink"), muted: color("--muted"), line: color("--line"), fontFamily: getComputedStyle(document.body).fontFamily };
  const found = panel.querySelector(".inside svg.chart:not(.bar):not(.spark)");
  const inner = found ? baked(found) : drawn(rows.slice(0, 41), style);
  const width = Math.max(360, Number(inner.getAttribute("width"))) + 48, height = Number(inner.getAttribute("height")) + 112;
  const svg = node("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` });
  svg.append(node("rect", { width, height, fill: color("--card") }));
  svg.append(node("text", { x: 24, y: 34, "font-size": 16, "font-weight": 600, "font-family": style.fontFamily, fill: style.ink }, title));
  svg.append(node("text", { x: 24, y: 54, "font-size": 12, "font-family": style.fontFamily, fill: style.muted }, stamp));
  inner.setAttribute("x", 24); inner.setAttribute("y", 72);
  svg.append(inner);
  svg.append(node("text", { x: 24, y: height - 14, "font-size": 11, "font-family": style.fontFamily, fill: style.muted }, `clicktrail · ${location.href}`));
  const image = new Image();
  const source = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(svg)], { type: "image/svg+xml" }));
  try {
    await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = source; });
    const canvas = document.createElement("canvas");
    canvas.width = width * 2; canvas.height = height * 2;
    const pen = canvas.getContext("2d");
    pen.scale(2, 2);
    pen.drawImage(image, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    save(`${name}.png`, blob);
  } catch {
    toast("The picture could not be drawn");
  } finally { URL.revokeObjectURL(source); }
}
