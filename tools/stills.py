"""Save a still of each explorer's opening state: `python tools/stills.py`.

A still is one SVG that stands alone: its pictures side by side, on paper of its own so that it can be read in
any theme, with the style that counts written into it. Two runs give the same bytes.
"""

import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

from chromium import FLAGS, MISSING, find_chromium
from execution import write

ROOT = Path(__file__).resolve().parents[1]
STILLS = ROOT / "book" / "_theme" / "stills"

#: What an element looks like, where it differs from what SVG assumes.
INITIAL = {
    "fill": "rgb(0, 0, 0)",
    "fill-opacity": "1",
    "fill-rule": "nonzero",
    "stroke": "none",
    "stroke-opacity": "1",
    "stroke-width": "1px",
    "stroke-dasharray": "none",
    "stroke-linejoin": "miter",
    "paint-order": "normal",
    "font-size": "",
    "font-weight": "400",
}

COLLECT = """(initial) => {
  const places = [...document.querySelectorAll('.fx-view > svg')];
  return places.map((svg) => {
    const copy = svg.cloneNode(true);
    const originals = svg.querySelectorAll('*'), copies = copy.querySelectorAll('*');
    originals.forEach((original, i) => {
      const style = getComputedStyle(original), element = copies[i];
      const shape = ['path', 'line', 'rect', 'circle', 'text'].includes(element.tagName);
      for (const [name, usual] of Object.entries(shape ? initial : {})) {
        const value = style.getPropertyValue(name), text = element.tagName === 'text';
        if (value !== usual && (text || !name.startsWith('font'))) element.setAttribute(name, value);
      }
      element.removeAttribute('class');
    });
    copy.querySelectorAll('[fill="rgba(0, 0, 0, 0)"]').forEach((hit) => hit.remove());
    const { width, height } = svg.viewBox.baseVal;
    const inner = copy.innerHTML.replaceAll('&nbsp;', '&#160;');  // HTML's name for it is none of SVG's
    return { inner, width, height, title: svg.parentElement.dataset.title };
  });
}"""


def still(views, description, *, stacked=False):
    """Put the pictures side by side, or one below the other, on white paper."""
    gap, top = 24, 34
    margin = 8 if stacked else gap
    parts, left, down = [], margin, 0
    for view in views:
        place = f'x="{left:g}" y="{down + top:g}" width="{view["width"]:g}" height="{view["height"]:g}"'
        parts.append(
            f'<text x="{left:g}" y="{down + 24:g}" font-size="14" fill="#1b1f24">'
            f"{escape(view['title'])}</text>"
            f'<svg {place} overflow="visible">{view["inner"]}</svg>'
        )
        if stacked:
            down += top + view["height"] + gap / 2
        else:
            left += view["width"] + gap
    width = max(view["width"] for view in views) + 2 * margin if stacked else left
    height = down if stacked else max(view["height"] for view in views) + top + gap / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif">'
        f"<title>{escape(description)}</title>"
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def draw(browser):
    """Return the stills of every explorer, name -> SVG: `NAME`, and `NAME-narrow` for a phone."""
    from fromage_edu import explorers
    from fromage_edu.explorers.base import standalone_page

    stills = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in explorers.__all__:
            explorer = getattr(explorers, name)()
            source = Path(folder, f"{name}.html")
            source.write_text(standalone_page(explorer), encoding="utf-8")
            for suffix, width in (("", 1280), ("-narrow", 390)):
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.goto(source.as_uri())
                page.wait_for_selector(".explorer[data-ready]")
                # On a phone one picture is shown at a time; the still has all of them.
                page.add_style_tag(content=".explorer .fx-view { display: block }")
                page.wait_for_timeout(200)
                views = page.evaluate(COLLECT, INITIAL)
                stills[name + suffix] = still(views, explorer.still_alt, stacked=bool(suffix))
                page.close()
    return stills


def main():
    """Draw every explorer in Chromium and save what it shows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            sys.exit(f"stills: {MISSING}")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        STILLS.mkdir(parents=True, exist_ok=True)
        for name, text in draw(browser).items():
            target = STILLS / f"{name}.svg"
            write(target, text)
            print(f"stills: {target.relative_to(ROOT)}, {target.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
