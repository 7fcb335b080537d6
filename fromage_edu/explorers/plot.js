// Drawing and interaction shared by all explorers. A view is redrawn as one string of SVG per frame; what must keep
// its identity (sliders, grips under a finger) is made once and moved.

// ---- scales: functions from data to pixels, with an inverse -------------------------------------------------------

export function linear([d0, d1], [r0, r1]) {
  const scale = (x) => r0 + ((x - d0) / (d1 - d0)) * (r1 - r0);
  scale.invert = (y) => d0 + ((y - r0) / (r1 - r0)) * (d1 - d0);
  return Object.assign(scale, { domain: [d0, d1], range: [r0, r1] });
}

export function log([d0, d1], range) {
  const inner = linear([Math.log10(d0), Math.log10(d1)], range);
  const scale = (x) => inner(Math.log10(x));
  scale.invert = (y) => 10 ** inner.invert(y);
  return Object.assign(scale, { domain: [d0, d1], range });
}

export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
export const round = (x, digits) => Math.round(x * 10 ** digits) / 10 ** digits;
// `count` points from low to high, evenly spaced.
export const spread = (low, high, count) => Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
// low, low + by, …, high without the noise of repeated addition.
export const steps = (low, high, by) =>
  Array.from({ length: Math.round((high - low) / by) + 1 }, (_, i) => round(low + i * by, 6));

// ---- SVG as text --------------------------------------------------------------------------------------------------

const px = (x) => String(Number.isFinite(x) ? round(clamp(x, -9999, 9999), 1) : 0);

export function tag(name, attributes = {}, ...children) {
  const pairs = Object.entries(attributes).map(([key, value]) => ` ${key}="${typeof value === "number" ? px(value) : value}"`);
  return `<${name}${pairs.join("")}>${children.join("")}</${name}>`;
}

export const line = (x1, y1, x2, y2, kind) => tag("line", { x1, y1, x2, y2, class: kind });
export const rect = (x0, y0, x1, y1, kind) =>
  tag("rect", { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0), class: kind });
export const path = (points, kind, close = "") =>
  tag("path", { d: points.map(([x, y], i) => `${i ? "L" : "M"}${px(x)} ${px(y)}`).join("") + close, class: kind });
// anchor: start, middle or end; a halo of the paper keeps a label legible on lines.
export const label = (x, y, text, kind = "", anchor = "start") =>
  tag("text", { x, y, class: `fx-label ${kind}`, "text-anchor": anchor }, text);
// What leaves the box is cut off, with no id to keep unique.
export const clipped = ({ left, top, right, bottom }, ...children) =>
  tag("svg", { x: left, y: top, width: right - left, height: bottom - top, viewBox: [left, top, right - left, bottom - top].map(px).join(" "), overflow: "hidden" }, ...children);

// The curve y = f(x) over pixels of the x scale.
export const curve = (f, xs, X, Y) => xs.map((x) => [X(x), Y(f(x))]);

export function axisX(X, y, ticks, title) {
  const [r0, r1] = X.range;
  const anchor = (at) => (X(at) > r1 - 12 ? "end" : X(at) < r0 + 12 ? "start" : "middle");
  return line(r0, y, r1, y, "fx-axis")
    + ticks.map(([at, text]) => line(X(at), y, X(at), y + 4, "fx-axis") + tag("text", { x: X(at), y: y + 17, class: "fx-tick", "text-anchor": anchor(at) }, text)).join("")
    + tag("text", { x: r1, y: y + 33, class: "fx-title", "text-anchor": "end" }, title);
}

export function axisY(Y, x, ticks, title) {
  const [r0, r1] = Y.range;
  return line(x, r0, x, r1, "fx-axis")
    + ticks.map(([at, text]) => line(x - 4, Y(at), x, Y(at), "fx-axis") + tag("text", { x: x - 7, y: Y(at) + 4, class: "fx-tick", "text-anchor": "end" }, text)).join("")
    + (title ? tag("text", { x: Math.max(0, x - 30), y: Math.min(r0, r1) - 9, class: "fx-title" }, title) : "");
}

// The region where f ≥ level over a grid of points, as one SVG path, and its border as another: marching squares.
export function contour(f, xs, ys, X, Y, level) {
  const values = ys.map((y) => xs.map((x) => f(x, y) - level));
  let area = "", border = "";
  for (let j = 0; j + 1 < ys.length; j++) {
    let run = null;  // full cells of a row become one rectangle
    const flush = (i) => {
      if (run === null) return;
      const [x0, x1, y0, y1] = [X(xs[run]), X(xs[i]), Y(ys[j]), Y(ys[j + 1])].map(px);
      area += `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
      run = null;
    };
    for (let i = 0; i + 1 < xs.length; i++) {
      const ring = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]].map(([p, q]) => [xs[p], ys[q], values[q][p]]);
      if (ring.every(([, , v]) => v >= 0)) { run ??= i; continue; }
      flush(i);
      const inside = [], cuts = [];
      ring.forEach(([x0, y0, v0], k) => {
        const [x1, y1, v1] = ring[(k + 1) % 4];
        if (v0 >= 0) inside.push([x0, y0]);
        if (v0 >= 0 !== v1 >= 0) {
          const t = v0 / (v0 - v1), cut = [x0 + t * (x1 - x0), y0 + t * (y1 - y0)];
          inside.push(cut);
          cuts.push(cut);
        }
      });
      const text = (points) => points.map(([x, y], k) => `${k ? "L" : "M"}${px(X(x))} ${px(Y(y))}`).join("");
      if (inside.length > 2) area += text(inside) + "Z";
      for (let k = 0; k + 1 < cuts.length; k += 2) border += text(cuts.slice(k, k + 2));
    }
    flush(xs.length - 1);
  }
  return { area, border };
}

// ---- the instrument: formula, pictures, sliders, presets, one sentence ------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const html = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
let instances = 0;
const REACH = 24;  // pixels around a grip that belong to it

// spec: { name, title, quantities, groups, presets, rows, views, conclusion }; see an explorer for each part's form.
// Returns what anywidget and the page host call: render({ model, el }), and clean(key, number) for the URL.
export function instrument(spec) {
  const keys = Object.keys(spec.quantities);

  function clean(key, value) {
    const { low, high, whole, smallest = 0 } = spec.quantities[key];
    const inside = clamp(whole ? Math.round(value) : value, low, high);
    return Math.abs(inside) < smallest ? (inside < 0 ? -smallest : smallest) : inside;
  }

  function render({ model, el }) {
    const id = `fx${++instances}`;
    const read = () => Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    const opening = read();
    const move = (patch) => {
      for (const [key, value] of Object.entries(patch)) model.set(key, clean(key, value));
      model.save_changes();
    };

    // -- what is made once
    el.classList.add("explorer", `explorer-${spec.name}`);
    const root = html("div", { class: "fx", role: "group", "aria-label": spec.title });
    root.addEventListener("keydown", (event) => event.stopPropagation());  // arrow keys belong to the slider, not to Jupyter

    const rows = html("div", { class: "fx-rows" });
    const chooser = (names, what, chosen) => {
      const buttons = names.map((text, i) => {
        const button = html("button", { type: "button", "aria-pressed": String(i === 0) }, text);
        button.addEventListener("click", () => {
          buttons.forEach((other, j) => other.setAttribute("aria-pressed", String(j === i)));
          chosen(i);
        });
        return button;
      });
      return html("div", { class: "fx-tabs", role: "group", "aria-label": what }, ...buttons);
    };
    const views = spec.views.map((view) => makeView(view));
    const only = (parts) => (i) => parts.forEach((part, j) => part.classList.toggle("fx-chosen", j === i));
    const pictures = html("div", { class: "fx-views" }, ...views.map(({ figure }) => figure));

    const sliders = keys.map((key) => makeSlider(key, spec.quantities[key]));
    const groups = spec.groups.map((group) => html("div", { class: "fx-sliders" }, ...sliders.filter((one) => group.keys.includes(one.key)).map((one) => one.element)));

    const buttons = spec.presets.map(({ text, set }) => {
      const button = html("button", { type: "button" }, text);
      button.addEventListener("click", () => move(typeof set === "function" ? set(read()) : set));
      return button;
    });
    const reset = html("button", { type: "button", class: "fx-reset" }, "Reset");
    reset.addEventListener("click", () => move(opening));

    const sentence = html("p", { class: "fx-conclusion" });
    const spoken = html("div", { class: "fx-spoken", "aria-live": "polite" });

    root.append(
      rows,
      chooser(spec.views.map((view) => view.tab), "Picture", only(views.map(({ figure }) => figure))),
      pictures,
      ...(groups.length > 1 ? [chooser(spec.groups.map((group) => group.tab), "Sliders", only(groups))] : []),
      html("div", { class: "fx-groups" }, ...groups),
      html("div", { class: "fx-presets", role: "group", "aria-label": "Presets" }, ...buttons, reset),
      sentence,
      spoken,
    );
    views[0].figure.classList.add("fx-chosen");
    groups[0].classList.add("fx-chosen");
    el.append(root);

    // -- what changes with the state
    let frame = 0, speaking = 0, shown = opening, tween = null;
    const still = matchMedia("(prefers-reduced-motion: reduce)");

    function update(time = performance.now()) {
      frame = 0;
      const state = read();
      if (tween) {
        const t = clamp((time - tween.start) / 260, 0, 1), eased = 1 - (1 - t) ** 3;
        shown = Object.fromEntries(keys.map((key) => [key, tween.from[key] + (state[key] - tween.from[key]) * eased]));
        if (t === 1) tween = null;
        else schedule();
      }
      if (!tween) shown = state;
      rows.innerHTML = spec.rows(state).map(row).join("");
      sentence.textContent = spec.conclusion(state);
      for (const slider of sliders) slider.show(state);
      for (const view of views) view.show(shown, state);
      clearTimeout(speaking);
      speaking = setTimeout(() => { if (touched) spoken.textContent = sentence.textContent; }, 800);
    }
    let touched = false;
    function schedule() {
      frame ||= requestAnimationFrame(update);
    }
    const changed = () => {
      touched = true;
      schedule();
    };

    // A preset glides; a hand on a slider does not.
    root.addEventListener("click", (event) => {
      if (event.target.closest(".fx-presets") && !still.matches) tween = { from: shown, start: performance.now() };
    }, true);

    const row = ({ kind, name, formula, value }) =>
      `<div class="fx-row ${kind}"><span class="fx-name"><svg class="fx-swatch" viewBox="0 0 28 8" aria-hidden="true"><line x1="1" y1="4" x2="27" y2="4" class="fx-line ${kind}"/></svg>${name}</span>`
      + `<span class="fx-formula">${formula.map((part) => `<span>${part}</span>`).join("")}</span><output class="fx-value">${value}</output></div>`;

    function makeSlider(key, quantity) {
      const { values } = quantity;
      const input = html("input", { type: "range", id: `${id}-${key}`, min: 0, max: values.length - 1, step: 1, "data-key": key });
      const output = html("output", { for: input.id, class: "fx-value" });
      input.addEventListener("input", () => move({ [key]: values[input.value] }));
      const caption = html("label", { for: input.id });
      caption.innerHTML = quantity.label;
      const nearest = (value) => values.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(values[best] - value) ? i : best), 0);
      return {
        key,
        element: html("div", { class: "fx-slider" }, html("div", { class: "fx-caption" }, caption, output), input),
        show(state) {
          const index = String(nearest(state[key]));
          if (input.value !== index) input.value = index;
          input.style.setProperty("--at", `${(100 * index) / (values.length - 1)}%`);
          output.textContent = quantity.text(state[key]);
          input.setAttribute("aria-valuetext", quantity.spoken(state[key]));
        },
      };
    }

    function makeView(view) {
      const figure = html("figure", { class: `fx-view ${view.kind ?? ""}`, "data-title": view.tab }, html("figcaption"));
      const caption = (state) => { figure.firstChild.textContent = typeof view.title === "function" ? view.title(state) : view.title; };
      if (view.html) {
        const table = html("div", { class: "fx-table" });
        figure.append(table);
        return { figure, measure() {}, show: (_, state) => { caption(state); table.innerHTML = view.html(state); } };
      }
      const svg = document.createElementNS(SVG, "svg"), ink = document.createElementNS(SVG, "g");
      svg.setAttribute("role", "img");
      svg.append(ink);
      figure.append(svg);
      const grips = (view.grips ?? []).map(() => {
        const grip = document.createElementNS(SVG, "g");
        grip.setAttribute("class", "fx-grip");
        grip.innerHTML = '<circle class="fx-hit" r="22"/><circle class="fx-dot" r="7"/>';
        svg.append(grip);
        return grip;
      });
      let spots = [], size = { width: 360, height: 300 }, hand = null, latest;

      const at = (event) => {
        const box = svg.getBoundingClientRect();
        return [((event.clientX - box.left) * size.width) / box.width, ((event.clientY - box.top) * size.height) / box.height];
      };
      const nearest = ([x, y]) => {
        const distances = spots.map((spot) => Math.hypot(spot[0] - x, spot[1] - y)), distance = Math.min(...distances);
        return { grip: distances.indexOf(distance), hit: distance <= REACH };
      };
      svg.addEventListener("pointerdown", (event) => {
        const [x, y] = at(event), { grip, hit } = nearest([x, y]);
        // A finger that misses the grip scrolls the page; a mouse may press anywhere in the picture.
        if (event.button || !(hit || (view.jump && event.pointerType === "mouse"))) return;
        event.preventDefault();
        svg.setPointerCapture(event.pointerId);
        svg.classList.add("fx-held");
        // The picture's scale stays as it was when the hand came down, or the point would run from the hand.
        hand = { grip, frame: latest, offset: hit ? [spots[grip][0] - x, spots[grip][1] - y] : [0, 0] };
        if (!hit) drag(event);
      });
      // Not every browser heeds touch-action on parts of a drawing: a finger on a grip must not scroll the page.
      svg.addEventListener("touchstart", (event) => {
        if (event.touches.length === 1 && nearest(at(event.touches[0])).hit) event.preventDefault();
      }, { passive: false });
      const drag = (event) => {
        if (!hand) return;
        const [x, y] = at(event);
        move(view.grips[hand.grip]([x + hand.offset[0], y + hand.offset[1]], hand.frame, read()));
      };
      const release = () => {
        hand = null;
        svg.classList.remove("fx-held");
        schedule();
      };
      svg.addEventListener("pointermove", drag);
      for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) svg.addEventListener(end, release);

      return {
        figure,
        measure() {  // apart from drawing: asking for a size in the middle of it would lay out the page twice
          if (svg.clientWidth) size = { width: svg.clientWidth, height: svg.clientHeight };
        },
        show(state, exact) {
          caption(exact);
          svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
          latest = hand ? hand.frame : view.frame(state, size);
          const drawing = view.draw(state, latest);
          ink.innerHTML = drawing.ink;
          spots = drawing.grips ?? [];
          spots.forEach(([x, y], i) => grips[i].setAttribute("transform", `translate(${px(x)} ${px(y)})`));
          svg.setAttribute("aria-label", view.describe(exact));
        },
      };
    }

    const names = keys.map((key) => `change:${key}`);
    for (const name of names) model.on(name, changed);
    const measure = () => views.forEach((view) => view.measure());
    const resized = new ResizeObserver(() => {
      measure();
      schedule();
    });
    views.forEach(({ figure }) => resized.observe(figure));  // a figure that a tab shows is resized too
    measure();
    update();

    return () => {
      for (const name of names) model.off(name, changed);
      resized.disconnect();
      cancelAnimationFrame(frame);
      clearTimeout(speaking);
      root.remove();
    };
  }

  return { render, clean };
}
