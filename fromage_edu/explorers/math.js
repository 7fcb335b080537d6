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

// Numbers as text: 0.348, 1,645, 1.7 × 10³³; a minus is a minus sign, and nothing prints as NaN or Infinity.
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
