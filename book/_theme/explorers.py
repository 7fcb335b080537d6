"""Place the explorers: a block of data per page, with each class's module once, and a `<div>` per view."""

import html
import json
import re
import shutil
from pathlib import Path

from .stills import STILLS

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = re.compile(r'<script type="application/vnd.jupyter.widget-view\+json">(.*?)</script>', re.DOTALL)


def as_script(data):
    """Return `data` as JSON that is safe inside a `<script>` element."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")


def still_of(name, up):
    """Return an explorer's picture for where no script runs; on a phone, the one with its views stacked."""
    import fromage_edu.explorers

    if not (STILLS / f"{name}.svg").exists():
        return ""
    alt = html.escape(getattr(fromage_edu.explorers, name).still_alt)
    src = f"{up}_static/stills/{name}"
    return (
        f'<noscript><picture><source media="(max-width: 600px)" srcset="{src}-narrow.svg">'
        f'<img class="explorer-still" src="{src}.svg" alt="{alt}"></picture></noscript>'
    )


def place_views(body, models, up):
    """Replace the views of `models` (id -> class and traits) in a page's body; leave other widgets."""

    def place(match):
        model = json.loads(match[1])["model_id"]
        if model not in models:
            return match[0]
        name = models[model]["class"]
        return f'<div class="explorer explorer-{name}" data-model="{model}">{still_of(name, up)}</div>'

    return VIEW.sub(place, body)


def place(app, pagename, templatename, context, doctree):
    """Take the widget state out of a page; give the template what its explorers need."""
    from fromage_edu.explorers.base import page_data

    state, others = None, []
    for script in context["script_files"]:
        attributes = getattr(script, "attributes", {})
        if attributes.get("type") == STATE:
            body = attributes.get("body", "")
            state = json.loads(html.unescape(body) if "&quot;" in body[:20] else body)
        else:
            others.append(script)
    context["script_files"] = others
    if state is None:
        return
    data = page_data(state)
    data.pop("style", None)  # it stands in the book's stylesheet
    if data["models"]:
        context["explorers"] = as_script(data)
        context["body"] = place_views(context["body"], data["models"], "../" * pagename.count("/"))


def copy_stills(app, error):
    """Copy the stills where pages ask for them."""
    if not error and STILLS.is_dir():
        shutil.copytree(STILLS, Path(app.outdir, "_static", "stills"), dirs_exist_ok=True)


def setup(app):
    """Run after myst-nb has put the state into the page's scripts."""
    app.connect("html-page-context", place, priority=800)
    app.connect("build-finished", copy_stills)
