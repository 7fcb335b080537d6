// What a reader holds: live formula, pictures with grips, sliders, presets, and one sentence. The pictures and the
// formula are drawn anew for each state; what must keep its identity (sliders, grips under a finger) is made once.

const SVG = "http://www.w3.org/2000/svg";
const REACH = 24; // pixels around a grip that belong to it
const GLIDE = 260; // milliseconds that a preset takes
const PLAY = 4000; // and one that plays
const HUSH = 800; // milliseconds of rest before the sentence is announced
const SAID = 6000; // and until it is taken back, so that a reader meets it once
let instances = 0;

function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function button(text, press, attributes = {}) {
  const element = html("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", press);
  return element;
}

// Buttons of which one is pressed; where it is narrow, only the part of that name is shown. `press`, if it is given, is
// called with the number of the button in place of `choose`, which then waits for its call.
function chooser(what, names, parts, press) {
  const choose = (i) => {
    buttons.forEach((one, j) => one.setAttribute("aria-pressed", String(i === j)));
    parts.forEach((one, j) => one.classList.toggle("fx-chosen", i === j));
  };
  const buttons = (names[1] ? names : []).map((text, i) => button(text, () => (press ?? choose)(i)));
  choose(0);
  const element = html(
    "div",
    { class: "fx-tabs", role: "group", "aria-label": what, ...(names[1] ? {} : { hidden: "" }) },
    ...buttons,
  );
  return Object.assign(element, { choose });
}

// One line of the live formula; its swatch makes it the legend as well.
const row = ({ kind, name, formula, value }) => `<div class="fx-row ${kind}">
  <span class="fx-name"><svg class="fx-swatch" viewBox="0 0 28 8" aria-hidden="true">
    <line x1="1" y1="4" x2="27" y2="4" class="fx-line ${kind}"/></svg>${name}</span>
  <span class="fx-formula">${formula.map((part) => `<span>${part}</span>`).join("")}</span>
  <span class="fx-value">${value}</span></div>`;

// Where in a list of values the nearest to one stands.
function nearestOf(values, value) {
  const gaps = values.map((one) => Math.abs(one - value));
  return gaps.indexOf(Math.min(...gaps));
}

// A native range input over a list of values, so that steps fit the quantity and every key works by itself.
function makeSlider(id, { values, label: text, text: show, spoken }, moved) {
  const last = values.length - 1;
  const input = html("input", { type: "range", id, min: 0, max: last, step: 1 });
  const caption = html("label", { for: id });
  const output = html("span", { class: "fx-value", "aria-hidden": "true" }); // it is said by aria-valuetext
  caption.innerHTML = text;
  input.addEventListener("input", () => moved(values[input.value]));
  return {
    input,
    element: html(
      "div",
      { class: "fx-slider" },
      html("div", { class: "fx-caption" }, caption, output),
      input,
    ),
    show(value, state) {
      const index = nearestOf(values, value);
      input.value = index;
      input.style.setProperty("--at", `${(100 * index) / last}%`);
      input.setAttribute("aria-valuetext", spoken(value, state));
      output.textContent = show(value, state);
    },
  };
}

// A view that is text: view.html(state).
function makeTable(view, element) {
  const table = html("div", { class: "fx-table" });
  element.append(table);
  return { measure() {}, show: (_, state) => (table.innerHTML = view.html(state)) };
}

// A view that is drawn: view.frame(state, size) gives the scales, view.draw(state, frame) the ink and where the grips
// are, view.grips[i](point, frame, state) what changes when grip i is dragged to a point, view.describe(state) words.
// view.take(point, frame, state, reach), if it is there, says what a press beside the grips changes to be held by the
// first grip, or nothing; `reach` is how near it must be, for a finger.
function makePicture(view, element, read, move, schedule) {
  const svg = document.createElementNS(SVG, "svg");
  const ink = document.createElementNS(SVG, "g");
  const grips = view.grips.map(() => {
    const grip = document.createElementNS(SVG, "g");
    grip.setAttribute("class", "fx-grip");
    grip.innerHTML = '<circle class="fx-hit" r="22"/><circle class="fx-dot" r="7"/>';
    return grip;
  });
  svg.setAttribute("role", "img");
  ink.setAttribute("aria-hidden", "true"); // its description says it
  svg.append(ink, ...grips);
  element.append(svg);

  let size = { width: 360, height: 300 };
  let frame, spots;
  let hand = null; // which grip is held, where beside its middle, and the frame when it was taken

  const point = ({ clientX, clientY }) => {
    const { left, top, width, height } = svg.getBoundingClientRect();
    return [((clientX - left) * size.width) / width, ((clientY - top) * size.height) / height];
  };
  const nearest = ([x, y]) => {
    const distances = spots.map((spot) => Math.hypot(spot[0] - x, spot[1] - y));
    const distance = Math.min(...distances);
    return { grip: distances.indexOf(distance), hit: distance <= REACH };
  };
  const taken = (at, reach) => view.take?.(at, frame, read(), reach);
  const drag = (event) => {
    if (!hand) return;
    const [x, y] = point(event);
    move(view.grips[hand.grip]([x + hand.dx, y + hand.dy], hand.frame, read()));
  };
  const release = () => {
    hand = null;
    svg.classList.remove("fx-held");
    schedule();
  };
  svg.addEventListener("pointerdown", (event) => {
    const [x, y] = point(event);
    const mouse = event.pointerType === "mouse";
    const patch = taken([x, y], mouse ? Infinity : REACH);
    const { grip, hit } = patch ? { grip: 0, hit: false } : nearest([x, y]);
    // A finger that misses the grip scrolls the page; a mouse may press anywhere in some pictures.
    if (event.button || !(hit || patch || (view.jump && mouse))) return;
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("fx-held");
    // The scales stay as they were when the hand came down, or the point would run from the hand.
    hand = { grip, frame, dx: hit ? spots[grip][0] - x : 0, dy: hit ? spots[grip][1] - y : 0 };
    if (patch) move(patch);
    if (!hit) drag(event);
  });
  // Not every browser heeds touch-action on parts of a drawing: a finger on a grip must not scroll the page.
  const keep = (event) => {
    if (event.touches.length > 1) return;
    const at = point(event.touches[0]);
    if (hand || nearest(at).hit || taken(at, REACH)) event.preventDefault(); // the pointer came down first
  };
  svg.addEventListener("touchstart", keep, { passive: false });
  svg.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) svg.addEventListener(end, release);

  return {
    // Apart from drawing: to ask for a size in the middle of it would lay out the page twice.
    measure() {
      if (svg.clientWidth) size = { width: svg.clientWidth, height: svg.clientHeight };
    },
    show(shown, state) {
      frame = hand ? hand.frame : view.frame(shown, size);
      const drawing = view.draw(shown, frame);
      spots = drawing.grips;
      svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
      svg.setAttribute("aria-label", view.describe(state));
      ink.innerHTML = drawing.ink;
      spots.forEach(([x, y], i) => grips[i].setAttribute("transform", `translate(${px(x)} ${px(y)})`));
    },
  };
}

// Two lists side by side; where one ends, its last entry goes on.
const paired = (one, other) =>
  Array.from({ length: Math.max(one.length, other.length) }, (_, i) =>
    [one, other].map((list) => list[Math.min(i, list.length - 1)]),
  );

function makeView(view, ...hands) {
  const caption = html("figcaption");
  const element = html("figure", { class: `fx-view ${view.kind ?? ""}`, "data-title": view.tab }, caption);
  const { measure, show } = (view.html ? makeTable : makePicture)(view, element, ...hands);
  return {
    element,
    measure,
    show(shown, state) {
      caption.textContent = view.title(state);
      show(shown, state);
    },
  };
}

// spec: { name, title, quantities, groups, presets, rows, views, conclusion }; see an explorer for each part's form.
// A quantity with `patch(value, state)` and `read(state)` is a hand on the others, with no place in the model; one with
// `most` is a list of up to so many numbers, and one without `values` has no slider; `when(state)`, if it is there, says
// when a slider is shown. `tab`, if it is there, names a quantity that counts the views from 1: the one of this number is
// shown, at any width.
// A quantity that is `only` its values takes no other, and one that `leaps` does not glide. `given` names what stands in
// the model and is moved by nobody: every state has it.
// A preset's `view`, if it has one, is the number of the picture that it is about; `play` names a quantity that it moves
// through its range, and the numbers with it.
// Returns what anywidget and the page host call, render({ model, el }), and clean(key, value) for the URL.
export function instrument(spec) {
  const hands = Object.entries(spec.quantities).filter(([, { values }]) => values);
  const keys = Object.keys(spec.quantities).filter((key) => !spec.quantities[key].patch);

  function clean(key, given) {
    const { low, high, whole, most, smallest = 0, only, values } = spec.quantities[key];
    if (most) return given.slice(0, most).map((one) => clamp(one, low, high));
    const value = Number(given);
    const inside = clamp(whole ? Math.round(value) : value, low, high);
    if (only) return values[nearestOf(values, inside)];
    return Math.abs(inside) < smallest ? (inside < 0 ? -smallest : smallest) : inside;
  }

  function render({ model, el }) {
    const id = `fx${++instances}`;
    const got = (keys) => Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    const given = got(spec.given ?? []);
    const read = () => ({ ...given, ...got(keys) });
    const opening = got(keys);
    const reduced = matchMedia("(prefers-reduced-motion: reduce)");
    let frame = 0;
    let speaking = 0;
    let touched = false;
    let shown = read();
    let glide = null; // from where and since when the pictures follow a preset

    const schedule = () => (frame ||= requestAnimationFrame(update));
    const measure = () => views.forEach((view) => view.measure());
    const move = (patch) => {
      if (glide?.play) glide = null; // a hand stops what plays
      for (const [key, value] of Object.entries(patch)) model.set(key, clean(key, value));
      model.save_changes();
    };
    const leap = (patch, play) => {
      move(patch);
      if (reduced.matches) return;
      const from = play ? { ...read(), [play]: spec.quantities[play].low } : shown;
      glide = { from, play, start: performance.now() };
      schedule(); // also where nothing has changed
    };

    const rows = html("div", { class: "fx-rows" });
    const views = spec.views.map((view) => makeView(view, read, move, schedule));
    const figures = views.map(({ element }) => element);
    const sliders = {};
    for (const [key, quantity] of hands) {
      const { patch = (value) => ({ [key]: value }) } = quantity;
      sliders[key] = makeSlider(`${id}-${key}`, quantity, (value) => move(patch(value, read())));
      sliders[key].input.dataset.key = key;
    }
    const groups = spec.groups.map((group) =>
      html("div", { class: "fx-sliders" }, ...group.keys.map((key) => sliders[key].element)),
    );
    const pictures = chooser(
      "Picture",
      spec.views.map(({ tab }) => tab),
      figures,
      spec.tab && ((i) => move({ [spec.tab]: i + 1 })),
    );
    const tabs = chooser(
      "Sliders",
      spec.groups.map(({ tab }) => tab),
      groups,
    );
    // Where one picture is shown at a time, a preset may bring the one it is about to the front.
    const presets = spec.presets.map(({ text, set, view, play }) =>
      button(text, () => {
        pictures.children[view]?.click();
        leap(set(read()), play);
      }),
    );
    const sentence = html("div", { class: "fx-conclusion" });
    const spoken = html("div", { class: "fx-spoken", "aria-live": "polite" });
    const root = html(
      "div",
      { class: "fx", role: "group", "aria-label": spec.title },
      rows,
      pictures,
      html("div", { class: "fx-views" }, ...figures),
      tabs,
      html("div", { class: "fx-groups" }, ...groups),
      html(
        "div",
        { class: "fx-presets", role: "group", "aria-label": "Presets" },
        ...presets,
        button("Reset", () => leap(opening), { class: "fx-reset" }),
      ),
      sentence,
      spoken,
    );
    root.addEventListener("keydown", (event) => {
      event.stopPropagation(); // arrows are the slider's, not Jupyter's
      // The browser moves a slider from where it stands: it must not stand where it stood a frame ago.
      if (frame) refresh();
    });
    el.classList.add("explorer", `explorer-${spec.name}`);
    el.append(root);

    // What the pictures show on the way from one state to another; numbers and words are the new ones at once, where
    // nothing plays.
    function follow(state, now) {
      const part = glide ? clamp((now - glide.start) / (glide.play ? PLAY : GLIDE), 0, 1) : 1;
      if (part === 1) {
        glide = null;
        return state;
      }
      schedule();
      const eased = glide.play ? part : 1 - (1 - part) ** 3;
      const between = (from, to) =>
        Array.isArray(to) ? paired(from, to).map((pair) => between(...pair)) : from + (to - from) * eased;
      const gliding = keys.filter((key) => !spec.quantities[key].leaps);
      return {
        ...state,
        ...Object.fromEntries(gliding.map((key) => [key, between(glide.from[key], state[key])])),
      };
    }

    function say() {
      spoken.textContent = sentence.textContent;
      speaking = setTimeout(() => spoken.replaceChildren(), SAID);
    }

    // The view that the state names, with the sliders that move it.
    let chosen = 0;
    function turnTo(state) {
      if (!spec.tab || chosen === state[spec.tab]) return;
      chosen = state[spec.tab];
      pictures.choose(chosen - 1);
      for (const [key, { when }] of hands) sliders[key].element.hidden = when ? !when(state) : false;
      const full = groups.map(({ children }) => [...children].some(({ hidden }) => !hidden));
      tabs.choose(full.indexOf(true));
      tabs.hidden = full.filter(Boolean).length < 2;
      measure();
    }

    function update(now) {
      frame = 0;
      const state = read();
      turnTo(state);
      shown = follow(state, now);
      const played = glide?.play;
      if (played) state[played] = clean(played, shown[played]);
      rows.innerHTML = spec.rows(state).map(row).join("");
      sentence.textContent = spec.conclusion(state);
      for (const [key, { read: shownBy = () => state[key] }] of hands)
        sliders[key].show(shownBy(state), state);
      for (const view of views) view.show(shown, state);
      clearTimeout(speaking);
      if (touched) speaking = setTimeout(say, HUSH);
    }

    function refresh() {
      cancelAnimationFrame(frame);
      update(performance.now());
    }

    const changed = () => {
      touched = true;
      schedule();
    };
    for (const key of keys) model.on(`change:${key}`, changed);
    const resized = new ResizeObserver(() => {
      measure();
      schedule();
    });
    figures.forEach((figure) => resized.observe(figure)); // a figure that is chosen is resized too
    measure();
    update(0);

    return () => {
      for (const key of keys) model.off(`change:${key}`, changed);
      resized.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(speaking);
      root.remove();
    };
  }

  return { render, clean };
}
