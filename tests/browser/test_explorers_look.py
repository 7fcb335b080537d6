"""How explorers look: heights that stay, whole labels, other colors, larger text, no script, stills."""

import importlib.util
import random
import xml.etree.ElementTree
from pathlib import Path

import pytest
from explorer_page import (
    check_heights,
    check_scalar,
    check_trust,
    conclusion_of,
    faults_of_labels,
    frame_times,
    page_of,
    settle,
)

from fromage_edu.explorers import ScalarNetwork, TrustRegions

THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])


@THEMES
@WIDTHS
def test_the_opening_state_is_right_and_quiet(show, theme, width):
    page = show(TrustRegions(), ScalarNetwork(), theme=theme, width=width)
    check_trust(page, 30, 0.1)
    check_scalar(page, 2, 1, 1, 0.2)
    assert conclusion_of(page, "TrustRegions").startswith(
        "If all 30 layers grow by 10 %, the output of a linear chain grows by 1,645 % (1.1³⁰ − 1). "
        "Deep relative trust reads 0.348 and Euclidean trust 0.300;"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("location.hash") == ""
    tabs = page.locator(".fx-tabs").first
    assert tabs.is_visible() == (width == 390)
    pictures = page.locator(".explorer-ScalarNetwork .fx-view:visible").count()
    sliders = page.locator(".explorer-ScalarNetwork input:visible").count()
    assert (pictures, sliders) == ((1, 2) if width == 390 else (3, 4))


@THEMES
@WIDTHS
def test_axe_finds_nothing(show, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = show(TrustRegions(), ScalarNetwork(), theme=theme, width=width)
    for tab in range(3):
        for tabs in page.locator(".fx-tabs[aria-label=Picture]:visible").all():
            button = tabs.locator("button").nth(tab)
            if button.count():
                button.click()
        rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
        results = axe.run(page, options={"runOnly": rules})
        assert not results.response["violations"], results.generate_report()


# What a hand can reach.
DEPTHS, STEPS = [1, 2, 9, 30, 100, 440, 950, 1000], [0, 0.001, 0.0034, 0.0125, 0.1, 0.123, 0.305, 0.5, 1]


def reachable(count, seed=5):
    """Return the hashes of states that sliders and grips reach."""
    hand = random.Random(seed)
    states = [(1, 1, 0.01, 0.01), (1, 1, 1, 1), (1, 1, 1, -0.5), (1, 1, 0, 0)]
    while len(states) < count:
        sides = (round(hand.uniform(0.1, 4), 2) * hand.choice([1, 1, -1]) for _ in range(2))
        states.append((*sides, *(round(hand.uniform(-6, 6), 2) for _ in range(2))))
    return [
        f"#TrustRegions?depth={hand.choice(DEPTHS)}&step={hand.choice(STEPS)};"
        "ScalarNetwork?a={}&b={}&da={}&db={}".format(*state)
        for state in states
    ]


@pytest.mark.parametrize("finger", [False, True])
@pytest.mark.parametrize("width", [320, 344, 360, 390, 700, 1280])
def test_nothing_jumps(show, width, finger):
    """The space is there before the script runs, and no state and no tab needs more of it."""
    touch = {"has_touch": True, "is_mobile": True} if finger else {}
    page = show(TrustRegions(), ScalarNetwork(), width=width, **touch)
    check_heights(page, reachable(50), 3 if width < 640 else 1)


@pytest.mark.parametrize("width", [320, 640])
def test_text_fits_when_zoomed(show, width):
    """A window of 1280 px at 200 % is 640 px wide to the page; a phone at more, 320 px."""
    page = show(TrustRegions(depth=1000, step=0.5), ScalarNetwork(da=0.0123, db=-0.0456), width=width)
    for tab in range(3):
        for tabs in page.locator(".fx-tabs[aria-label=Picture]:visible").all():
            if tabs.locator("button").nth(tab).count():
                tabs.locator("button").nth(tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            """() => [...document.querySelectorAll('.fx-view > svg text')]
              .filter((text) => text.getClientRects().length)
              .filter((text) => {
                const box = text.getBoundingClientRect();
                const frame = text.closest('.fx-view').getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1;
              }).map((text) => text.textContent)"""
        )
        assert cut == []


def test_the_larger_text_of_a_reader_fits(show):
    page = show(TrustRegions(), ScalarNetwork(), width=1280)
    page.add_style_tag(content="html { font-size: 32px }")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


CUT_ONCE = [
    "#ScalarNetwork?a=1.6&b=0.97&da=1.456&db=-0.7566",
    "#ScalarNetwork?a=1.34&b=0.55&da=1.9832&db=-0.3025",
    "#ScalarNetwork?a=1.35&b=1&da=2.65&db=-0.95",
    "#ScalarNetwork?a=0.5&b=1.35&da=-2.25&db=2.15",
    "#ScalarNetwork?a=1000&b=1000&da=1000&db=-1000",
    "#ScalarNetwork?a=-1.2345&b=999.9&da=-0.12345&db=-999.9",
]


@pytest.mark.parametrize("width", [320, 360, 390, 1280])
def test_labels_are_whole_and_apart(show, width):
    page = show(TrustRegions(), ScalarNetwork(), width=width)
    assert faults_of_labels(page, CUT_ONCE + reachable(40)) == []


def test_a_reader_with_few_colors_sees_tracks_bars_and_the_chosen_tab(show):
    page = show(ScalarNetwork(), width=390, forced_colors="active")
    page.locator(".fx-tabs button", has_text="Proof").click()
    color = "(selector) => getComputedStyle(document.querySelector(selector)).backgroundColor"
    pressed, other, part = (
        page.evaluate(color, selector)
        for selector in (".fx-tabs [aria-pressed=true]", ".fx-tabs [aria-pressed=false]", ".fx-part")
    )
    paper = page.evaluate(color, "body")
    assert pressed != other and part not in (paper, "rgba(0, 0, 0, 0)")
    track = page.locator(".fx-slider input").first.bounding_box()
    strip = {**track, "y": track["y"] + track["height"] / 2 - 1, "height": 2}
    shot = page.screenshot(clip=strip)
    page.add_style_tag(content=".fx-slider input { visibility: hidden }")
    assert page.screenshot(clip=strip) != shot


@WIDTHS
def test_where_no_script_runs_there_is_no_hole(open_page, tmp_path, width):
    path = tmp_path / "bare.html"
    path.write_text(page_of([TrustRegions(), ScalarNetwork()]), encoding="utf-8")
    page = open_page(path.as_uri(), width=width, java_script_enabled=False)
    for place in page.locator(".explorer").all():
        said = place.locator("p").bounding_box()
        assert place.bounding_box()["height"] <= said["height"] + 40


def test_a_phone_at_200_percent_has_every_row_inside(show):
    page = show(TrustRegions(), ScalarNetwork(), width=195)
    for tab in range(3):
        for tabs in page.locator(".fx-tabs[aria-label=Picture]:visible").all():
            if tabs.locator("button").nth(tab).count():
                tabs.locator("button").nth(tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 195
        out = """[...document.querySelectorAll('.fx :not(svg *):not(.fx-spoken)')]
          .filter((one) => one.getBoundingClientRect().right > 196).map((one) => one.className)"""
        assert page.evaluate(out) == []


@pytest.mark.parametrize("cls", [TrustRegions, ScalarNetwork])
def test_a_frame_is_short(show, cls):
    """A redraw, the page's layout included, takes less than a frame: of sixty, the quicker half tells.

    The slower half is where another process had the processor.
    """
    page = show(cls())
    key = "depth" if cls is TrustRegions else "da"
    times = frame_times(page, key)
    assert len(times) >= 50 and times[len(times) // 4] < 16


def test_the_stills_show_what_is_drawn(chromium):
    """`make stills` would change nothing."""
    path = Path(__file__).parents[2] / "tools" / "stills.py"
    spec = importlib.util.spec_from_file_location("stills", path)
    stills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stills)
    for name, text in stills.draw(chromium).items():
        assert (stills.STILLS / f"{name}.svg").read_text(encoding="utf-8") == text, "run: make stills"
        xml.etree.ElementTree.fromstring(text)
