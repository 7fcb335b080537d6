// The geometry of one step: pure functions too, which the same tests compare with the library. c is the cosine of the
// angle between W and g, lr is η; without `corrected` the step is equation (4), with it Fromage's.

const across = (c) => Math.sqrt(Math.max(0, (1 - c) * (1 + c))); // the sine

// ‖W′‖/‖W‖ = √(1 − 2ηc/(1 + η²)) as a sum of squares, so that nothing cancels.
export const normFactor = (lr, c, corrected = true) =>
  Math.hypot(1 - lr * c, lr * across(c)) / (corrected ? Math.sqrt(1 + lr * lr) : 1);

// ‖W′ − W‖/‖W‖ = √(2(1 − 1/s)(1 + ηc/s)) with s = √(1 + η²), of which 1 − 1/s is η²/(s(1 + s)).
export function relativeChange(lr, c, corrected = true) {
  if (!corrected) return lr;
  const s = Math.sqrt(1 + lr * lr);
  return (lr * Math.hypot(lr / (1 + s) + c, across(c))) / s;
}

// The angle between W and W′ in radians; Fromage's factor does not change it.
export const turn = (lr, c) => Math.atan2(lr * across(c), 1 - lr * c);

// W′ as seen from W: [along W, towards the side of g], in units of ‖W‖; `share` is the length of the step.
const stepped = (share, c, s) => [1 - share * c, -share * s];

// The three steps in the plane, from W of length `weight` with g of length `grad` at `degrees` from it.
export function planeSteps(weight, grad, degrees, lr) {
  const [c, s] = [cosine(degrees), sine(degrees)];
  const along = (share, shrink = 1) => {
    const [x, y] = stepped(share, c, s);
    const change = Math.hypot(shrink * x - 1, shrink * y);
    return { x: shrink * x, y: shrink * y, norm: shrink * Math.hypot(x, y), change };
  };
  const sgd = { ...along((lr * grad) / weight), turn: turn((lr * grad) / weight, c) };
  const four = { ...along(lr), norm: normFactor(lr, c, false), change: lr, turn: turn(lr, c) };
  const fromage = {
    ...along(lr, 1 / Math.sqrt(1 + lr * lr)),
    ...{ norm: normFactor(lr, c), change: relativeChange(lr, c), turn: turn(lr, c) },
  };
  return { sgd, four, fromage };
}

// ---- many steps, each gradient at the same angle to the W that it meets: [x, y] in units of the first W

export function spiral(lr, degrees, count, corrected = true) {
  const shrink = corrected ? 1 / Math.sqrt(1 + lr * lr) : 1;
  const [a, b] = stepped(lr, cosine(degrees), sine(degrees)).map((part) => part * shrink);
  const points = [[1, 0]];
  for (let i = 0; i < count; i++) {
    const [x, y] = points[i];
    points.push([a * x - b * y, b * x + a * y]);
  }
  return points;
}
export const normAfter = (lr, c, count, corrected = true) => normFactor(lr, c, corrected) ** count;

// ---- matrices

// UVᵀ of the singular vectors that belong to singular values above zero.
export function polarFactor(matrix) {
  const lines = matrix.map((line) => Float64Array.from(line));
  const left = matrix.map((_, i) => Float64Array.from(matrix, (_, j) => (i === j ? 1 : 0)));
  orthogonalize(lines, left);
  const lengths = lines.map((line) => Math.sqrt(dot(line, line)));
  const least = 1e-12 * Math.max(...lengths);
  const factor = matrix.map((line) => line.map(() => 0));
  lines.forEach((line, k) => {
    if (lengths[k] > least)
      factor.forEach((sum, i) => sum.forEach((_, j) => (sum[j] += (left[k][i] * line[j]) / lengths[k])));
  });
  return factor;
}

// Fromage's step and the polar step −η‖W‖₂UVᵀ.
export function fromageStep(weight, grad, lr) {
  const s = Math.sqrt(1 + lr * lr);
  return combine(1 / s, weight, (-lr * frobenius(weight)) / (frobenius(grad) * s), grad);
}
export const polarStep = (weight, grad, lr) =>
  combine(1, weight, -lr * operatorNorm(weight), polarFactor(grad));

// What a step does to the singular values: both lists, the root of the sum of their squared changes, and Mirsky's
// bound on it.
export function spectralChange(weight, after) {
  const [before, values] = [singularValues(weight), singularValues(after)];
  const used = Math.hypot(...values.map((value, i) => value - before[i]));
  return { before, after: values, used, budget: frobenius(combine(1, after, -1, weight)) };
}

// What is left of a singular value that was taken away is rounding, as is all of a matrix that was taken away: κ is
// infinite. `whole` is the largest singular value there was.
export const conditionNumber = (values, whole = 0) =>
  values.at(-1) > 1e-14 * Math.max(values[0], whole) ? values[0] / values.at(-1) : Infinity;

const ORDER = 4;
// Two rotations, a gradient of noise, and one of rank one, as a single example makes it; the same in every browser.
const shapesOf = remembered((seed) => {
  const normal = normals(seed);
  const square = () => Array.from({ length: ORDER }, () => Array.from({ length: ORDER }, normal));
  const [left, right, noise, vectors] = [orthonormal(square()), orthonormal(square()), square(), square()];
  return { left, right, noise, single: vectors[0].map((a) => vectors[1].map((b) => a * b)) };
});

// A pair W, g: W has the singular values 1, κ^−⅓, κ^−⅔, κ⁻¹, and g is 1 noise, 2 of rank one, 3 along W. In pair 4
// W = diag(1, κ⁻¹) and g = diag(0, 1) pushes its weakest direction alone.
export function matrixPair(kind, conditioning) {
  const zeros = (size) => Array.from({ length: size }, () => Array(size).fill(0));
  if (kind === 4) {
    const [weight, grad] = [zeros(2), zeros(2)];
    [weight[0][0], weight[1][1], grad[1][1]] = [1, 1 / conditioning, 1];
    return { weight, grad };
  }
  const { left, right, noise, single } = shapesOf(8);
  const values = left.map((_, i) => conditioning ** (-i / (ORDER - 1)));
  const weight = zeros(ORDER).map((line, i) =>
    line.map((_, j) => values.reduce((sum, value, k) => sum + left[k][i] * value * right[k][j], 0)),
  );
  return { weight, grad: [noise, single, weight][kind - 1] };
}

// Both steps on such a pair.
export function spectra(kind, conditioning, lr) {
  const { weight, grad } = matrixPair(kind, conditioning);
  return {
    norm: frobenius(weight),
    fromage: spectralChange(weight, fromageStep(weight, grad, lr)),
    polar: spectralChange(weight, polarStep(weight, grad, lr)),
  };
}
