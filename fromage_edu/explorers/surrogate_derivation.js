// From deep relative trust D to its surrogate D′ (F20–F22): how good D′ is where some layers change by the same
// relative size, the step that it gives one layer, and the exact problem of two layers, whose minimum splits (X5).

const MANTISSAS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8];
// With as many digits as are shown.
const tidy = (x) => Number(x.toPrecision(3));
const tens = (...powers) => powers.flatMap((power) => MANTISSAS.map((x) => tidy(x * power)));
const SIZES = [...tens(0.01, 0.1, 1, 10), 100];
const SLOPES = [
  ...[...tens(0.001, 0.01), ...steps(0.1, 0.9, 0.05)],
  ...[...steps(1, 4, 0.1), ...steps(4.5, 10, 0.5)],
];
const DEEPEST_HERE = 20;

// On the way from one preset to another, depth and number are no whole numbers.
const depthOf = ({ depth }) => Math.round(depth);
const movingOf = (state) => Math.min(Math.round(state.moving), depthOf(state));
const layers = (depth) => `${plain(depth)} layer${depth === 1 ? "" : "s"}`;

// D, D′ and their ratio where the chosen number of layers changes by a size.
function both(state, size = state.size) {
  const D = deepTrust(movingOf(state), size);
  const surrogate = surrogateTrust(depthOf(state), movingOf(state), size);
  return { D, surrogate, ratio: surrogate / D };
}
const same = ({ ratio }) => Math.abs(ratio - 1) < 1e-9;
const stepOf = (state) => surrogateSize(state.slope, depthOf(state));

// How D′ compares with D, in words: 46 %, 3.4 times, 10⁻⁷⁷.
function shareOf(ratio) {
  const share = ratio < 1 && ratio >= 1e-4 ? percent(ratio) : number(ratio);
  return `${share} ${ratio < 1 ? "of" : "times"}`;
}

// A label for `place` with spots around a point.
const named = (text, kind, [x, y], ...spots) => ({
  ...{ text, kind },
  spots: spots.map(([dx, dy, anchor]) => [x + dx, y + dy, anchor]),
});

// ---- D and D′ against the size

const [SMALL, LARGE] = [0.01, 100];
const TURNS = spread(-2, 2, 121).map((power) => 10 ** power);
const MOST = 1.5; // of the ratio, in the picture
const FOUR_DECADES = { 0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10", 100: "100" };

const trust = {
  tab: "D and D′",
  kind: "wide",
  title(state) {
    const depth = depthOf(state);
    const moving = movingOf(state);
    if (depth === 1) return "D and D′ on log scales, and D′/D: one layer, no difference";
    const which = moving === depth ? "all layers change" : `${moving} of ${depth} change${moving === 1 ? "s" : ""}`;
    return `D and D′ on log scales, and D′/D, where ${which}: D′ is ${shareOf(both(state).ratio)} D`;
  },
  jump: true,
  frame(state, { width, height }) {
    const [left, right] = [46, width - 34];
    const strip = { left, right, top: height - 84, bottom: height - 36 };
    const box = { left, right, top: 10, bottom: strip.top - 14 };
    const top = 4 * state.depth + 1;
    return {
      ...{ box, strip, size: { width, height } },
      X: log([SMALL, LARGE], [left, right]),
      Y: linear([-top, top], [box.bottom, box.top]),
      R: linear([0, MOST], [strip.bottom, strip.top]),
    };
  },
  draw(state, { box, strip, X, Y, R, size: whole }) {
    const depth = depthOf(state);
    const curves = TURNS.map((size) => [size, both(state, size)]);
    const points = (f, scale) => curves.map(([size, one]) => [X(size), scale(f(one))]);
    const logs = (key) => points((one) => Math.log10(one[key]), Y);
    const [deep, surrogate] = [logs("D"), logs("surrogate")];
    const ratio = points((one) => Math.min(one.ratio, 2 * MOST), R);
    const here = both(state);
    const x = X(state.size);
    const [high, low] = [here.D, here.surrogate].map((value) => Y(Math.log10(value)));
    const by = [2, 4, 10, 20, 40].find((one) => (4 * depth) / one <= 2.5) ?? 40;
    const powers = [-2, -1, 0, 1, 2].map((i) => i * by).filter((power) => Math.abs(power) <= 4 * depth);
    const ticks = Object.fromEntries(powers.map((power) => [power, power ? `10${superscript(power)}` : "1"]));
    const root = X(Math.sqrt(depth));
    const together = depth > 1 && movingOf(state) === depth; // they meet beyond √L
    const names = [
      { text: "D", kind: "deep", y: deep.at(-1)[1] },
      { text: "D′", kind: "surrogate", y: surrogate.at(-1)[1] },
    ];
    const left = [
      named("D", "deep", deep[9], [0, -9, "middle"]),
      named("D′", "surrogate", surrogate[14], [8, 19, "start"]),
    ];
    return {
      ink:
        powers.map((power) => line(box.left, Y(power), box.right, Y(power), "fx-grid")).join("") +
        [0, 1].map((at) => line(strip.left, R(at), strip.right, R(at), at ? "fx-one" : "fx-grid")).join("") +
        axisX(X, strip.bottom, FOUR_DECADES, "relative size r of each change") +
        axisY(Y, box.left, ticks) +
        axisY(R, strip.left, { 0: "0", 1: "1" }) +
        (together ? line(root, box.top, root, strip.bottom, "fx-guide fx-drop") : "") +
        clipped(
          { ...box, top: box.top - 3, bottom: box.bottom + 3, right: box.right + 1 },
          path(deep, "fx-line deep"),
          path(surrogate, "fx-line surrogate"),
        ) +
        clipped({ ...strip, bottom: strip.bottom + 2, right: strip.right + 1 }, path(ratio, "fx-line truth")) +
        line(x, high, x, low, "fx-guide") +
        tag("circle", { cx: x, cy: low, r: 4.5, class: "fx-mark surrogate" }) +
        // A ratio above the strip is an arrow at its top.
        (here.ratio > MOST
          ? tag("path", { d: `M${px(x - 5)} ${px(strip.top + 8)}l5 -8l5 8Z`, class: "fx-head" })
          : tag("circle", { cx: x, cy: R(here.ratio), r: 4, class: "fx-mark" })) +
        (depth > 1 ? place(left, whole) : "") +
        (together ? label(root + 5, box.bottom - 2, `√L = ${number(Math.sqrt(depth))}`, "bound") : "") +
        label(strip.left + 6, strip.top + 12, "D′/D") +
        beside(box.right + 6, names, box.top + 8, box.bottom),
      grips: [[x, high]],
    };
  },
  grips: [([x], { X }) => ({ size: tidy(clamp(X.invert(x), SMALL, LARGE)) })],
  describe(state) {
    const { D, surrogate, ratio } = both(state);
    return (
      `Deep relative trust and its surrogate against the relative size r, where ${movingOf(state)} of ` +
      `${layers(depthOf(state))} change by r. At r = ${plain(state.size)} they are ${number(D)} and ` +
      `${number(surrogate)}; their ratio, D′/D, is ${number(ratio)}.`
    );
  },
};

// ---- one layer

const layer = {
  tab: "One layer",
  title(state) {
    const depth = depthOf(state);
    const powers = depth === 1 ? "r²/2" : `r${superscript(2 * depth)}/${2 * depth}`;
    return `Drag the minimum of −t r + ${powers}, in units of t. Dots: the minima of other depths`;
  },
  jump: true,
  frame(state, { width, height }) {
    const box = { left: 36, right: width - 12, top: 14, bottom: height - 36 };
    const r = stepOf(state);
    const least = surrogateObjective(state.slope, depthOf(state), r) / state.slope;
    return {
      ...{ box, size: { width, height } },
      X: linear([0, Math.max(1.7, 1.2 * r)], [box.left, box.right]),
      Y: linear([Math.min(-1.45, 1.25 * least), 0.4], [box.bottom, box.top]),
    };
  },
  draw(state, { box, X, Y, size: whole }) {
    const { slope } = state;
    const depth = depthOf(state);
    const worth = (count, size) => surrogateObjective(slope, count, size) / slope;
    const [right, top] = [X.domain[1], Y.domain[1] + 1];
    const curve = spread(0, right, 161).map((size) => [X(size), Y(Math.min(worth(depth, size), top))]);
    const minima = steps(1, DEEPEST_HERE, 1).map((count) => {
      const size = surrogateSize(slope, count);
      return { count, x: X(size), y: Y(worth(count, size)), inside: size < right };
    });
    const r = stepOf(state);
    const at = [X(r), Y(worth(depth, r))];
    const by = [0.5, 1, 2, 5].find((one) => right / one < 4.5) ?? 5;
    const ticks = Object.fromEntries(
      steps(0, Math.floor(right / by + 1e-9), 1).map((i) => [i * by, plain(i * by)]),
    );
    const levels = Y.domain[0] < -3 ? { 0: "0", "-2": "−2t", "-4": "−4t" } : { 0: "0", "-1": "−t" };
    const dots = minima.filter(({ inside }) => inside);
    const told = dots
      .filter(({ count }) => [1, 2, 5, 20].includes(count))
      .reduce((kept, one) => {
        const apart = [at, ...kept.map(({ x, y }) => [x, y])].every(([x]) => Math.abs(x - one.x) > 50);
        return apart ? [...kept, one] : kept;
      }, []);
    const labels = [
      named(`r = ${number(r)}`, "surrogate", at, [0, 24, "middle"], [-14, 5, "end"]),
      named("L → ∞", "bound", [X(1), box.top], [-8, 12, "end"], [8, 12, "start"]),
      ...told.map(({ count, x, y }) =>
        named(`L = ${count}`, "bound", [x, y], [-8, 12, "end"], [8, -8, "start"], [8, 14, "start"]),
      ),
    ];
    const axis = { left: 0, right: box.left, top: 0, bottom: whole.height };
    return {
      ink:
        Object.keys(levels)
          .map((level) => line(box.left, Y(+level), box.right, Y(+level), "fx-grid"))
          .join("") +
        axisX(X, box.bottom, ticks, "relative size r of the step") +
        axisY(Y, box.left, levels) +
        clipped(
          { ...box, right: box.right + 1 },
          tag("path", { d: `M${px(X(0))} ${px(Y(0))}L${px(X(1))} ${px(Y(-1))}V0`, class: "fx-line bound" }),
          path(curve, "fx-line surrogate"),
        ) +
        line(at[0], at[1], at[0], box.bottom, "fx-guide fx-drop") +
        dots.map(({ x, y }) => tag("circle", { cx: x, cy: y, r: 2.4, class: "fx-point" })).join("") +
        place(labels, whole, [around(...at, 9), axis]),
      grips: [at],
    };
  },
  grips: [
    ([x], { X }, state) => {
      const r = Math.max(X.invert(x), 1e-6);
      return { slope: tidy(clamp(r ** (2 * depthOf(state) - 1), 0.001, 10)) };
    },
  ],
  describe(state) {
    const depth = depthOf(state);
    return (
      `What a step of relative size r is worth to one layer of slope ${plain(state.slope)} under the surrogate of ` +
      `${layers(depth)}: its minimum lies at r = ${number(stepOf(state))}. For any slope, more layers move it to 1.`
    );
  },
};

// ---- two layers, exactly

// Values of the level curves: closer together near the bottom, and the one through the saddle.
function levelsOf(slope, reach) {
  const bottom = pairObjective(slope, ...pairMinimum(slope));
  const top = pairObjective(slope, 0.8 * reach, 0.8 * reach);
  return steps(1, 9, 1).map((i) => bottom + (top - bottom) * (i / 9) ** 3);
}

const pair = {
  tab: "Two layers",
  title({ slope }) {
    const one = `one minimum${slope === 2 ? ", about to split" : ""} (drag it)`;
    const words = slope > 2 ? "two minima (drag one) and a saddle" : one;
    return `Levels of −t(r₁ + r₂) + ½D for two layers, t = ${plain(slope)}: ${words}`;
  },
  jump: true,
  frame({ slope }, { width, height }) {
    const side = Math.min(height - 56, width - 84);
    const left = Math.max(36, (width - side) / 2);
    const box = { left, right: left + side, top: 20, bottom: 20 + side };
    const reach = Math.max(3, 1.1 * pairMinimum(slope)[0]);
    return {
      ...{ box, reach, size: { width, height } },
      X: linear([0, reach], [box.left, box.right]),
      Y: linear([0, reach], [box.bottom, box.top]),
    };
  },
  draw({ slope }, { box, X, Y, reach, size: whole }) {
    const at = ([one, other]) => [X(one), Y(other)];
    const [large, small] = pairMinimum(slope);
    const [middle, cubic] = [pairSymmetric(slope), surrogateSize(slope, 2)];
    const split = slope > 2;
    const loops = (value, kind) =>
      pairLevel(slope, value, reach)
        .map((loop) => tag("path", { d: outline(loop.map(at)) + "Z", class: kind }))
        .join("");
    const arm = spread(0, Math.log(1.3 * reach), 40).map((power) => Math.exp(power));
    const tracks = [
      [at([0, 0]), at([1, 1])],
      arm.map((one) => at([one, 1 / one])),
      arm.map((one) => at([1 / one, one])),
    ];
    const [low, high] = [at([large, small]), at([small, large])];
    const saddle = at([middle, middle]);
    const other = at([cubic, cubic]);
    const by = reach < 5 ? 1 : reach < 9 ? 2 : 5;
    const ticks = Object.fromEntries(steps(0, Math.floor(reach / by), 1).map((i) => [i * by, String(i * by)]));
    const wide = Math.hypot(low[0] - high[0], low[1] - high[1]) > 76; // room for a name each, and the saddle's
    const exact = (text, at, ...spots) => named(text, "deep", at, ...spots);
    const labels = [
      ...(split && wide
        ? [
            exact("minimum", low, [0, -14, "middle"], [0, 22, "middle"]),
            exact("minimum", high, [12, -4, "start"]),
            exact("saddle", saddle, [-10, 20, "end"]),
          ]
        : [
            exact(
              ...[split ? "minima" : "minimum", low, [12, 20, "start"]],
              ...[[10, -16, "start"], [-10, -12, "end"], [14, -32, "start"]],
            ),
          ]),
      named(
        ...["under D′", "surrogate", other, [10, -6, "start"], [12, 5, "start"]],
        ...[[10, 18, "start"], [12, -24, "start"]],
      ),
    ];
    // The axes with their numbers stay clear.
    const axes = [
      { left: 0, right: box.left, top: 0, bottom: whole.height },
      { left: 0, right: whole.width, top: box.bottom + 3, bottom: whole.height },
    ];
    const marks = [low, high, saddle, other].map((spot) => around(...spot, 8));
    return {
      ink:
        clipped(
          box,
          ...levelsOf(slope, reach).map((value) => loops(value, "fx-level")),
          split ? loops(pairObjective(slope, middle, middle), "fx-level fx-through") : "",
          line(...at([1, 1]), X(reach), Y(reach), "fx-kernel"),
          ...tracks.map((points) => path(points, "fx-track")),
        ) +
        axisX(X, box.bottom, ticks, "") +
        axisY(Y, box.left, ticks) +
        tag("text", { x: box.right + 8, y: box.bottom + 4 }, "r₁") +
        tag("text", { x: box.left - 4, y: box.top - 5 }, "r₂") +
        (split
          ? tag("path", { d: `M${px(saddle[0] - 5)} ${px(saddle[1] - 5)}l10 10m0 -10l-10 10`, class: "fx-cross" }) +
            tag("circle", { cx: high[0], cy: high[1], r: 5, class: "fx-mark deep" })
          : "") +
        tag("rect", { x: other[0] - 4, y: other[1] - 4, width: 8, height: 8, class: "fx-mark surrogate" }) +
        place(labels, whole, [...axes, ...marks]),
      grips: [low],
    };
  },
  grips: [
    ([x, y], { X, Y }) => ({
      slope: tidy(clamp(pairSlope(Math.max(X.invert(x), Y.invert(y), 1e-6)), 0.001, 10)),
    }),
  ],
  describe({ slope }) {
    const [large, small] = pairMinimum(slope);
    const where =
      slope > 2
        ? `it has two minima, where one layer changes by ${number(large)} and the other by ${number(small)}, ` +
          `and a saddle where both change by ${number(pairSymmetric(slope))}`
        : `it has one minimum, where both change by ${number(large)}`;
    return (
      `Level curves of the exact objective of two layers of slope ${plain(slope)} against their relative sizes: ` +
      `${where}. Under the surrogate both change by ${number(surrogateSize(slope, 2))}.`
    );
  },
};

// ---- words and numbers

// Where D and D′ come together, and what else is to be said of them.
function comparison(state) {
  const depth = depthOf(state);
  const moving = movingOf(state);
  const { D, surrogate, ratio } = both(state);
  if (depth === 1) return `With one layer the surrogate is D itself: both read r² = ${number(D)}.`;
  const change = `change${moving === 1 ? "s" : ""} by r\u00a0=\u00a0${plain(state.size)}`;
  const read = `D reads ${number(D)} and D′ ${number(surrogate)}`;
  const compared = same({ ratio }) ? "the same" : `${shareOf(ratio)} D`;
  if (moving === depth)
    return (
      `If ${depth === 2 ? "both" : `all ${depth}`} layers ${change}, ${read}: ${compared}. They meet, relatively, only ` +
      `for r\u00a0≫\u00a0√L\u00a0=\u00a0${number(Math.sqrt(depth))}.`
    );
  const verdict = same({ ratio }) ? "" : `, so D′ is no ${ratio > 1 ? "lower" : "upper"} bound`;
  return `If ${moving} of ${depth} layers ${change}, ${read}: ${compared}${verdict}.`;
}

function conclusion(state) {
  const { slope } = state;
  const depth = depthOf(state);
  const [large, small] = pairMinimum(slope);
  const deeper = slope === 1 ? "the same at every depth" : "and more layers take it to 1, whatever t";
  const step = `r\u00a0=\u00a0${number(stepOf(state))}`;
  const one = `Under D′ a layer of slope t\u00a0=\u00a0${plain(slope)} steps by ${step}, ${deeper}.`;
  const two =
    slope > 2
      ? `Under D itself two such layers part: one steps by ${number(large)}, the other by ${number(small)}.`
      : `Under D itself two such layers step alike, by ${number(large)}, as they do up to t\u00a0=\u00a02.`;
  return `${comparison(state)} ${one} ${two}`;
}

const [r, t, L] = ["r", "t", "L"].map((name) => `<var>${name}</var>`);
const first = `${r}<sub>1</sub>`;
const second = `${r}<sub>2</sub>`;
const up = (text) => `<sup>${text}</sup>`;

export default instrument({
  name: "SurrogateDerivation",
  title: "From deep relative trust to one layer's step",
  quantities: {
    depth: {
      ...{ low: 1, high: DEEPEST_HERE, whole: true, values: steps(1, DEEPEST_HERE, 1), label: `depth ${L}` },
      ...{ text: layers, spoken: layers },
    },
    slope: {
      ...{ low: 0.001, high: 10, values: SLOPES, label: `slope ${t} = <var>η</var>‖<var>W</var>‖‖<var>g</var>‖` },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x) },
    },
    size: {
      ...{ low: SMALL, high: LARGE, values: SIZES, label: `size ${r} of each change` },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x) },
    },
    moving: {
      ...{ low: 1, high: DEEPEST_HERE, whole: true, values: steps(1, DEEPEST_HERE, 1) },
      ...{ label: "layers that change", read: movingOf },
      text: (_, state) => `${movingOf(state)} of ${depthOf(state)}`,
      spoken: (_, state) => `${movingOf(state)} of ${depthOf(state)}`,
    },
  },
  groups: [
    { tab: "depth and slope", keys: ["depth", "slope"] },
    { tab: "sizes", keys: ["size", "moving"] },
  ],
  presets: [
    { text: "a step of 1 %", view: 0, set: () => ({ depth: 20, size: 0.01, moving: 20 }) },
    { text: "Figure 3", view: 0, set: () => ({ depth: 20, size: 10, moving: 20 }) },
    { text: "no bound", view: 0, set: () => ({ depth: 2, size: 2, moving: 1 }) },
    { text: "tiny slope, deep", view: 1, set: () => ({ depth: 20, slope: 0.01 }) },
    { text: "the split", view: 2, set: () => ({ slope: 3 }) },
  ],
  rows(state) {
    const { D, surrogate, ratio } = both(state);
    const [depth, moving, power] = [depthOf(state), movingOf(state), 2 * depthOf(state)];
    const size = plain(state.size);
    const all = moving === depth;
    const count = all ? L : "<var>k</var>";
    const [large, small] = pairMinimum(state.slope);
    const split = state.slope > 2;
    return [
      {
        ...{ kind: "deep", name: "deep relative trust", value: number(D) },
        formula: [`<var>D</var> = (1 + ${r}²)${up(count)} − 1`, `= (1 + ${raised(size)})${up(moving)} − 1`],
      },
      {
        ...{ kind: "surrogate", name: "surrogate", value: number(surrogate) },
        formula: [
          `<var>D′</var> = ${all ? "" : `${count}/${L} × `}${r}${up(`2${L}`)}`,
          `= ${all ? "" : `${moving}/${depth} × `}${raised(size, up(power))}`,
        ],
      },
      {
        ...{ kind: "truth", name: "ratio", value: number(ratio) },
        formula: ["<var>D′</var>/<var>D</var>", ...(all && depth > 1 ? [`→ 1 where ${r} ≫ √${L}`] : [])],
      },
      {
        ...{ kind: "surrogate", name: "one layer, D′", value: number(stepOf(state)) },
        formula: [
          `${r} = ${t}${up(`1/(2${L} − 1)`)}`,
          `= ${raised(plain(state.slope), up(depth === 1 ? "1" : `1/${power - 1}`))}`,
        ],
      },
      {
        ...{ kind: "deep", name: "two layers, D" },
        value: number(large) + (split ? `, ${number(small)}` : " each"),
        formula:
          split
            ? [`${first} + ${second} = ${t},`, `${first}${second} = 1`]
            : [`${r}(1 + ${r}²) = ${t} for both`],
      },
    ];
  },
  views: [trust, layer, pair],
  conclusion,
});
