// The pictures of StepGeometry: the plane of W and g, paths in it, and singular values.

const MANY = 100;
const degreesOf = (radians) => (radians * 180) / Math.PI;
const angled = (x) => `${plain(x, 3)}°`;
const spokenAngle = (x) => `${plain(x, 3)} degrees`;
const turned = (radians) => `${number(degreesOf(radians))}°`;
const wrapped = (degrees) => degrees - 360 * Math.ceil((degrees - 180) / 360); // −180 < · ≤ 180

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

// A line from one place to another, beside the straight one by so many pixels.
function shaft([x0, y0], [x1, y1], kind, aside) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const [dx, dy] = [(-aside * (y1 - y0)) / length, (aside * (x1 - x0)) / length];
  return line(x0 + dx, y0 + dy, x1 + dx, y1 + dy, `fx-line ${kind}`);
}

// What names keep clear of.
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

// A name near a point, outwards from the origin first.
function name(text, kind, [x, y], { X, Y }) {
  const out = Math.atan2(y - Y(0), x - X(0));
  const spots = [16, 28, 44, 60].flatMap((far) =>
    [0, 0.6, -0.6, 1.2, -1.2, 1.9, -1.9, 3].map((by) => {
      const [c, s] = [Math.cos(out + by), Math.sin(out + by)];
      return [x + far * c, y + 5 + far * s, c > 0.4 ? "start" : c < -0.4 ? "end" : "middle"];
    }),
  );
  return { text, kind, spots, long: 10 * text.length + 4 };
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
      name("W", "", tip, frame),
      name("g", "", gradient, frame),
      name("SGD", "sgd", s, frame),
      name("(4)", "uncorrected", u, frame),
      name("Fromage", "fromage", f, frame),
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
        arrow(zero, gradient, "fx-gradient", 7) +
        arrow(zero, tip, "", 7) +
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
    const one = (name, { norm, turn }) => `${name} multiplies its norm by ${number(norm, 4)} and turns it by ${turned(turn)}`;
    return (
      `The plane with W of length ${plain(state.weight_norm)} and g of length ${plain(state.grad_norm)} at ` +
      `${spokenAngle(state.angle)} to it. ${one("SGD", sgd)}, ${one("equation (4)", four)}, ${one("Fromage", fromage)}.`
    );
  },
};

// ---- many steps

const cosineOf = ({ angle }) => cosine(angle);
const countOf = ({ steps: count }) => Math.round(count);
const inside = ([x, y], { box }) => x > box.left && x < box.right && y > box.top && y < box.bottom;

// A path as pixels, as far as it can be seen, and the number of its last point inside the picture.
function pathIn(frame, { lr, angle, direction, ...state }, corrected) {
  const points = spiral(lr, angle, countOf(state), corrected).map(placed(frame, direction, 1));
  const last = Math.max(0, points.findLastIndex((point) => inside(point, frame)));
  return { points: points.slice(0, last + 2), last, end: points[last] };
}

const manySteps = {
  tab: "Many steps",
  title: ({ angle }) => `Drag the end of Fromage's path. Each gradient stands at ${angled(angle)} to the W that it meets`,
  frame(state, size) {
    const grown = normAfter(state.lr, cosineOf(state), countOf(state), false);
    const most = normAfter(state.lr, cosineOf(state), countOf(state));
    return planeFrame(clamp(1.12 * Math.max(grown, most), 1.3, 5), size);
  },
  draw(state, frame) {
    const at = placed(frame, state.direction, 1);
    const [four, fromage] = [false, true].map((corrected) => pathIn(frame, state, corrected));
    const dots = ({ points, last }, kind) =>
      points
        .slice(1, last + 1)
        .filter(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1]) > 7)
        .map(([cx, cy]) => tag("circle", { cx, cy, r: 2.4, class: `fx-head ${kind}` }))
        .join("");
    const [zero, start] = [at([0, 0]), at([1, 0])];
    const names = [
      name("W", "", start, frame),
      name("Fromage", "fromage", fromage.end, frame),
      name("(4)", "uncorrected", four.end, frame),
    ];
    return {
      ink:
        circle(frame, 1) +
        clipped(
          frame.box,
          path(four.points, "fx-line uncorrected"),
          dots(four, "uncorrected"),
          path(fromage.points, "fx-line fromage"),
          dots(fromage, "fromage"),
        ) +
        arrow(zero, start, "") +
        place(names, frame.size, clear([start, ...fromage.points, ...four.points], [zero, start])),
      grips: [fromage.end],
    };
  },
  grips: [
    // The end is wound along the path, by as many steps as the hand has turned it. The frame, which lasts as long as
    // the hand holds, counts on beyond the first and the last step, or the end would leap from one to the other.
    (point, frame, state) => {
      const by = degreesOf(turn(state.lr, cosineOf(state))) * -Math.sign(state.angle);
      if (Math.abs(by) < 1e-6) return {};
      const at = polar(point, frame).turn - state.direction;
      const { last } = pathIn(frame, state, true);
      const { count, turned: before } = frame.wound ?? { count: last, turned: by * last };
      frame.wound = { count: count + wrapped(at - before) / by, turned: at };
      return { steps: clamp(Math.round(frame.wound.count), 1, MANY) };
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
const conditionAfter = ({ before, after }) => conditionNumber(after, before[0]);
const kappa = (value) => (Number.isFinite(value) ? number(value) : "∞");

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
      B: linear([0, Math.max(fromage.budget, polar.budget)], [box.left, width - 124]),
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
      `${name} makes it ${kappa(conditionAfter(change))} and uses ${percent(share(change), 2)} of Mirsky's budget`;
    return (
      `Singular values of W, ${fromage.before.map((value) => number(value)).join(", ")}, and after a step. The condition ` +
      `number is ${kappa(conditionNumber(fromage.before))}; ${one("Fromage", fromage)}, ${one("the polar step", polar)}.`
    );
  },
};
const SUBSCRIPTS = ["₁", "₂", "₃", "₄"];
const NAMES = { fromage: "Fromage", polar: "polar" };
