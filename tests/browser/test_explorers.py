"""The explorers in Chromium, on a page made of `page_data` and the host: by hand, by key, by finger."""

import importlib.util
import math
import random
import re
from pathlib import Path

import pytest

from fromage_edu.bounds import scalar_bound
from fromage_edu.explorers import ScalarNetwork, TrustRegions
from fromage_edu.explorers.base import standalone_page
from fromage_edu.trust import deep_relative_trust


def page_of(widgets, theme="light"):
    """A standalone page with something around the explorers."""
    text = standalone_page(*widgets, theme=theme)
    text = text.replace("<main>", '<main><h1 id="top">Explorers</h1><p><a href="#end">to the end</a></p>')
    text = text.replace("</head>", "<style>a { color: inherit }</style></head>")
    return text.replace("</main>", '<p style="height: 900px" id="end">The end.</p></main>')


@pytest.fixture
def show(open_page, tmp_path):
    """Open a page of explorers, from disk."""

    def show_(*widgets, theme="light", hash="", **options):
        path = tmp_path / f"{theme}.html"
        path.write_text(page_of(widgets, theme), encoding="utf-8")
        page = open_page(path.as_uri() + hash, theme=theme, **options)
        ready = "document.querySelectorAll('.explorer[data-ready]').length"
        page.wait_for_function(f"{ready} === {len(widgets)}")
        return page

    return show_


def settle(page):
    """Wait until presets have glided and the picture is drawn."""
    page.wait_for_timeout(350)


def state_of(page, name):
    """What the URL says about an explorer: the exact state."""
    # A timer set after the host's own rings after it.
    page.evaluate("new Promise((done) => setTimeout(done, 260))")
    part = re.search(re.escape(name) + r"\?([^;]*)", page.evaluate("location.hash"))
    return {key: float(value) for key, value in re.findall(r"(\w+)=([^&;]+)", part[1])} if part else None


def value_of(text):
    """The number in a text such as 1,645 % or −1.7 × 10³³."""
    text = text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−\u00a0", "0123456789-- ")).replace(",", "")
    found = re.search(r"(-?\d+(?:\.\d+)?)(?: × 10(-?\d+))?( %)?", text)
    return float(found[1]) * 10.0 ** int(found[2] or 0) / (100 if found[3] else 1)


def rows_of(page, name):
    """The values of the formula's rows, once the state is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [value_of(text) for text in page.locator(f".explorer-{name} .fx-row .fx-value").all_inner_texts()]


def conclusion_of(page, name):
    return page.locator(f".explorer-{name} .fx-conclusion").inner_text().replace("\u00a0", " ")


def near(shown, exact):
    """Three digits are shown, two where a power of ten is; a percentage has one a hundred times earlier."""
    return shown == pytest.approx(exact, rel=0.04 if abs(exact) >= 9_995 or abs(exact) < 1e-4 else 0.006)


def check_trust(page, depth, step):
    """The numbers and the sentence of TrustRegions against the library."""
    depth = int(depth)
    deep, flat = deep_relative_trust([step] * depth).item(), depth * step**2
    chain = math.expm1(depth * math.log1p(step))
    for shown, exact in zip(rows_of(page, "TrustRegions"), (deep, flat, chain), strict=True):
        assert near(shown, exact), (depth, step)
    sentence = conclusion_of(page, "TrustRegions")
    if step == 0:
        assert sentence == "Without a step nothing moves, and both trusts read 0."
    elif depth == 1:
        assert near(value_of(sentence.split("r² = ")[1]), deep)
    else:
        assert near(value_of(sentence.split("can move a linear chain by ")[1]), chain)
        assert near(value_of(sentence.split("deep relative trust reads ")[1]), deep)
        assert chain**2 <= deep * (2.0**depth - 1) * (1 + 1e-9) if chain < 1e150 else True
        if "agrees within 1 %" in sentence:
            assert flat * (1 - 1e-9) <= deep <= 1.01 * flat
        else:
            assert near(value_of(re.split(r"Euclidean trust reads (?:only )?", sentence)[1]), flat)


def check_scalar(page, a, b, da, db):
    """The numbers and the sentence of ScalarNetwork against the library."""
    both = scalar_bound(a, b, da, db)
    measured, bound = both.measured.item(), both.bound.item()
    shown = rows_of(page, "ScalarNetwork")
    assert near(shown[1], bound)
    assert near(shown[0], measured) or abs(shown[0] - measured) < 1e-12 * bound
    sentence = conclusion_of(page, "ScalarNetwork")
    if da == db == 0:
        assert sentence == "Nothing moves: both sides are 0."
    elif "meets the bound" in sentence:
        assert measured == pytest.approx(bound, rel=1e-9)
        assert (da, db) == pytest.approx((a, b))
    elif "cancel" in sentence:
        assert measured < 1e-4 * bound and measured < 0.005**2
    else:
        assert near(value_of(sentence.split("squared this is ")[1]), measured)
        assert near(value_of(sentence.split(" of the bound ")[0].rsplit(", ", 1)[1]), measured / bound)


def drag(page, selector, to, start=None):
    """Press in the middle of an element (or at `start`), move by `to`, release."""
    box = page.locator(selector).bounding_box()
    x, y = start or (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(1, 6):
        page.mouse.move(x + to[0] * i / 5, y + to[1] * i / 5)
    page.mouse.up()


def grip(view, number=0, name="ScalarNetwork"):
    return f".explorer-{name} .fx-view:nth-child({view}) .fx-grip >> nth={number}"


THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])


@THEMES
@WIDTHS
def test_the_opening_state_is_right_and_quiet(show, theme, width):
    page = show(TrustRegions(), ScalarNetwork(), theme=theme, width=width)
    check_trust(page, 30, 0.1)
    check_scalar(page, 1.5, 1.0, 0.6, 0.5)
    assert conclusion_of(page, "TrustRegions").startswith(
        "At depth 30 a 10 % step in every layer can move a linear chain by 1,645 % (1.1³⁰ − 1); "
        "deep relative trust reads 0.348, and its constant 2³⁰ − 1 carries the rest."
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


def test_the_mouse_drags_the_step(show):
    page = show(TrustRegions())
    for view, sign in ((1, 1), (2, -1)):
        before = state_of(page, "TrustRegions") or {"depth": 30, "step": 0.1}
        drag(page, grip(view, name="TrustRegions"), (sign * 60, 15))
        after = state_of(page, "TrustRegions")
        assert (after["step"] - before["step"]) * sign > 0.02
        check_trust(page, **after)


def test_a_press_in_the_picture_moves_the_point_there(show):
    page = show(TrustRegions())
    box = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    # The step axis runs from −40 % to 100 % over the picture's width, but for 4 px on both sides.
    at = 4 + (box["width"] - 8) * (0.4 + 0.75) / 1.4
    page.mouse.click(box["x"] + at, box["y"] + 200)
    assert state_of(page, "TrustRegions")["step"] == pytest.approx(0.75, abs=0.006)


@pytest.mark.parametrize(
    ("view", "number", "moved"),
    [(1, 0, {"da", "db"}), (1, 1, {"da"}), (1, 2, {"db"}), (1, 3, {"a", "b"}), (2, 0, {"da", "db"})],
)
def test_the_mouse_drags_every_handle_of_the_scalar_network(show, view, number, moved):
    page = show(ScalarNetwork())
    before = {"a": 1.5, "b": 1.0, "da": 0.6, "db": 0.5}
    drag(page, grip(view, number), (-25, 20))
    after = state_of(page, "ScalarNetwork")
    assert {key for key in after if after[key] != before[key]} == moved
    assert all(after[key] < before[key] for key in moved)
    check_scalar(page, **after)


def test_the_map_and_the_sliders_are_linked(show):
    page = show(ScalarNetwork())
    drag(page, grip(2), (40, -30))
    after = state_of(page, "ScalarNetwork")
    texts = page.locator(".explorer-ScalarNetwork .fx-caption .fx-value").all_inner_texts()
    expected = [after[key] for key in ("da", "db", "a", "b")]
    assert [value_of(text) for text in texts] == pytest.approx(expected, abs=1e-3)


def test_the_keyboard_alone_reaches_everything(show):
    page = show(TrustRegions(depth=10))
    page.evaluate("document.addEventListener('keydown', () => { window.leaked = (window.leaked ?? 0) + 1 })")
    page.locator("a").focus()
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.dataset.key") == "depth"
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    expected = {"ArrowRight": 11, "ArrowUp": 12, "ArrowLeft": 11, "Home": 1, "End": 1000}
    for key, depth in expected.items():
        page.keyboard.press(key)
        assert state_of(page, "TrustRegions")["depth"] == depth, key
        spoken = page.evaluate(f"{focused}.getAttribute('aria-valuetext')")
        assert spoken == ("1 layer" if depth == 1 else f"{depth:,} layers")
    page.keyboard.press("PageDown")
    lower = state_of(page, "TrustRegions")["depth"]
    assert 300 < lower < 1000
    page.keyboard.press("PageUp")
    assert state_of(page, "TrustRegions")["depth"] == 1000
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    check_trust(page, 1000, 1.0)
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(f"{focused}.textContent"))
    assert reached[0] == "one layer: they agree" and reached[-1] == "Reset"
    page.keyboard.press("Enter")
    settle(page)
    check_trust(page, 10, 0.1)
    page.locator("a").focus()
    leaked = page.evaluate("window.leaked ?? 0")
    page.keyboard.press("Tab")  # pressed on the link, outside: the page hears it
    assert (leaked, page.evaluate("window.leaked")) == (leaked, leaked + 1) and leaked <= 1


def test_a_finger_drags_the_handle_and_scrolls_beside_it(show):
    page = show(TrustRegions(), width=390, has_touch=True, is_mobile=True)
    session = page.context.new_cdp_session(page)

    def swipe(x, y, dx, dy):
        def touch(kind, points):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", [{"x": x, "y": y}])
        for i in range(1, 9):
            touch("touchMove", [{"x": x + dx * i / 8, "y": y + dy * i / 8}])
            page.wait_for_timeout(16)
        touch("touchEnd", [])
        page.wait_for_timeout(200)

    page.locator(".fx-view >> nth=0").scroll_into_view_if_needed()
    box = page.locator(grip(1, name="TrustRegions")).bounding_box()
    assert min(box["width"], box["height"]) >= 44
    scrolled = page.evaluate("scrollY")
    swipe(box["x"] + 30, box["y"] + 30, 90, 10)
    after = state_of(page, "TrustRegions")
    assert after["step"] > 0.25 and page.evaluate("scrollY") == scrolled
    picture = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    swipe(picture["x"] + 40, picture["y"] + 220, 0, -150)
    assert state_of(page, "TrustRegions") == after and page.evaluate("scrollY") > scrolled
    for control in page.locator(".fx button:visible, .fx input:visible").all():
        assert control.bounding_box()["height"] >= 44


@WIDTHS
def test_presets_and_reset(show, width):
    page = show(TrustRegions(depth=12, step=0.2), ScalarNetwork(a=2, b=0.5), width=width)
    for text, depth, step in (
        ("one layer", 1, 0.5),
        ("30 layers, 10", 30, 0.1),
        ("30 layers, 1\u00a0%", 30, 0.01),
        ("100 layers", 100, 0.3),
        ("Reset", 12, 0.2),
    ):
        page.locator(".explorer-TrustRegions button", has_text=text).first.click()
        settle(page)
        check_trust(page, depth, step)
    for text, da, db in (
        ("equality", 2, 0.5),
        ("cancellation", 2, -0.25),
        ("small step", 0.02, 0.005),
        ("opposite", 0.02, -0.005),
        ("Reset", 0.6, 0.5),
    ):
        page.locator(".explorer-ScalarNetwork button", has_text=text).click()
        settle(page)
        check_scalar(page, 2, 0.5, da, db)
        if text == "equality":
            assert rows_of(page, "ScalarNetwork") == [9, 9]
    assert state_of(page, "TrustRegions") is None  # all back: nothing left in the URL


def test_the_url_carries_the_state_from_disk(show):
    both = "#TrustRegions?depth=100&step=0.3;ScalarNetwork?a=2&da=-1"
    page = show(TrustRegions(), ScalarNetwork(), hash=both)
    check_trust(page, 100, 0.3)
    check_scalar(page, 2, 1, -1, 0.5)
    page.locator("input[data-key=depth]").press("Home")
    assert state_of(page, "TrustRegions") == {"depth": 1, "step": 0.3}
    assert state_of(page, "ScalarNetwork")["a"] == 2


def test_the_url_carries_the_state_over_http(open_page, serve, tmp_path):
    (tmp_path / "served.html").write_text(page_of([TrustRegions()]), encoding="utf-8")
    page = open_page(serve(tmp_path) + "/served.html#TrustRegions?depth=7")
    page.wait_for_selector(".explorer[data-ready]")
    check_trust(page, 7, 0.1)
    page.evaluate("location.hash = 'TrustRegions?depth=9&step=0.5'")
    page.wait_for_timeout(100)
    check_trust(page, 9, 0.5)


@pytest.mark.parametrize(
    ("hash", "depth", "step"),
    [
        ("#TrustRegions?depth=9999&step=-3", 1000, 0),
        ("#TrustRegions?depth=2.6&step=0.25", 3, 0.25),
        ("#TrustRegions?depth=&step=NaN", 30, 0.1),
        ("#TrustRegions?depth=Infinity&step=1e999", 30, 0.1),
        ("#TrustRegions?depth=ten&colour=red&constructor=1&__proto__=2", 30, 0.1),
        ("#TrustRegions?%E0%A4%A&depth=5", 5, 0.1),
        ("#TrustRegions?depth=5&depth=6;;?&=;TrustRegions", 6, 0.1),
        ("#TrustRegions-9?depth=5", 30, 0.1),
        ("#TrustRegions", 30, 0.1),
        ("#?", 30, 0.1),
    ],
)
def test_a_malformed_url_does_no_harm(show, hash, depth, step):
    check_trust(show(TrustRegions(), hash=hash), depth, step)


@pytest.mark.parametrize("cls", [TrustRegions, ScalarNetwork])
def test_the_page_has_the_ranges_of_python(show, cls):
    page, name = show(cls()), cls.__name__
    for end in ("low", "high"):
        far = "&".join(f"{key}={-1e9 if end == 'low' else 1e9}" for key in cls.quantities())
        page.evaluate(f"location.hash = '{name}?{far}'")
        page.wait_for_timeout(100)
        assert state_of(page, name) == {key: getattr(trait, end) for key, trait in cls.quantities().items()}


def test_numbers_and_sentence_are_true_at_the_ends(show):
    page = show(TrustRegions(), ScalarNetwork())
    for depth in (1, 2, 37, 1000):
        for step in (1e-300, 1e-9, 1e-5, 0.0003, 0.123456, 1):
            page.evaluate(f"location.hash = 'TrustRegions?depth={depth}&step={step}'")
            page.wait_for_timeout(50)
            check_trust(page, depth, step)
    for a, b, da, db in (
        (0.001, 1000, 1000, -1000),  # a vast change of one weight, the other lost: nothing cancels
        (1, 1, 1, -0.5),
        (1, 1, 1, -0.4999),
        (1, 1, 1e-9, 1e-9),
        (-2, 3, -2, 3),
        (1, 1, -2, -2),
        (1, 1, 0, 0),
    ):
        page.evaluate(f"location.hash = 'ScalarNetwork?a={a}&b={b}&da={da}&db={db}'")
        page.wait_for_timeout(50)
        check_scalar(page, a, b, da, db)


def test_a_weight_from_the_url_is_kept_away_from_zero(show):
    page = show(ScalarNetwork(), hash="#ScalarNetwork?a=0&b=-1e-9")
    check_scalar(page, 0.001, -0.001, 0.6, 0.5)


def test_anchors_of_the_page_still_work(show):
    page = show(TrustRegions(), hash="#end")
    page.wait_for_timeout(100)
    assert page.evaluate("scrollY") > 100 and page.evaluate("location.hash") == "#end"
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == "#end"
    page.locator("input[data-key=depth]").press("Home")
    assert state_of(page, "TrustRegions") == {"depth": 1, "step": 0.1}
    page.locator("a").click()
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == "#end"
    assert value_of(page.locator(".fx-caption .fx-value").first.inner_text()) == 1


def test_two_instances_do_not_meet(show):
    page = show(TrustRegions(), TrustRegions(depth=5), hash="#TrustRegions-2?depth=50")
    first, second = (page.locator(".explorer").nth(i) for i in range(2))
    depth = lambda place: place.locator(".fx-caption .fx-value").first.inner_text()  # noqa: E731
    assert (depth(first), depth(second)) == ("30\u00a0layers".replace("\u00a0", " "), "50 layers")
    first.locator("input[data-key=depth]").press("Home")
    page.wait_for_timeout(100)
    assert (depth(first), depth(second)) == ("1 layer", "50 layers")
    assert state_of(page, "TrustRegions-2")["depth"] == 50
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
    assert len(identifiers) == len(set(identifiers))


def test_one_model_in_two_places_moves_both(open_page, tmp_path):
    text = page_of([TrustRegions()])
    place = re.search(r'<div class="explorer.*?</div>', text, re.DOTALL)[0]
    (tmp_path / "twice.html").write_text(text.replace(place, place * 2), encoding="utf-8")
    page = open_page((tmp_path / "twice.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.explorer[data-ready]').length === 2")
    page.locator("input[data-key=depth]").first.press("Home")
    page.wait_for_timeout(100)
    assert page.locator(".fx-caption .fx-value >> nth=2").inner_text() == "1 layer"


def test_presets_glide_unless_motion_is_reduced(show):
    drawn = "document.querySelector('.fx-view:nth-child(2) .fx-grip').getAttribute('transform')"
    for motion, glides in (("no-preference", True), ("reduce", False)):
        page = show(TrustRegions(), reduced_motion=motion)
        after = page.evaluate(
            f"""async () => {{
              document.querySelectorAll('.fx-presets button')[3].click();
              await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
              return {drawn};
            }}"""
        )
        settle(page)
        assert (after != page.evaluate(drawn)) == glides


def test_the_sentence_is_announced_once_the_hand_rests(show):
    page = show(TrustRegions())
    spoken = page.locator(".fx-spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    page.wait_for_timeout(1000)
    assert spoken.text_content() == ""  # nothing was moved
    slider = page.locator("input[data-key=depth]")
    for _ in range(5):
        slider.press("ArrowRight")
        assert spoken.text_content() == ""
    page.wait_for_timeout(1000)
    assert spoken.text_content() == page.locator(".fx-conclusion").text_content()


def test_the_picture_is_described_with_its_numbers(show):
    page = show(TrustRegions(), ScalarNetwork())
    for svg in page.locator(".fx-view > svg").all():
        assert svg.get_attribute("role") == "img" and len(svg.get_attribute("aria-label")) > 60
    before = page.locator(".fx-view > svg").first.get_attribute("aria-label")
    page.locator("input[data-key=depth]").press("End")
    page.wait_for_timeout(100)
    assert page.locator(".fx-view > svg").first.get_attribute("aria-label") != before


@WIDTHS
def test_nothing_jumps(show, width):
    """The space is there before the script runs, and no state needs more of it."""
    page = show(TrustRegions(), ScalarNetwork(), width=width)
    heights = "[...document.querySelectorAll('{}')].map((one) => one.getBoundingClientRect().height)"
    heights, inner = heights.format(".explorer"), heights.format(".fx")
    bare = page.evaluate(
        """() => [...document.querySelectorAll('.explorer')].map((place) => {
          const copy = place.cloneNode(false);
          place.after(copy);
          const { height } = copy.getBoundingClientRect();
          copy.remove();
          return height;
        })"""
    )
    assert page.evaluate(heights) == bare
    # Space that is kept for nothing is a gap.
    for kept, used in zip(bare, page.evaluate(inner), strict=True):
        assert 0 <= kept - used < 30
    for hash in (
        "TrustRegions?depth=1000&step=1;ScalarNetwork?a=0.001&b=1000&da=1000&db=-1000",
        "TrustRegions?depth=999&step=0.0123;ScalarNetwork?a=-1.2345&b=1.1111&da=-0.1234&db=0.4321",
        "TrustRegions?depth=2&step=0;ScalarNetwork?a=1&b=1&da=0&db=0",
    ):
        page.evaluate(f"location.hash = '{hash}'")
        page.wait_for_timeout(100)
        assert page.evaluate(heights) == bare, hash


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


BAD = re.compile(r"NaN|Infinity|undefined|null|\d[eE][+-]?\d")


@pytest.mark.parametrize("cls", [TrustRegions, ScalarNetwork])
def test_random_dragging_does_no_harm(show, cls):
    """A careless hand: no error, no strange number, and every number is the library's."""
    name, hand = cls.__name__, random.Random(0)
    page = show(cls())
    check = check_trust if cls is TrustRegions else check_scalar
    grips, sliders = page.locator(".fx-grip"), page.locator("input")
    for turn in range(120):
        kind = hand.random()
        if kind < 0.6:
            number = hand.randrange(grips.count())
            box = grips.nth(number).bounding_box()
            start = box["x"] + 22, box["y"] + 22
            drag(page, ".fx", (hand.uniform(-300, 300), hand.uniform(-300, 300)), start)
        elif kind < 0.85:
            slider = sliders.nth(hand.randrange(sliders.count()))
            slider.press(hand.choice(["Home", "End", "PageUp", "PageDown", "ArrowLeft", "ArrowRight"]))
        else:
            buttons = page.locator(".fx-presets button")
            buttons.nth(hand.randrange(buttons.count())).click()
        if turn % 6 == 0:
            state = state_of(page, name)
            if state:
                check(page, **state)
        text = page.evaluate(f"document.querySelector('.explorer-{name}').innerHTML")
        assert not BAD.search(re.sub(r"#[\w]+", "", text)), BAD.search(text)


@pytest.mark.parametrize("cls", [TrustRegions, ScalarNetwork])
def test_a_frame_is_short(show, cls):
    """Each redraw, the page's layout included, takes less than a frame: the median over sixty moves."""
    page = show(cls())
    key = "depth" if cls is TrustRegions else "da"
    times = page.evaluate(
        f"""async () => {{
          const input = document.querySelector('input[data-key={key}]'), times = [];
          const next = window.requestAnimationFrame.bind(window);
          window.requestAnimationFrame = (draw) => next((now) => {{
            const start = performance.now();
            draw(now);
            document.body.getBoundingClientRect();
            times.push(performance.now() - start);
          }});
          for (let i = 0; i < 60; i++) {{
            input.value = i;
            input.dispatchEvent(new Event('input', {{ bubbles: true }}));
            await new Promise((done) => next(() => next(done)));
          }}
          return times.sort((x, y) => x - y);
        }}"""
    )
    print(f"{cls.__name__}: median {times[len(times) // 2]:.1f} ms, slowest {times[-1]:.1f} ms")
    assert len(times) >= 50 and times[len(times) // 2] < 16


def test_an_explorer_that_fails_says_so(open_page, tmp_path, chromium):
    """A broken module leaves a sentence in its place and lets the others draw."""
    text = page_of([TrustRegions(), ScalarNetwork()])
    text = text.replace("export default instrument({", "export default broken({", 1)
    path = tmp_path / "broken.html"
    path.write_text(text, encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(".explorer-ScalarNetwork[data-ready]")
    assert page.locator(".explorer-TrustRegions").inner_text() == "This explorer could not be drawn."
    page.close()


def test_the_stills_show_what_is_drawn(chromium):
    """`make stills` would change nothing."""
    path = Path(__file__).parents[2] / "tools" / "stills.py"
    spec = importlib.util.spec_from_file_location("stills", path)
    stills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stills)
    for name, text in stills.draw(chromium).items():
        assert (stills.STILLS / f"{name}.svg").read_text(encoding="utf-8") == text, "run: make stills"
