// One wide layer W = [1 0] (A2, A3): an input near its null space moves relatively further than Theorem 1 allows, for the
// condition number of min(m, n) singular values does not see the null space. The ratio τ of this input does.

const ANGLES = [...steps(0, 89, 1), 89.5, 89.9];
const see = ({ angle, size, direction }) => wideLayer(angle, size, direction);
const fails = ({ measured, theorem }) => measured > theorem * (1 + 1e-9);
const degrees = (x) => `${plain(x, 3)}°`;
const spokenDegrees = (x) => `${plain(x, 3)} degrees`;

// ---- the plane

const plane = {
  tab: "Plane",
  title: ({ angle }) =>
    `Drag x or the tip of W + ΔW. f(x) is the shadow of x on the row space: ${number(cosine(angle))} at ${degrees(angle)}`,
  frame(_, { width, height }) {
    const box = { left: 30, right: width - 6, top: 14, bottom: height - 84 };
    const scale = Math.min((box.right - box.left) / 2.1, (box.bottom - box.top) / 1.04);
    const x0 = box.left + (box.right - box.left - 2.1 * scale) / 2;
    return {
      ...{ box, scale, size: { width, height } },
      X: linear([0, 1], [x0, x0 + scale]),
      Y: linear([0, 1], [box.bottom, box.bottom - scale]),
    };
  },
  draw(state, { box, X, Y, size: whole }) {
    const { angle, direction } = state;
    const { size, old, change } = see(state);
    const at = ([x, y]) => [X(x), Y(y)];
    const input = at([cosine(angle), sine(angle)]);
    const tip = at([1 + size * cosine(direction), size * sine(direction)]);
    const [zero, w] = [at([0, 0]), at([1, 0])];
    const circle = spread(0, 90, 40).map((turn) => at([cosine(turn), sine(turn)]));
    const bar = (y, value, kind) => {
      const text = `${kind === "fx-old" ? "f(x)" : "f̃(x)"} = ${number(value)}`;
      const outside = X(value) + 6 + 8.6 * text.length < whole.width;
      const name = outside
        ? label(X(value) + 6, y + 4, text)
        : label(X(value) - 6, y + 4, text, "fx-inside", "end");
      return rect(X(0), y - 8, X(value), y + 8, `fx-output ${kind}`) + name;
    };
    const rows = [box.bottom + 42, box.bottom + 66];
    const labels = [
      {
        text: "x",
        kind: "",
        spots: [
          [input[0] + 10, input[1] - 4, "start"],
          [input[0] + 12, input[1] + 16, "start"],
        ],
      },
      {
        text: "W",
        kind: "",
        spots: [
          [(zero[0] + w[0]) / 2, w[1] + 17, "middle"],
          [(zero[0] + w[0]) / 2, w[1] - 7, "middle"],
        ],
      },
      {
        text: "ΔW",
        kind: "euclidean",
        spots: [
          [(w[0] + tip[0]) / 2 + 8, (w[1] + tip[1]) / 2 + 5, "start"],
          [(w[0] + tip[0]) / 2, w[1] - 12, "middle"],
        ],
      },
      ...(size > 0.1
        ? [
            {
              text: "W + ΔW",
              kind: "",
              spots: [
                [tip[0], tip[1] - 14, "middle"],
                [tip[0] + 12, tip[1] + 5, "start"],
                [tip[0] - 12, tip[1] - 2, "end"],
              ],
            },
          ]
        : []),
      {
        text: "null space",
        kind: "bound",
        turned: true,
        spots: [[zero[0] - 14, (box.top + box.bottom) / 2, "middle"]],
      },
      {
        text: "row space",
        kind: "bound",
        spots: [
          [box.right, zero[1] + 17, "end"],
          [box.right, zero[1] - 7, "end"],
        ],
      },
    ];
    return {
      ink:
        line(box.left, zero[1], box.right, zero[1], "fx-axis") +
        line(zero[0], box.top - 8, zero[0], box.bottom, "fx-kernel") +
        path(circle, "fx-faint") +
        line(input[0], input[1], input[0], zero[1], "fx-guide fx-drop") +
        line(zero[0], zero[1], input[0], zero[1], "fx-line fx-shadow") +
        arrow(zero, w, "") +
        (size > 0 ? arrow(zero, tip, "fx-thin") + arrow(w, tip, "euclidean") : "") +
        arrow(zero, input, "fx-input") +
        place(labels, whole, [around(...input, 9), around(...tip, 9)]) +
        line(zero[0], rows[0] - 12, zero[0], rows[1] + 12, "fx-axis") +
        bar(rows[0], old, "fx-old") +
        bar(rows[1], old + change, "fx-new"),
      grips: [input, tip],
    };
  },
  grips: [
    ([x, y], { X, Y }) => {
      const turn = (Math.atan2(Y.invert(y), X.invert(x)) * 180) / Math.PI;
      // Behind the origin the nearer end counts.
      return { angle: round(clamp(turn < -135 ? 90 : turn, 0, 89.9), 1) };
    },
    ([x, y], { X, Y }) => {
      const [dx, dy] = [X.invert(x) - 1, Math.max(0, Y.invert(y))];
      const size = round(clamp(Math.hypot(dx, dy), 0, 1), 2);
      return size ? { size, direction: round((Math.atan2(dy, dx) * 180) / Math.PI, 0) } : { size };
    },
  ],
  describe(state) {
    const { old, change } = see(state);
    return (
      `The plane with the layer W along the row space and its change ΔW of size ${plain(state.size)} at ` +
      `${spokenDegrees(state.direction)}. The input x stands at ${spokenDegrees(state.angle)}; ` +
      `f of x goes from ${number(old)} to ${number(old + change)}.`
    );
  },
};

// ---- change and bounds against the angle

const LAST = 88; // of the picture; the numbers go on
const TURNS = [...steps(0, 80, 0.5), ...steps(80.1, LAST, 0.1)];
const [LOW, HIGH] = [-1.6, 3.4]; // powers of ten, in units of D

const curves = {
  tab: "Against the angle",
  title({ direction }) {
    const angle = failingAngle(direction);
    const where =
      angle < 90
        ? `beyond ${degrees(angle)} more than Theorem 1 allows (shaded)`
        : "Theorem 1 allows it at any angle";
    return `Squared relative change of f, log scale: ${where}`;
  },
  jump: true,
  frame(state, { width, height }) {
    const { size } = see(state);
    const box = { left: 44, right: width - 88, top: 10, bottom: height - 36 };
    const unit = 2 * Math.log10(size || 1);
    return {
      ...{ box, unit },
      X: linear([0, LAST], [box.left, box.right]),
      Y: linear([LOW + unit, HIGH + unit], [box.bottom, box.top]),
    };
  },
  draw(state, { box, X, Y, unit }) {
    const { angle, direction } = state;
    const { size } = see(state);
    const low = LOW + unit - 1;
    const log = (x) => (x > 0 ? Math.max(Math.log10(x), low) : low);
    const level = (pick) =>
      TURNS.map((turn) => [X(turn), Y(log(pick(wideLayer(turn, size || 1, direction))))]);
    const [measured, theorem, restricted, operator] = ["measured", "theorem", "restricted", "operator"].map(
      (key) => level((here) => here[key]),
    );
    const over = measured.map(([x, y], i) => [x, Math.min(y, theorem[i][1])]);
    const first = Math.ceil(LOW + unit);
    const powers = steps(0, Math.floor(HIGH + unit) - first, 1).map((i) => first + i);
    const ticks = Object.fromEntries(powers.map((power) => [power, power ? `10${superscript(power)}` : "1"]));
    const here = see(state);
    const seen = X(Math.min(angle, LAST));
    const inside = (value) => clamp(Y(log(value)), box.top, box.bottom);
    const limit = failingAngle(direction);
    const name = (text, points, kind) => ({ text, kind, y: points.at(-1)[1] });
    const names = [
      name("Theorem 1", theorem, "bound"),
      name("repair", restricted, "bound"),
      name("X1", operator, "bound"),
      name("measured", measured, ""),
    ];
    const dots =
      size > 0
        ? [here.theorem, here.restricted, here.operator].map((value) =>
            tag("circle", { cx: seen, cy: inside(value), r: 4, class: "fx-mark bound" }),
          )
        : [];
    return {
      ink:
        powers.map((power) => line(box.left, Y(power), box.right, Y(power), "fx-grid")).join("") +
        axisX(X, box.bottom, { 0: "0°", 30: "30°", 60: "60°", 88: "88°" }, "angle of x to the row space") +
        axisY(Y, box.left, ticks) +
        clipped(
          { ...box, right: box.right + 3 },
          tag("path", { d: outline([...over, ...theorem.slice().reverse()]) + "Z", class: "fx-fails" }),
          path(theorem, "fx-line bound"),
          path(restricted, "fx-line bound"),
          path(operator, "fx-line bound fx-thin"),
          path(measured, "fx-line truth"),
          line(seen, box.top, seen, box.bottom, "fx-guide"),
        ) +
        dots.join("") +
        (limit < LAST - 6 ? label(box.right - 5, theorem[0][1] - 7, "fails", "", "end") : "") +
        beside(box.right + 7, names, box.top + 8, box.bottom),
      grips: [[seen, inside(here.measured)]],
    };
  },
  grips: [([x], { X }) => ({ angle: round(clamp(X.invert(x), 0, 89.9), 1) })],
  describe(state) {
    const { measured, theorem, restricted, operator } = see(state);
    return (
      `Squared relative change against the angle of x. At ${spokenDegrees(state.angle)} it is ${number(measured)}; ` +
      `Theorem 1 allows ${number(theorem)}, the repair with τ ${number(restricted)}, X1 ${number(operator)}.`
    );
  },
};

// ---- words and numbers

function conclusion(state) {
  const here = see(state);
  const { measured, theorem, restricted, operator, tau } = here;
  if (here.size === 0) return "W does not change, so neither does f: all four numbers are 0.";
  const { angle, direction } = state;
  const limit = failingAngle(direction);
  const repair = `The ratio of this input, τ = ${number(tau)}, sees the null space: its bound ${number(restricted)} holds, and so does X1, ${number(operator)}.`;
  if (fails(here))
    return (
      `The squared change ${number(measured)} is ${number(measured / theorem)} times what Theorem 1 allows, ` +
      `${number(theorem)}: the theorem fails for this wide layer, since its κ = 1 ignores the null space. ${repair}`
    );
  const place = angle === 0 ? "x lies in the row space" : `x stands ${degrees(angle)} from the row space`;
  const turned = limit < 89.9 ? `Turn x beyond ${degrees(limit)} and it fails, however small ΔW.` : "";
  const rest = limit === 90 ? "With ΔW along W this is the same wherever x points." : turned;
  return `${place}: the squared change ${number(measured)} is within what Theorem 1 allows, ${number(theorem)}. ${rest} ${repair}`;
}

const [W, f] = ["<var>W</var>", "<var>f</var>"];

export default instrument({
  name: "WideLayer",
  title: "A wide layer and Theorem 1",
  quantities: {
    angle: {
      ...{ low: 0, high: 89.9, values: ANGLES, label: "angle of <var>x</var> to the row space" },
      ...{ text: degrees, spoken: spokenDegrees },
    },
    size: {
      ...{ low: 0, high: 1, values: steps(0, 1, 0.01), label: `size of Δ${W}` },
      ...{ text: (x) => plain(x), spoken: (x) => plain(x) },
    },
    direction: {
      ...{ low: 0, high: 180, values: steps(0, 180, 5), label: `direction of Δ${W}` },
      ...{ text: degrees, spoken: spokenDegrees },
    },
  },
  groups: [{ keys: ["angle", "size", "direction"] }],
  presets: [
    { text: "x in the row space", set: () => ({ angle: 0, size: 0.5, direction: 90 }) },
    { text: "ΔW along W", set: () => ({ angle: 84, size: 0.5, direction: 0 }) },
    { text: "x near the null space", set: () => ({ angle: 84, size: 0.5, direction: 90 }) },
    { text: "tiny ΔW", set: () => ({ angle: 84, size: 0.01, direction: 90 }) },
  ],
  rows(state) {
    const { size, measured, theorem, restricted, operator, tau } = see(state);
    const squared = raised(plain(size));
    const verdict = fails({ measured, theorem }) ? "fails" : "holds";
    return [
      {
        ...{ kind: "truth", name: "measured", value: number(measured) },
        formula: [`[(${f}̃ − ${f})/${f}]²`, `= [Δ${W}<var>x</var> / ${W}<var>x</var>]²`],
      },
      {
        ...{ kind: "bound", name: `Theorem 1 ${verdict}`, value: number(theorem) },
        formula: [
          `2<var>n</var>*<var>κ</var>² <var>D</var>`,
          `${signOf([size], [4])} 2 × 2 × 1 × ${squared}`,
        ],
      },
      {
        ...{ kind: "bound", name: "repair with τ", value: number(restricted) },
        formula: [`2<var>τ</var>² <var>D</var>`, `≈ 2 × ${number(tau)}² × ${squared}`],
      },
      {
        ...{ kind: "bound fx-thin", name: "X1, squared", value: number(operator) },
        formula: [`[‖${W}‖‖<var>x</var>‖ ρ / |${f}|]²`, `≈ (${number(tau)} × ${plain(size)})²`],
      },
    ];
  },
  views: [plane, curves],
  conclusion,
});
