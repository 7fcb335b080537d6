"""Mend what the tools leave wrong: names and roles for screen readers, sizes of images, the entry page."""

import functools
import html
import re
from pathlib import Path

import imagesize

# The size of a figure that is drawn at double density; as a style, it would not shrink in proportion.
FIGURE_STYLE = re.compile(r' style="width: (\d+)px; height: (\d+)px;"')
IMAGE = re.compile(r"<img\b[^>]*>")
# A formula with the brackets and the punctuation that stand directly at it.
FORMULA = re.compile(
    r'[(\[“‘]*<span class="math [^>]*>(?:(?!</span>).)*</math></span>[.,;:!?)\]’”…]*', re.DOTALL
)
# Settings of live code cells, which this book does not have.
LIVE_CODE = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*<script>\s*kernelName.*?</script>', re.DOTALL
)
# A table's head cell that holds nothing but a formula.
HEAD_CELL = re.compile(
    r'(<th\b[^>]*><p><span class="math [^>]*>)<math((?:(?!</th>).)*</math></span></p></th>)', re.DOTALL
)
ENTRY = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="0; url={page}"><link rel="canonical" href="{page}">
<link rel="icon" href="_static/favicon.svg"></head>
<body><main><p><a href="{page}">{title}</a></p></main></body></html>
"""


def mend_body(app, pagename, templatename, context, doctree):
    """Mend the article while it is still apart from the theme's frame."""
    body = context.get("body")
    if not body:
        return
    # An aria-label here would hide the visible label ("Show code cell source").
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    body = re.sub(r'(<div class="citation" id="[^"]*") role="doc-biblioentry"', r'\1 role="listitem"', body)
    body = LIVE_CODE.sub("", body)
    body = HEAD_CELL.sub(name_formula, body)
    context["body"] = FORMULA.sub(keep_together, body)


def name_formula(match):
    """Give a formula that is all of a table's head cell a name: as it is, such a cell counts as empty."""
    name = re.sub(r"<[^>]*>", "", "<math" + match[2]).replace('"', "&quot;")
    return f'{match[1]}<math aria-label="{name}"{match[2]}'


def keep_together(match):
    """Let no line break come between a formula and the punctuation at it; browsers allow one there."""
    text = match[0]
    alone = text.startswith("<") and text.endswith(">")
    return text if alone else f'<span class="together">{text}</span>'


@functools.cache
def size_of(path):
    """Return the width and height of an image file, or None."""
    try:
        width, height = imagesize.get(str(path))
    except (OSError, ValueError):
        return None
    return (round(width), round(height)) if width > 0 and height > 0 else None


def mend_image(tag, folder):
    """Give an `<img>` its size, so that nothing jumps when it arrives, and load it when it comes near."""
    source = re.search(r'src="([^"]*)"', tag)
    if not source or source[1].startswith(("data:", "http")):
        return tag
    tag = FIGURE_STYLE.sub(r' width="\1" height="\2"', tag)
    if " loading=" not in tag:
        tag = tag.replace("<img", '<img loading="lazy" decoding="async"', 1)
    size = size_of((folder / source[1]).resolve())
    if size is None or " width=" in tag or "style=" in tag:
        return tag
    return tag.replace("<img", f'<img width="{size[0]}" height="{size[1]}"', 1)


def mend_page(text, folder):
    """Return a whole page mended; a page that is mended already stays as it is."""
    text = IMAGE.sub(lambda match: mend_image(match[0], folder), text)
    sidebar = '<div id="pst-primary-sidebar" '
    return text.replace(sidebar + "class=", sidebar + 'role="region" aria-label="Book" class=')


def mend_pages(app, error):
    """Mend the written pages, and make `index.html` a page that leads to the first one."""
    if error or app.builder.format != "html":
        return
    size_of.cache_clear()
    out = Path(app.outdir)
    for docname in [*app.env.found_docs, "search"]:
        path = out / f"{docname}.html"
        if path.exists():
            old = path.read_text(encoding="utf-8")
            new = mend_page(old, path.parent)
            if new != old:
                path.write_text(new, encoding="utf-8")
    entry = ENTRY.format(title=html.escape(app.config.html_title), page=f"{app.config.root_doc}.html")
    (out / "index.html").write_text(entry, encoding="utf-8")


def setup(app):
    """Mend bodies before the explorers are placed, pages before they are bundled."""
    app.connect("html-page-context", mend_body, priority=700)
    app.connect("build-finished", mend_pages, priority=850)
