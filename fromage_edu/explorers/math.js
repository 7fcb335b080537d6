// The mathematics of the explorers: pure functions. A browser test compares them with the Python library.

// Trust of `depth` layers of norm 1 that each change by the relative size `step`.
export const euclideanTrust = (depth, step) => depth * step * step;
export const deepTrust = (depth, step) => Math.expm1(depth * Math.log1p(step * step));

// The steps at which each trust reaches 1.
export const euclideanRadius = (depth) => 1 / Math.sqrt(depth);
export const deepRadius = (depth) => Math.sqrt(Math.expm1(Math.LN2 / depth));

// Relative change of a linear chain whose layers all err in the same direction.
export const chainChange = (depth, step) => Math.expm1(depth * Math.log1p(step));

// The scalar network f(x) = a·b·x: both sides of its bound and every term of the proof.
export function scalarTerms(a, b, da, db) {
  const u = da / a,
    v = db / b,
    corner = u * v;
  const squares = [u * u, v * v, corner * corner];
  const [uu, vv, cc] = squares;
  const young = (x, y, xx, yy) => ({ value: 2 * x * y, bound: xx + yy, slack: (x - y) ** 2 });
  return {
    u,
    v,
    corner,
    squares,
    crosses: [young(u, v, uu, vv), young(u, corner, uu, cc), young(v, corner, vv, cc)],
    change: u + v + corner,
    measured: (u + v + corner) ** 2,
    bound: 3 * (uu + vv + cc),
  };
}

// The share of the bound that is used at (u, v); at the origin, where both sides vanish, its largest limit.
export function scalarShare(u, v) {
  const { measured, bound } = scalarTerms(1, 1, u, v);
  return bound > 0 ? measured / bound : 2 / 3;
}

// ---- layers of different sizes

const LEAST = 1e-12; // smaller changes count as none: their squares would vanish among the others
const counted = (size) => (size < LEAST ? 0 : size);

// The relative sizes of `depth` layers: where the list ends, its last entry goes on.
export const sizesOf = (depth, sizes) =>
  Array.from({ length: depth }, (_, l) => counted(sizes[Math.min(l, sizes.length - 1)]));

// After each layer: the sum of squares S, deep relative trust D, its limit e^S − 1, and what all layers make together.
export function trusts(sizes) {
  const sums = { S: 0, D: 0, chain: 0 };
  return sizes.map((size) => {
    sums.S += size * size;
    sums.D += Math.log1p(size * size);
    sums.chain += Math.log1p(size);
    const [D, limit, chain] = [sums.D, sums.S, sums.chain].map(Math.expm1);
    return { S: sums.S, D, limit, chain };
  });
}

// ---- a linear network of square layers, the same in every browser

const WIDE = 8; // the width of its layers
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
const times = (matrix, x) => matrix.map((line) => dot(line, x));
const frobenius = (matrix) => Math.sqrt(matrix.reduce((sum, line) => sum + dot(line, line), 0));
const combine = (a, one, b, other) => one.map((line, i) => line.map((x, j) => a * x + b * other[i][j]));

// Standard normal numbers from a seed (mulberry32 and Box–Muller).
function normals(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

// The lines of a matrix, made orthonormal one after the other.
function orthonormal(matrix) {
  return matrix.reduce((done, line) => {
    const rest = done.reduce((left, other) => {
      const part = dot(left, other);
      return left.map((x, i) => x - part * other[i]);
    }, line);
    const length = Math.hypot(...rest);
    return [...done, rest.map((x) => x / length)];
  }, []);
}

// Rotates two lines at a time, in place, until all are orthogonal (one-sided Jacobi), and `followers` along with them.
export function orthogonalize(lines, followers = lines.map(() => [])) {
  // Turns lines p and q; whether there was anything to turn.
  const turn = (p, q) => {
    const [a, b] = [lines[p], lines[q]];
    const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
    if (ab * ab <= 1e-28 * aa * bb) return false;
    const zeta = (bb - aa) / (2 * ab);
    const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
    const c = 1 / Math.sqrt(1 + t * t);
    for (const [one, other] of [
      [a, b],
      [followers[p], followers[q]],
    ])
      for (let i = 0; i < one.length; i++) {
        const [x, y] = [one[i], other[i]];
        one[i] = c * (x - t * y);
        other[i] = c * (y + t * x);
      }
    return true;
  };
  for (let sweep = 0, turned = true; turned && sweep < 40; sweep++) {
    turned = false;
    for (let p = 0; p < lines.length; p++)
      for (let q = p + 1; q < lines.length; q++) turned = turn(p, q) || turned;
  }
}

// From the largest to the smallest, of a matrix that is no taller than wide.
export function singularValues(matrix) {
  const lines = matrix.map((line) => Float64Array.from(line));
  orthogonalize(lines);
  return lines.map((line) => Math.sqrt(dot(line, line))).sort((one, other) => other - one);
}
export const operatorNorm = (matrix) => singularValues(matrix)[0];

const DEEPEST = 50;
let ingredients; // of which every network is made: two rotations a layer, and a direction of its error
function ingredientsOf() {
  if (ingredients) return ingredients;
  const normal = normals(1);
  const square = () => Array.from({ length: WIDE }, () => Array.from({ length: WIDE }, normal));
  ingredients = Array.from({ length: DEEPEST }, () => [
    orthonormal(square()),
    orthonormal(square()),
    square(),
  ]);
  return ingredients;
}

// Layers W with condition number κ, and the part of each one's error at right angles to W, as long as W.
function layersOf(conditioning) {
  const stretch = spread(0.5, -0.5, WIDE).map((power) => conditioning ** power);
  return ingredientsOf().map(([left, right, noise]) => {
    const columns = right[0].map((_, j) => right.map((line, i) => stretch[i] * line[j]));
    const weight = left.map((line) => columns.map((column) => dot(line, column)));
    const norm = frobenius(weight);
    const along = weight.reduce((sum, line, i) => sum + dot(line, noise[i]), 0) / norm ** 2;
    const across = combine(1, noise, -along, weight);
    return { weight, growth: stretch[0], across: combine(norm / frobenius(across), across, 0, weight) };
  });
}

// The last few answers of a function of numbers.
export function remembered(f) {
  const known = new Map();
  return (...numbers) => {
    const key = numbers.join();
    if (!known.has(key)) {
      if (known.size > 8) known.clear();
      known.set(key, f(...numbers));
    }
    return known.get(key);
  };
}
const layersFor = remembered(layersOf);

// The same with errors as long as W: with `alignment` 1 they are W itself, with 0 a random one at right angles to it (as
// matrices). `share` is ρ/r: how the sizes in the two norms compare.
export const linearNetwork = remembered((alignment, conditioning) => {
  const rest = Math.sqrt(1 - alignment * alignment);
  return layersFor(conditioning).map(({ weight, growth, across }) => {
    const change = combine(alignment, weight, rest, across);
    return { weight, change, growth, share: operatorNorm(change) / growth };
  });
});

// After each layer: the relative change of the network's output for one input, squared, and what X1 and Theorem 1 allow,
// all as log10. The change is carried through the layers by itself: no digits are lost where it is small.
export function functionChange(sizes, alignment, conditioning) {
  const layers = linearNetwork(alignment, conditioning);
  const trust = trusts(sizes);
  const constant = Math.log10(2 * WIDE * conditioning ** 2);
  let h = Array(WIDE).fill(1 / Math.sqrt(WIDE));
  let e = Array(WIDE).fill(0);
  let [growth, compound] = [0, 0]; // the logarithms of ∏‖W‖₂ and ∏(1 + ρ)
  return sizes.map((size, l) => {
    const { weight, change, growth: most, share } = layers[l];
    const error = times(change, h.map((x, i) => x + e[i]));
    e = times(weight, e).map((x, i) => x + size * error[i]);
    h = times(weight, h);
    growth += Math.log(most);
    compound += Math.log1p(size * share);
    const gain = growth - Math.log(Math.hypot(...h));
    return {
      measured: 2 * Math.log10(Math.hypot(...e) / Math.hypot(...h)),
      operator: 2 * (Math.log10(Math.expm1(compound)) + gain / Math.LN10),
      theorem: (l + 1) * constant + Math.log10(trust[l].D),
    };
  });
}

// ---- one wide layer, W = [1 0]

const radians = (degrees) => (degrees * Math.PI) / 180;
const exact = (x) => (Math.abs(x) < 1e-15 ? 0 : x); // the cosine of 90° is 0
export const cosine = (degrees) => exact(Math.cos(radians(degrees)));
export const sine = (degrees) => exact(Math.sin(radians(degrees)));

// x at an angle from the row space of W, ΔW of a size in a direction: the relative change of f, squared, and its bounds.
export function wideLayer(angle, given, direction) {
  const size = counted(given);
  const [old, change] = [cosine(angle), size * cosine(angle - direction)];
  const trust = size * size; // ‖W‖ = 1, one layer
  const tau = 1 / old; // ‖W‖‖x‖/|Wx|
  return {
    ...{ size, old, change, trust, tau, measured: (change / old) ** 2 },
    theorem: 2 * 2 * trust, // (2·n*·κ²)·D with n* = 2 and κ = 1
    restricted: 2 * tau * tau * trust,
    operator: (tau * size) ** 2,
  };
}

// The angle beyond which the change is more than Theorem 1 allows, whatever its size; 90 where it never is. Directions
// from 0 to 180 are enough: ΔW and −ΔW change f by as much.
export function failingAngle(direction) {
  return (Math.atan2(2 - cosine(direction), sine(direction)) * 180) / Math.PI;
}

// ---- the surrogate D′, and the exact problem of two layers

// D′ when `moving` of `depth` layers change by the same relative size; D is deepTrust(moving, size).
export const surrogateTrust = (depth, moving, size) => (moving / depth) * size ** (2 * depth);

// One layer of slope t = η‖W‖‖g‖ under the surrogate: what its step is worth, and the size at which that is least.
export const surrogateObjective = (slope, depth, size) => size ** (2 * depth) / (2 * depth) - slope * size;
export const surrogateSize = (slope, depth) => slope ** (1 / (2 * depth - 1));

// Two layers of slope t under D itself: −t(r₁ + r₂) + ½[(1 + r₁²)(1 + r₂²) − 1].
export const pairObjective = (slope, one, other) =>
  ((1 + one * one) * (1 + other * other) - 1) / 2 - slope * (one + other);

// Where both change alike and the slope of the objective vanishes: r(1 + r²) = t.
export const pairSymmetric = (slope) =>
  (2 / Math.sqrt(3)) * Math.sinh(Math.asinh(1.5 * Math.sqrt(3) * slope) / 3);

// A minimum, its larger size first: up to t = 2 both are alike, beyond it r₁r₂ = 1 and r₁ + r₂ = t.
export function pairMinimum(slope) {
  if (slope <= 2) return Array(2).fill(pairSymmetric(slope));
  const large = (slope + Math.sqrt(slope * slope - 4)) / 2;
  return [large, 1 / large];
}

// The slope at which a minimum has this larger size.
export const pairSlope = (large) => large + (large > 1 ? 1 / large : large ** 3);

// Closed curves on which the objective has a value, between r₁ = −reach/4 and 5/4 reach: for each r₁ it is a quadratic
// in r₂, which has solutions where its discriminant is not negative.
export function pairLevel(slope, value, reach) {
  const room = (a) => slope * slope - (1 + a * a) * (a * a - 2 * (slope * a + value));
  const turn = (inside, outside) => {
    for (let i = 0; i < 40; i++) {
      const middle = (inside + outside) / 2;
      if (room(middle) >= 0) inside = middle;
      else outside = middle;
    }
    return inside;
  };
  const grid = Array.from({ length: 121 }, (_, i) => reach * (i / 80 - 0.25));
  const spans = [];
  grid.forEach((a, i) => {
    const [here, before] = [room(a) >= 0, i > 0 && room(grid[i - 1]) >= 0];
    if (here && !before) spans.push([i ? turn(a, grid[i - 1]) : a]);
    if (before && !here) spans.at(-1).push(turn(grid[i - 1], a));
    if (here && i === grid.length - 1) spans.at(-1).push(a);
  });
  return spans.map(([low, high]) => {
    // Denser at the ends, where the curve is steep.
    const side = Array.from({ length: 40 }, (_, i) => low + ((high - low) * (1 - Math.cos((i * Math.PI) / 39))) / 2);
    const at = (sign) => (a) => [a, (slope + sign * Math.sqrt(Math.max(0, room(a)))) / (1 + a * a)];
    return [...side.map(at(1)), ...side.toReversed().map(at(-1))];
  });
}

// ---- numbers as text: 0.348, 1,645, 1.7 × 10³³; a minus is a minus sign, and nothing prints as NaN or Infinity.
const SUPERSCRIPTS = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};
export const superscript = (integer) => [...String(integer)].map((digit) => SUPERSCRIPTS[digit]).join("");

const SPACE = "\u00a0"; // a number and its unit stay on one line
const grouped = (text) => text.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

export function number(x, digits = 3) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x),
    sign = x < 0 ? "−" : "";
  if (size === 0) return "0";
  const [mantissa, exponent] = size.toExponential(digits - 1).split("e");
  if (+exponent < -4 || +exponent > 5) {
    const [short, power] = size.toExponential(1).split("e");
    return `${sign}${short}${SPACE}×${SPACE}10${superscript(+power)}`;
  }
  return sign + grouped(size.toFixed(Math.max(0, digits - 1 - exponent)));
}

// The same without trailing zeros, for what the reader sets and for parts of a formula: 0.1, 30, −0.25, 1 × 10⁻⁹.
export function plain(x, digits = 4) {
  const [, power] = Math.abs(x).toExponential(digits - 1).split("e");
  if (x && (power < -4 || power > 5)) {
    const mantissa = plain(Number(x.toExponential(digits - 1).split("e")[0]), digits);
    return `${mantissa}${SPACE}×${SPACE}10${superscript(+power)}`;
  }
  const text = number(x, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export const percent = (x, digits = 3) => number(100 * x, digits) + SPACE + "%";
export const plainPercent = (x, digits = 4) => plain(100 * x, digits) + SPACE + "%";

// Inside a formula a power of ten or a negative number stands in brackets where it is raised or added.
export const raised = (text, power = "²") => (/[−×]/.test(text) ? `(${text})` : text) + power;
export const added = (text) => (text.startsWith("−") ? `(${text})` : text);

// Parts of a sum, with as many digits as its value needs where they cancel; sign is ≈ where a part is rounded.
export function summands(parts, sum, most = 7) {
  const last = sum === 0 ? -12 : Math.floor(Math.log10(Math.abs(sum))) - 3;
  const digits = parts.map((x) =>
    x ? Math.min(most, Math.max(2, Math.floor(Math.log10(Math.abs(x))) - last + 1)) : 2,
  );
  return { texts: parts.map((x, i) => plain(x, digits[i])), sign: signOf(parts, digits) };
}
const rounds = (x, digits) => Math.abs(Number(x.toPrecision(digits)) - x) > 1e-9 * Math.abs(x);
export const signOf = (parts, digits) => (parts.some((x, i) => rounds(x, digits[i])) ? "≈" : "=");
