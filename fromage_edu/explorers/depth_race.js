// Recorded training runs, replayed (F29): who learns at a depth, what is left of the gradient in each layer, and of the
// signal.

// ---- words

const whole = (x) => `${Math.round(100 * x)}\u00a0%`;
// One digit is what the record has: 3 × 10⁻¹⁴.
function about(x) {
  if (!Number.isFinite(x)) return "–";
  const [digit, power] = x.toExponential(0).split("e");
  if (x === 0 || (+power > -3 && +power < 3)) return plain(Number(x.toPrecision(1)), 1);
  return `${digit}\u00a0×\u00a010${superscript(+power)}`;
}
const power = (x) => `10${superscript(Math.round(Math.log10(x)))}`;
const shareSaid = (share) => (share >= 0.001 ? percent(share, 2) : about(share));
const epochSaid = (epoch) => (epoch ? `after epoch ${epoch}` : "before training");
const named = ({ optimizer }) => RUNNERS[optimizer - 1];
const nameOf = (state) =>
  state.optimizer === ADAM ? `Adam with ε = ${power(state.eps)}` : named(state).long;

function reason(state, { g, lr, left, accuracy }) {
  const entry = `Here a typical entry of the first layer's gradient is ${about(g)}`;
  if (g === 0) return "The first layer's gradient is exactly 0: nothing tells its weights where to go.";
  if (state.optimizer === SGD)
    return `${entry}; SGD steps by η times that, ${about(lr * left * g)}, beside weights near 0.1.`;
  if (state.optimizer === FROMAGE)
    return `${entry}; whatever its size, Fromage moves each layer by about ${percent(lr * left, 1)} of ‖W‖.`;
  if (state.optimizer === NORMALIZED)
    return `${entry}; whatever its size, each layer's step has the length ${about(lr * left)}, at any ‖W‖.`;
  const share = adamShare(g, state.eps);
  if (share < 0.9)
    return `${entry}; ε is ${about(state.eps / g)} times as large and leaves Adam ${shareSaid(share)} of its step.`;
  const failed = accuracy <= LEARNS && state.epoch === LAST;
  const so = failed ? "it is not ε that stops Adam" : "its size cancels in Adam's step";
  return `${entry}, ${share > 0.99 ? "far above" : "above"} ε: ${so}.`;
}

function conclusion(state) {
  const facts = told(state);
  const { accuracy, others, broken, signals: logs } = facts;
  const who = nameOf(state);
  const run = `${who[0].toUpperCase()}${who.slice(1)}, ${state.depth} hidden layers, ${epochSaid(state.epoch)}: `;
  if (broken) return `${run}the weights have left float32 and are no numbers any more, and the network guesses.`;
  const why = reason(state, facts);
  if (!state.epoch)
    return (
      `${run}the network guesses. From its first layer to its last the signal is multiplied by ` +
      `${about(10 ** (logs.at(-1) - logs[0]))}. ${why}`
    );
  const alike = [accuracy, ...others].every((one) => one <= LEARNS);
  const seeds = alike ? "and so do the other seeds" : `other seeds ${others.map(whole).join(" and ")}`;
  const [best] = rivalsOf(state).sort((one, other) => other.middle[LAST] - one.middle[LAST]);
  const end = state.epoch === LAST ? ` Best of the others: ${nameOf(best)}, ${whole(best.middle[LAST])}.` : "";
  if (accuracy > LEARNS) return `${run}${whole(accuracy)} of the training images right (${seeds}). ${why}${end}`;
  const still = state.epoch === LAST ? "only" : "still";
  return `${run}it ${still} guesses (${whole(accuracy)}, ${seeds}). ${why}${end}`;
}

// ---- pictures

const TENTHS = { 0: "0", 0.1: "guess", 0.5: "50 %", 1: "100 %" };

const race = {
  tab: "Race",
  kind: "wide",
  title: ({ depth }) =>
    `Drag the time. Accuracy at ${depth} hidden layers, the median of three seeds; gray: rivals at their best rates`,
  jump: true,
  frame(state, { width, height }) {
    const box = { left: 46, right: width - 94, top: 12, bottom: height - 36 };
    const X = linear([0, LAST], [box.left, box.right]);
    return { box, X, Y: linear([0, 1], [box.bottom, box.top]) };
  },
  draw(state, { box, X, Y }) {
    const { middle, low, high } = runOf(state);
    const { kind, name } = named(state);
    const { epoch } = state;
    const run = (list) => [
      ...list.slice(0, Math.floor(epoch) + 1).map((value, i) => [X(i), Y(value)]),
      [X(epoch), Y(valueAt(list, epoch))],
    ];
    const head = run(middle).at(-1);
    const rivals = rivalsOf(state);
    const heads = rivals.map((one) => ({
      text: one.optimizer === ADAM && state.eps < 1e-8 ? `Adam ${power(one.eps)}` : named(one).name,
      kind: "bound",
      y: Y(valueAt(one.middle, epoch)),
    }));
    heads.push({ text: name, kind, y: head[1] });
    return {
      ink:
        [0, 0.5, 1].map((at) => line(box.left, Y(at), box.right, Y(at), "fx-grid")).join("") +
        line(box.left, Y(GUESS), box.right, Y(GUESS), "fx-example") +
        axisX(X, box.bottom, { 0: "0", 10: "10", 20: "20", 30: "30", 40: "40" }, "epoch") +
        axisY(Y, box.left, TENTHS) +
        rivals.map((one) => path(run(one.middle), "fx-rival")).join("") +
        [low, high].map((list) => path(run(list), `fx-line ${kind} fx-thin`)).join("") +
        path(run(middle), `fx-line ${kind}`) +
        beside(head[0] + 11, heads, box.top + 4, box.bottom - 4),
      grips: [head],
    };
  },
  grips: [([x], { X }) => ({ epoch: EPOCHS[nearestOf(EPOCHS, X.invert(x))] })],
  describe(state) {
    const rivals = rivalsOf(state).map((one) => `${nameOf(one)} ${whole(one.middle[state.epoch])}`);
    return (
      `Training accuracy against epochs at ${state.depth} hidden layers, ${epochSaid(state.epoch)}: ` +
      `${nameOf(state)} ${whole(told(state).accuracy)}, ${rivals.join(", ")}.`
    );
  },
};

const endsOf = (logs) =>
  logs.some(Number.isNaN)
    ? "no numbers any more"
    : `${about(10 ** logs[0])} in the first, ${about(10 ** logs.at(-1))} in the last`;

// Values of all layers on a log scale; exact zeros lie on the floor, what is no number is left out.
function layered(what, floor, ceiling) {
  return {
    frame(state, { width, height }) {
      const box = { left: 46, right: width - 14, top: 12, bottom: height - 36 };
      const { moments, tops } = runOf(state);
      return {
        ...{ box, size: { width, height } },
        X: linear([1, moments[0][what].length], [box.left + 12, box.right - 12]),
        // Few runs need more room above, and have it from their first epoch on.
        Y: linear([floor, Math.max(ceiling, tops[what] + 0.5)], [box.bottom, box.top]),
      };
    },
    points: (values, { X, Y }) =>
      values.map((value, l) => [X(l + 1), Y(Math.max(value, floor))]).filter(([, y]) => !Number.isNaN(y)),
    paper({ box, X, Y }) {
      const last = X.domain[1];
      const top = Y.domain[1];
      const by = top - floor > 15 ? 4 : 2;
      const counts = last < 5 ? [1, 2, 3] : [1, ...[10, 20, 30].filter((count) => count < last - 5), last];
      const first = Math.ceil(floor / by) * by;
      const powers = steps(first, first + by * Math.floor((top - first) / by), by);
      const text = (at) => (at ? `10${superscript(at)}` : "1");
      return (
        powers.map((at) => line(box.left, Y(at), box.right, Y(at), "fx-grid")).join("") +
        axisX(X, box.bottom, Object.fromEntries(counts.map((count) => [count, String(count)])), "layer") +
        axisY(Y, box.left, Object.fromEntries(powers.map((at) => [at, text(at)])))
      );
    },
    // What names keep clear of: the curves and the ticks.
    taken: (start, now, { left, bottom }) => [
      ...[...now, ...start].map(([x, y]) => around(x, y, 5)),
      { left: 0, right: left, top: 0, bottom },
    ],
    // The layers now, and faintly as they were before training.
    curves(state, frame) {
      const run = runOf(state);
      const [start, now] = [run.moments[0][what], layersAt(run, state.epoch, what)].map((values) =>
        this.points(values, frame),
      );
      const { kind } = named(state);
      const ink = path(start, "fx-rival") + path(now, `fx-line ${kind}`);
      return { start, now, ink };
    },
    names: (start, now, epoch) => {
      const apart = now.length && now.some(([, y], l) => Math.abs(y - start[l][1]) > 18);
      const spots = [0.62, 0.4, 0.8, 0.2, 0].map((part) => start[Math.floor(part * (start.length - 1))]);
      return epoch && apart ? [{ text: "before", kind: "bound", spots: spots.flatMap(besides) }] : [];
    },
  };
}
const besides = ([x, y]) => [
  [x + 8, y + 16, "start"],
  [x - 8, y - 10, "end"],
  [x + 8, y - 10, "start"],
  [x, y + 22, "middle"],
];

const FLOOR = -21.5;
const SQUARES = -19; // the root of float32's smallest number with all its digits, 1.2 × 10⁻³⁸
const gradientLayers = layered("gradients", FLOOR, 1.2);
const lineOf = (eps, { box, Y }) => Math.min(Y(Math.log10(eps)), box.bottom);

const gradients = {
  tab: "Gradients",
  title(state) {
    return `Drag ε. Typical gradient entry of each layer ${epochSaid(state.epoch)}: ${endsOf(told(state).gradients)}`;
  },
  frame: gradientLayers.frame,
  draw(state, frame) {
    const { box, Y, size } = frame;
    const { start, now, ink } = gradientLayers.curves(state, frame);
    const y = lineOf(state.eps, frame);
    const small = Math.max(...[...now, ...start].map(([, at]) => at)) > Y(-15);
    const [right, foot] = [box.right - 8, box.bottom - 8];
    const gray = (text, ...spots) => ({ text, kind: "bound", spots });
    const square = Y(SQUARES);
    const names = [
      {
        text: `Adam's ε = ${power(state.eps)}${y === box.bottom ? ", far below" : ""}`,
        kind: "adam",
        spots: [y - 7, ...(y < box.bottom ? [y + 18] : []), y - 24].flatMap((up) => [
          [right - 16, up, "end"],
          [box.left + 8, up, "start"],
          [(box.left + right) / 2, up, "middle"],
        ]),
      },
      ...(small ? [gray("g² leaves float32", [right, square - 6, "end"], [right, square + 17, "end"])] : []),
      ...(state.eps > 1e-9
        ? [gray("below ε steps shrink", [right, foot, "end"], [right, y + 20, "end"], [box.left + 8, foot, "start"])]
        : []),
      ...gradientLayers.names(start, now, state.epoch),
    ];
    return {
      ink:
        gradientLayers.paper(frame) +
        rect(box.left, y, box.right, box.bottom, "fx-slow") +
        (small ? line(box.left, square, box.right, square, "fx-line bound fx-thin") : "") +
        line(box.left, y, box.right, y, "fx-line adam fx-thin") +
        ink +
        place(names, size, [...gradientLayers.taken(start, now, box), around(box.right - 6, y, 9)]),
      grips: [[box.right - 6, y]],
    };
  },
  grips: [
    ([, y], frame) => ({ eps: EPSILONS[nearestOf(EPSILONS.map((eps) => lineOf(eps, frame)), y)] }),
  ],
  describe(state) {
    const { gradients: logs } = told(state);
    return (
      `The typical gradient entry of each of ${logs.length} layers on a logarithmic scale, ` +
      `${epochSaid(state.epoch)}: ${endsOf(logs)}. Adam's ε is ${power(state.eps)}.`
    );
  },
};

const ROUNDING = Math.log10(2 ** -26); // float32's spacing at 0.2, the size of a deep unit's output
const signalLayers = layered("signals", -11.2, 3.2);

const signals = {
  tab: "Signals",
  title(state) {
    const ends = endsOf(told(state).signals);
    return `Signal, how far images differ in each layer, ${epochSaid(state.epoch)}: ${ends}`;
  },
  frame: signalLayers.frame,
  draw(state, frame) {
    const { box, Y, size } = frame;
    const { start, now, ink } = signalLayers.curves(state, frame);
    const y = Y(ROUNDING);
    const names = [
      {
        text: "rounding of float32",
        kind: "bound",
        spots: [
          [box.left + 8, y - 7, "start"],
          [box.right - 8, y - 7, "end"],
          [box.left + 8, y + 17, "start"],
          [box.right - 8, y + 17, "end"],
        ],
      },
      ...signalLayers.names(start, now, state.epoch),
    ];
    return {
      ink:
        signalLayers.paper(frame) +
        rect(box.left, y, box.right, box.bottom, "fx-slow") +
        line(box.left, y, box.right, y, "fx-line bound fx-thin") +
        ink +
        place(names, size, signalLayers.taken(start, now, box)),
      grips: [],
    };
  },
  grips: [],
  describe(state) {
    return (
      `How far each layer's outputs differ between images, on a logarithmic scale, ${epochSaid(state.epoch)}: ` +
      `${endsOf(told(state).signals)}.`
    );
  },
};

const [g, eta] = ["g", "η"].map((name) => `<var>${name}</var>`);
const fixed = { only: true, leaps: true };
const story = (patch) => () => ({ depth: 30, rate: 2, eps: 1e-8, init: 1, epoch: LAST, ...patch });

export default instrument({
  name: "DepthRace",
  title: "Recorded training runs at growing depth",
  given: ["races"],
  quantities: {
    epoch: {
      ...{ low: 0, high: LAST, values: EPOCHS, only: true, label: "epoch" },
      ...{ text: (x) => (x ? `after ${x}` : "before training"), spoken: epochSaid },
    },
    depth: {
      ...{ low: 2, high: 40, values: DEPTHS, ...fixed, label: "hidden layers" },
      ...{ text: (x) => plain(x), spoken: (x) => `${x} hidden layers` },
    },
    optimizer: {
      ...{ low: 1, high: 4, values: [1, 2, 3, 4], ...fixed, label: "optimizer" },
      ...{ text: (x) => RUNNERS[x - 1].name, spoken: (x) => RUNNERS[x - 1].long },
    },
    rate: {
      ...{ low: 1, high: 3, whole: true, values: [1, 2, 3], leaps: true, label: `learning rate ${eta}` },
      text: (_, state) => plain(told(state).lr),
      spoken: (x, state) => `${plain(told(state).lr)}, ${x} of 3`,
    },
    eps: {
      ...{ low: 1e-30, high: 1e-8, values: EPSILONS, ...fixed, label: "Adam's <var>ε</var>" },
      ...{ text: power, spoken: (x) => `ten to the minus ${-Math.round(Math.log10(x))}` },
    },
    init: {
      ...{ low: 1, high: 2, values: [1, 2], ...fixed, label: "start" },
      ...{ text: (x) => STARTS[x], spoken: (x) => STARTS[x] },
    },
  },
  groups: [
    { tab: "race", keys: ["epoch", "depth", "optimizer"] },
    { tab: "settings", keys: ["rate", "eps", "init"] },
  ],
  presets: [
    { text: "replay", view: 0, play: "epoch", set: () => ({ epoch: LAST }) },
    { text: "Adam stops", play: "epoch", set: story({ optimizer: ADAM }) },
    { text: "move ε", play: "epoch", set: story({ optimizer: ADAM, eps: 1e-30 }) },
    { text: "He's start", play: "epoch", set: story({ optimizer: ADAM, init: 2 }) },
    { text: "only the norm", play: "epoch", set: story({ optimizer: NORMALIZED }) },
    { text: "not far enough", play: "epoch", set: story({ optimizer: ADAM, depth: 40, eps: 1e-16 }) },
  ],
  rows(state) {
    const { accuracy, others, broken, g: entry, lr, signals: logs } = told(state);
    const { kind, long } = named(state);
    const share = adamShare(entry, state.eps);
    const [size, eps] = [about(entry), power(state.eps)];
    return [
      {
        ...{ kind, name: long, value: whole(accuracy) },
        formula: [
          `accuracy, epoch ${state.epoch}, ${eta} = ${plain(lr)};`,
          `other seeds ${others.map(whole).join(", ")}`,
        ],
      },
      {
        ...{ kind: "truth", name: "first layer's gradient", value: size },
        formula: [`typical entry ${g};`, `signal in the last layer ${about(10 ** logs.at(-1))}`],
      },
      {
        ...{ kind: "adam", name: state.optimizer === ADAM ? "Adam keeps" : "Adam would keep" },
        value: shareSaid(share),
        formula: ["of its step:", `${g}/(${g} + <var>ε</var>)`, ...(broken ? [] : [`= ${size}/(${size} + ${eps})`])],
      },
    ];
  },
  views: [race, gradients, signals],
  conclusion,
});
