// The scalar network f(x) = a·b·x (F11): how far a·b moves when a and b do, and how much of it the bound allows.

// Where the changes cancel but for rounding, they cancel.
function terms({ a, b, da, db }) {
  const here = scalarTerms(a, b, da, db);
  const most = Math.max(Math.abs(here.u), Math.abs(here.v), Math.abs(here.corner));
  return Math.abs(here.change) > 1e-13 * most ? here : { ...here, change: 0, measured: 0 };
}
const share = ({ measured, bound }) => (bound > 0 ? measured / bound : 0);
const slackOf = ({ crosses }) => crosses.reduce((sum, one) => sum + one.slack, 0);
const signed = (x) => (x > 0 ? "+" : "") + plain(x);
const signed3 = (x) => (x > 0 ? "+" : "") + plain(x, 3);

// ---- two weights as the sides of a rectangle, drawn by size whatever their sign

// From the drawn size of a side back to the weight or its change, with the weight's own sign.
// A hand that grabs again and again does not go beyond what can be read, unless the state is there already.
const MOST = 4;
const changeOf = (size, old, now) => {
  const most = Math.max(1.5 * MOST, Math.abs(now));
  return clamp(round((size - Math.abs(old)) * Math.sign(old), 2), -most, most);
};
const weightOf = (size, old) =>
  round(clamp(size, 0.1, Math.max(MOST, Math.abs(old))), 2) * Math.sign(old);

function sizes(state) {
  const { u, v, corner } = terms(state);
  const [A, B] = [Math.abs(state.a), Math.abs(state.b)];
  return { u, v, corner, A, B, R: A * (1 + u), T: B * (1 + v) };
}

// The parts of the area, each with its name where there is room for it.
function parts(state, { X, Y }) {
  const { u, v, corner, A, B, R, T } = sizes(state);
  const strip = (kind, size) => `fx-strip ${kind} ${size < 0 ? "fx-lost" : ""}`;
  const kept = (old, now) => (now > 0 ? Math.min(old, now) : old);
  const name = (x0, x1, y0, y1, text, kind) => {
    const room = Math.abs(X(x1) - X(x0)) >= 9 * text.length + 8 && Math.abs(Y(y1) - Y(y0)) >= 20;
    return room ? label(X((x0 + x1) / 2), Y((y0 + y1) / 2) + 5, text, kind, "middle") : "";
  };
  const both = (u < 0 && v < 0) || R <= 0 || T <= 0; // then the parts lie over each other
  return (
    rect(X(0), Y(0), X(A), Y(B), "fx-base") +
    rect(X(A), Y(0), X(R), Y(B), strip("euclidean", u)) +
    rect(X(0), Y(B), X(A), Y(T), strip("euclidean", v)) +
    rect(X(A), Y(B), X(R), Y(T), strip("deep", corner)) +
    rect(X(0), Y(0), X(R), Y(T), "fx-line truth") +
    (R > 0 && T > 0 ? name(0, kept(A, R), 0, kept(B, T), "a·b") : "") +
    (both ? "" : name(A, R, 0, kept(B, T), "u", "euclidean") + name(0, kept(A, R), B, T, "v", "euclidean")) +
    (R > 0 && T > 0 ? name(A, R, B, T, "uv", "deep") : "")
  );
}

// The lengths, written outside, and clear of the grips.
function lengths(state, { box, X, Y, size }, spots) {
  const { A, B, R, T } = sizes(state);
  const below = Y(Math.min(0, T)) + 18;
  const above = Y(Math.max(B, T)) - 12;
  const right = X(Math.max(0, A, R)) + 8;
  const level = clamp(Y((B + T) / 2) + 5, box.top + 8, box.bottom);
  const labels = [
    { text: `a = ${plain(state.a, 3)}`, kind: "", spots: [[X(A / 2), below, "middle"], [X(0), below, "start"]] },
    {
      ...{ text: `b = ${plain(state.b, 3)}`, kind: "", turned: true },
      spots: [0, -24, -48].map((up) => [X(Math.min(0, R)) - 12, Y(B / 2) + up, "middle"]),
    },
    {
      ...{ text: `Δa = ${signed3(state.da)}`, kind: "euclidean" },
      spots: [
        ...(X(R) - X(A) >= 76 ? [[X((A + R) / 2), below, "middle"]] : []),
        [X(Math.max(A, R)) + 4, below, "start"],
        [X((A + R) / 2), above, "middle"],
        [right, box.bottom - 8, "start"],
        [right, box.top + 8, "start"],
      ],
    },
    {
      ...{ text: `Δb = ${signed3(state.db)}`, kind: "euclidean" },
      spots: [
        [right, level, "start"],
        [right, level + 24, "start"],
        [right, level - 24, "start"],
        [size.width, box.top, "end"],
        [size.width, box.bottom, "end"],
      ],
    },
  ];
  return place(
    labels,
    size,
    spots.map(([x, y]) => around(x, y, 7)),
  );
}

const area = {
  tab: "Areas",
  title(state) {
    const { u, v, corner, change } = terms(state);
    const { texts, sign } = summands([100 * u, 100 * v, 100 * corner], 100 * change);
    const equal = sign === "=" ? signOf([100 * change], [3]) : sign;
    return `The area a·b changes by ${texts.join(" + ").replaceAll("+ −", "− ")} ${equal} ${plainPercent(change, 3)}`;
  },
  frame(state, { width, height }) {
    const { A, B, R, T } = sizes(state);
    const most = Math.max(A, B);
    const unit = most > 2 ? most / 2 : Math.min(1, 2 * most);
    const span = (end, least) => [Math.min(-0.12 * unit, end), Math.max(least * unit, end)];
    const [x0, x1] = span(R, 2.2);
    const [y0, y1] = span(T, 1.6);
    const box = { left: 34, right: width - 84, top: 12, bottom: height - 26 };
    const [wide, high] = [box.right - box.left, box.bottom - box.top];
    const scale = Math.min(wide / (x1 - x0), high / (y1 - y0)); // one for both sides: areas are true
    const ground = box.bottom - (high - scale * (y1 - y0)) / 2;
    const X = linear([x0, x0 + 1], [box.left, box.left + scale]);
    return { box, X, Y: linear([y0, y0 + 1], [ground, ground - scale]), size: { width, height } };
  },
  draw(state, frame) {
    const { A, B, R, T } = sizes(state);
    const grips = [
      [R, T],
      [R, B / 2],
      [A / 2, T],
      [A, B],
    ].map(([x, y]) => [frame.X(x), frame.Y(y)]);
    return { ink: parts(state, frame) + lengths(state, frame, grips), grips };
  },
  grips: [
    ([x, y], { X, Y }, { a, b, da, db }) => ({
      da: changeOf(X.invert(x), a, da),
      db: changeOf(Y.invert(y), b, db),
    }),
    ([x], { X }, { a, da }) => ({ da: changeOf(X.invert(x), a, da) }),
    ([, y], { Y }, { b, db }) => ({ db: changeOf(Y.invert(y), b, db) }),
    ([x, y], { X, Y }, { a, b }) => ({ a: weightOf(X.invert(x), a), b: weightOf(Y.invert(y), b) }),
  ],
  describe(state) {
    const { u, v, corner, change } = terms(state);
    return (
      `A rectangle of sides a = ${plain(state.a)} and b = ${plain(state.b)}. The strips change its area by ` +
      `${plainPercent(u)} and ${plainPercent(v)}, the corner by ${plainPercent(corner)}, together ${plainPercent(change)}.`
    );
  },
};

// ---- the share of the bound over all relative changes

const EDGE = 1.5; // the map shows relative changes up to this size
// A share of the bound, its name, and where along v = 1.32 its line runs.
const LEVELS = [
  [1 / 3, "⅓", 0],
  [2 / 3, "⅔", 0.286],
  [0.9, "0.9", 0.604],
];
const GRID = spread(-EDGE, EDGE, 60); // an even count keeps the grid off the origin
const bands = new Map(); // drawn once per size

function bandsOf(X, Y) {
  const key = [...X.range, ...Y.range].join();
  if (!bands.has(key)) {
    const drawn = LEVELS.map(([level]) => contour(scalarShare, GRID, GRID, X, Y, level)).map(
      ({ area, border }) =>
        tag("path", { d: area, class: "fx-band" }) + tag("path", { d: border, class: "fx-contour" }),
    );
    bands.set(key, drawn.join(""));
  }
  return bands.get(key);
}

const map = {
  tab: "Map",
  title(state) {
    const { bound, measured } = terms(state);
    return `Measured share of the bound${bound > 0 ? `, here ${plain(measured / bound, 3)}` : ""}`;
  },
  jump: true,
  frame(_, { width, height }) {
    const side = Math.min(width - 46, height - 60);
    const left = 34 + (width - 46 - side) / 2;
    const box = { left, right: left + side, top: 24, bottom: 24 + side };
    const X = linear([-EDGE, EDGE], [box.left, box.right]);
    return { box, X, Y: linear([-EDGE, EDGE], [box.bottom, box.top]), size: { width, height } };
  },
  draw(state, { box, X, Y, size }) {
    const { u, v } = terms(state);
    const grip = [clamp(X(u), box.left, box.right), clamp(Y(v), box.top, box.bottom)];
    // Above the mark it stands a little to the right, clear of the level's name.
    const met = [
      [X(1), Y(1) + 24, "middle"],
      [X(1) + 8, Y(1) - 16, "middle"],
    ];
    const cancels = [
      [X(-0.46), Y(0.7), "end"],
      [X(-0.5), Y(1.1), "end"],
    ];
    const names = [
      { text: "met: 1", kind: "", spots: met },
      { text: "cancels: 0", kind: "", spots: cancels },
    ];
    const ticks = { "-1": "−1", 0: "0", 1: "1" };
    const cancel = curve((x) => 1 / (1 + x) - 1, spread(-0.6, EDGE, 60), X, Y);
    return {
      ink:
        clipped(box, bandsOf(X, Y), path(cancel, "fx-line truth")) +
        axisX(X, box.bottom, ticks, "u = Δa/a") +
        axisY(Y, box.left, ticks, "v = Δb/b") +
        LEVELS.map(([, text, x]) => label(X(x), Y(1.32) + 4, text, "bound", "middle")).join("") +
        tag("path", { d: `M${px(X(1))} ${px(Y(1) - 7)}l7 7l-7 7l-7 -7z`, class: "fx-mark" }) +
        place(names, size, [around(...grip, 9)]),
      grips: [grip],
    };
  },
  grips: [
    ([x, y], { X, Y }, { a, b }) => {
      const [u, v] = [X.invert(x), Y.invert(y)].map((change) => clamp(round(change, 2), -EDGE, EDGE));
      return { da: Number((u * a).toPrecision(3)), db: Number((v * b).toPrecision(3)) };
    },
  ],
  describe(state) {
    const here = terms(state);
    return (
      `Map over the relative changes u and v. At u = ${plain(here.u)}, v = ${plain(here.v)} the measured change uses ` +
      `${percent(share(here))} of the bound. Apart from not moving at all, only u = v = 1 meets it; on the curve (1 + u)(1 + v) = 1 ` +
      "nothing of it is used."
    );
  },
};

// ---- the proof, term by term

const NAMES = [
  ["2·u·v", "u² + v²", "(u − v)²"],
  ["2·u·uv", "u² + u²v²", "u²(1 − v)²"],
  ["2·v·uv", "v² + u²v²", "v²(1 − u)²"],
];
const cells = (...texts) => `<div class="fx-term">${texts.join("")}</div>`;
const cell = (text, value, after = "", kind = "") =>
  `<span class="${kind}">${text} <b>${number(value)}</b>${after}</span>`;
const BREAK = '<span class="fx-break"></span>';

// A cross term as a bar from 0 inside the bar of its bound; the longest bound fills half the width.
function bars(value, bound, longest) {
  const at = (x) => round(50 + (50 * x) / longest, 2);
  const piece = (kind, low, high) =>
    `<i class="${kind}" style="left:${at(low)}%;right:${round(100 - at(high), 2)}%"></i>`;
  const part = piece("fx-part", Math.min(0, value), Math.max(0, value));
  return `<span class="fx-bar" aria-hidden="true">${piece("fx-most", 0, bound)}${part}</span>`;
}

const proof = {
  tab: "Proof",
  kind: "wide",
  title: () => "The proof, term by term: each cross term (bar) and its Young bound (dashed)",
  html(state) {
    const here = terms(state);
    const longest = Math.max(...here.crosses.map((one) => one.bound), Number.MIN_VALUE);
    const lines = here.crosses.map(({ value, bound, slack }, i) => {
      const [term, over, square] = NAMES[i];
      const sides = cell(`${term} =`, value) + cell(`≤ ${over} =`, bound);
      return cells(sides, BREAK, cell(`slack ${square} =`, slack), bars(value, bound, longest));
    });
    const squares = here.squares.reduce((sum, one) => sum + one);
    const sum = cell("sum", here.measured) + cell("≤ 3 × squares =", here.bound);
    return (
      cells(cell("squares u² + v² + u²v² =", squares, "", "fx-all")) +
      lines.join("") +
      cells(sum, BREAK, cell("slack", slackOf(here), ", the three squares together", "fx-rest"))
    );
  },
};

// ---- words and numbers

function conclusion(state) {
  const here = terms(state);
  const { u, v, change, measured, bound } = here;
  const moved = `The weights move by ${plainPercent(u)} and ${plainPercent(v)}`;
  const [size, most] = [Math.abs(change), Math.max(Math.abs(u), Math.abs(v))];
  if (most === 0) return "Nothing moves: both sides are 0.";
  if (Math.max(Math.abs(u - 1), Math.abs(v - 1)) < 1e-9) {
    const equal = `${plain(measured)} = ${plain(bound)}`;
    return `Both weights double, the product moves by ${plainPercent(change, 3)}, and ${equal}: apart from not moving at all, only this change meets the bound.`;
  }
  if (size < 0.005 && size < 0.015 * most) {
    const product = size < 1e-9 * most ? "does not move" : "hardly moves";
    return `${moved}, yet the product ${product}: the changes cancel. The bound, ${number(bound)}, adds squares and cannot see it.`;
  }
  const part = share(here);
  const used = (part > 0.9995 ? "just below " : "") + plainPercent(part, 3);
  return `${moved}, the product by ${plainPercent(change, 3)}; squared this is ${number(measured)}, ${used} of the bound ${number(bound)}.`;
}

const WEIGHT = {
  low: -1000,
  high: 1000,
  smallest: 0.001,
  values: steps(0.5, 2, 0.05),
  text: (x) => plain(x),
  spoken: (x) => plain(x),
};
const CHANGE = { low: -1000, high: 1000, values: steps(-3, 3, 0.05), text: signed, spoken: (x) => plain(x) };
const [u, v] = ["<var>u</var>", "<var>v</var>"];

export default instrument({
  name: "ScalarNetwork",
  title: "The scalar network and its bound",
  quantities: {
    a: { ...WEIGHT, label: "weight <var>a</var>" },
    b: { ...WEIGHT, label: "weight <var>b</var>" },
    da: { ...CHANGE, label: "change Δ<var>a</var>" },
    db: { ...CHANGE, label: "change Δ<var>b</var>" },
  },
  groups: [
    { tab: "changes Δa, Δb", keys: ["da", "db"] },
    { tab: "weights a, b", keys: ["a", "b"] },
  ],
  presets: [
    { text: "equality: both double", set: ({ a, b }) => ({ da: a, db: b }) },
    { text: "cancellation: ×2, ×½", set: ({ a, b }) => ({ da: a, db: -b / 2 }) },
    { text: "small step: 1 %", set: ({ a, b }) => ({ da: a / 100, db: b / 100 }) },
    { text: "opposite: ±1 %", set: ({ a, b }) => ({ da: a / 100, db: -b / 100 }) },
  ],
  rows(state) {
    const here = terms(state);
    const { texts, sign } = summands([here.u, here.v, here.corner], here.change);
    const sum = texts.map((text, i) => (i ? added(text) : text)).join(" + ");
    const factors = [here.u, here.v].map((x) => `(1 + ${raised(plain(x))})`).join("");
    const same = signOf([here.u, here.v], [4, 4]);
    return [
      {
        ...{ kind: "truth", name: "measured", value: number(here.measured) },
        formula: [`[${u} + ${v} + <var>uv</var>]²`, `${sign} [${sum}]²`],
      },
      {
        ...{ kind: "bound", name: "bound", value: number(here.bound) },
        formula: [`3[(1 + ${u}²)(1 + ${v}²) − 1]`, `${same} 3[${factors} − 1]`],
      },
    ];
  },
  views: [area, map, proof],
  conclusion,
});
