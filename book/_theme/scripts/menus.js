// The header's menus without a framework: click, Escape, arrow keys, a click outside.
(() => {
  const TOGGLE = '[data-bs-toggle="dropdown"]';
  const menuOf = (button) => button.parentElement.querySelector(".dropdown-menu");
  const openOne = () => document.querySelector(TOGGLE + '[aria-expanded="true"]');
  const show = (button, on) => {
    button.setAttribute("aria-expanded", on);
    button.classList.toggle("show", on);
    menuOf(button).classList.toggle("show", on);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(TOGGLE), open = openOne();
    if (open && open !== button) show(open, false);
    if (button) show(button, button !== open);
  });
  document.addEventListener("keydown", (event) => {
    const open = openOne(), button = open || event.target.closest?.(TOGGLE);
    if (!button) return;
    if (event.key === "Escape" && open) {
      show(open, false);
      open.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      show(button, true);
      const items = [...menuOf(button).querySelectorAll("a, button")];
      const at = items.indexOf(document.activeElement), step = event.key === "ArrowDown" ? 1 : items.length - 1 + (at < 0);
      items[(at + step) % items.length].focus();
    }
  });
})();
