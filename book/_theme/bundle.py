"""One stylesheet with only the rules the book uses, one deferred script, no page left over from before.

The stylesheet depends on all pages together: when one page is written anew, the others are read from where
the last build left them.
"""

import re
from pathlib import Path

from sphinx.util import logging

from . import fonts, stylesheet

LOG = logging.getLogger(__name__)
HERE = Path(__file__).parent
EXPLORERS = HERE.parents[1] / "fromage_edu" / "explorers"
THEME_CSS = ["basic.css", "styles/pydata-sphinx-theme.css"]
THEME_JS = "scripts/pydata-sphinx-theme.js"
ICON_FONT = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
# Live code in the browser (from a CDN), the theme's wrapper of the file above, a font's 1.5 MB script.
UNWANTED = ("thebe", "styles/theme.css", "fontawesome.js")
# Elements that only scripts make, and the steps of an animation.
MADE_BY_SCRIPTS = set("kbd canvas svg path g text button label output input table td th tr from to".split())


def name_of(asset):
    """Return the file name of an entry of `css_files` or `script_files`, without folder prefix and digest."""
    return str(getattr(asset, "filename", "") or "").removeprefix("_static/").split("?")[0]


def collect(app, pagename, templatename, context, doctree):
    """Remember which styles and scripts the extensions ask for; the template links the bundles instead."""
    for asset in context["css_files"]:
        name = name_of(asset)
        if name and not any(word in name for word in UNWANTED) and name not in THEME_CSS:
            app.book_css.setdefault(name)
    for asset in context["script_files"]:
        body = getattr(asset, "attributes", {}).get("body") or ""
        name = name_of(asset)
        if (name or body) and "THEBE" not in body and not any(word in name for word in UNWANTED):
            app.book_js.setdefault((name, body))
    context["book_data_theme"] = True


def drop_leftovers(app, out):
    """Remove pages and images that no source stands behind any more; return the pages that stay."""
    alive = {out / f"{docname}.html" for docname in [*app.env.found_docs, "search"]}
    for path in out.rglob("*.html"):
        if path not in alive and path != out / "index.html" and "_static" not in path.relative_to(out).parts:
            path.unlink()
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(alive) if path.exists()}
    for path in out.glob("_images/*"):
        if not any(path.name in text for text in pages.values()):
            path.unlink()
    return pages


def script_text(app, static):
    """Return the book's one script: what extensions ask for, the theme's, our own, the explorers' host."""
    parts = [body or (static / name).read_text(encoding="utf-8") for name, body in app.book_js]
    parts.append((static / THEME_JS).read_text(encoding="utf-8"))
    parts += [path.read_text(encoding="utf-8") for path in sorted((HERE / "scripts").glob("*.js"))]
    host = EXPLORERS / "host.js"
    if host.exists():
        parts.append(host.read_text(encoding="utf-8"))
    return "\n;".join(re.sub(r"//# sourceMappingURL=.*", "", part) for part in parts)


def vendor_styles(app, static):
    """Return the text of every stylesheet that the theme and the extensions bring, in order."""
    texts = []
    for name in [*THEME_CSS, *app.book_css]:
        text = re.sub(r"/\*# sourceMappingURL=.*?\*/", "", (static / name).read_text(encoding="utf-8"))
        texts.append(re.sub(r'url\((["\']?)\.\./', r"url(\1", text))  # all will lie in _static itself
    return "\n".join(texts)


def style_text(pages, script, vendor, static):
    """Return the book's one stylesheet with its two fonts."""
    html = "\n".join(pages.values())
    words = set(re.findall(r"[\w-]+", html)) | set(re.findall(r"[\w-]+", script))
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z][\w-]*)", html)} | MADE_BY_SCRIPTS
    own = (HERE / "book.css").read_text(encoding="utf-8")
    explorers = EXPLORERS / "style.css"
    # The explorers' own rules are kept whole: their elements are made by modules inside the pages' data.
    kept = stylesheet.squeeze(explorers.read_text(encoding="utf-8")) if explorers.exists() else ""
    # In a layer of its own, the theme gives way to any rule of ours, whatever its selectors.
    css = f"@layer theme{{{stylesheet.purge(vendor, words, tags)}}}{stylesheet.squeeze(own)}{kept}"
    css = stylesheet.drop_unread_variables(css, script + html)
    icons = {character for character in css if 0xE000 <= ord(character) <= 0xF8FF}
    icon_data = fonts.cut(static / ICON_FONT, icons)
    characters = fonts.math_characters(pages.values())
    lost = fonts.missing(fonts.math_font(), characters)
    if lost:
        LOG.warning("the math font has no glyph for %s", ", ".join(lost), type="formulas")
    math_data = fonts.cut(fonts.math_font(), characters, fonts.MATH_FEATURES)
    LOG.info("book.css: %d of %d kB of rules", len(css) / 1000, len(vendor) / 1000)
    sizes = len(icons), len(icon_data) / 1000, len(characters), len(math_data) / 1000
    LOG.info("fonts: %d icons in %.1f kB, %d characters of formulas in %.1f kB", *sizes)
    faces = fonts.face("Font Awesome 6 Free", icon_data, font_weight=900)
    return faces + fonts.face("Book Math", math_data, font_display="swap") + css


def bundle(app, error):
    """Write the two files, unless no page was written and they are there already."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    pages = drop_leftovers(app, out)
    if not app.book_js and (static / "book.css").exists():
        return
    script = script_text(app, static)
    (static / "book.js").write_text(script, encoding="utf-8")
    explorers = "".join(path.read_text(encoding="utf-8") for path in EXPLORERS.glob("*.js"))
    style = style_text(pages, script + explorers, vendor_styles(app, static), static)
    (static / "book.css").write_text(style, encoding="utf-8")
    mend_search(out)


def mend_search(out):
    """Let the search page load its tools after the book's script, and find names that hold a dot."""
    page = out / "search.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<script src=", "<script defer src="), encoding="utf-8")
    tools = out / "_static" / "searchtools.js"
    text = tools.read_text(encoding="utf-8")
    # `#fromage_edu.trust` would be read as an id with a class.
    mended = text.replace('querySelector(`[role="main"] ${anchor}`)', "getElementById(anchor.slice(1))")
    tools.write_text(mended, encoding="utf-8")


def use_templates(app, config):
    """Let our templates come before the theme's."""
    config.templates_path = [str(HERE / "templates"), *config.templates_path]


def setup(app):
    """Collect last, when every extension has asked; bundle last, when every page is mended."""
    app.book_css, app.book_js = {}, {}
    app.connect("config-inited", use_templates, priority=900)
    app.connect("html-page-context", collect, priority=900)
    app.connect("build-finished", bundle, priority=900)
