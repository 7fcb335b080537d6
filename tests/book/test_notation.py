"""A symbol in a chapter's formulas is on the notation page; the glossary holds each term once."""

import json
import re
from pathlib import Path

import notebooks
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTATION = (BOOK / "notation.md").read_text(encoding="utf-8")
GLOSSARY = (BOOK / "glossary.md").read_text(encoding="utf-8")
CHAPTERS = [path for path in notebooks.all_notebooks() if path.parent.name != "reference"]

# What arranges a formula, and what everybody reads alike: relations, dots, functions with a name.
ORDINARY = set(
    """
    approx arctan bar begin bigl bigr big Big Bigl Bigr bigg Bigg biggl biggr Biggl Biggr boxed cap cases
    cdot cdots circ colon cos cup det diag displaystyle dots end equiv exp ge geq gg hat implies in
    inf infty int land langle ldots le left leftarrow leftrightarrow leq lim limits lVert lvert ll
    ln log longrightarrow Longrightarrow mapsto mathbb mathbf mathcal mathrm mathsf max mid min mp
    ne neq not notin operatorname overbrace overline partial perp phantom pm prod propto qquad quad
    rangle Rightarrow right rightarrow rVert rvert searrow setminus sim simeq sin sqrt subset
    subseteq sum sup text textstyle tfrac dfrac frac tilde times to top underbrace underset overset
    vdots vec vert Vert widehat widetilde tanh sign
    """.split()
)
WORDS = re.compile(r"\\(?:text|mathrm|operatorname|begin|end|label|tag)\*?\s*\{[^{}]*\}")
ALPHABET = re.compile(r"\\(mathcal|mathbb|mathsf|mathbf)\s*(?:\{\s*([A-Za-z]+)\s*\}|([A-Za-z]))")
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)([^$\n]+?)(?<!\s)\$", re.DOTALL)


def formulas(markdown):
    """The formulas of a text, without those inside code."""
    markdown = re.sub(r"^```[\s\S]*?^```|`[^`\n]*`", "", markdown, flags=re.MULTILINE)
    return [found[1] or found[2] for found in FORMULA.finditer(markdown)]


def symbols(formula):
    r"""Letters, Greek letters and letters of other alphabets: `\mathcal L(W_l)` has `\mathcal L`, W and l."""
    formula = WORDS.sub(" ", formula)
    found = {rf"\{name} {braced or bare}" for name, braced, bare in ALPHABET.findall(formula)}
    formula = ALPHABET.sub(" ", formula)
    macros = set(re.findall(r"\\([A-Za-z]+)", formula))
    found |= {rf"\{name}" for name in macros - ORDINARY}
    return found | set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))


def symbols_of(text):
    return set().union(*map(symbols, formulas(text)))


def rows(text):
    """Cells of the tables' rows, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("symbol", "chapter")]


def local(chapter):
    return [row for row in rows(NOTATION.partition("(notation-local)=")[2]) if row[0] == chapter]


def known(chapter):
    everywhere = NOTATION.partition("(notation-local)=")[0]
    return symbols_of("\n".join([row[0] for row in rows(everywhere)] + [row[1] for row in local(chapter)]))


def prose(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def chapter_of(path):
    return path.stem.partition("_")[0]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_symbol_of_a_chapter_is_on_the_notation_page(path):
    missing = symbols_of(prose(path)) - known(chapter_of(path))
    assert not missing, f"add to book/notation.md, first or second table: {sorted(missing)}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_second_table_names_only_symbols_that_the_chapter_uses(path):
    here = symbols_of(prose(path))
    for chapter, symbol, _ in local(chapter_of(path)):
        assert symbols_of(symbol) & here, f"{chapter} does not use {symbol}"


def test_the_second_table_names_chapters_that_are_there():
    chapters = {chapter_of(path) for path in CHAPTERS}
    assert {row[0] for row in rows(NOTATION.partition("(notation-local)=")[2])} <= chapters


def test_each_symbol_has_one_row_of_the_first_tables():
    names = [row[0] for row in rows(NOTATION.partition("(notation-local)=")[0])]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\lVert\Delta W_l\rVert_F", {r"\Delta", "W", "l", "F"}),
        (r"\mathcal L(f, y) \le \text{at most } 3", {r"\mathcal L", "f", "y"}),
        (r"\begin{aligned}\mathbb{R}^{m\times n}\end{aligned}", {r"\mathbb R", "m", "n"}),
        (r"\operatorname{rank} \tilde M = \bar n", {"M", "n"}),
        (r"\frac{\partial f}{\partial h_l}", {"f", "h", "l"}),
    ],
)
def test_symbols_are_read_from_tex(formula, expected):
    assert symbols(formula) == expected


def test_prices_and_code_are_no_formulas():
    assert formulas("costs $5 and `$x$`, but $a$ and\n$$\nb\n$$ (eq-b)") == ["a", "\nb\n"]


def terms():
    body = re.search(r"^:::\{glossary\}\n(.*?)^:::", GLOSSARY, re.MULTILINE | re.DOTALL)[1]
    return [line for line in body.splitlines() if line and not line.startswith(" ")]


def test_terms_stand_once_and_in_order():
    names = [term.casefold() for term in terms()]
    assert names == sorted(set(names))


def test_links_to_terms_lead_to_terms():
    ids = {"term-" + re.sub(r"[^A-Za-z0-9]+", "-", term).strip("-") for term in terms()}
    pages = [*map(prose, notebooks.all_notebooks())]
    pages += [path.read_text(encoding="utf-8") for path in BOOK.rglob("*.md")]
    linked = {name for page in pages for name in re.findall(r"glossary\.md#([\w-]+)", page)}
    assert linked <= ids, f"no such terms: {sorted(linked - ids)}"


@pytest.mark.parametrize(
    "path", [path for path in CHAPTERS if path.parent.name == "distance"], ids=lambda path: path.stem
)
def test_a_chapter_links_its_terms_to_the_glossary(path):
    links = re.findall(r"glossary\.md#([\w-]+)", prose(path))
    assert links, "link each term of the glossary where it comes first"
    assert len(set(links)) == len(links), "link a term once, at its first use"
