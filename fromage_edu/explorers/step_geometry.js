// The geometry of a step (F24, F26, F27): one in the plane of W and g, many, and what a step does to singular values.

const RATES = [...[0.001, 0.002, 0.005], ...steps(0.01, 0.1, 0.01), ...steps(0.15, 1, 0.05)];
const LENGTHS = [...steps(0.05, 0.2, 0.05), ...steps(0.3, 3, 0.1)];
const KAPPAS = [...steps(1, 10, 1), ...steps(15, 50, 5), ...steps(60, 100, 10), 200, 300, 500, 1000];
const GRADIENTS = ["", "random", "one example", "along W", "weakest σ"];
const MANY = 100;
const degreesOf = (radians) => (radians * 180) / Math.PI;
const angled = (x) => `${plain(x, 3)}°`;
const spokenAngle = (x) => `${plain(x, 3)} degrees`;
const turned = (radians) => `${number(degreesOf(radians))}°`;
const wrapped = (degrees) => degrees - 360 * Math.ceil((degrees - 180) / 360); // −180 < · ≤ 180
const inPlane = ({ view }) => view < 3;

// ---- drawing in a plane with the origin in the middle

function planeFrame(reach, { width, height }) {
  const [x, y] = [width / 2, height / 2];
  const scale = (Math.min(width, height) / 2 - 8) / reach;
  return {
    size: { width, height },
    box: { left: 0, top: 0, right: width, bottom: height },
    X: linear([0, 1], [x, x + scale]),
    Y: linear([0, 1], [y, y - scale]),
  };
}

// Points in the coordinates of W, as pixels.
const placed = ({ X, Y }, direction, unit) => {
  const [c, s] = [unit * cosine(direction), unit * sine(direction)];
  return ([x, y]) => [X(c * x - s * y), Y(s * x + c * y)];
};

const polar = ([x, y], { X, Y }) => {
  const at = [X.invert(x), Y.invert(y)];
  return { length: Math.hypot(...at), turn: degreesOf(Math.atan2(at[1], at[0])) };
};

// An arrow that ends at the edge of a grip.
function arrow([x0, y0], [x1, y1], kind) {
  const length = Math.hypot(x1 - x0, y1 - y0) - 7;
  if (length < 3) return "";
  const [ux, uy] = [(x1 - x0) / (length + 7), (y1 - y0) / (length + 7)];
  const at = (far, aside) => [x0 + far * ux - aside * uy, y0 + far * uy + aside * ux];
  const head = Math.min(10, length);
  return (
    line(x0, y0, ...at(length - 0.8 * head, 0), `fx-line ${kind}`) +
    tag("path", {
      d: outline([at(length - head, 4), at(length, 0), at(length - head, -4)]) + "Z",
      class: `fx-head ${kind}`,
    })
  );
}

// A line from one place to another, beside the straight one by so many pixels.
function shaft([x0, y0], [x1, y1], kind, aside) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [dx, dy] = [(-aside * (y1 - y0)) / length, (aside * (x1 - x0)) / length];
  return line(x0 + dx, y0 + dy, x1 + dx, y1 + dy, `fx-line ${kind}`);
}

// What names keep clear of, along a line.
const strip = ([x0, y0], [x1, y1]) =>
  spread(0, 1, 2 + Math.floor(Math.hypot(x1 - x0, y1 - y0) / 10)).map((part) =>
    around(x0 + part * (x1 - x0), y0 + part * (y1 - y0), 4),
  );
const clear = (spots, ...lines) => [
  ...spots.map(([x, y]) => around(x, y, 8)),
  ...lines.flatMap((ends) => strip(...ends)),
];

const ring = ([cx, cy], kind) => tag("circle", { cx, cy, r: 4, class: `fx-mark ${kind}` });
const circle = (frame, radius) =>
  tag("circle", {
    ...{ cx: frame.X(0), cy: frame.Y(0), r: frame.X(radius) - frame.X(0) },
    class: "fx-circle",
  });

// Places for a name near a point, outwards from the origin first.
function near([x, y], { X, Y }) {
  const out = Math.atan2(y - Y(0), x - X(0));
  return [16, 28, 44].flatMap((far) =>
    [0, 0.6, -0.6, 1.2, -1.2, 1.9, -1.9, 3].map((by) => {
      const [c, s] = [Math.cos(out + by), Math.sin(out + by)];
      return [x + far * c, y + 5 + far * s, c > 0.4 ? "start" : c < -0.4 ? "end" : "middle"];
    }),
  );
}

// ---- one step

const stepsIn = ({ weight_norm, grad_norm, angle, lr }) => planeSteps(weight_norm, grad_norm, angle, lr);

const oneStep = {
  tab: "One step",
  title: ({ angle }) => `Drag W or g. The circle has radius ‖W‖; g stands at ${angled(angle)} to W`,
  frame(state, size) {
    const { weight_norm: weight, grad_norm: grad } = state;
    const { sgd, four } = stepsIn(state);
    return planeFrame(Math.max(1.3 * weight, 1.06 * grad, 1.1 * weight * Math.max(sgd.norm, four.norm)), size);
  },
  draw(state, frame) {
    const { weight_norm: weight, grad_norm: grad, direction, angle } = state;
    const at = placed(frame, direction, weight);
    const { sgd, four, fromage } = stepsIn(state);
    const zero = at([0, 0]);
    const tip = at([1, 0]);
    const gradient = placed(frame, direction + angle, grad)([1, 0]);
    const ends = { sgd, uncorrected: four, fromage };
    const [s, u, f] = Object.values(ends).map(({ x, y }) => at([x, y]));
    const names = [
      { text: "W", kind: "", spots: near(tip, frame) },
      { text: "g", kind: "", spots: near(gradient, frame) },
      { text: "SGD", kind: "sgd", spots: near(s, frame) },
      { text: "(4)", kind: "uncorrected", spots: near(u, frame) },
      { text: "Fromage", kind: "fromage", spots: near(f, frame) },
    ];
    const corner = frame.X(0.09 * weight) - frame.X(0) > 5 && cosine(angle) === 0;
    const side = 0.09 * Math.sign(angle);
    const square = [
      [1 - 0.09, 0],
      [1 - 0.09, -side],
      [1, -side],
    ].map(at);
    return {
      ink:
        circle(frame, weight) +
        (corner ? path(square, "fx-guide fx-corner") : "") +
        arrow(zero, gradient, "fx-gradient") +
        arrow(zero, tip, "") +
        line(...zero, ...u, "fx-line uncorrected fx-thin") +
        shaft(tip, s, "sgd", 2.5) +
        shaft(tip, u, "uncorrected", -2.5) +
        line(...zero, ...f, "fx-line fromage") +
        ring(s, "sgd") +
        ring(u, "uncorrected") +
        ring(f, "fromage") +
        place(
          names,
          frame.size,
          clear([s, u, f, tip, gradient], [zero, tip], [zero, gradient], [zero, u], [tip, s], [tip, u]),
        ),
      grips: [tip, gradient],
    };
  },
  grips: [
    // W turns under g, which stays where it is.
    (point, frame, { direction, angle }) => {
      const { length, turn } = polar(point, frame);
      const to = round(turn, 0);
      return {
        weight_norm: round(clamp(length, 0.2, 2), 2),
        direction: to,
        angle: wrapped(round(direction + angle - to, 0)),
      };
    },
    (point, frame, { direction }) => {
      const { length, turn } = polar(point, frame);
      return { grad_norm: round(clamp(length, 0.05, 3), 2), angle: wrapped(round(turn - direction, 0)) };
    },
  ],
  describe(state) {
    const { sgd, four, fromage } = stepsIn(state);
    const one = (name, { norm, turn }) => `${name} ${number(norm, 4)} and turns it by ${turned(turn)}`;
    return (
      `The plane with W of length ${plain(state.weight_norm)} and g of length ${plain(state.grad_norm)} at ` +
      `${spokenAngle(state.angle)} to it. The norm of W is multiplied: ${one("by SGD by", sgd)}, ` +
      `${one("by equation (4) by", four)}, ${one("by Fromage by", fromage)}.`
    );
  },
};

// ---- many steps

const cosineOf = ({ angle }) => cosine(angle);
const countOf = ({ steps: count }) => Math.round(count);

const manySteps = {
  tab: "Many steps",
  title: ({ angle }) => `Drag the end of Fromage's path. Each gradient stands at ${angled(angle)} to the W that it meets`,
  frame(state, size) {
    const grown = normAfter(state.lr, cosineOf(state), countOf(state), false);
    const most = normAfter(state.lr, cosineOf(state), countOf(state));
    return planeFrame(clamp(1.12 * Math.max(grown, most), 1.3, 5), size);
  },
  draw(state, frame) {
    const { lr, angle, direction } = state;
    const at = placed(frame, direction, 1);
    const count = countOf(state);
    const far = (frame.size.width + frame.size.height) / (frame.X(1) - frame.X(0));
    const shown = (points) => {
      const beyond = points.findIndex(([x, y]) => Math.hypot(x, y) > far);
      return points.slice(0, beyond < 0 ? undefined : beyond + 1).map(at);
    };
    const [four, fromage] = [false, true].map((corrected) => shown(spiral(lr, angle, count, corrected)));
    const inside = ([x, y]) => x > 0 && x < frame.size.width && y > 0 && y < frame.size.height;
    const dots = (points, kind) =>
      points
        .slice(1)
        .filter((point, i) => inside(point) && Math.hypot(point[0] - points[i][0], point[1] - points[i][1]) > 7)
        .map(([cx, cy]) => tag("circle", { cx, cy, r: 2.4, class: `fx-head ${kind}` }))
        .join("");
    const [zero, start, end] = [at([0, 0]), at([1, 0]), fromage.at(-1)];
    const last = four.findLast(inside) ?? start;
    const names = [
      { text: "W", kind: "", spots: near(start, frame) },
      { text: "Fromage", kind: "fromage", spots: near(end, frame) },
      { text: "(4)", kind: "uncorrected", spots: near(last, frame) },
    ];
    return {
      ink:
        circle(frame, 1) +
        clipped(
          frame.box,
          path(four, "fx-line uncorrected"),
          dots(four, "uncorrected"),
          path(fromage, "fx-line fromage"),
          dots(fromage, "fromage"),
        ) +
        arrow(zero, start, "") +
        place(names, frame.size, clear([start, end, last, ...fromage, ...four], [zero, start])),
      grips: [end],
    };
  },
  grips: [
    // The end is wound along the path, by as many steps as the hand has turned it.
    (point, frame, state) => {
      const by = degreesOf(turn(state.lr, cosineOf(state))) * -Math.sign(state.angle);
      if (Math.abs(by) < 1e-6) return {};
      const there = state.direction + by * countOf(state);
      const more = wrapped(polar(point, frame).turn - there) / by;
      return { steps: clamp(Math.round(countOf(state) + more), 1, MANY) };
    },
  ],
  describe(state) {
    const [grown, kept] = [false, true].map((one) => normAfter(state.lr, cosineOf(state), countOf(state), one));
    return (
      `Paths of ${plain(countOf(state))} steps in the plane, around a circle as large as W was. Equation (4) ends at ` +
      `${number(grown, 4)} times the norm, Fromage at ${number(kept, 4)} times.`
    );
  },
};

// ---- singular values

const spectraFor = remembered(spectra);
const spectraOf = ({ matrix, conditioning, lr }) =>
  spectraFor(clamp(Math.round(matrix), 1, 4), conditioning, lr);
const share = ({ used, budget }) => (budget > 0 ? Math.min(1, used / budget) : 0);
const kappa = (values) => {
  const value = conditionNumber(values);
  return Number.isFinite(value) ? number(value) : "∞";
};

const singular = {
  tab: "Singular values",
  title: () => "Singular values before (drag the last) and after a step, log scale; below, the used part of Mirsky's budget",
  frame(state, { width, height }) {
    const { fromage, polar } = spectraOf(state);
    const least = fromage.before.at(-1);
    const all = [...fromage.before, ...fromage.after, ...polar.after];
    const seen = all.filter((value) => value > least / 30);
    const low = Math.min(...seen, least) * (seen.length < all.length ? 0.25 : 0.7); // room for what is lost
    const box = { left: 44, right: width - 8, top: 20, bottom: height - 88 };
    return {
      ...{ box, size: { width, height }, columns: fromage.before.length },
      I: linear([0, fromage.before.length], [box.left, box.right]),
      Y: log([low, 1.2 * Math.max(...all)], [box.bottom, box.top]),
      B: linear([0, Math.max(fromage.budget, polar.budget)], [box.left, width - 108]),
    };
  },
  draw(state, { box, I, Y, B, size }) {
    const both = spectraOf(state);
    const { before } = both.fromage;
    const [bottom, top] = Y.domain;
    const powers = steps(Math.ceil(Math.log10(bottom)), Math.floor(Math.log10(top)), 1);
    const ticks = Object.fromEntries(powers.map((power) => [10 ** power, power ? `10${superscript(power)}` : "1"]));
    const wide = I(1) - I(0);
    const moved = (kind, offset) =>
      before
        .map((value, i) => {
          const x = I(i + 0.5) + offset * wide;
          const after = both[kind].after[i];
          const lost = after < bottom;
          const y = lost ? box.bottom : Y(after);
          const head = [-4, 0, 4].map((side) => [x + side, y - (side ? 8 : 0)]);
          const end = tag("path", { d: outline(head) + "Z", class: `fx-head ${kind}` });
          return line(x, Y(value), x, y, `fx-line ${kind}`) + (lost ? end : ring([x, y], kind));
        })
        .join("");
    const gone = ["fromage", "polar"]
      .filter((kind) => both[kind].after.at(-1) < bottom)
      .map((kind) => {
        const x = I(before.length - 0.5) + (kind === "fromage" ? -0.18 : 0.18) * wide;
        const text = number(both[kind].after.at(-1) > 1e-14 * before[0] ? both[kind].after.at(-1) : 0);
        return kind === "fromage"
          ? label(x - 8, box.bottom - 4, text, kind, "end")
          : label(x + 8, box.bottom - 4, text, kind);
      });
    const bars = ["fromage", "polar"].map((kind, i) => {
      const y = size.height - 44 + 26 * i;
      const { used, budget } = both[kind];
      return (
        rect(B(0), y - 8, B(used), y + 8, `fx-used ${kind}`) +
        rect(B(0), y - 8, B(budget), y + 8, "fx-budget") +
        label(B(budget) + 6, y + 5, `${NAMES[kind]} ${percent(share(both[kind]), 2)}`, kind)
      );
    });
    return {
      ink:
        powers.map((power) => line(box.left, Y(10 ** power), box.right, Y(10 ** power), "fx-grid")).join("") +
        axisY(Y, box.left, ticks) +
        before.map((value, i) => line(I(i + 0.16), Y(value), I(i + 0.84), Y(value), "fx-line")).join("") +
        moved("fromage", -0.18) +
        moved("polar", 0.18) +
        gone.join("") +
        before
          .map((_, i) => tag("text", { x: I(i + 0.5), y: box.bottom + 16, "text-anchor": "middle" }, `σ${SUBSCRIPTS[i]}`))
          .join("") +
        bars.join(""),
      grips: [[I(before.length - 0.5), Y(before.at(-1))]],
    };
  },
  grips: [([, y], { Y }) => ({ conditioning: Number(clamp(1 / Y.invert(y), 1, 1000).toPrecision(2)) })],
  describe(state) {
    const { fromage, polar } = spectraOf(state);
    const one = (name, change) =>
      `${name} makes it ${kappa(change.after)} and uses ${percent(share(change), 2)} of Mirsky's budget`;
    return (
      `Singular values of W, ${fromage.before.map((value) => number(value)).join(", ")}, and after a step. The condition ` +
      `number is ${kappa(fromage.before)}; ${one("Fromage", fromage)}, ${one("the polar step", polar)}.`
    );
  },
};
const SUBSCRIPTS = ["₁", "₂", "₃", "₄"];
const NAMES = { fromage: "Fromage", polar: "polar" };

// ---- words and numbers

function stepSaid(state) {
  const c = cosineOf(state);
  const { four, fromage } = stepsIn(state);
  const scale = "However long g is, only SGD's step depends on it.";
  if (c === 0)
    return (
      "g stands at a right angle to W, as it does wherever the loss ignores the scale of W: equation (4) lengthens W " +
      `by √(1 + η²) = ${number(four.norm, 4)}, and Fromage's factor takes exactly that back. W turns by arctan η = ` +
      `${turned(fromage.turn)}. ${scale}`
    );
  const lean = c > 0 ? "towards" : "away from";
  return (
    `g leans ${lean} W, c = ${number(c)}: Fromage multiplies the norm by ${number(fromage.norm, 4)} and moves W by ` +
    `${percent(fromage.change)} of its norm, where η is ${plainPercent(state.lr)}. Only at a right angle is the norm kept. ${scale}`
  );
}

function pathSaid(state) {
  const c = cosineOf(state);
  const count = countOf(state);
  const times = `${plain(count)} step${count === 1 ? "" : "s"}`;
  const [grown, kept] = [false, true].map((one) => normAfter(state.lr, c, count, one));
  const way = turned(count * turn(state.lr, c));
  if (c === 0)
    return (
      "Where the loss ignores the scale of W, every gradient stands at a right angle to it. After " +
      `${times} equation (4) has made W √(1 + η²)ᵗ = ${number(grown, 4)} times as long; Fromage has stayed on the ` +
      `circle, and both have turned by t arctan η = ${way}.`
    );
  return (
    `A cosine of ${number(c)} that persists: every step of Fromage multiplies the norm by ${number(normFactor(state.lr, c), 4)}, ` +
    `${times} by ${number(kept, 4)}; equation (4) comes to ${number(grown, 4)}. Fromage keeps the norm at a right angle only.`
  );
}

const GIVEN = [
  "",
  "A gradient of noise",
  "The gradient of a single example, a matrix of rank one",
  "A gradient along W",
  "A gradient along the weakest direction of W alone",
];

function spectrumSaid(state) {
  const { fromage, polar } = spectraOf(state);
  const [was, is] = [fromage.before, fromage.after].map(conditionNumber);
  const ruin =
    is > 9.9 * was ? " Mirsky's budget is spent on absolute changes: it does not protect a small singular value." : "";
  return (
    `${GIVEN[state.matrix]}: Fromage spends ${percent(share(fromage), 2)} of Mirsky's budget, and the condition number ` +
    `goes from ${kappa(fromage.before)} to ${kappa(fromage.after)}. The polar step spends ${percent(share(polar), 2)} of ` +
    `its own, and it goes to ${kappa(polar.after)}.${ruin}`
  );
}

const [W, g, eta, c, t] = ["W", "g", "η", "c", "t"].map((name) => `<var>${name}</var>`);
const ofW = (norm) => `${number(norm, 4)} ‖${W}‖`;

function stepRows(state) {
  const { sgd, four, fromage } = stepsIn(state);
  const moved = ({ change, turn }) => [`moves ${percent(change)}, turns ${turned(turn)}`];
  return [
    { kind: "sgd", name: "SGD", value: ofW(sgd.norm), formula: [`${W} − ${eta}${g}:`, ...moved(sgd)] },
    {
      ...{ kind: "uncorrected", name: "equation (4)", value: ofW(four.norm) },
      formula: [`${W} − ${eta} ‖${W}‖/‖${g}‖ ${g}:`, ...moved(four)],
    },
    {
      ...{ kind: "fromage", name: "Fromage", value: ofW(fromage.norm) },
      formula: [
        `equation (4) over s = √(1 + ${eta}²):`,
        ...moved(fromage),
        `‖${W}′‖²/‖${W}‖² = 1 − 2${eta}${c}/(1 + ${eta}²) = ${number(fromage.norm ** 2, 4)}`,
        `‖Δ${W}‖/‖${W}‖ = √(2(1 − 1/s)(1 + ${eta}${c}/s)) = ${number(fromage.change)}`,
      ],
    },
  ];
}

function pathRows(state) {
  const [lr, cos, count] = [state.lr, cosineOf(state), countOf(state)];
  const power = `<sup>${t}/2</sup>`;
  const each = (corrected) => `each step × ${number(normFactor(lr, cos, corrected), 4)}`;
  return [
    {
      ...{ kind: "uncorrected", name: "equation (4)", value: ofW(normAfter(lr, cos, count, false)) },
      formula: [cos === 0 ? `(1 + ${eta}²)${power}:` : `(1 − 2${eta}${c} + ${eta}²)${power}:`, each(false)],
    },
    {
      ...{ kind: "fromage", name: "Fromage", value: ofW(normAfter(lr, cos, count)) },
      formula: [`(1 − 2${eta}${c}/(1 + ${eta}²))${power}:`, each(true)],
    },
    {
      ...{ kind: "truth", name: "both turn by", value: turned(count * turn(lr, cos)) },
      formula: [`${t} times ${turned(turn(lr, cos))}`, `with ${c} = ${number(cos)}`],
    },
  ];
}

function spectrumRows(state) {
  const { fromage, polar, norm } = spectraOf(state);
  const row = (kind, name, step, change) => ({
    ...{ kind, name, value: `κ = ${kappa(change.after)}` },
    formula: [
      step,
      `√Σ(σ̃ − σ)² = ${percent(change.used / norm)}`,
      `≤ ‖Δ${W}‖<sub>F</sub> = ${percent(change.budget / norm)} of ‖${W}‖<sub>F</sub>`,
    ],
  });
  return [
    {
      ...{ kind: "truth", name: "before", value: `κ = ${kappa(fromage.before)}` },
      formula: ["largest over smallest singular value"],
    },
    row("fromage", "Fromage", `(${W} − ${eta} ‖${W}‖/‖${g}‖ ${g})/√(1 + ${eta}²):`, fromage),
    row("polar", "polar step", `${W} − ${eta}‖${W}‖₂ <var>U</var><var>V</var>ᵀ:`, polar),
  ];
}

const lengths = (least, most) => LENGTHS.filter((x) => x >= least && x <= most);
const length = { text: (x) => plain(x, 3), spoken: (x) => plain(x, 3) };
const one = { view: 1, weight_norm: 1, lr: 0.5, direction: 30 };
const many = { view: 2, lr: 0.2, direction: 30, steps: 60 };

export default instrument({
  name: "StepGeometry",
  title: "The geometry of a step",
  tab: "view",
  quantities: {
    view: { low: 1, high: 3, whole: true },
    lr: {
      ...{ low: 0.001, high: 1, values: RATES, label: `step size ${eta}` },
      ...{ text: plainPercent, spoken: (x) => `${plain(100 * x)} percent` },
    },
    angle: {
      ...{ low: -180, high: 180, values: steps(-180, 180, 5), label: `angle from ${W} to ${g}` },
      ...{ text: angled, spoken: spokenAngle, when: inPlane },
    },
    steps: {
      ...{ low: 1, high: MANY, whole: true, values: steps(1, MANY, 1), label: `steps ${t}` },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x), when: ({ view }) => view === 2 },
    },
    grad_norm: {
      ...{ low: 0.05, high: 3, values: LENGTHS, label: `length ‖${g}‖` },
      ...{ ...length, when: ({ view }) => view === 1 },
    },
    weight_norm: {
      ...{ low: 0.2, high: 2, values: lengths(0.2, 2), label: `length ‖${W}‖` },
      ...{ ...length, when: ({ view }) => view === 1 },
    },
    direction: {
      ...{ low: -180, high: 180, values: steps(-180, 180, 5), label: `direction of ${W}, with ${g}` },
      ...{ text: angled, spoken: spokenAngle, when: ({ view }) => view === 1 },
    },
    conditioning: {
      ...{ low: 1, high: 1000, values: KAPPAS, label: `condition number of ${W}` },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x), when: ({ view }) => view === 3 },
    },
    matrix: {
      ...{ low: 1, high: 4, whole: true, values: [1, 2, 3, 4], label: "gradient" },
      ...{ text: (x) => GRADIENTS[x], spoken: (x) => GRADIENTS[x], when: ({ view }) => view === 3 },
    },
  },
  groups: [
    { tab: "step", keys: ["lr", "angle", "steps", "conditioning", "matrix"] },
    { tab: "W and g", keys: ["grad_norm", "weight_norm", "direction"] },
  ],
  presets: [
    { text: "right angle", set: () => ({ ...one, angle: 90, grad_norm: 0.6 }) },
    { text: "longer g", set: () => ({ ...one, angle: 90, grad_norm: 1.8 }) },
    { text: "leaning g", set: () => ({ ...one, angle: 45, grad_norm: 0.6 }) },
    { text: "spiral", set: () => ({ ...many, angle: 90 }) },
    { text: "drift", set: () => ({ ...many, angle: 84 }) },
    { text: "random matrix", set: () => ({ view: 3, lr: 0.1, matrix: 1, conditioning: 10 }) },
    { text: "ruined κ", set: () => ({ view: 3, lr: 0.01, matrix: 4, conditioning: 100 }) },
  ],
  rows: (state) => [stepRows, pathRows, spectrumRows][state.view - 1](state),
  views: [oneStep, manySteps, singular],
  conclusion: (state) => [stepSaid, pathSaid, spectrumSaid][state.view - 1](state),
});
