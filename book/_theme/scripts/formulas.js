// A formula that is wider than its column scrolls within itself, by finger, wheel and keyboard.
(() => {
  const mark = (formula, wide) => {
    formula.classList.toggle("wide", wide);
    if (wide) {
      formula.tabIndex = 0;
      formula.setAttribute("role", "group");
      formula.setAttribute("aria-label", "formula");
    } else for (const name of ["tabindex", "role", "aria-label"]) formula.removeAttribute(name);
  };
  // Inline formulas have no width of their own to overflow: they are compared with the block around them.
  const roomOf = (formula) => {
    let block = formula.parentElement;
    while (getComputedStyle(block).display.startsWith("inline")) block = block.parentElement;
    return block.clientWidth;
  };
  const measure = () => {
    const widths = [...document.querySelectorAll(".formula, .bd-article span.math")].map((formula) => {
      const math = formula.querySelector("math");
      return [formula, math && math.getBoundingClientRect().width > roomOf(formula.firstElementChild) + 1];
    });
    for (const [formula, wide] of widths) if (wide !== formula.classList.contains("wide")) mark(formula, wide);
  };
  let width = 0;
  const watch = new ResizeObserver(() => {
    if (innerWidth !== width) { width = innerWidth; measure(); }
  });
  addEventListener("DOMContentLoaded", () => watch.observe(document.documentElement));
  // What was folded away had no width; measure it when it opens.
  document.addEventListener("toggle", measure, true);
  document.addEventListener("click", (event) => { if (event.target.closest(".toggle, .toggle-button")) setTimeout(measure, 50); });
})();
