// Drawing shared by all explorers: scales, and SVG as text. A picture is one string of SVG per frame.

// ---- scales: functions from data to pixels, with an inverse

export function linear([d0, d1], [r0, r1]) {
  const scale = (x) => r0 + ((x - d0) / (d1 - d0)) * (r1 - r0);
  scale.invert = (y) => d0 + ((y - r0) / (r1 - r0)) * (d1 - d0);
  return Object.assign(scale, { domain: [d0, d1], range: [r0, r1] });
}

export function log([d0, d1], range) {
  const inner = linear([Math.log10(d0), Math.log10(d1)], range);
  const scale = (x) => inner(Math.log10(x));
  scale.invert = (y) => 10 ** inner.invert(y);
  return Object.assign(scale, { domain: [d0, d1], range });
}

export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
export const round = (x, digits) => Math.round(x * 10 ** digits) / 10 ** digits;
// `count` points from low to high, evenly spaced.
export const spread = (low, high, count) =>
  Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
// low, low + by, …, high without the noise of repeated addition.
export const steps = (low, high, by) =>
  Array.from({ length: Math.round((high - low) / by) + 1 }, (_, i) => round(low + i * by, 6));

// ---- SVG as text

export const px = (x) => String(Number.isFinite(x) ? round(clamp(x, -9999, 9999), 1) : 0);

export function tag(name, attributes = {}, ...children) {
  const pairs = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === "number" ? px(value) : value}"`,
  );
  return `<${name}${pairs.join("")}>${children.join("")}</${name}>`;
}

export const line = (x1, y1, x2, y2, kind) => tag("line", { x1, y1, x2, y2, class: kind });
export const rect = (x0, y0, x1, y1, kind) =>
  tag("rect", {
    x: Math.min(x0, x1),
    y: Math.min(y0, y1),
    width: Math.abs(x1 - x0),
    height: Math.abs(y1 - y0),
    class: kind,
  });
export const outline = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${px(x)} ${px(y)}`).join("");
export const path = (points, kind) => tag("path", { d: outline(points), class: kind });
// An arrow from one place to another, or to so many pixels before it; its head is drawn where there is room for it.
export function arrow([x0, y0], [x1, y1], kind, before = 0) {
  const whole = Math.hypot(x1 - x0, y1 - y0);
  const length = whole - before;
  if (length < 3) return "";
  const [ux, uy] = [(x1 - x0) / whole, (y1 - y0) / whole];
  const [x, y] = [x1 - before * ux, y1 - before * uy];
  const size = Math.min(9, length);
  const head = [-1, 1].map((side) => [x - size * (ux + 0.45 * side * uy), y - size * (uy - 0.45 * side * ux)]);
  return (
    line(x0, y0, x - ux * 0.8 * size, y - uy * 0.8 * size, `fx-line ${kind}`) +
    tag("path", { d: outline([head[0], [x, y], head[1]]) + "Z", class: `fx-head ${kind}` })
  );
}
// anchor: start, middle or end; a halo of the paper keeps a label legible on lines.
export const label = (x, y, text, kind = "", anchor = "start") =>
  tag("text", { x, y, class: `fx-label ${kind}`, "text-anchor": anchor }, text);
const overlap = (one, other) =>
  Math.max(0, Math.min(one.right, other.right) - Math.max(one.left, other.left)) *
  Math.max(0, Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top));
export const around = (x, y, reach) => ({ left: x - reach, right: x + reach, top: y - reach, bottom: y + reach });
// Obstacles along a line.
export const strip = ([x0, y0], [x1, y1]) =>
  spread(0, 1, 2 + Math.floor(Math.hypot(x1 - x0, y1 - y0) / 10)).map((part) =>
    around(x0 + part * (x1 - x0), y0 + part * (y1 - y0), 4),
  );

// Labels { text, kind, spots: [[x, y, anchor], …], turned, long } that stay inside the picture and clear of each other
// and of the obstacles: each takes the first of its spots that is free, or else the freest. Widths are estimated, where
// `long` does not give them.
export function place(labels, { width, height }, obstacles = []) {
  const taken = [...obstacles];
  return labels
    .map(({ text, kind, spots, turned, long = 8 * text.length }) => {
      const [across, up] = turned ? [16, long] : [long, 16];
      const choices = spots.map(([x, y, anchor]) => {
        const start = x - { start: 0, middle: across / 2, end: across }[anchor];
        const left = clamp(start, 2, Math.max(2, width - 2 - across));
        const bottom = clamp(turned ? y + up / 2 : y + 4, up + 1, height - 1);
        return { left, right: left + across, top: bottom - up, bottom, anchor, start };
      });
      const costs = choices.map((one) => taken.reduce((sum, other) => sum + overlap(one, other), 0));
      const { left, right, top, bottom, anchor, start } = choices[costs.indexOf(Math.min(...costs))];
      taken.push({ left, right, top, bottom });
      if (turned) {
        const [x, y] = [px(right - 4), px((top + bottom) / 2)];
        return label(0, 0, text, `${kind}" transform="translate(${x} ${y}) rotate(-90)`, "middle");
      }
      // At an edge the label is held by the side that touches it: its width is only estimated.
      const side = left > start ? "start" : left < start ? "end" : anchor;
      return label({ start: left, middle: (left + right) / 2, end: right }[side], bottom - 4, text, kind, side);
    })
    .join("");
}

// Names of curves { text, kind, y } beside their ends, in their order from top to bottom and clear of each other.
export function beside(x, labels, low, high) {
  const sorted = labels.toSorted((one, other) => one.y - other.y);
  const ys = sorted.map(({ y }) => clamp(y + 5, low, high));
  for (let i = 1; i < ys.length; i++) ys[i] = Math.max(ys[i], ys[i - 1] + 15);
  for (let i = ys.length - 1, most = high; i >= 0; i--, most = ys[i + 1] - 15) ys[i] = Math.min(ys[i], most);
  return sorted.map(({ text, kind }, i) => label(x, ys[i], text, kind)).join("");
}

// What leaves the box is cut off, with no id to keep unique.
export const clipped = ({ left, top, right, bottom }, ...children) =>
  tag(
    "svg",
    {
      x: left,
      y: top,
      width: right - left,
      height: bottom - top,
      viewBox: [left, top, right - left, bottom - top].map(px).join(" "),
      overflow: "hidden",
    },
    ...children,
  );

// The curve y = f(x) over pixels of the x scale.
export const curve = (f, xs, X, Y) => xs.map((x) => [X(x), Y(f(x))]);

// An axis with its ticks, { value: text }, and its title; at the ends a tick's text stays inside, and a title that
// would be cut off is left out: the slider below has the same name.
export function axisX(X, y, ticks, title) {
  const [left, right] = X.range;
  const anchor = (x) => (x > right - 12 ? "end" : x < left + 12 ? "start" : "middle");
  let free = -Infinity; // where it is narrow, a tick too near the last has no text
  const tick = (x, text) => {
    const long = 7.2 * text.length;
    const start = x - { start: 0, middle: long / 2, end: long }[anchor(x)];
    const room = start >= free;
    if (room) free = start + long + 4;
    const shown = room ? tag("text", { x, y: y + 17, "text-anchor": anchor(x) }, text) : "";
    return line(x, y, x, y + 4, "fx-axis") + shown;
  };
  return (
    line(left, y, right, y, "fx-axis") +
    Object.entries(ticks)
      .sort(([one], [other]) => one - other)
      .map(([at, text]) => tick(X(+at), text))
      .join("") +
    (6 * title.length < right ? tag("text", { x: right, y: y + 33, "text-anchor": "end" }, title) : "")
  );
}

export function axisY(Y, x, ticks, title = "") {
  const [bottom, top] = Y.range;
  const tick = (y, text) =>
    line(x - 4, y, x, y, "fx-axis") + tag("text", { x: x - 7, y: y + 4, "text-anchor": "end" }, text);
  return (
    line(x, bottom, x, top, "fx-axis") +
    Object.entries(ticks)
      .map(([at, text]) => tick(Y(+at), text))
      .join("") +
    (title && tag("text", { x: Math.max(0, x - 30), y: top - 9 }, title))
  );
}

// The part of a cell (corners [x, y, value] around it) where the value is ≥ 0, and where its sides are cut.
function cutCell(ring) {
  const inside = [];
  const cuts = [];
  ring.forEach(([x0, y0, v0], k) => {
    const [x1, y1, v1] = ring[(k + 1) % 4];
    if (v0 >= 0) inside.push([x0, y0]);
    if (v0 >= 0 === v1 >= 0) return;
    const t = v0 / (v0 - v1);
    cuts.push([x0 + t * (x1 - x0), y0 + t * (y1 - y0)]);
    inside.push(cuts.at(-1));
  });
  return { inside, cuts };
}

// The region where f ≥ level over a grid of points as one SVG path, its border as another: marching squares.
export function contour(f, xs, ys, X, Y, level) {
  const corners = ys.map((y) => xs.map((x) => [X(x), Y(y), f(x, y) - level]));
  let area = "";
  let border = "";
  for (let j = 0; j + 1 < ys.length; j++) {
    let run = null; // full cells of a row become one rectangle
    for (let i = 0; i < xs.length; i++) {
      const ring = [
        [i, j],
        [i + 1, j],
        [i + 1, j + 1],
        [i, j + 1],
      ].map(([p, q]) => corners[q][p]);
      const full = i + 1 < xs.length && ring.every(([, , value]) => value >= 0);
      if (full) run ??= i;
      if (full) continue;
      if (run !== null) {
        const [[x0, y0], [x1, y1]] = [corners[j][run], corners[j + 1][i]].map((corner) => corner.map(px));
        area += `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
        run = null;
      }
      if (i + 1 === xs.length) break;
      const { inside, cuts } = cutCell(ring);
      if (inside.length > 2) area += outline(inside) + "Z";
      for (let k = 0; k + 1 < cuts.length; k += 2) border += outline(cuts.slice(k, k + 2));
    }
  }
  return { area, border };
}
