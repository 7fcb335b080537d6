"""Let a plain link reach every place that has an id: a theorem, an exercise, a term of the glossary.

`[condition number](glossary.md#term-condition-number)` is a link that Jupyter and Colab understand too, where
a role would stand as raw text. MyST itself resolves such a link only to headings.
"""

from docutils import nodes


def offer_ids(app, doctree):
    """Add the ids of a page to those that MyST knows; what it knows already stays."""
    known = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for node in doctree.findall(nodes.Element):
        for name in node["ids"]:
            known.setdefault(name, (node.line or 0, name, node.astext()[:80]))


def setup(app):
    """Connect to the moment at which a page has been read."""
    app.connect("doctree-read", offer_ids)
