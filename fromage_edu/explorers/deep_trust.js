// Deep relative trust (F3): every layer has its own relative size r_l; what they add up to and what they compound to, and
// what a linear network does, with the bounds on it. Everything in the pictures is squared, as the trusts are.

const DEEP = 50;
const SIZES = [
  ...[0, 0.001, 0.002, ...steps(0.005, 0.1, 0.005), ...steps(0.11, 0.3, 0.01)],
  ...[...steps(0.32, 0.5, 0.02), ...steps(0.55, 1, 0.05)],
];
const KAPPAS = [1, 1.2, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100];
// A size from the hand, with as many digits as are shown.
const tidy = (size) => clamp(Number(size.toPrecision(size < 0.1 ? 2 : 3)), 0, 1);

// On the way from one preset to another the depth is no whole number.
const depthOf = ({ depth }) => Math.round(depth);
const chosen = (state) => Math.min(Math.round(state.layer), depthOf(state));
const sizesIn = (state) => sizesOf(depthOf(state), state.sizes);
const sizeOf = (state, layer = chosen(state)) => sizesOf(layer, state.sizes)[layer - 1];
const equal = (sizes) => sizes.every((size) => size === sizes[0]);

// The list with one entry replaced, as short as it can be.
function withSize(state, size) {
  const layer = chosen(state);
  const sizes = sizesOf(Math.max(Math.min(layer + 1, DEEP), state.sizes.length), state.sizes);
  sizes[layer - 1] = size;
  while (sizes.length > 1 && sizes.at(-1) === sizes.at(-2)) sizes.pop();
  return { sizes };
}

// Everything after each layer, as if all fifty were there.
const wholeStory = remembered((alignment, conditioning, ...list) => {
  const sizes = sizesOf(DEEP, list);
  const change = functionChange(sizes, alignment, conditioning);
  return trusts(sizes).map((trust, l) => ({
    ...trust,
    together: 2 * Math.log10(trust.chain),
    ...change[l],
  }));
});
const fullStory = ({ alignment, conditioning, sizes }) => wholeStory(alignment, conditioning, ...sizes);
const storyOf = (state) => fullStory(state).slice(0, depthOf(state));
const endOf = (state) => fullStory(state)[depthOf(state) - 1];
const decades = (x) => (Math.abs(x) < 0.05 ? "0" : plain(round(x, 1), 4));
const decadesOf = (x) => `${decades(x)}${decades(x) === "1" ? "\u00a0decade" : "\u00a0decades"}`;

// ---- layer by layer

// At most four ticks; beyond what is read at a glance, one power of ten.
function ticksTo(top) {
  const power = 10 ** Math.floor(Math.log10(top));
  if (top > 9999 || top < 0.001) return { 0: "0", [power]: `10${superscript(Math.log10(power).toFixed(0))}` };
  const by = power * [0.2, 0.5, 1, 2].find((size) => top / (size * power) < 4.5);
  const count = Math.floor(top / by + 1e-9);
  return Object.fromEntries(steps(0, count, 1).map((i) => [i * by, plain(i * by)]));
}

// The scale of the bars: a round size above the longest.
const barTop = (sizes) =>
  [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].find((top) => 0.8 * top >= Math.max(...sizes)) ?? 1;

function bars(state, { X, R, bars: box }) {
  const gap = X(1) - X(0) > 8 ? 1.5 : 0.5;
  return sizesIn(state)
    .map((size, l) => {
      const kind = `fx-bar-layer ${l + 1 === chosen(state) ? "fx-chosen" : ""}`;
      return rect(X(l) + gap, R(0), X(l + 1) - gap, Math.min(R(size), box.bottom - 2), kind);
    })
    .join("");
}

// Names of the curves at their ends, or where they leave the picture.
function namesOf(curves, { box, X, Y, size }) {
  const leaves = ({ values }) => values.findIndex((value) => Y(value) < box.top - 1);
  const inside = curves.filter((one) => leaves(one) < 0);
  const gone = curves.filter((one) => leaves(one) >= 0);
  const exits = gone.map((one) => {
    const x = X(leaves(one) - 0.6);
    const [before, after] = [
      [x - 4, box.top + 10, "end"],
      [x + 8, box.top + 10, "start"],
    ];
    const below = [after, before].map(([at, y, anchor]) => [at, y + 18, anchor]);
    return { ...one, spots: x < box.left + 80 ? [after, ...below] : [before, after, ...below] };
  });
  const ends = inside.map(({ text, kind, values }) => ({ text, kind, y: Y(values.at(-1)) }));
  return place(exits, size) + beside(box.right + 7, ends, box.top + 8, box.bottom + 12);
}

const layerwise = {
  tab: "Layer by layer",
  title: () => "Drag a bar: how sizes r add up (S), compound (D) and move a linear network, all squared",
  frame(state, { width, height }) {
    const [left, right] = [47, width - 88];
    const bars = { left, right, top: height - 106, bottom: height - 36 };
    const box = { left, right, top: 10, bottom: bars.top - 22 };
    const { D, limit } = endOf(state);
    const top = D > 0 ? Math.max(1.5 * D, Math.min(1.15 * limit, 3 * D)) : 1;
    return {
      ...{ box, bars, size: { width, height }, top },
      X: linear([0, depthOf(state)], [left, right]),
      Y: linear([0, top], [box.bottom, box.top]),
      R: linear([0, barTop(sizesIn(state))], [bars.bottom, bars.top]),
    };
  },
  draw(state, frame) {
    const { box, bars: below, X, Y, R, top } = frame;
    const story = storyOf(state);
    const values = (f) => [0, ...story.map(f)].map((value) => Math.min(value, 1e3 * top));
    const [S, D, limit] = ["S", "D", "limit"].map((key) => values((one) => one[key]));
    const [together, measured] = ["together", "measured"].map((key) => values((one) => 10 ** one[key]));
    const points = (list) => list.map((value, l) => [X(l), Y(value)]);
    const band = outline([...points(limit), ...points(S).reverse()]) + "Z";
    const dots = points(measured).slice(1);
    const curves = [
      { text: "measured", kind: "", values: measured },
      { text: "D", kind: "deep", values: D },
      { text: "S", kind: "euclidean", values: S },
      { text: "together", kind: "", values: together },
      { text: "limit", kind: "deep", values: limit },
    ];
    const depth = depthOf(state);
    const by = [1, 2, 5, 10].find((size) => depth / size <= 6);
    const counts = steps(1, Math.floor(depth / by), 1).map((i) => i * by);
    const most = R.domain[1];
    const [x, y] = [X(chosen(state) - 0.5), R(sizeOf(state))];
    return {
      ink:
        Object.keys(ticksTo(top))
          .map((at) => line(box.left, Y(+at), box.right, Y(+at), "fx-grid"))
          .join("") +
        clipped(
          { ...box, top: box.top - 4, bottom: box.bottom + 4, right: box.right + 4 },
          tag("path", { d: band, class: "fx-area deep" }),
          path(points(limit), "fx-line deep fx-thin"),
          path(points(together), "fx-line together"),
          path(points(S), "fx-line euclidean"),
          path(points(D), "fx-line deep"),
          path(points(measured), "fx-line truth"),
          ...dots.map(([cx, cy]) => tag("circle", { cx, cy, r: depth > 30 ? 1.8 : 2.4, class: "fx-point" })),
        ) +
        axisY(Y, box.left, ticksTo(top)) +
        namesOf(curves, frame) +
        bars(state, frame) +
        axisY(R, below.left, { 0: "0", [most]: plainPercent(most) }) +
        label(below.right + 6, below.bottom - 2, "sizes r") +
        line(below.left, below.bottom, below.right, below.bottom, "fx-axis") +
        counts
          .map((at) => tag("text", { x: X(at - 0.5), y: below.bottom + 16, "text-anchor": "middle" }, at))
          .join("") +
        tag("text", { x: below.right, y: below.bottom + 32, "text-anchor": "end" }, "layer"),
      grips: [[x, y]],
    };
  },
  // A press takes the bar below it; a finger takes the chosen one first, and must be near a bar's end.
  take([x, y], { X, R, bars: box }, state, reach) {
    if (x < box.left || x > box.right || y < box.top - 10 || y > box.bottom + 4) return null;
    const near = (layer) => Math.hypot(X(layer - 0.5) - x, R(sizeOf(state, layer)) - y) <= reach;
    if (reach < Infinity && near(chosen(state))) return null;
    const layer = clamp(Math.floor(X.invert(x)) + 1, 1, depthOf(state));
    return near(layer) || reach === Infinity ? { layer } : null;
  },
  grips: [([, y], { R }, state) => withSize(state, tidy(clamp(R.invert(y), 0, 1)))],
  describe(state) {
    const { S, D, limit, measured } = endOf(state);
    return (
      `Bars of the relative sizes of ${layers(state.depth)}, and above them what they come to after each layer. ` +
      `At the end the sum of squares is ${number(S)}, deep relative trust ${number(D)}, its limit ${number(limit)}, ` +
      `and the squared change that is measured ${number(10 ** measured)}.`
    );
  },
};

// ---- decades between the bounds and what is measured

const ladder = {
  tab: "Bounds, in decades",
  title(state) {
    const { measured, operator, theorem } = endOf(state);
    if (!Number.isFinite(measured)) return "Change and bounds on a log scale: nothing changes here";
    const [near, far] = [operator, theorem].map((bound) => decadesOf(bound - measured));
    return `Above the measured change, on a log scale: X1 by ${near}, Theorem 1 by ${far}`;
  },
  jump: true,
  frame(state, { width, height }) {
    const box = { left: 40, right: width - 88, top: 14, bottom: height - 36 };
    const reach = [10, 20, DEEP].find((most) => depthOf(state) <= 0.7 * most) ?? DEEP;
    const story = fullStory(state).slice(0, reach);
    const ends = story.at(-1);
    const finite = [ends.measured, Math.log10(ends.S), story[0].measured, Math.log10(story[0].S)];
    const lowest = Math.min(...finite.filter(Number.isFinite), Math.max(0, ends.theorem));
    const top = Math.max(ends.theorem, lowest + 6);
    const low = Math.max(lowest, -top) - 0.04 * (top - lowest);
    const X = linear([1, reach], [box.left + 6, box.right]);
    return { box, X, Y: linear([low, top * 1.02], [box.bottom, box.top]), story };
  },
  draw(state, { box, X, Y, story }) {
    const depth = depthOf(state);
    const at = story[depth - 1];
    const low = Y.domain[0];
    const counts =
      story.length < 20 ? [1, 5, 10] : [1, 10, 20, 30, 40, 50].filter((count) => count <= story.length);
    const heights = (f) => story.map(f).map((value) => Math.max(value, low - 9));
    const points = (list) => list.map((value, l) => [X(l + 1), Y(value)]);
    const curves = [
      { text: "Theorem 1", kind: "bound", draw: "bound", values: heights(({ theorem }) => theorem) },
      { text: "X1", kind: "bound", draw: "bound", values: heights(({ operator }) => operator) },
      { text: "together", kind: "", draw: "together", values: heights(({ together }) => together) },
      { text: "D", kind: "deep", draw: "deep", values: heights(({ D }) => Math.log10(D)) },
      { text: "measured", kind: "", draw: "truth", values: heights(({ measured }) => measured) },
    ];
    const S = heights(({ S: sum }) => Math.log10(sum));
    const by = [1, 2, 5, 10, 20, 50, 100].find((count) => (Y.domain[1] - low) / count < 6.5) ?? 200;
    const first = Math.ceil(low / by) * by;
    const powers = steps(0, Math.floor((Y.domain[1] - first) / by), 1).map((i) => first + i * by);
    const ticks = Object.fromEntries(powers.map((power) => [power, power ? `10${superscript(power)}` : "1"]));
    const x = X(depth);
    const [high, bottom] = [Y(at.theorem), Y(Math.max(at.measured, low))];
    // Left of the mark and above the curve there is room, or else in the corner, or the caption says it alone.
    const above = (bound) => `+${decades(bound - at.measured)}`;
    const [short, long] = [above(at.theorem), `${above(at.theorem)} decades`];
    const text = [long, short].find((one) => 9 * one.length < x - box.left);
    const corner =
      9 * long.length < 0.75 * (box.right - box.left) ? [box.left + 8, box.top + 12, long] : [0, 0, ""];
    const near =
      text && Y(at.operator) - high > 60
        ? label(x - 7, Y(at.operator) - 9, above(at.operator), "", "end")
        : "";
    const far = label(...(text ? [x - 12, high + 2, text, "", "end"] : corner));
    const gaps = Number.isFinite(at.measured) ? far + near : "";
    const ends = curves.map(({ text, kind, values }) => ({ text, kind, y: Y(values.at(-1)) }));
    const mark = (value) =>
      value >= low ? tag("circle", { cx: x, cy: Y(value), r: 4, class: "fx-mark bound" }) : "";
    return {
      ink:
        powers.map((power) => line(box.left, Y(power), box.right, Y(power), "fx-grid")).join("") +
        axisX(X, box.bottom, Object.fromEntries(counts.map((count) => [count, String(count)])), "depth L") +
        axisY(Y, box.left, ticks) +
        clipped(
          { ...box, right: box.right + 3 },
          ...curves.map(({ draw, values }) => path(points(values), `fx-line ${draw}`)),
          path(points(S), "fx-line euclidean"),
        ) +
        line(x, bottom, x, high, "fx-guide") +
        mark(at.operator) +
        (at.measured >= low ? tag("circle", { cx: x, cy: bottom, r: 4, class: "fx-mark" }) : "") +
        gaps +
        beside(box.right + 7, ends, box.top + 8, box.bottom + 16),
      grips: [[x, clamp(high, box.top, box.bottom)]],
    };
  },
  grips: [([x], { X }) => ({ depth: Math.round(clamp(X.invert(x), ...X.domain)) })],
  describe(state) {
    const { measured, operator, theorem } = endOf(state);
    if (!Number.isFinite(measured))
      return "Change and bounds against depth, on a logarithmic scale: nothing changes.";
    return (
      `Change and bounds against depth, on a logarithmic scale. At depth ${depthOf(state)} the bound X1 lies ` +
      `${decadesOf(operator - measured)} above the squared change that is measured, Theorem 1 ${decadesOf(theorem - measured)}.`
    );
  },
};

// ---- words and numbers

const layers = (depth) => `${plain(depth)} layer${depth === 1 ? "" : "s"}`;
const squared = (log) => (log < 300 ? number(10 ** log) : `10${superscript(Math.floor(log))}`);

function conclusion(state) {
  const sizes = sizesIn(state);
  const { S, D, chain, measured, operator, theorem } = endOf(state);
  if (!sizes.some((size) => size > 0))
    return "No layer changes: every distance is 0, and so is the change of the output.";
  const moved = percent(10 ** (measured / 2));
  const bounds =
    `Theorem 1 lies ${decadesOf(theorem - measured)} (powers of ten) above the measured square, ` +
    (operator - measured < 1e-9 ? "X1 meets it." : `X1\u00a0${decadesOf(operator - measured)}.`);
  const moving = sizes.filter((size) => size > 0).length;
  if (moving === 1)
    return (
      `Only one layer changes: Euclidean and deep relative trust are the same, r² = ${number(D)}, and the output moves ` +
      `by ${moved}. ${bounds}`
    );
  const trust = `The squares add up to S = ${number(S)} and compound to D = ${number(D)}. `;
  if (state.alignment === 1)
    return (
      `${trust}But every error lines up with its layer's weights, so the output moves by all of ∏(1 + r)\u00a0−\u00a01 = ` +
      `${percent(chain)}: squared ${number(chain ** 2)}, which D does not see. ${bounds}`
    );
  const average = state.conditioning === 1 ? ", for which D is right on average," : ",";
  const errors = state.alignment === 0 ? `With errors at random${average}` : "With errors partly lined up,";
  return (
    `${trust}${errors} the output moves by ${moved} (squared ${squared(measured)}); ` +
    `along the weights it would be ${percent(chain)}. ${bounds}`
  );
}

const r = "<var>r</var>";
const sub = (name) => `<var>${name}<sub>l</sub></var>`;
const same = (state) => (equal(sizesIn(state)) ? plainPercent(sizesIn(state)[0]) : "differ");
const one = (state) => `${chosen(state)} of ${depthOf(state)}`;
const alignments = (x) => (x === 0 ? "random" : x === 1 ? "full" : plain(x, 3));

// What the formula becomes when all layers change alike.
function alike(state, form) {
  const sizes = sizesIn(state);
  const [size] = sizes;
  return equal(sizes) && sizes.length > 1 ? [form(plain(size), plain(sizes.length), signOf([size], [4]))] : [];
}

// A preset tells the same story whatever was set before.
const PLAIN = { alignment: 0, conditioning: 1 };

export default instrument({
  name: "DeepTrust",
  title: "What changes in every layer come to",
  quantities: {
    depth: {
      ...{ low: 1, high: DEEP, whole: true, values: steps(1, DEEP, 1), label: "depth <var>L</var>" },
      ...{ text: layers, spoken: layers },
    },
    every: {
      ...{ values: SIZES, label: `size ${r} in every layer` },
      read: (state) => Math.max(...sizesIn(state)),
      patch: (size) => ({ sizes: [size] }),
      text: (_, state) => same(state),
      spoken: (_, state) =>
        equal(sizesIn(state)) ? `${plain(100 * sizesIn(state)[0])} percent in every layer` : "sizes differ",
    },
    sizes: { low: 0, high: 1, most: DEEP },
    layer: {
      ...{ low: 1, high: DEEP, whole: true, values: steps(1, DEEP, 1), label: "layer" },
      read: chosen, // or the keys would move it unseen where there are fewer layers
      ...{ text: (_, state) => one(state), spoken: (_, state) => `layer ${one(state)}` },
    },
    single: {
      ...{ values: SIZES, label: `size ${r} of this layer` },
      read: (state) => sizeOf(state),
      patch: (size, state) => withSize(state, size),
      ...{ text: plainPercent, spoken: (size) => `${plain(100 * size)} percent` },
    },
    alignment: {
      ...{ low: 0, high: 1, values: steps(0, 1, 0.05), label: "errors line up" },
      ...{ text: alignments, spoken: alignments },
    },
    conditioning: {
      ...{ low: 1, high: 100, values: KAPPAS, label: "condition number <var>κ</var>" },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x) },
    },
  },
  groups: [
    { tab: "all layers", keys: ["depth", "every"] },
    { tab: "one layer", keys: ["layer", "single"] },
    { tab: "network", keys: ["alignment", "conditioning"] },
  ],
  presets: [
    { text: "one layer", set: () => ({ ...PLAIN, depth: 1, sizes: [0.5], layer: 1 }) },
    { text: "equal steps at depth 30", set: () => ({ ...PLAIN, depth: 30, sizes: [0.1] }) },
    {
      text: "one big layer",
      set: () => ({ ...PLAIN, depth: 30, sizes: [...Array(14).fill(0.01), 1, 0.01], layer: 15 }),
    },
    { text: "errors that line up", set: () => ({ ...PLAIN, depth: 30, sizes: [0.1], alignment: 1 }) },
  ],
  rows(state) {
    const { S, D, limit, chain, measured } = endOf(state);
    return [
      {
        ...{ kind: "euclidean", name: "Euclidean sum", value: number(S) },
        formula: [
          `<var>S</var> = Σ ${sub("r")}²`,
          ...alike(state, (size, depth, sign) => `${sign} ${depth} × ${raised(size)}`),
        ],
      },
      {
        ...{ kind: "deep", name: "deep relative trust", value: number(D) },
        formula: [
          `<var>D</var> = ∏(1 + ${sub("r")}²) − 1`,
          `≤ limit e<sup><var>S</var></sup> − 1 = ${number(limit)}`,
        ],
      },
      {
        ...{ kind: "together", name: "all layers together", value: percent(chain) },
        formula: [`∏(1 + ${sub("r")}) − 1`, `(squared ${number(chain ** 2)})`],
      },
      {
        ...{
          kind: "truth",
          name: "measured",
          value: Number.isFinite(measured) ? percent(10 ** (measured / 2)) : "0 %",
        },
        formula: [
          "‖<var>f̃</var> − <var>f</var>‖/‖<var>f</var>‖",
          `(squared ${Number.isFinite(measured) ? squared(measured) : "0"})`,
        ],
      },
    ];
  },
  views: [layerwise, ladder],
  conclusion,
});
