// Two models of trust (F28). Every layer has norm 1 and changes by the relative size r:
// Euclidean trust reads L·r², deep relative trust (1 + r²)^L − 1.

const DEPTHS = [...steps(1, 20, 1), ...steps(22, 50, 2), ...steps(55, 100, 5), ...steps(110, 200, 10), ...steps(220, 500, 20), ...steps(550, 1000, 50)];
const STEPS = [0, ...steps(0.001, 0.01, 0.001), ...steps(0.012, 0.03, 0.002), ...steps(0.035, 0.1, 0.005), ...steps(0.11, 0.3, 0.01), ...steps(0.32, 0.5, 0.02), ...steps(0.55, 1, 0.05)];

const tidy = (step) => clamp(Number(step.toPrecision(step < 0.1 ? 2 : 3)), 0, 1);
const SLOPE = -0.55;  // of the loss at X; the picture's only free choice
const WINDOW = 1.7;   // the loss is shown this far above and below its value at X

// Functions with the same value and slope at X that stay inside the deep region: tangent + wave(x)·trust, |wave| ≤ 1.
const WAVES = [(t) => 0.75 * Math.cos(1.2 * t), (t) => -0.8 * Math.cos(0.9 * t + 0.5), (t) => 0.5 * Math.sin(2.1 * t), (t) => -0.3 * Math.cos(2.6 * t)];

const region = {
  tab: "Loss along the step",
  title: "The losses still possible along a step: the tangent line at X, plus or minus the trust",
  jump: true,
  frame: (_, { width, height }) => {
    const box = { left: 4, right: width - 4, top: 8, bottom: height - 36 };
    return { box, X: linear([-0.4, 1], [box.left, box.right]), Y: linear([-WINDOW, WINDOW], [box.bottom, box.top]) };
  },
  draw({ depth, step }, { box, X, Y }) {
    const tangent = (x) => SLOPE * x;
    // Dense where the neck is: the window is left soon after the trust passes 1.
    const reach = Math.min(1, 3 * euclideanRadius(depth));
    const right = [...spread(0, reach, 60), ...spread(reach, 1, 12).slice(1)];
const left = right.filter((x) => x < 0.4).concat(0.4).map((x) => -x);
    const xs = [...left.toReversed(), ...right.slice(1)];
    const deep = (x) => deepTrust(depth, x), flat = (x) => euclideanTrust(depth, x);
    const edge = (trust, side) => curve((x) => clamp(tangent(x) + side * trust(x), -9, 9), xs, X, Y);
    const area = (trust) => [...edge(trust, 1), ...edge(trust, -1).reverse()].map(([x, y], i) => `${i ? "L" : "M"}${round(x, 1)} ${round(y, 1)}`).join("") + "Z";
    // An example runs from X to both sides until it leaves the window.
    const example = (wave) => [right, left].map((side) => {
      const f = (x) => tangent(x) + wave(x / euclideanRadius(depth)) * deep(x);
      const out = side.findIndex((x) => Math.abs(f(x)) > WINDOW * 1.2);
      return path(curve(f, out < 0 ? side : side.slice(0, out), X, Y), "fx-example");
    }).join("");
    const bar = (trust, dx, kind) => {
      const x = X(step) + dx, high = Y(tangent(step) + trust), low = Y(tangent(step) - trust);
      const cap = (y) => (y >= box.top && y <= box.bottom ? line(x - 4, y, x + 4, y, `fx-line fx-cap ${kind}`) : "");
      return line(x, clamp(high, box.top, box.bottom), x, clamp(low, box.top, box.bottom), `fx-line ${kind}`) + cap(high) + cap(low);
    };
    // Where the upper edges leave the window (or end): there stand their names.
    const leave = (trust) => xs.find((x) => x > 0 && tangent(x) + trust(x) > WINDOW) ?? 1;
    const [xd, xe] = [leave(deep), leave(flat)];
    const names = xd < 1
      ? label(X(xd) - 6, box.top + 12, "deep", "deep", "end") + label(Math.min(X(xe) + 6, box.right - 78), box.top + 30, "Euclidean", "euclidean")
      : label(box.right - 4, Y(tangent(1) + deep(1)) - 8, "deep", "deep", "end") + label(box.right - 4, Y(tangent(1) + flat(1)) + 20, "Euclidean", "euclidean", "end");
    const grip = [X(step), Y(tangent(step))];
    return {
      ink: clipped(box,
          tag("path", { d: area(flat), class: "fx-area euclidean" }),
          tag("path", { d: area(deep) + area(flat), class: "fx-area deep" }),  // what only deep relative trust allows
          ...WAVES.map(example),
          path(edge(deep, 1), "fx-line deep"), path(edge(deep, -1), "fx-line deep"),
          path(edge(flat, 1), "fx-line euclidean"), path(edge(flat, -1), "fx-line euclidean"),
          line(X(-0.4), Y(tangent(-0.4)), X(1), Y(tangent(1)), "fx-line truth"),
          bar(deep(step), 6, "deep"), bar(flat(step), -6, "euclidean"), names)
        + axisX(X, box.bottom, [[0, "0"], [0.25, "25 %"], [0.5, "50 %"], [0.75, "75 %"]], "relative step r in every layer")
        + tag("path", { d: `M${X(0) - 5} ${Y(0) - 5}l10 10m0 -10l-10 10`, class: "fx-cross" })
        + label(X(0) - 8, Y(0) + 20, "X", "", "end"),
      grips: [grip],
    };
  },
  grips: [([x], { X }) => ({ step: tidy(Math.max(0, X.invert(x))) })],
  describe: ({ depth, step }) =>
    `Loss along a step with the tangent line at X. At a step of ${plainPercent(step)} the loss may lie within ${number(euclideanTrust(depth, step))} `
    + `of the tangent under Euclidean trust and within ${number(deepTrust(depth, step))} under deep relative trust.`,
};

const LOW = 1e-6, HIGH = 1e6;  // of the trust axis

const curves = {
  tab: "Trust against step",
  title: ({ depth }) => `Trust against step size: Euclidean trust reaches 1 at ${percent(euclideanRadius(depth))}, deep relative trust at ${percent(deepRadius(depth))}`,
  jump: true,
  frame: (_, { width, height }) => {
    const box = { left: 38, right: width - 18, top: 18, bottom: height - 36 };
    return { box, X: log([0.001, 1], [box.left, box.right]), Y: log([LOW, HIGH], [box.bottom, box.top]) };
  },
  draw({ depth, step }, { box, X, Y }) {
    const deep = (x) => deepTrust(depth, x), flat = (x) => euclideanTrust(depth, x);
    // Squared without overflow: 2^1000 squared is beyond any float.
    const together = (x) => Math.min(chainChange(depth, x), 1e9) ** 2;
    const cut = (f) => (x) => Math.min(f(x), 1e9);
    const xs = spread(-3, 0, 90).map((power) => 10 ** power);
    const seen = Math.max(step, 0.001);
    const inside = (value) => clamp(Y(Math.max(value, LOW)), box.top, box.bottom);
    const mark = (radius, kind) => tag("circle", { cx: X(radius), cy: Y(1), r: 3.5, class: `fx-mark ${kind}` });
    const exit = xs.find((x) => deep(x) > HIGH);
    const apart = clamp(7 - (Y(flat(1)) - Y(Math.min(deep(1), HIGH))) / 2, 0, 7);  // S and D do not print over each other
// The name of the third curve stands above it, or beside it where it leaves the picture early.
    const lead = X.invert(box.left + 96), gone = xs.find((x) => together(x) > HIGH) ?? 1;
    const name = X(gone) < box.left + 104 ? [X(gone) + 8, box.top + 14] : [box.left + 6, Y(together(lead)) - 8];
    return {
      ink: [1e-4, 1e-2, 1e2, 1e4].map((y) => line(box.left, Y(y), box.right, Y(y), "fx-grid")).join("")
        + line(box.left, Y(1), box.right, Y(1), "fx-one")
        + axisX(X, box.bottom, [[0.001, "0.1 %"], [0.01, "1 %"], [0.1, "10 %"], [1, "100 %"]], "relative step r in every layer")
        + axisY(Y, box.left, [[1e-6, "10⁻⁶"], [1e-4, "10⁻⁴"], [1e-2, "10⁻²"], [1, "1"], [1e2, "10²"], [1e4, "10⁴"], [1e6, "10⁶"]])
        + clipped(box,
          path(curve(together, xs, X, Y), "fx-line together"),
          path(curve(cut(flat), xs, X, Y), "fx-line euclidean"),
          path(curve(cut(deep), xs, X, Y), "fx-line deep"),
          line(X(seen), box.top, X(seen), box.bottom, "fx-guide"))
        + mark(euclideanRadius(depth), "euclidean") + mark(deepRadius(depth), "deep")
        + label(...name, "(together)²", "together")
        + label(box.right + 5, Y(flat(1)) + 5 + apart, "S", "euclidean")
        + (deep(1) > HIGH ? label(X(exit), box.top - 6, "D", "deep", "middle") : label(box.right + 5, Y(deep(1)) + 5 - apart, "D", "deep"))
        + tag("circle", { cx: X(seen), cy: inside(flat(step)), r: 5, class: "fx-mark euclidean" }),
      grips: [[X(seen), inside(deep(step))]],
    };
  },
  grips: [([x], { X }) => ({ step: x < X.range[0] - 8 ? 0 : tidy(clamp(X.invert(x), 0.001, 1)) })],
  describe: ({ depth, step }) =>
    `Trust against step size at depth ${depth}. Euclidean trust reaches 1 at a step of ${percent(euclideanRadius(depth))}, `
    + `deep relative trust at ${percent(deepRadius(depth))}. At the chosen step of ${plainPercent(step)} they read `
    + `${number(euclideanTrust(depth, step))} and ${number(deepTrust(depth, step))}.`,
};

export default instrument({
  name: "TrustRegions",
  title: "Two models of trust",
  quantities: {
    depth: { low: 1, high: 1000, whole: true, values: DEPTHS, label: "depth <var>L</var>", text: (v) => `${plain(v)} layer${v === 1 ? "" : "s"}`, spoken: (v) => `${plain(v)} layer${v === 1 ? "" : "s"}` },
    step: { low: 0, high: 1, values: STEPS, label: "step <var>r</var> in every layer", text: plainPercent, spoken: (v) => `${plain(100 * v)} percent in every layer` },
  },
  groups: [{ keys: ["depth", "step"] }],
  presets: [
    { text: "one layer: they agree", set: { depth: 1, step: 0.5 } },
    { text: "30 layers, 10 %", set: { depth: 30, step: 0.1 } },
    { text: "30 layers, 1 %", set: { depth: 30, step: 0.01 } },
    { text: "100 layers: the cliff", set: { depth: 100, step: 0.3 } },
  ],
  rows({ depth, step }) {
    const L = plain(depth), r = plain(step), high = (text) => `<sup>${text}</sup>`;
    return [
      { kind: "deep", name: "deep relative trust", formula: [`<var>D</var> = (1 + <var>r</var>²)${high("<var>L</var>")} − 1`, `= (1 + ${r}²)${high(L)} − 1`], value: number(deepTrust(depth, step)) },
      { kind: "euclidean", name: "Euclidean trust", formula: ["<var>S</var> = <var>L</var> <var>r</var>²", `= ${L} × ${r}²`], value: number(euclideanTrust(depth, step)) },
      { kind: "together", name: "all layers together", formula: [`(1 + <var>r</var>)${high("<var>L</var>")} − 1`, `= ${plain(1 + step, 6)}${high(L)} − 1`], value: percent(chainChange(depth, step)) },
    ];
  },
  views: [region, curves],
  conclusion({ depth, step }) {
    const D = deepTrust(depth, step), S = euclideanTrust(depth, step), r = plainPercent(step);
    if (step === 0) return "Without a step nothing moves, and both trusts read 0.";
    if (depth === 1) return `With one layer the two models of trust are the same: for a step of ${r} both read r² = ${number(D)}.`;
    const gap = D / S - 1;
    const euclid = gap < 0.01 ? "Euclidean trust agrees within 1 %" : gap < 1 ? `Euclidean trust reads ${number(S)}, deep is ${percent(gap, 2)} more` : `Euclidean trust reads only ${number(S)}, a factor of ${number(1 + gap, 2)} below`;
    return `At depth ${plain(depth)} a ${r} step in every layer can move a linear chain by ${percent(chainChange(depth, step))} (${plain(1 + step, 6)}${superscript(depth)}\u00a0−\u00a01); `
      + `deep relative trust reads ${number(D)}, and its constant 2${superscript(depth)}\u00a0−\u00a01 carries the rest. ${euclid}.`;
  },
});
