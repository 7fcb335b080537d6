// The scalar network f(x) = a·b·x (F11): how far a·b moves when a and b do, and how much of it the bound allows.

const WEIGHTS = steps(0.5, 2, 0.05), CHANGES = steps(-3, 3, 0.05);
const EDGE = 1.5;  // the map shows relative changes up to ±EDGE

const terms = ({ a, b, da, db }) => scalarTerms(a, b, da, db);
const signed = (x) => (x > 0 ? "+" : "") + plain(x, 3);
// Inside a formula a negative number stands in brackets.
const inner = (x, digits = 3) => (x < 0 ? `(${plain(x, digits)})` : plain(x, digits));

const area = {
  tab: "Areas",
  title: (state) => {
    const { u, v, corner, change: whole } = terms(state);
    return `The area a·b changes by ${[u, v, corner].map((x) => plain(100 * x, 3)).join(" + ").replaceAll("+ −", "− ")} = ${percent(whole)}`;
  },
  frame: ({ a, b, da, db }, { width, height }) => {
    const A = Math.abs(a), B = Math.abs(b), right = A * (1 + da / a), top = B * (1 + db / b);
    const largest = Math.max(A, B), unit = largest > 2 ? largest / 2 : largest < 0.5 ? largest * 2 : 1;
    const span = (end, least) => [Math.min(-0.12 * unit, end), Math.max(least * unit, end)];
    const [x0, x1] = span(right, 2.2), [y0, y1] = span(top, 1.6);
    const box = { left: 34, right: width - 84, top: 12, bottom: height - 26 };
    const scale = Math.min((box.right - box.left) / (x1 - x0), (box.bottom - box.top) / (y1 - y0));
    const sky = (box.bottom - box.top - scale * (y1 - y0)) / 2;
    return {
      box,
      X: linear([x0, x0 + 1], [box.left, box.left + scale]),
      Y: linear([y0, y0 + 1], [box.bottom - sky, box.bottom - sky - scale]),
    };
  },
  draw(state, { box, X, Y }) {
    const { a, b } = state, { u, v, corner } = terms(state);
    const A = Math.abs(a), B = Math.abs(b), R = A * (1 + u), T = B * (1 + v), mid = (x, y) => (x + y) / 2;
    const below = Y(Math.min(0, T)) + 18, beside = X(Math.min(0, R)) - 8;
    const strip = (kind, size) => `fx-strip ${kind} ${size < 0 ? "fx-lost" : ""}`;
    // A part gets its name where there is room for it; where both sides shrink, the parts lie over each other.
    const room = (x0, x1, least) => Math.abs(X(x1) - X(x0)) >= least, tall = (y0, y1, least) => Math.abs(Y(y1) - Y(y0)) >= least;
    const kept = (old, now) => (now > 0 ? Math.min(old, now) : old), both = u < 0 && v < 0;
    const horizontal = R > A && room(A, R, 76) ? label(X(mid(A, R)), below, `Δa = ${signed(state.da)}`, "euclidean", "middle") : label(X(Math.max(A, R)) + 4, below, `Δa = ${signed(state.da)}`, "euclidean");
    return {
      ink: rect(X(0), Y(0), X(A), Y(B), "fx-base")
        + rect(X(A), Y(0), X(R), Y(B), strip("euclidean", u))
        + rect(X(0), Y(B), X(A), Y(T), strip("euclidean", v))
        + rect(X(A), Y(B), X(R), Y(T), strip("deep", corner))
        + rect(X(0), Y(0), X(R), Y(T), "fx-line truth")
        + (room(0, kept(A, R), 34) && tall(0, kept(B, T), 20) ? label(X(kept(A, R) / 2), Y(kept(B, T) / 2) + 5, "a·b", "", "middle") : "")
        + (room(A, R, 20) && tall(0, kept(B, T), 20) && !both ? label(X(mid(A, R)), Y(kept(B, T) / 2) + 5, "u", "euclidean", "middle") : "")
        + (tall(B, T, 20) && room(0, kept(A, R), 20) && !both ? label(X(kept(A, R) / 2), Y(mid(B, T)) + 5, "v", "euclidean", "middle") : "")
        + (room(A, R, 28) && tall(B, T, 20) ? label(X(mid(A, R)), Y(mid(B, T)) + 5, "uv", "deep", "middle") : "")
        + label(X(A / 2), below, `a = ${plain(a)}`, "", "middle") + horizontal
        + tag("text", { class: "fx-label", "text-anchor": "middle", transform: `translate(${round(beside, 1)} ${round(Y(B / 2), 1)}) rotate(-90)` }, `b = ${plain(b)}`)
        + label(X(Math.max(0, A, R)) + 8, clamp(Y(mid(B, T)) + 5, box.top + 8, box.bottom), `Δb = ${signed(state.db)}`, "euclidean"),
      grips: [[X(R), Y(T)], [X(R), Y(B / 2)], [X(A / 2), Y(T)], [X(A), Y(B)]],
    };
  },
  grips: [
    ([x, y], { X, Y }, state) => ({ da: change(X.invert(x), state.a), db: change(Y.invert(y), state.b) }),
    ([x], { X }, state) => ({ da: change(X.invert(x), state.a) }),
    ([, y], { Y }, state) => ({ db: change(Y.invert(y), state.b) }),
    ([x, y], { X, Y }, state) => ({ a: weight(X.invert(x), state.a), b: weight(Y.invert(y), state.b) }),
  ],
  describe: (state) => {
    const { u, v, corner, change: whole } = terms(state);
    return `A rectangle of sides a = ${plain(state.a)} and b = ${plain(state.b)}. The strips change its area by ${plainPercent(round(u, 4))} and ${plainPercent(round(v, 4))}, `
      + `the corner by ${plainPercent(round(corner, 4))}, together ${plainPercent(round(whole, 4))}.`;
  },
};
// From the drawn size of a side back to the weight and its change, with the weight's own sign.
const change = (size, weight) => round((size - Math.abs(weight)) * Math.sign(weight), 2);
const weight = (size, old) => round(Math.max(size, 0.1), 2) * Math.sign(old);

// Share of the bound, its name, and where along v = 1.32 its line runs.
const LEVELS = [[1 / 3, "⅓", 0], [2 / 3, "⅔", 0.286], [0.9, "0.9", 0.604]];
const cache = new Map();
function bands(X, Y) {
  const key = [...X.range, ...Y.range].join();
  if (!cache.has(key)) {
    const grid = spread(-EDGE, EDGE, 60);  // an even count keeps the grid off the origin
    cache.set(key, LEVELS.map(([level]) => {
      const { area, border } = contour(scalarShare, grid, grid, X, Y, level);
      return tag("path", { d: area, class: "fx-band" }) + tag("path", { d: border, class: "fx-contour" });
    }).join(""));
  }
  return cache.get(key);
}

const map = {
  tab: "Map",
  title: (state) => {
    const { measured, bound } = terms(state);
    return `Measured share of the bound${bound > 0 ? `, here ${number(measured / bound)}` : ""}`;
  },
  jump: true,
  frame: (_, { width, height }) => {
    const side = Math.min(width - 46, height - 60), left = 34 + (width - 46 - side) / 2;
    const box = { left, right: left + side, top: 24, bottom: 24 + side };
    return { box, X: linear([-EDGE, EDGE], [box.left, box.right]), Y: linear([-EDGE, EDGE], [box.bottom, box.top]) };
  },
  draw(state, { box, X, Y }) {
    const { u, v } = terms(state), ticks = [[-1, "−1"], [0, "0"], [1, "1"]];
    const cancel = (x) => 1 / (1 + x) - 1;
    return {
      ink: clipped(box, bands(X, Y), path(curve(cancel, spread(-0.6, EDGE, 60), X, Y), "fx-line truth"))
        + axisX(X, box.bottom, ticks, "u = Δa/a") + axisY(Y, box.left, ticks, "v = Δb/b")
        + LEVELS.map(([, text, x]) => label(X(x), Y(1.32) + 4, text, "bound", "middle")).join("")
        + label(X(-0.46), Y(0.7), "cancels: 0", "", "end")
        + tag("path", { d: `M${round(X(1), 1)} ${round(Y(1) - 7, 1)}l7 7l-7 7l-7 -7z`, class: "fx-mark" })
        + label(X(1), Y(1) + 22, "met: 1", "", "middle"),
      grips: [[clamp(X(u), box.left, box.right), clamp(Y(v), box.top, box.bottom)]],
    };
  },
  grips: [([x, y], { X, Y }, { a, b }) => ({ da: round(clamp(round(X.invert(x), 2), -EDGE, EDGE) * a, 4), db: round(clamp(round(Y.invert(y), 2), -EDGE, EDGE) * b, 4) })],
  describe: (state) => {
    const { u, v, measured, bound } = terms(state);
    return `Map over the relative changes u and v. At u = ${plain(u)}, v = ${plain(v)} the measured change uses ${percent(bound > 0 ? measured / bound : 0)} of the bound. `
      + "The bound is met only at u = v = 1; on the curve (1 + u)(1 + v) = 1 nothing of it is used.";
  },
};

const proof = {
  tab: "Proof",
  kind: "wide",
  title: "The proof, term by term: each cross term (bar) and its Young bound (dashed)",
  html(state) {
    const { squares, crosses, measured, bound } = terms(state);
    const total = squares[0] + squares[1] + squares[2], longest = Math.max(...crosses.map((one) => one.bound), 1e-300);
    const at = (x) => round(50 + (50 * x) / longest, 2);
    const names = [["2·u·v", "u² + v²", "(u − v)²"], ["2·u·uv", "u² + u²v²", "(u − uv)²"], ["2·v·uv", "v² + u²v²", "(v − uv)²"]];
    const lines = crosses.map(({ value, bound: most, slack }, i) => {
      const [left, right] = [at(Math.min(0, value)), at(Math.max(0, value))], [term, over, square] = names[i];
      return `<div class="fx-term"><span>${term} = <b>${number(value)}</b></span><span>≤ ${over} = <b>${number(most)}</b></span><span class="fx-break"></span><span>slack ${square} = <b>${number(slack)}</b></span>`
        + `<span class="fx-bar" aria-hidden="true"><i class="fx-most" style="left:50%;right:${round(100 - at(most), 2)}%"></i><i class="fx-part" style="left:${left}%;right:${round(100 - right, 2)}%"></i></span></div>`;
    });
    return `<div class="fx-term"><span class="fx-all">squares u² + v² + u²v² = <b>${number(total)}</b></span></div>${lines.join("")}`
      + `<div class="fx-term fx-sum"><span>sum <b>${number(measured)}</b></span><span>≤ 3 × squares = <b>${number(bound)}</b></span><span class="fx-break"></span><span class="fx-rest">slack <b>${number(crosses.reduce((sum, one) => sum + one.slack, 0))}</b>, the three squares together</span></div>`;
  },
};

const weightSlider = (name) => ({ low: -1000, high: 1000, smallest: 0.001, values: WEIGHTS, label: `weight <var>${name}</var>`, text: (x) => plain(x), spoken: (x) => plain(x) });
const changeSlider = (name) => ({ low: -1000, high: 1000, values: CHANGES, label: `change Δ<var>${name}</var>`, text: (x) => signed(x), spoken: (x) => plain(x) });

export default instrument({
  name: "ScalarNetwork",
  title: "The scalar network and its bound",
  quantities: { a: weightSlider("a"), b: weightSlider("b"), da: changeSlider("a"), db: changeSlider("b") },
  groups: [{ tab: "changes Δa, Δb", keys: ["da", "db"] }, { tab: "weights a, b", keys: ["a", "b"] }],
  presets: [
    { text: "equality: both double", set: ({ a, b }) => ({ da: a, db: b }) },
    { text: "cancellation: ×2, ×½", set: ({ a, b }) => ({ da: a, db: -b / 2 }) },
    { text: "small step: 1 %", set: ({ a, b }) => ({ da: a / 100, db: b / 100 }) },
    { text: "opposite: ±1 %", set: ({ a, b }) => ({ da: a / 100, db: -b / 100 }) },
  ],
  rows(state) {
    const { u, v, corner, measured, bound } = terms(state);
    return [
      { kind: "truth", name: "measured", formula: ["[<var>u</var> + <var>v</var> + <var>uv</var>]²", `= [${plain(u, 3)} + ${inner(v)} + ${inner(corner)}]²`], value: number(measured) },
      { kind: "bound", name: "bound", formula: ["3[(1 + <var>u</var>²)(1 + <var>v</var>²) − 1]", `= 3[${plain(1 + u * u)} × ${plain(1 + v * v)} − 1]`], value: number(bound) },
    ];
  },
  views: [area, map, proof],
  conclusion(state) {
    const { u, v, change: moved, measured, bound, crosses } = terms(state), share = bound > 0 ? measured / bound : 0;
    const slack = crosses.reduce((sum, one) => sum + one.slack, 0), weights = `The weights move by ${plainPercent(u)} and ${plainPercent(v)}`;
    if (u === 0 && v === 0) return "Nothing moves: both sides are 0.";
    if (slack <= 1e-12 * bound) return `Both weights double, the product moves by ${percent(moved)}, and ${number(measured)} = ${number(bound)}: here, and only here, the bound is met.`;
    if (share < 1e-4) return `${weights}, yet the product ${share < 1e-20 ? "does not move" : "hardly moves"}: the changes cancel. The bound, ${number(bound)}, adds squares and cannot see it.`;
    return `${weights}, the product by ${percent(moved)}; squared this is ${number(measured)}, ${percent(share)} of the bound ${number(bound)}.`;
  },
});
