"""The explorers in Chromium, on a page made of `page_data` and the host: by hand, key, finger and URL."""

import random
import re

import pytest
from explorer_page import (
    check_glide,
    check_scalar,
    check_trust,
    conclusion_of,
    drag,
    drag_at_random,
    grip,
    page_of,
    rows_of,
    settle,
    state_of,
    swipe,
    value_of,
)

from fromage_edu.explorers import ScalarNetwork, TrustRegions

WIDTHS = pytest.mark.parametrize("width", [390, 1280])


def test_the_mouse_drags_the_step(show):
    page = show(TrustRegions())
    for view, sign in ((1, 1), (2, -1)):
        before = state_of(page, "TrustRegions") or {"depth": 30, "step": 0.1}
        drag(page, grip(view, name="TrustRegions"), (sign * 60, 15))
        after = state_of(page, "TrustRegions")
        assert (after["step"] - before["step"]) * sign > 0.02
        check_trust(page, **after)


def test_a_press_in_the_picture_moves_the_point_there(show):
    page = show(TrustRegions(depth=9))
    box = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    # At depth 9 the step axis runs from −40 % to 100 % over the picture's width, but for its margins.
    at = 4 + (box["width"] - 15) * (0.4 + 0.75) / 1.4
    page.mouse.click(box["x"] + at, box["y"] + 200)
    assert state_of(page, "TrustRegions")["step"] == pytest.approx(0.75, abs=0.006)


@pytest.mark.parametrize(
    ("view", "number", "moved"),
    [(1, 0, {"da", "db"}), (1, 1, {"da"}), (1, 2, {"db"}), (1, 3, {"a", "b"}), (2, 0, {"da", "db"})],
)
def test_the_mouse_drags_every_handle_of_the_scalar_network(show, view, number, moved):
    page = show(ScalarNetwork())
    before = {"a": 2, "b": 1, "da": 1, "db": 0.2}
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
    assert reached[0] == "1 layer, 50 %" and reached[-1] == "Reset"
    page.keyboard.press("Enter")
    settle(page)
    check_trust(page, 10, 0.1)
    page.locator("a").focus()
    leaked = page.evaluate("window.leaked ?? 0")
    page.keyboard.press("Tab")  # pressed on the link, outside: the page hears it
    assert (leaked, page.evaluate("window.leaked")) == (leaked, leaked + 1) and leaked <= 1


def test_a_finger_drags_the_handle_and_scrolls_beside_it(show):
    page = show(TrustRegions(), width=390, has_touch=True, is_mobile=True)
    page.locator(".fx-view >> nth=0").scroll_into_view_if_needed()
    box = page.locator(grip(1, name="TrustRegions")).bounding_box()
    assert min(box["width"], box["height"]) > 43.9
    scrolled = page.evaluate("scrollY")
    swipe(page, box["x"] + 30, box["y"] + 30, 90, 10)
    after = state_of(page, "TrustRegions")
    assert after["step"] > 0.25 and page.evaluate("scrollY") == scrolled
    picture = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    swipe(page, picture["x"] + 40, picture["y"] + 220, 0, -150)
    assert state_of(page, "TrustRegions") == after and page.evaluate("scrollY") > scrolled
    for control in page.locator(".fx button:visible, .fx input:visible").all():
        assert control.bounding_box()["height"] >= 44


@WIDTHS
def test_presets_and_reset(show, width):
    page = show(TrustRegions(depth=12, step=0.2), ScalarNetwork(a=2, b=0.5), width=width)
    for text, depth, step in (
        ("1 layer", 1, 0.5),
        ("30 layers", 30, 0.1),
        ("100 layers, 10", 100, 0.1),
        ("100 layers, 30", 100, 0.3),
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
        ("Reset", 1, 0.2),
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
    check_scalar(page, 2, 1, -1, 0.2)
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


@pytest.mark.result("F28")
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
    check_scalar(page, 0.001, -0.001, 1, 0.2)


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


def test_an_address_that_changes_while_another_waits_to_be_written_is_kept(show):
    page = show(TrustRegions())
    page.evaluate(
        """() => {
          const timers = window.setTimeout;
          window.due = [];
          window.setTimeout = (call, delay) => (delay === 250 ? window.due.push(call) : timers(call, delay));
        }"""
    )
    page.locator("input[data-key=depth]").press("Home")
    page.wait_for_function("window.due.length")
    # The host's moment comes after the change of address and before its event.
    page.evaluate("location.hash = 'TrustRegions?depth=9&step=0.5'; window.due.pop()()")
    page.wait_for_timeout(100)
    check_trust(page, 9, 0.5)
    assert page.evaluate("location.hash") == "#TrustRegions?depth=9&step=0.5"


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
    check_glide(show, TrustRegions, drawn, preset=3)


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


@pytest.mark.parametrize("cls", [TrustRegions, ScalarNetwork])
def test_random_dragging_does_no_harm(show, cls):
    check = check_trust if cls is TrustRegions else check_scalar
    drag_at_random(show(cls()), cls.__name__, check, turns=120)


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


def test_formulas_are_true_over_a_grid(show):
    """Every formula is evaluated as it is printed, cancellation and small steps included."""
    page = show(ScalarNetwork())
    hand = random.Random(3)
    changes = [0, 0.01, -0.01, 0.03, 1e-3, 1e-6, -0.5, 1 / 3, 1, 5]
    states = [(1, 1, u, v) for u in changes for v in changes]
    states += [(0.84, 1.7, -0.46, 2.1), (1.5, 1, 0.015, 0.01), (3, 7, 1, -1.75), (3, 7, 1, -1.7499)]
    states += [tuple(round(hand.uniform(-3, 3), 2) or 1 for _ in range(4)) for _ in range(60)]
    for state in states:
        page.evaluate("location.hash = '{}?a={}&b={}&da={}&db={}'".format("ScalarNetwork", *state))
        page.wait_for_timeout(20)
        check_scalar(page, *state)


def test_back_restores_the_opening_state_and_anchors_keep_it(show):
    page = show(TrustRegions(), ScalarNetwork())
    page.evaluate("location.hash = 'TrustRegions?depth=9;ScalarNetwork?a=0.5'")
    page.wait_for_timeout(50)
    page.evaluate("location.hash = 'TrustRegions?step=0.5'")  # begins from the opening
    page.wait_for_timeout(50)
    check_trust(page, 30, 0.5)
    check_scalar(page, 0.5, 1, 1, 0.2)  # it was not named
    page.evaluate("location.hash = 'end'")
    page.wait_for_timeout(50)
    check_trust(page, 30, 0.5)
    page.evaluate("history.go(-3)")
    page.wait_for_timeout(200)
    assert page.evaluate("location.hash") == ""
    check_trust(page, 30, 0.1)
    check_scalar(page, 2, 1, 1, 0.2)


def test_reset_gives_the_readers_own_anchor_back(show):
    page = show(TrustRegions(), hash="#end")
    page.locator("input[data-key=depth]").press("Home")
    assert state_of(page, "TrustRegions")["depth"] == 1
    page.locator(".fx-reset").click()
    assert state_of(page, "TrustRegions") is None
    assert page.evaluate("location.hash") == "#end"


def test_dragging_again_and_again_stays_readable(show):
    page = show(ScalarNetwork())
    for number in (3, 0, 3, 0, 3, 0, 3, 0):
        box = page.locator(grip(1, number)).bounding_box()
        drag(page, ".fx", (600, -400), (box["x"] + 22, box["y"] + 22))
    after = state_of(page, "ScalarNetwork")
    assert max(after["a"], after["b"]) <= 4 and max(after["da"], after["db"]) <= 6


def test_a_power_of_ten_is_bracketed_where_it_is_raised(show):
    page = show(TrustRegions(), hash="#TrustRegions?step=1e-300")
    formula = page.locator(".fx-formula").first.text_content().replace("\u00a0", " ")
    assert "(1 + (1 × 10⁻³⁰⁰)²)" in formula


def test_doubling_alone_meets_the_bound(show):
    page = show(ScalarNetwork(a=1, b=1, da=1, db=1))
    assert conclusion_of(page, "ScalarNetwork").endswith(
        "9 = 9: apart from not moving at all, only this change meets the bound."
    )
    page.evaluate("location.hash = 'ScalarNetwork?a=1&b=1&da=1.000001&db=1'")
    page.wait_for_timeout(50)
    assert "just below 100 % of the bound" in conclusion_of(page, "ScalarNetwork")
