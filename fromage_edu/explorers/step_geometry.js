// The geometry of a step (F24, F26, F27): one in the plane of W and g, many, and what a step does to singular values.

const RATES = [...[0.001, 0.002, 0.005], ...steps(0.01, 0.1, 0.01), ...steps(0.15, 1, 0.05)];
const LENGTHS = [...steps(0.05, 0.2, 0.05), ...steps(0.3, 3, 0.1)];
const KAPPAS = [...steps(1, 10, 1), ...steps(15, 50, 5), ...steps(60, 100, 10), 200, 300, 500, 1000];
const GRADIENTS = ["", "random", "one example", "along W", "weakest σ"];
const inPlane = ({ view }) => view < 3;

// ---- words and numbers

// A factor near 1 with enough digits to tell it from 1: 1.000005.
function factor(x) {
  const gap = Math.abs(x - 1);
  return gap > 1e-7 && gap < 5e-4 ? plain(x, 2 - Math.floor(Math.log10(gap))) : number(x, 4);
}

function stepSaid(state) {
  const c = cosineOf(state);
  const { four, fromage } = stepsIn(state);
  const scale = "The length of g matters to SGD alone.";
  if (c === 0)
    return (
      "g stands at a right angle to W, as it does wherever the loss ignores the scale of W: equation (4) makes W " +
      `√(1 + η²) = ${factor(four.norm)} times as long, and Fromage's factor takes exactly that back. W turns by ` +
      `arctan η = ${turned(fromage.turn)}. ${scale}`
    );
  const stands =
    Math.abs(c) === 1 ? `points ${c > 0 ? "along" : "against"}` : `leans ${c > 0 ? "towards" : "away from"}`;
  return (
    `g ${stands} W, c = ${cosineSaid(c)}: Fromage multiplies the norm by ${factor(fromage.norm)} and moves W by ` +
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
      `${times} equation (4) has made W √(1 + η²)ᵗ = ${factor(grown)} times as long; Fromage has stayed on the ` +
      `circle, and both have turned by t arctan η = ${way}.`
    );
  return (
    `A cosine of ${cosineSaid(c)} that persists: every step of Fromage multiplies the norm by ` +
    `${factor(normFactor(state.lr, c))}, ${times} by ${factor(kept)}; equation (4) comes to ${factor(grown)}. Fromage keeps the norm at a right angle only.`
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
  const before = conditionNumber(fromage.before);
  const [one, other] = [fromage, polar].map((change) => {
    const [was, is] = [kappa(before), kappa(conditionAfter(change))];
    const gone = change.after[0] < 1e-14 * change.before[0];
    const way = was === is ? `stays ${is}` : `goes from ${was} to ${is}`;
    return {
      ruined: !gone && conditionAfter(change) > 9.9 * before,
      said: (name) => (gone ? "nothing is left of W" : `${name} ${way}`),
    };
  });
  const ruin =
    one.ruined || other.ruined
      ? " Mirsky's budget is spent on absolute changes: it does not protect a small singular value."
      : "";
  return (
    `${GIVEN[state.matrix]}: Fromage spends ${percent(share(fromage), 2)} of Mirsky's budget, and ` +
    `${one.said("the condition number")}. The polar step spends ${percent(share(polar), 2)} of its own, and ${other.said("it")}.${ruin}`
  );
}

const [W, g, eta, c, t] = ["W", "g", "η", "c", "t"].map((name) => `<var>${name}</var>`);
const ofW = (norm) => `${factor(norm)} ‖${W}‖`;
// 1 and −1 are exact.
const cosineSaid = (c) => (Math.abs(c) === 1 ? plain(c) : number(c));

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
        `‖${W}′‖²/‖${W}‖² = 1 − 2${eta}${c}/(1 + ${eta}²) = ${factor(fromage.norm ** 2)}`,
        `‖Δ${W}‖/‖${W}‖ = √(2(1 − 1/s)(1 + ${eta}${c}/s)) = ${number(fromage.change)}`,
      ],
    },
  ];
}

function pathRows(state) {
  const [lr, cos, count] = [state.lr, cosineOf(state), countOf(state)];
  const power = `<sup>${t}/2</sup>`;
  const each = (corrected) => `each step × ${factor(normFactor(lr, cos, corrected))}`;
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
      formula: [`${t} times ${turned(turn(lr, cos))}`, `with ${c} = ${cosineSaid(cos)}`],
    },
  ];
}

function spectrumRows(state) {
  const { fromage, polar, norm } = spectraOf(state);
  const row = (kind, name, step, change) => ({
    ...{ kind, name, value: `κ = ${kappa(conditionAfter(change))}` },
    formula: [
      step,
      `√Σ(σ̃ − σ)² = ${percent(change.used / norm)}`,
      `≤ ‖Δ${W}‖<sub>F</sub> = ${percent(change.budget / norm)} of ‖${W}‖<sub>F</sub>`,
    ],
  });
  return [
    {
      ...{ kind: "truth", name: "before", value: `κ = ${kappa(conditionNumber(fromage.before))}` },
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
      ...{ low: 1, high: 1000, values: KAPPAS, label: "condition number" },
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
