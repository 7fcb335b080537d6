"""How explorers look: heights that stay, whole labels, other colors, larger text, no script, stills."""

import importlib.util
import xml.etree.ElementTree
from pathlib import Path
from typing import NamedTuple

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
from explorer_states import (
    distance_states,
    first_states,
    geometry_states,
    hash_of,
    race_hash,
    race_states,
    surrogate_states,
)

from fromage_edu.explorers import (
    DeepTrust,
    DepthRace,
    ScalarNetwork,
    StepGeometry,
    SurrogateDerivation,
    TrustRegions,
    WideLayer,
)

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


class Look(NamedTuple):
    """Explorers that share a page, the states they are shown in, and how many pictures are chosen by tabs."""

    classes: tuple
    states: list
    labels: list
    narrow: int
    wide: int
    zoomed: tuple


LOOKS = {
    "first": Look(
        *((TrustRegions, ScalarNetwork), first_states(50), CUT_ONCE + first_states(40), 3, 1),
        ({"depth": 1000, "step": 0.5}, {"da": 0.0123, "db": -0.0456}),
    ),
    "distance": Look(
        *((DeepTrust, WideLayer), distance_states(40), distance_states(60), 2, 1),
        ({"depth": 50, "sizes": 1, "conditioning": 100}, {"size": 0.001}),
    ),
    "surrogate": Look(
        *((SurrogateDerivation,), surrogate_states(60), surrogate_states(60), 3, 1),
        ({"size": 100, "moving": 13, "slope": 0.001},),
    ),
    "race": Look(
        *((DepthRace,), list(map(race_hash, race_states(60))), list(map(race_hash, race_states(90)))),
        *(3, 1, ({"optimizer": 4, "rate": 1, "epoch": 31},)),
    ),
    # Its states choose the picture.
    "geometry": Look(
        *(
            (StepGeometry,),
            list(map(hash_of, geometry_states(25))),
            list(map(hash_of, geometry_states(90))),
            3,
            3,
        ),
        ({"angle": -123.4, "lr": 0.001},),
    ),
}
EACH = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


def opened(look):
    return [cls() for cls in look.classes]


def choose(page, tab, *kinds):
    """Press button `tab` of the tabs that have one; a picture that is chosen may hide the tabs of sliders."""
    for kind in kinds or ("Picture", "Sliders"):
        for tabs in page.locator(f".fx-tabs[aria-label={kind}]:visible").all():
            if tabs.locator("button").nth(tab).count():
                tabs.locator("button").nth(tab).click()
        settle(page)


@EACH
@THEMES
@WIDTHS
def test_axe_finds_nothing(show, look, theme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = show(*opened(look), theme=theme, width=width)
    for tab in range(3):
        choose(page, tab)
        rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
        results = axe.run(page, options={"runOnly": rules})
        assert not results.response["violations"], results.generate_report()


@EACH
@pytest.mark.parametrize(
    ("width", "finger"),
    [(320, True), (344, False), (360, False), (390, True), (390, False), (700, True), (1280, False)],
)
def test_nothing_jumps(show, look, width, finger):
    """The space is there before the script runs, and no state and no tab needs more of it."""
    touch = {"has_touch": True, "is_mobile": True} if finger else {}
    page = show(*opened(look), width=width, **touch)
    check_heights(page, look.states, look.narrow if width < 640 else look.wide)


@EACH
@pytest.mark.parametrize("width", [320, 360, 390, 640, 1280])
def test_labels_are_whole_and_apart(show, look, width):
    page = show(*opened(look), width=width)
    for tab in range(look.narrow if width < 640 and look.wide == 1 else 1):
        choose(page, tab, "Picture")
        assert faults_of_labels(page, look.labels) == []


OUT = """(width) => [...document.querySelectorAll('.fx :not(svg *):not(.fx-spoken)')]
  .filter((one) => one.getBoundingClientRect().right > width + 1).map((one) => one.className)"""
CUT = """() => [...document.querySelectorAll('.fx-view > svg text')]
  .filter((text) => text.getClientRects().length)
  .filter((text) => {
    const box = text.getBoundingClientRect();
    const frame = text.closest('.fx-view').getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1;
  }).map((text) => text.textContent)"""


@EACH
@pytest.mark.parametrize("width", [195, 320, 640])
def test_text_fits_when_zoomed(show, look, width):
    """A window of 1280 px at 200 % is 640 px wide to the page; a phone at 200 %, 195 px."""
    widgets = [cls(**state) for cls, state in zip(look.classes, look.zoomed, strict=True)]
    page = show(*widgets, width=width)
    for tab in range(3):
        choose(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUT, width) == []
        assert width < 320 or page.evaluate(CUT) == []


@EACH
@WIDTHS
def test_where_no_script_runs_there_is_no_hole(open_page, tmp_path, look, width):
    path = tmp_path / "bare.html"
    path.write_text(page_of(opened(look)), encoding="utf-8")
    page = open_page(path.as_uri(), width=width, java_script_enabled=False)
    for cls in look.classes:
        place = page.locator(f".explorer-{cls.__name__}")
        assert cls.still_alt in place.inner_text()
        height = place.bounding_box()["height"]
        assert height < 400 and height <= place.locator("p").bounding_box()["height"] + 40


@pytest.mark.parametrize(
    ("cls", "key", "state"),
    [
        *((TrustRegions, "depth", {}), (ScalarNetwork, "da", {})),
        *((DeepTrust, "depth", {}), (DeepTrust, "alignment", {})),
        *((WideLayer, "angle", {}), (WideLayer, "direction", {})),
        *((SurrogateDerivation, key, {}) for key in ("depth", "slope", "size")),
        *((DepthRace, key, {"depth": 40, "eps": 1e-30}) for key in ("epoch", "depth", "optimizer")),
        *((StepGeometry, "angle", {}), (StepGeometry, "steps", {"view": 2})),
        *((StepGeometry, key, {"view": 3}) for key in ("conditioning", "lr")),
    ],
)
def test_a_frame_is_short(show, cls, key, state):
    """A redraw, the page's layout included, takes less than a frame: of sixty, the quicker half tells.

    The slower half is where another process had the processor.
    """
    times = frame_times(show(cls(**state)), key)
    assert len(times) >= 50 and times[len(times) // 4] < 16


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


def test_the_stills_show_what_is_drawn(chromium):
    """`make stills` would change nothing."""
    path = Path(__file__).parents[2] / "tools" / "stills.py"
    spec = importlib.util.spec_from_file_location("stills", path)
    stills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stills)
    for name, text in stills.draw(chromium).items():
        assert (stills.STILLS / f"{name}.svg").read_text(encoding="utf-8") == text, "run: make stills"
        xml.etree.ElementTree.fromstring(text)
