"""LaTeX to MathML while the book is built: a Sphinx math renderer, so that no page runs a math engine."""

import functools
import html
import re

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOG = logging.getLogger(__name__)
CONVERTER = LatexToMathML(macros={"widetilde": r"\tilde{#1}"})
ENVIRONMENT = re.compile(r"\\(begin|end)\{(equation|align|gather|multline|alignat|flalign|eqnarray)\*?\}")
# An invisible strut: without it the root of a low letter hangs below the line.
STRUT = '<mspace height="0.74em" depth="0.22em"></mspace></msqrt>'
# What the converter lacks, and the environment that looks the same.
ALIKE = {"eqnarray": "align", "flalign": "align", "multline": "gather"}


def clean(latex, display):
    """Return `latex` in the dialect of the converter; labels and numbers are Sphinx's business."""
    latex = re.sub(r"\\label\{[^}]*\}", "", latex).replace("{split}", "{aligned}")

    def unnumbered(match):
        side, name = match.groups()
        return "" if name == "equation" else rf"\{side}{{{ALIKE.get(name, name)}*}}"

    latex = ENVIRONMENT.sub(unnumbered, latex)
    if display and r"\begin" not in latex:
        lines = [part.strip() for part in latex.split("\n\n") if part.strip()]
        if len(lines) > 1 or r"\\" in latex:
            latex = r"\begin{aligned}" + r" \\ ".join(lines) + r"\end{aligned}"
    return latex.strip()


@functools.cache
def convert(latex, display=False):
    """Return the MathML of a formula; raise `LatexError` where it cannot be read."""
    mathml = CONVERTER.convert_with_local_state(clean(latex, display), displaystyle=display)
    return mathml.replace("</msqrt>", STRUT)


def _mathml(node, display):
    latex = node.astext()
    try:
        return convert(latex, display)
    except LatexError as error:
        LOG.warning("formula %r: %s", latex, str(error).strip(), location=node, type="formulas")
        return f"<code>{html.escape(latex)}</code>"


def visit_inline(self, node):
    """Write an inline formula."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(_mathml(node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_block(self, node):
    """Write a displayed formula with its number, if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append('<div class="formula">' + _mathml(node, display=True) + "</div></div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer and choose it; the theme's MathJax then disappears by itself."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", _choose, priority=900)


def _choose(app, config):
    config.html_math_renderer = "mathml"
