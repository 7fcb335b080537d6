"""The book's Sphinx extension, piece by piece."""

import html
import json
import re

import pytest
from _theme import address, explorers, fonts, formulas, repairs, stylesheet
from fontTools.ttLib import TTFont
from math_core import LatexError


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\begin{align}a&=b\label{x}\end{align}", r"\begin{align*}a&=b\end{align*}"),
        (r"\begin{equation}a\end{equation}", "a"),
        (r"\begin{multline}a\\b\end{multline}", r"\begin{gather*}a\\b\end{gather*}"),
        (r"\begin{split}a\end{split}", r"\begin{aligned}a\end{aligned}"),
        (r"a \\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        ("a\n\nb", r"\begin{aligned}a \\ b\end{aligned}"),
    ],
)
def test_displayed_latex_is_brought_into_the_dialect_of_the_converter(latex, expected):
    assert formulas.clean(latex, display=True) == expected


def test_inline_latex_is_left_alone():
    assert formulas.clean(r"a \, b", display=False) == r"a \, b"


@pytest.mark.parametrize(
    "latex",
    [
        r"\lVert \Delta W_l \rVert_F / \lVert W_l \rVert_F",
        r"\prod_{l=1}^{L} \left(1 + r_l^2\right) - 1",
        r"\widetilde W \in \mathbb{R}^{m \times n}, \mathcal{L}, \mathbf{x}, \hat f",
        r"\underbrace{2uv}_{\le u^2 + v^2} + \text{cross terms}",
        r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\operatorname{rank}(M), \sqrt[3]{x}, \tfrac12, \argmin_x f",
    ],
)
def test_the_latex_of_the_book_becomes_mathml_that_the_font_can_draw(latex):
    if "argmin" in latex:
        latex = latex.replace(r"\argmin", r"\operatorname*{arg\,min}")
    text = formulas.convert(latex, display=True)
    assert text.startswith("<math") and "\\" not in text
    assert fonts.missing(fonts.math_font(), fonts.math_characters([text])) == []


def test_a_formula_that_cannot_be_read_is_an_error():
    with pytest.raises(LatexError):
        formulas.convert(r"\frac{1}{")


def test_one_letter_names_are_drawn_in_italics():
    assert [fonts.italic(c) for c in "hxWηΓ∂1"] == ["ℎ", "𝑥", "𝑊", "𝜂", "𝛤", "𝜕", "1"]
    characters = fonts.math_characters(["<p>é</p><math><mi>x</mi><mo>&le;</mo><mi>&eta;</mi></math>"])
    assert {"𝑥", "≤", "𝜂"} <= characters and "é" not in characters


def test_a_character_without_a_glyph_is_named():
    assert fonts.missing(fonts.math_font(), {"x", "한"}) == ["한 (U+D55C HANGUL SYLLABLE HAN)"]


def test_the_cut_font_is_small_and_keeps_what_formulas_need(tmp_path):
    path = tmp_path / "cut.woff2"
    path.write_bytes(fonts.cut(fonts.math_font(), set("𝑥∑()√"), fonts.MATH_FEATURES))
    assert path.stat().st_size < 15_000
    with TTFont(str(path)) as cut:
        assert set(map(ord, "𝑥∑()√")) <= set(cut.getBestCmap())
        assert cut["MATH"].table.MathVariants is not None


def test_every_form_of_a_root_is_as_wide_as_the_small_one(tmp_path):
    path = tmp_path / "cut.woff2"
    path.write_bytes(fonts.cut(fonts.math_font(), set("√"), fonts.MATH_FEATURES))
    with TTFont(str(path)) as font:
        width = font["hmtx"][font.getBestCmap()[ord("√")]][0]
        (forms,) = font["MATH"].table.MathVariants.VertGlyphConstruction
        names = [form.VariantGlyph for form in forms.MathGlyphVariantRecord]
        names += [part.glyph for part in forms.GlyphAssembly.PartRecords]
        assert len(names) > 5
        assert {font["hmtx"][name][0] for name in names} == {width}
        assert max(font["glyf"][name].xMax for name in names) < 1.1 * width


def test_a_root_of_a_low_letter_stands_on_the_line():
    assert formulas.convert(r"\sqrt v").count("<mspace height=") == 1


PAGE_WORDS = {"used", "also", "box", "main"}
PAGE_TAGS = {"p", "a", "html"}


@pytest.mark.parametrize(
    ("selector", "stays"),
    [
        (".used", True),
        (".gone", False),
        ("#main > p.used", True),
        ("#main > h5", False),
        (".used:not(.gone)", True),
        ("html[data-theme=dark] .used::before", True),
        (":root", True),
        ("*", True),
        (".used .gone", False),
    ],
)
def test_a_selector_stays_when_every_name_in_it_is_used(selector, stays):
    assert stylesheet.could_match(selector, PAGE_WORDS, PAGE_TAGS) is stays


def test_purging_keeps_what_matches_and_nothing_else():
    css = """@charset "utf-8"; /* a remark */
    .used, .gone { color : red; }
    @media (min-width: 1px) { .gone { color: red } .also { color: var(--a) } }
    @media print { .gone { color: red } }
    @keyframes turn { from { opacity: 0 } to { opacity: 1 } }
    @font-face { font-family: "Font Awesome"; src: url(x) }
    """
    assert stylesheet.purge(css, PAGE_WORDS, PAGE_TAGS) == (
        ".used{color : red}@media (min-width: 1px){.also{color: var(--a)}}"
        "@keyframes turn{from { opacity: 0 } to { opacity: 1 }}"
    )


def test_variables_that_nothing_reads_go_one_after_the_other():
    css = ":root{--a:var(--b);--b:1px;--c:2px}.x{margin:var(--c)}"
    assert stylesheet.drop_unread_variables(css, "") == ":root{--c:2px}.x{margin:var(--c)}"
    assert "--a" in stylesheet.drop_unread_variables(css, "getPropertyValue('--a')")


MODELS = {"m1": {"class": "TrustRegions", "traits": {"depth": 30}}}
VIEW = '<script type="application/vnd.jupyter.widget-view+json">{"model_id": "%s"}</script>'


def test_views_of_explorers_become_places_and_other_widgets_stay():
    body = explorers.place_views("<p>" + VIEW % "m1" + VIEW % "m2", MODELS, "")
    assert '<div class="explorer explorer-TrustRegions" data-model="m1">' in body
    assert VIEW % "m2" in body and VIEW % "m1" not in body


@pytest.mark.parametrize("up", ["", "../"])
def test_a_still_stands_in_where_no_script_runs(up, tmp_path, monkeypatch):
    (tmp_path / "TrustRegions.svg").write_text("<svg/>")
    monkeypatch.setattr(explorers, "STILLS", tmp_path)
    body = explorers.place_views(VIEW % "m1", MODELS, up)
    assert re.findall(r'src="([^"]*)"', body) == [up + "_static/stills/TrustRegions.svg"]
    assert all(len(html.unescape(alt)) >= 15 for alt in re.findall(r'alt="([^"]*)"', body))
    assert body.count("<noscript>") == 1 and f'srcset="{up}_static/stills/TrustRegions-narrow.svg"' in body


def test_data_in_a_script_element_cannot_close_it():
    text = explorers.as_script({"js": "'</script>'"})
    assert "</" not in text and json.loads(text) == {"js": "'</script>'"}


def test_the_page_gets_each_module_once_and_only_traits_per_view():
    from fromage_edu.explorers import TrustRegions
    from fromage_edu.explorers.base import page_data

    state = {
        name: {
            "model_module": "anywidget",
            "state": {"_anywidget_id": "fromage_edu.explorers.trust_regions.TrustRegions", "depth": depth},
        }
        for name, depth in (("m1", 3), ("m2", 7))
    }
    state["m3"] = {"model_module": "@jupyter-widgets/controls", "state": {}}
    data = page_data({"state": state})
    assert data["modules"] == {"TrustRegions": TrustRegions.source}
    assert {name: model["traits"]["depth"] for name, model in data["models"].items()} == {"m1": 3, "m2": 7}


def test_images_get_their_size_and_load_when_they_come_near(tmp_path):
    (tmp_path / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>')
    tag = repairs.mend_image('<img alt="x" src="a.svg">', tmp_path)
    assert tag == '<img width="30" height="20" loading="lazy" decoding="async" alt="x" src="a.svg">'
    assert repairs.mend_image(tag, tmp_path) == tag
    assert repairs.mend_image('<img src="data:x">', tmp_path) == '<img src="data:x">'


def test_a_figure_drawn_at_double_density_keeps_its_size_and_may_shrink(tmp_path):
    tag = repairs.mend_image('<img alt="x" src="a.png" style="width: 711px; height: 391px;" />', tmp_path)
    assert ' width="711" height="391"' in tag and "style" not in tag


def test_mending_a_page_twice_changes_nothing_more(tmp_path):
    once = repairs.mend_page('<div id="pst-primary-sidebar" class="x"></div><img src="b.png">', tmp_path)
    assert 'role="region" aria-label="Book"' in once
    assert repairs.mend_page(once, tmp_path) == once


@pytest.mark.parametrize(("before", "after"), [("", "."), ("(", ")"), ("", ":")])
def test_a_formula_and_its_punctuation_stay_on_one_line(before, after):
    formula = '<span class="math notranslate"><math><mi>x</mi></math></span>'
    context = {"body": f"<p>so {before}{formula}{after} and {formula} again</p>"}
    repairs.mend_body(None, "", "", context, None)
    assert context["body"] == (
        f'<p>so <span class="together">{before}{formula}{after}</span> and {formula} again</p>'
    )


def test_a_head_cell_that_is_a_formula_has_a_name():
    body = '<th class="head"><p><span class="math x"><math><mi>p</mi></math></span></p></th>'
    context = {"body": body + "<td>" + body[17:-5] + "</td>"}
    repairs.mend_body(None, "", "", context, None)
    assert context["body"].count('<math aria-label="p">') == 1


def test_without_an_address_there_are_no_buttons_that_need_one():
    assert address.theme_options("") == {}
    options = address.theme_options("https://example.org/some/book")
    assert options["path_to_docs"] == "book" and "colab_url" in options["launch_buttons"]
