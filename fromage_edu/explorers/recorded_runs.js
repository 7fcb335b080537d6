// The record that DepthRace replays: what its characters stand for, the run of a state, and what lies between two recorded
// moments. Gradients and signals are logarithms to base 10.

const DEPTHS = [2, 10, 20, 30, 40];
const EPOCHS = [0, 1, 2, 4, 8, 14, 22, 31, 40]; // after which layers are recorded
const LAST = 40;
const EPSILONS = [1e-30, 1e-16, 1e-8];
const GUESS = 0.1;
const LEARNS = 0.15; // more than that is no guess
const RUNNERS = [
  { name: "SGD", long: "SGD + momentum", kind: "sgd" },
  { name: "Adam", long: "Adam", kind: "adam" },
  { name: "Fromage", long: "Fromage", kind: "fromage" },
  { name: "norm. SGD", long: "normalized SGD", kind: "normalized" },
];
const [SGD, ADAM, FROMAGE, NORMALIZED] = [1, 2, 3, 4];
const STARTS = ["", "default", "He"];

// ---- the record, a character for each number

const MARKS = Array.from({ length: 87 }, (_, i) => String.fromCharCode(40 + i))
  .filter((mark) => !"<\\".includes(mark))
  .join("");
const MOST = MARKS.length - 1;
export const sharesOf = (text, [low, step]) => Array.from(text, (mark) => low + step * MARKS.indexOf(mark));
// The first character is an exact zero, the last no number.
export const logsOf = (text, [low, step]) =>
  Array.from(text, (mark) => {
    const code = MARKS.indexOf(mark);
    return code === 0 ? -Infinity : code === MOST ? NaN : low + step * code;
  });

function read(text, { accuracies, gradients, signals }) {
  let at = 0;
  const take = (count) => text.slice(at, (at += count));
  const [middle, low, high] = [0, 1, 2].map(() => sharesOf(take(LAST + 1), accuracies));
  const layers = (text.length - at) / (2 * EPOCHS.length);
  const moments = EPOCHS.map(() => ({
    gradients: logsOf(take(layers), gradients),
    signals: logsOf(take(layers), signals),
  }));
  const top = (what) => Math.max(...moments.flatMap((one) => one[what].filter(Number.isFinite)));
  return { middle, low, high, moments, tops: { gradients: top("gradients"), signals: top("signals") } };
}

const known = new Map();
// The run of a state: accuracies of the median run, of the lowest and of the highest, and layers of the first.
export function runOf({ races, depth, init, optimizer, eps, rate }) {
  const slot = [0, 3 + 3 * EPSILONS.indexOf(eps), 12, 15][optimizer - 1] + rate - 1;
  const text = races.runs[DEPTHS.indexOf(depth)][init - 1][slot];
  if (!known.has(text)) known.set(text, read(text, races));
  return known.get(text);
}

// What is left to Adam of its step where its gradient is g for long.
export const adamShare = (g, eps) => g / (g + eps);

// The others, each at the best of its rates, Adam at the ε of the state; and Adam as it comes, if ε has moved.
function rivalsOf(state) {
  const { optimizer, eps } = state;
  const others = RUNNERS.map((_, i) => ({ ...state, optimizer: i + 1 })).filter(
    (one) => one.optimizer !== optimizer,
  );
  if (optimizer === ADAM && eps < 1e-8) others.push({ ...state, eps: 1e-8 });
  return others.map((one) => {
    const runs = [1, 2, 3].map((rate) => runOf({ ...one, rate }).middle);
    const ends = runs.map((run) => run[LAST]);
    const best = ends.indexOf(Math.max(...ends));
    return { ...one, rate: best + 1, middle: runs[best] };
  });
}

// ---- between two recorded moments

const mix = (one, other, part) =>
  Number.isFinite(one + other) ? one + part * (other - one) : part < 0.5 ? one : other;
const valueAt = (list, epoch) => mix(list[Math.floor(epoch)], list[Math.ceil(epoch)], epoch % 1);
function layersAt({ moments }, epoch, what) {
  const next = EPOCHS.findIndex((one) => one >= epoch);
  if (next === 0) return moments[0][what];
  const part = (epoch - EPOCHS[next - 1]) / (EPOCHS[next] - EPOCHS[next - 1]);
  return moments[next][what].map((value, l) => mix(moments[next - 1][what][l], value, part));
}

function told(state) {
  const run = runOf(state);
  const gradients = layersAt(run, state.epoch, "gradients");
  const signals = layersAt(run, state.epoch, "signals");
  return {
    ...{ run, gradients, signals, g: 10 ** gradients[0], broken: gradients.some(Number.isNaN) },
    accuracy: run.middle[state.epoch],
    others: [run.low, run.high].map((one) => one[state.epoch]),
    lr: state.races.rates[state.optimizer - 1][state.rate - 1],
    left: 0.2 ** (state.epoch / LAST), // of the learning rate
  };
}
