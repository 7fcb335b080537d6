"""SurrogateDerivation in Chromium: by hand, key, finger and URL, at every width, in both themes."""

import re

import pytest
from explorer_page import (
    check_finger,
    check_glide,
    conclusion_of,
    drag,
    drag_at_random,
    go,
    grip,
    near,
    rows_of,
    settle,
    state_of,
    value_of,
)
from explorer_states import surrogate_states

from fromage_edu.explorers import SurrogateDerivation
from fromage_edu.trust import deep_relative_trust, exact_sizes, surrogate_sizes, surrogate_trust

NAME = "SurrogateDerivation"
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])
OPENING = {"depth": 20, "size": 0.1, "moving": 20, "slope": 3}
press = lambda page, key, *keys: [page.locator(f"input[data-key={key}]").press(one) for one in keys]  # noqa: E731


def check(page, depth, size, moving, slope):
    """The numbers and the sentence against the library."""
    depth, moving = int(depth), min(int(moving), int(depth))
    sizes = [size] * moving + [0.0] * (depth - moving)
    deep, surrogate = deep_relative_trust(sizes).item(), surrogate_trust(sizes).item()
    step = surrogate_sizes([slope] * depth)[0].item()
    large, small = sorted(exact_sizes([slope] * 2).tolist(), reverse=True)
    shown, state = rows_of(page, NAME), (depth, size, moving, slope)
    for found, exact in zip(shown, (deep, surrogate, surrogate / deep, step, large), strict=True):
        assert near(found, exact), state
    pair = page.locator(f".explorer-{NAME} .fx-row .fx-value").last.inner_text()
    sentence = conclusion_of(page, NAME)
    comparison, layer, two = re.fullmatch(r"(.*?)\.? (Under D′ .*?) (Under D itself .*)", sentence).groups()
    if depth == 1:
        assert comparison.startswith("With one layer the surrogate is D itself")
        assert deep == pytest.approx(surrogate, rel=1e-12)
    else:
        assert near(value_of(comparison.split("D reads ")[1]), deep), sentence
        assert near(value_of(comparison.split(" D′ ")[1]), surrogate), sentence
        share = value_of(comparison.split(": ")[1])
        assert near(share, surrogate / deep), sentence
        assert ("no lower bound" in comparison) == (surrogate > deep * (1 + 1e-9))
        assert ("no upper bound" in comparison) == (surrogate < deep and moving < depth)
        assert ("They meet" in comparison) == (moving == depth)
    assert near(value_of(layer.split("t = ")[1]), slope) and near(value_of(layer.split("r = ")[1]), step)
    assert ("same at every depth" in layer) == (slope == 1)
    if slope > 2:
        assert near(value_of(pair.split(",")[1]), small)
        assert near(value_of(two.split("one steps by ")[1]), large)
        assert near(value_of(two.split("the other by ")[1]), small)
    else:
        assert pair.endswith("each") and large == pytest.approx(small, rel=1e-4)
        assert near(value_of(two.split("alike, by ")[1]), large)


@THEMES
@WIDTHS
def test_the_opening_state_shows_the_point(show, theme, width):
    page = show(SurrogateDerivation(), theme=theme, width=width)
    check(page, **OPENING)
    assert conclusion_of(page, NAME).startswith(
        "If all 20 layers change by r = 0.1, D reads 0.220 and D′ 1.0 × 10⁻⁴⁰: 4.5 × 10⁻⁴⁰ of D."
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("location.hash") == ""
    assert page.locator(".fx-view:visible").count() == (1 if width == 390 else 3)
    assert page.locator("input:visible").count() == (2 if width == 390 else 4)


@WIDTHS
def test_presets_tell_the_story_each_with_its_picture(show, width):
    page = show(SurrogateDerivation(depth=7), width=width)
    state = {**OPENING, "depth": 7}
    for text, view, patch in (
        ("a step of 1 %", 0, {"depth": 20, "size": 0.01, "moving": 20}),
        ("no bound", 0, {"depth": 2, "size": 2, "moving": 1}),
        ("the split", 2, {"slope": 3}),
        ("Figure 3", 0, {"depth": 20, "size": 10, "moving": 20}),
        ("tiny slope, deep", 1, {"depth": 20, "slope": 0.01}),
    ):
        page.locator(".fx-presets button", has_text=text).click()
        settle(page)
        state |= patch
        check(page, **state)
        if width == 390:
            chosen = "[...document.querySelectorAll('.fx-view')].findIndex((one) => one.clientWidth > 0)"
            assert page.evaluate(chosen) == view
        if text == "no bound":
            # The ratio is above its strip: an arrow stands where a mark would be off the curve.
            assert page.locator(".fx-view:nth-child(1) .fx-head").count() == 1
            assert "D reads 4.00 and D′ 8.00: 2.00 times D, so D′ is no lower bound" in conclusion_of(
                page, NAME
            )
    page.locator(".fx-reset").click()
    settle(page)
    check(page, **{**OPENING, "depth": 7})
    assert state_of(page, NAME) is None


@pytest.mark.parametrize(
    ("view", "to", "moved", "grows"),
    [(1, (80, 10), "size", True), (2, (-30, 0), "slope", False), (3, (-40, -20), "slope", False)],
)
def test_the_mouse_drags_what_is_drawn(show, view, to, moved, grows):
    page = show(SurrogateDerivation(depth=3))
    before = {**OPENING, "depth": 3}
    drag(page, grip(view, name=NAME), to)
    after = state_of(page, NAME)
    assert {key for key in after if after[key] != before[key]} == {moved}
    assert (after[moved] > before[moved]) == grows
    check(page, **after)


def test_a_minimum_follows_the_hand_through_the_split(show):
    """The hand goes down the hyperbola and the diagonal; either minimum may be pressed."""
    page = show(SurrogateDerivation())
    box = page.locator(".fx-view:nth-child(3) > svg").bounding_box()
    side = min(box["height"] - 56, box["width"] - 84)
    left, bottom = box["x"] + (box["width"] - side) / 2, box["y"] + 20 + side
    at = lambda one, other: (left + one / 3 * side, bottom - other / 3 * side)  # noqa: E731
    for one, other, slope in ((1.5, 0.67, 1.5 + 1 / 1.5), (0.5, 0.5, 0.625), (0.5, 2, 2.5)):
        page.mouse.click(*at(one, other))
        assert state_of(page, NAME)["slope"] == pytest.approx(slope, rel=0.02)
        check(page, **state_of(page, NAME))
    marks = page.locator(".fx-view:nth-child(3) circle.fx-mark")
    assert marks.count() == 1
    page.mouse.click(*at(0.7, 0.7))
    settle(page)
    assert marks.count() == 0  # one minimum: the handle is on it


def test_a_finger_drags_the_minimum_and_scrolls_beside_it(show):
    page = show(SurrogateDerivation(), width=390, has_touch=True, is_mobile=True)
    page.locator(".fx-tabs button", has_text="Two layers").click()
    assert check_finger(page, NAME, 3, along=(-60, -20), beside=(20, 200))["slope"] < 2.6


def test_the_keyboard_alone_reaches_everything(show):
    page = show(SurrogateDerivation())
    press(page, "depth", "Home", "ArrowRight", "ArrowRight")
    press(page, "moving", "ArrowLeft")
    press(page, "slope", "End", "ArrowLeft")
    press(page, "size", "Home", "ArrowRight")
    after = state_of(page, NAME)
    assert after == {"depth": 3, "size": 0.012, "moving": 2, "slope": 9.5}
    check(page, **after)
    spoken = lambda key: page.locator(f"input[data-key={key}]").get_attribute("aria-valuetext")  # noqa: E731
    assert [spoken(key) for key in ("depth", "slope", "size", "moving")] == [
        "3 layers",
        "9.5",
        "0.012",
        "2 of 3",
    ]
    press(page, "slope", "PageDown")
    assert state_of(page, NAME)["slope"] < 6
    page.locator("a").first.focus()
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        focused = "document.activeElement.dataset.key ?? document.activeElement.textContent"
        reached.append(page.evaluate(focused))
    assert reached[:4] == ["depth", "slope", "size", "moving"]
    assert reached[4] == "a step of 1 %" and reached[9] == "Reset"


def test_a_key_acts_on_what_the_last_key_did_also_before_it_is_drawn(show):
    page = show(SurrogateDerivation())
    page.evaluate("window.requestAnimationFrame = (draw) => setTimeout(draw, 400, performance.now())")
    press(page, "depth", "Home", "ArrowRight", "ArrowRight")
    press(page, "moving", "ArrowLeft")
    assert state_of(page, NAME) == {**OPENING, "depth": 3, "moving": 2}


def test_the_url_carries_the_state_from_disk(show):
    page = show(SurrogateDerivation(), hash=f"#{NAME}?depth=4&moving=3&slope=0.5")
    check(page, 4, 0.1, 3, 0.5)
    press(page, "depth", "Home")
    # How many layers change is remembered for when there are as many again.
    assert state_of(page, NAME) == {**OPENING, "depth": 1, "moving": 3, "slope": 0.5}
    check(page, 1, 0.1, 1, 0.5)


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ("depth=99&size=-1&moving=0&slope=1e9", (20, 0.01, 1, 10)),
        ("depth=2.4&size=NaN&slope=", (2, 0.1, 2, 3)),
        ("size=1,2&slope=Infinity&depth=ten&view=2", (20, 0.1, 20, 3)),
        ("__proto__=1&constructor=2&%E0%A4%A", (20, 0.1, 20, 3)),
    ],
)
def test_a_malformed_url_does_no_harm(show, query, state):
    check(show(SurrogateDerivation(), hash=f"#{NAME}?{query}"), *state)


def test_the_page_has_the_ranges_of_python(show):
    page = show(SurrogateDerivation())
    for end in ("low", "high"):
        far = "&".join(f"{key}={-1e9 if end == 'low' else 1e9}" for key in SurrogateDerivation.quantities())
        go(page, f"#{NAME}?{far}")
        ends = {key: getattr(trait, end) for key, trait in SurrogateDerivation.quantities().items()}
        assert state_of(page, NAME) == (None if ends == OPENING else ends)


@pytest.mark.result("F21")
@pytest.mark.result("F22")
@pytest.mark.result("X5")
def test_numbers_and_sentence_are_true_at_the_ends(show):
    page = show(SurrogateDerivation())
    for hash in surrogate_states(60):
        go(page, hash)
        check(page, **{key: float(text) for key, text in re.findall(r"(\w+)=([^&;]+)", hash)})


def test_random_dragging_does_no_harm(show):
    drag_at_random(show(SurrogateDerivation()), NAME, check)


def test_presets_glide_unless_motion_is_reduced(show):
    drawn = "document.querySelector('.fx-view:nth-child(3) .fx-grip').getAttribute('transform')"
    check_glide(show, SurrogateDerivation, drawn, preset=3)
