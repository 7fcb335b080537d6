// Two models of trust (F28). Every layer has norm 1 and changes by the relative size r:
// Euclidean trust reads L·r², deep relative trust (1 + r²)^L − 1.

const DEPTHS = [
  ...[...steps(1, 20, 1), ...steps(22, 50, 2), ...steps(55, 100, 5)],
  ...[...steps(110, 200, 10), ...steps(220, 500, 20), ...steps(550, 1000, 50)],
];
const STEPS = [
  ...[0, ...steps(0.001, 0.01, 0.001), ...steps(0.012, 0.03, 0.002), ...steps(0.035, 0.1, 0.005)],
  ...[...steps(0.11, 0.3, 0.01), ...steps(0.32, 0.5, 0.02), ...steps(0.55, 1, 0.05)],
];
// A step from the hand, with as many digits as are shown.
const tidy = (step) => clamp(Number(step.toPrecision(step < 0.1 ? 2 : 3)), 0, 1);

// ---- the loss along a step

// The picture ends where Euclidean trust reads 9, and a small step is seen at any depth: only the depth moves it.
const reachOf = (depth) => Math.min(1, 3 * euclideanRadius(depth));
const BACK = -0.4; // so much of it lies behind X
// How far above and below the value at X losses are shown: until the two regions have parted.
const windowOf = (depth) => clamp(1.7 * deepTrust(depth, reachOf(depth)), 1.7, 4);
// The loss at X falls by the same part of the picture.
const tangentOf = (depth) => (x) => (-0.32 * windowOf(depth) * x) / reachOf(depth);

// Examples of losses with this value and slope at X, inside the deep region: tangent + wave·trust, |wave| ≤ 1.
const WAVES = [
  (t) => 0.75 * Math.cos(1.2 * t),
  (t) => -0.8 * Math.cos(0.9 * t + 0.5),
  (t) => 0.5 * Math.sin(2.1 * t),
  (t) => -0.3 * Math.cos(2.6 * t),
];

// Steps to the right and to the left of X.
function sides(reach) {
  const right = spread(0, reach, 72);
  const left = spread(0, BACK * reach, 30);
  return { right, left, all: [...left.slice(1).reverse(), ...right] };
}

// How much the loss may differ from the tangent at the chosen step, as a bar with caps; an arrow where it goes on.
function bar(x, middle, trust, kind, { box, Y }) {
  const end = (y, inward) => {
    const seen = clamp(y, box.top, box.bottom);
    const tip = [-4, 4].map((side) => [x + side, seen + 7 * inward]);
    const arrow = path([tip[0], [x, seen], tip[1]], `fx-line fx-cap ${kind}`);
    return [seen, y === seen ? line(x - 4, y, x + 4, y, `fx-line fx-cap ${kind}`) : arrow];
  };
  const [[high, top], [low, bottom]] = [end(Y(middle + trust), 1), end(Y(middle - trust), -1)];
  return line(x, high, x, low, `fx-line ${kind}`) + top + bottom;
}

// Each region has its name inside.
function names(depth, { box, X, Y, reach, most }) {
  const tangent = tangentOf(depth);
  const xs = spread(0, reach, 200);
  const leaves = (trust, level) => xs.find((x) => tangent(x) + trust(depth, x) > level);
  const [xd, xe] = [leaves(deepTrust, 0.9 * most), leaves(euclideanTrust, 0.9 * most) ?? reach];
  const flat = label(box.right - 4, Y(tangent(reach) + 0.15 * most), "Euclidean", "euclidean", "end");
  if (xd === undefined) return flat; // one layer: the two are the same
  return flat + label(X((xd + xe) / 2), box.top + 18, "deep", "deep", "middle");
}

const ticksOf = (reach) => {
  const by = [0.01, 0.02, 0.05, 0.1, 0.25].find((size) => reach / size < 4.8) ?? 0.25;
  return Object.fromEntries(steps(0, Math.floor(reach / by) * by, by).map((x) => [x, x ? plainPercent(x) : "0"]));
};

const region = {
  tab: "Loss along the step",
  title: () => "The losses still possible along a step are shaded: the tangent line at X, ± the trust. White: ruled out",
  jump: true,
  frame({ depth }, { width, height }) {
    const box = { left: 4, right: width - 11, top: 8, bottom: height - 36 };
    const [reach, most] = [reachOf(depth), windowOf(depth)];
    const X = linear([BACK * reach, reach], [box.left, box.right]);
    return { box, X, Y: linear([-most, most], [box.bottom, box.top]), reach, most };
  },
  draw({ depth, step }, frame) {
    const { box, X, Y, reach, most } = frame;
    const { left, right, all } = sides(reach);
    const tangent = tangentOf(depth);
    const deep = (x) => deepTrust(depth, x);
    const flat = (x) => euclideanTrust(depth, x);
    const edge = (trust, side) =>
      curve((x) => clamp(tangent(x) + side * trust(x), -3 * most, 3 * most), all, X, Y);
    const edges = [deep, flat].map((trust) => [edge(trust, 1), edge(trust, -1)]);
    const [deepArea, flatArea] = edges.map(
      ([high, low]) => outline([...high, ...low.slice().reverse()]) + "Z",
    );
    const example = (wave) => (side) => {
      const f = (x) => tangent(x) + wave(x / euclideanRadius(depth)) * deep(x);
      const out = side.findIndex((x) => Math.abs(f(x)) > 1.2 * most);
      return path(curve(f, out < 0 ? side : side.slice(0, out), X, Y), "fx-example");
    };
    const seen = Math.min(step, reach);
    const [x, y] = [X(seen), Y(tangent(seen))];
    const beyond = label(box.right - 4, y + 26, `step ${plainPercent(step)} →`, "", "end");
    return {
      ink:
        clipped(
          { ...box, right: box.right + 11 },
          tag("path", { d: flatArea, class: "fx-area euclidean" }),
          // Even-odd: what deep relative trust allows and Euclidean trust does not.
          tag("path", { d: deepArea + flatArea, class: "fx-area deep" }),
          ...WAVES.flatMap((wave) => [right, left].map(example(wave))),
          ...edges[0].map((points) => path(points, "fx-line deep")),
          ...edges[1].map((points) => path(points, "fx-line euclidean")),
          path([BACK * reach, reach].map((at) => [X(at), Y(tangent(at))]), "fx-line truth"),
          step > reach ? "" : bar(x + 6, tangent(step), deep(step), "deep", frame),
          step > reach ? "" : bar(x - 6, tangent(step), flat(step), "euclidean", frame),
          names(depth, frame),
        ) +
        axisX(X, box.bottom, ticksOf(reach), "relative step r in every layer") +
        tag("path", { d: `M${px(X(0) - 5)} ${px(Y(0) - 5)}l10 10m0 -10l-10 10`, class: "fx-cross" }) +
        label(X(0) - 8, Y(0) + 20, "X", "", "end") +
        (step > reach ? beyond : ""),
      grips: [[x, y]],
    };
  },
  grips: [([x], { X }) => ({ step: tidy(Math.max(0, X.invert(x))) })],
  describe: ({ depth, step }) =>
    `Loss along a step, with the tangent line at X. At a step of ${plainPercent(step)} the loss may lie ` +
    `within ${number(euclideanTrust(depth, step))} of the tangent under Euclidean trust and ` +
    `within ${number(deepTrust(depth, step))} under deep relative trust.`,
};

// ---- trust against step

const SMALL = 0.001; // the smallest step on the logarithmic axis
const [LOW, HIGH] = [1e-6, 1e6]; // of the trust axis
const POWERS = { 1e-6: "10⁻⁶", 1e-4: "10⁻⁴", 0.01: "10⁻²", 1: "1", 100: "10²", 1e4: "10⁴", 1e6: "10⁶" };

const curves = {
  tab: "Trust against step",
  title: ({ depth }) =>
    `Euclidean trust reaches 1 at ${percent(euclideanRadius(depth))}, deep at ` +
    `${percent(deepRadius(depth))}; (together)²: the squared change if all layers grow`,
  jump: true,
  frame(_, { width, height }) {
    const box = { left: 38, right: width - 18, top: 18, bottom: height - 36 };
    const X = log([SMALL, 1], [box.left, box.right]);
    return { box, X, Y: log([LOW, HIGH], [box.bottom, box.top]) };
  },
  draw({ depth, step }, { box, X, Y }) {
    const deep = (x) => Math.min(deepTrust(depth, x), 1e9); // beyond the picture
    const flat = (x) => euclideanTrust(depth, x);
    const together = (x) => Math.min(chainChange(depth, x), 1e5) ** 2;
    const xs = spread(Math.log10(SMALL), 0, 90).map((power) => 10 ** power);
    const leaves = (f) => xs.find((x) => f(x) > HIGH);
    const seen = X(Math.max(step, SMALL));
    const inside = (trust) => clamp(Y(Math.max(trust, LOW)), box.top, box.bottom);
    const mark = (x, y, r, kind) => tag("circle", { cx: x, cy: y, r, class: `fx-mark ${kind}` });
    // D is named where it leaves, S at its end; they do not print over each other.
    const apart = clamp(7 - (Y(flat(1)) - Y(Math.min(deep(1), HIGH))) / 2, 0, 7);
    const exit = leaves(deep);
    const nameD = exit
      ? [X(exit), box.top - 6, "D", "deep", "middle"]
      : [box.right + 5, Y(deep(1)) + 5 - apart, "D", "deep"];
    // The name of the third curve stands above it, or beside it where it leaves the picture early.
    const gone = X(leaves(together) ?? 1) + 8;
    const above = Y(together(X.invert(box.left + 96))) - 8;
    const name = gone < box.left + 112 ? [gone, box.top + 14] : [box.left + 6, above];
    const lines = [1e-4, 0.01, 100, 1e4].map((y) => line(box.left, Y(y), box.right, Y(y), "fx-grid"));
    return {
      ink:
        lines.join("") +
        line(box.left, Y(1), box.right, Y(1), "fx-one") +
        axisX(
          X,
          box.bottom,
          { 0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1: "100 %" },
          "relative step r in every layer",
        ) +
        axisY(Y, box.left, POWERS) +
        clipped(
          box,
          path(curve(together, xs, X, Y), "fx-line together"),
          path(curve(flat, xs, X, Y), "fx-line euclidean"),
          path(curve(deep, xs, X, Y), "fx-line deep"),
          line(seen, box.top, seen, box.bottom, "fx-guide"),
        ) +
        mark(X(euclideanRadius(depth)), Y(1), 3.5, "euclidean") +
        mark(X(deepRadius(depth)), Y(1), 3.5, "deep") +
        label(...name, "(together)²") +
        label(box.right + 5, Y(flat(1)) + 5 + apart, "S", "euclidean") +
        label(...nameD) +
        mark(seen, inside(flat(step)), 5, "euclidean"),
      grips: [[seen, inside(deep(step))]],
    };
  },
  grips: [([x], { X }) => ({ step: x < X.range[0] - 8 ? 0 : tidy(clamp(X.invert(x), SMALL, 1)) })],
  describe: ({ depth, step }) =>
    `Trust against step size at depth ${depth}. Euclidean trust reaches 1 at a step of ` +
    `${percent(euclideanRadius(depth))}, deep relative trust at ${percent(deepRadius(depth))}. At the chosen step ` +
    `of ${plainPercent(step)} they read ${number(euclideanTrust(depth, step))} and ${number(deepTrust(depth, step))}.`,
};

// ---- words and numbers

const L = "<sup><var>L</var></sup>";
const r = "<var>r</var>";
const layers = (depth) => `${plain(depth)} layer${depth === 1 ? "" : "s"}`;
// 1 + r, written so that a tiny r is not rounded away.
const factor = (step) => (step === 0 || step > 1e-5 ? plain(1 + step, 6) : `(1 + ${plain(step)})`);

function conclusion({ depth, step }) {
  const [D, S, size] = [deepTrust(depth, step), euclideanTrust(depth, step), plainPercent(step)];
  if (step === 0) return "Without a step nothing moves, and both trusts read 0.";
  if (depth === 1)
    return `With one layer the two models of trust are the same: for a step of ${size} both read r² = ${number(D)}.`;
  const power = superscript(depth);
  return (
    `If ${depth === 2 ? "both" : `all ${plain(depth)}`} layers grow by ${size}, the output of a linear chain grows by ` +
    `${percent(chainChange(depth, step))} (${factor(step)}${power}\u00a0−\u00a01). Deep relative trust reads ` +
    `${number(D)} and Euclidean trust ${number(S)}; a bound on the squared change needs a constant of up to ` +
    `2${power}\u00a0−\u00a01 on top.`
  );
}

export default instrument({
  name: "TrustRegions",
  title: "Two models of trust",
  quantities: {
    depth: {
      low: 1,
      high: 1000,
      whole: true,
      values: DEPTHS,
      label: "depth <var>L</var>",
      text: layers,
      spoken: layers,
    },
    step: {
      ...{ low: 0, high: 1, values: STEPS, label: `step ${r} in every layer` },
      ...{ text: plainPercent, spoken: (step) => `${plain(100 * step)} percent in every layer` },
    },
  },
  groups: [{ keys: ["depth", "step"] }],
  presets: [
    { text: "1 layer, 50 %", set: () => ({ depth: 1, step: 0.5 }) },
    { text: "30 layers, 10 %", set: () => ({ depth: 30, step: 0.1 }) },
    { text: "100 layers, 10 %", set: () => ({ depth: 100, step: 0.1 }) },
    { text: "100 layers, 30 %", set: () => ({ depth: 100, step: 0.3 }) },
  ],
  rows: ({ depth, step }) => [
    {
      ...{ kind: "deep", name: "deep relative trust", value: number(deepTrust(depth, step)) },
      formula: [
        `<var>D</var> = (1 + ${r}²)${L} − 1`,
        `= (1 + ${raised(plain(step))})<sup>${plain(depth)}</sup> − 1`,
      ],
    },
    {
      ...{ kind: "euclidean", name: "Euclidean trust", value: number(euclideanTrust(depth, step)) },
      formula: [`<var>S</var> = <var>L</var> ${r}²`, `= ${plain(depth)} × ${raised(plain(step))}`],
    },
    {
      ...{ kind: "together", name: "all layers together", value: percent(chainChange(depth, step)) },
      formula: [`(1 + ${r})${L} − 1`, `= ${factor(step)}<sup>${plain(depth)}</sup> − 1`],
    },
  ],
  views: [region, curves],
  conclusion,
});
