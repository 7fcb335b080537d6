"""DeepTrust and WideLayer in Chromium: by hand, key, finger and URL, at every width, in both themes."""

import re

import pytest
from explorer_page import (
    check_deep,
    check_glide,
    check_wide,
    conclusion_of,
    drag,
    drag_at_random,
    go,
    grip,
    rows_of,
    settle,
    state_of,
    swipe,
)
from explorer_states import distance_states

from fromage_edu.explorers import DeepTrust, WideLayer

THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])
CLASSES = pytest.mark.parametrize("cls", [DeepTrust, WideLayer])
OPENING = {"depth": 30, "sizes": [0.1], "layer": 15, "alignment": 0, "conditioning": 1}


@THEMES
@WIDTHS
def test_the_opening_state_shows_the_point(show, theme, width):
    page = show(DeepTrust(), WideLayer(), theme=theme, width=width)
    check_deep(page, 30, [0.1])
    check_wide(page, 84, 0.5, 90)
    assert conclusion_of(page, "DeepTrust").startswith(
        "The squares add up to S = 0.300 and compound to D = 0.348."
    )
    assert page.locator(".explorer-WideLayer .fx-name >> nth=1").inner_text() == "Theorem 1 fails"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("location.hash") == ""
    for name, sliders in (("DeepTrust", 6), ("WideLayer", 3)):
        shown = page.locator(f".explorer-{name} .fx-view:visible").count()
        assert shown == (1 if width == 390 else 2)
        narrow = min(sliders, 3) if name == "WideLayer" else 2
        assert page.locator(f".explorer-{name} input:visible").count() == (
            narrow if width == 390 else sliders
        )


@WIDTHS
def test_presets_tell_the_story(show, width):
    page = show(DeepTrust(depth=12, conditioning=100), WideLayer(angle=10), width=width)
    big = [0.01] * 14 + [1, 0.01]
    for text, depth, sizes, alignment in (
        ("one layer", 1, [0.5], 0),
        ("equal steps", 30, [0.1], 0),
        ("one big layer", 30, big, 0),
        ("errors that line up", 30, [0.1], 1),
        ("Reset", 12, [0.1], 0),
    ):
        page.locator(".explorer-DeepTrust .fx-presets button", has_text=text).click()
        settle(page)
        check_deep(page, depth, sizes, alignment, conditioning=100 if text == "Reset" else 1)
    for text, angle, size, direction in (
        ("x in the row space", 0, 0.5, 90),
        ("ΔW along W", 84, 0.5, 0),
        ("x near the null space", 84, 0.5, 90),
        ("tiny ΔW", 84, 0.01, 90),
        ("Reset", 10, 0.5, 90),
    ):
        page.locator(".explorer-WideLayer .fx-presets button", has_text=text).click()
        settle(page)
        check_wide(page, angle, size, direction)
        verdict = page.locator(".explorer-WideLayer .fx-name >> nth=1").inner_text()
        assert verdict == (
            "Theorem 1 fails" if text in ("x near the null space", "tiny ΔW") else "Theorem 1 holds"
        )
    assert state_of(page, "DeepTrust") is None and state_of(page, "WideLayer") is None


def test_the_mouse_drags_the_bar_it_presses(show):
    page = show(DeepTrust(depth=10))
    box = page.locator(".explorer-DeepTrust .fx-view:nth-child(1) > svg").bounding_box()
    left, right = box["x"] + 47, box["x"] + box["width"] - 88
    bottom = box["y"] + box["height"] - 36
    middle = lambda layer: left + (right - left) * (layer - 0.5) / 10  # noqa: E731
    # Bars of 10 % stand in a strip of 70 pixels that ends at 20 %.
    drag(page, ".fx", (30, -35), (middle(3), bottom - 20))
    after = state_of(page, "DeepTrust")
    assert after["layer"] == 3
    assert after["sizes"][:2] == [0.1, 0.1] and after["sizes"][3:] == [0.1]
    assert after["sizes"][2] == pytest.approx(55 / 70 * 0.2, abs=0.002)
    check_deep(page, **after)
    # The last layer: the list grows only as far as it must.
    drag(page, ".fx", (0, 60), (middle(10), bottom - 20))
    assert state_of(page, "DeepTrust")["sizes"][9:] == [0, 0.1]


def test_the_mouse_drags_the_depth(show):
    page = show(DeepTrust())
    drag(page, grip(2, name="DeepTrust"), (-60, 5))
    after = state_of(page, "DeepTrust")
    assert 8 < after["depth"] < 27 and after["sizes"] == [0.1]
    check_deep(page, **after)


@pytest.mark.parametrize(
    ("view", "number", "to", "moved"),
    [(1, 0, (60, 40), {"angle"}), (1, 1, (-30, 10), {"size", "direction"}), (2, 0, (-80, 0), {"angle"})],
)
def test_the_mouse_drags_input_and_change(show, view, number, to, moved):
    page = show(WideLayer())
    before = {"angle": 84, "size": 0.5, "direction": 90}
    drag(page, grip(view, number, "WideLayer"), to)
    after = state_of(page, "WideLayer")
    assert {key for key in after if after[key] != before[key]} == moved
    assert "angle" not in moved or after["angle"] < 75
    check_wide(page, **after)


def test_a_finger_moves_a_bar_and_scrolls_beside_it(show):
    page = show(DeepTrust(depth=10), width=390, has_touch=True, is_mobile=True)
    page.locator(".fx-view >> nth=0").scroll_into_view_if_needed()
    box = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    x = box["x"] + 47 + (box["width"] - 135) * 0.25  # layer 3 of 10
    bottom = box["y"] + box["height"] - 36
    scrolled = page.evaluate("scrollY")
    swipe(page, x, bottom - 38, 0, -20)
    after = state_of(page, "DeepTrust")
    assert after["layer"] == 3 and after["sizes"][2] > 0.14 and page.evaluate("scrollY") == scrolled
    swipe(page, box["x"] + 60, box["y"] + 60, 0, -150)
    assert state_of(page, "DeepTrust") == after and page.evaluate("scrollY") > scrolled
    for control in page.locator(".fx button:visible, .fx input:visible").all():
        assert control.bounding_box()["height"] >= 44


def test_the_keyboard_alone_sets_every_layer(show):
    page = show(DeepTrust(depth=5))
    press = lambda key, *keys: [page.locator(f"input[data-key={key}]").press(one) for one in keys]  # noqa: E731
    press("depth", "ArrowLeft")
    press("layer", "Home", "ArrowRight")
    press("single", "End")
    after = state_of(page, "DeepTrust")
    assert after == {**OPENING, "depth": 4, "layer": 2, "sizes": [0.1, 1, 0.1]}
    spoken = lambda key: page.locator(f"input[data-key={key}]").get_attribute("aria-valuetext")  # noqa: E731
    assert (spoken("layer"), spoken("single"), spoken("every")) == (
        "layer 2 of 4",
        "100 percent",
        "sizes differ",
    )
    press("every", "Home")
    assert state_of(page, "DeepTrust")["sizes"] == [0]
    check_deep(page, 4, [0])
    press("alignment", "End")
    press("conditioning", "End")
    press("every", "ArrowRight")
    check_deep(page, 4, [0.001], 1, 100)
    page.locator("a").first.focus()
    reached = []
    for _ in range(11):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.dataset.key ?? document.activeElement.textContent")
        )
    assert reached[:6] == ["depth", "every", "layer", "single", "alignment", "conditioning"]
    assert reached[6] == "one layer" and reached[-1] == "Reset"


def test_a_slider_stands_where_its_number_says(show):
    """With fewer layers than the chosen one, or than the list of sizes, only what is there counts."""
    page = show(DeepTrust(depth=5, sizes=[0.01] * 14 + [1, 0.01]))
    at = lambda key: int(page.locator(f"input[data-key={key}]").input_value())  # noqa: E731
    assert at("layer") == 4 and at("every") == at("single") < 60
    page.locator("input[data-key=layer]").press("ArrowLeft")
    assert state_of(page, "DeepTrust")["layer"] == 4 and at("layer") == 3
    page.locator("input[data-key=depth]").press("End")
    settle(page)
    assert at("every") == 62


def test_an_equals_sign_stands_where_nothing_is_rounded(show):
    page = show(DeepTrust(), WideLayer())
    formulas = page.locator(".fx-formula > span")
    for size, sign in (("0.1", "="), ("0.1234567", "≈")):
        go(page, f"#DeepTrust?sizes={size};WideLayer?size={size}")
        texts = formulas.all_inner_texts()
        assert any(text.startswith(f"{sign} 30 × ") for text in texts)
        assert any(text.startswith(f"{sign} 2 × 2 × 1 × ") for text in texts)


def test_the_input_does_not_leap_behind_the_origin(show):
    page = show(WideLayer())
    box = page.locator(grip(1, 0, "WideLayer")).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for dy in range(0, 180, 20):
        page.mouse.move(x - 60, y + dy)
        assert dy == 0 or state_of(page, "WideLayer")["angle"] == 89.9
    page.mouse.up()


def test_the_url_carries_the_state_from_disk(show):
    page = show(
        DeepTrust(), WideLayer(), hash="#DeepTrust?depth=4&sizes=0.5,0,0.25&alignment=0.5;WideLayer?angle=30"
    )
    check_deep(page, 4, [0.5, 0, 0.25], 0.5)
    check_wide(page, 30, 0.5, 90)
    page.locator("input[data-key=depth]").press("Home")
    assert state_of(page, "DeepTrust") == {**OPENING, "depth": 1, "sizes": [0.5, 0, 0.25], "alignment": 0.5}


@pytest.mark.parametrize(
    ("hash", "depth", "sizes"),
    [
        ("#DeepTrust?depth=999&sizes=-3,7", 50, [0, 1]),
        ("#DeepTrust?sizes=0.1,,0.2", 30, [0.1]),
        ("#DeepTrust?sizes=", 30, [0.1]),
        ("#DeepTrust?sizes=0.1,NaN&depth=4,5", 30, [0.1]),
        ("#DeepTrust?sizes=" + "0.2," * 99 + "0.3&depth=50", 50, [0.2] * 50),
        ("#DeepTrust?every=1&single=1&layer=-4", 30, [0.1]),
    ],
)
def test_a_malformed_url_does_no_harm(show, hash, depth, sizes):
    check_deep(show(DeepTrust(), hash=hash), depth, sizes)


@CLASSES
def test_the_page_has_the_ranges_of_python(show, cls):
    page, name = show(cls()), cls.__name__
    for end in ("low", "high"):
        far = "&".join(f"{key}={-1e9 if end == 'low' else 1e9}" for key in cls.quantities())
        go(page, f"#{name}?{far}")
        ends = {key: getattr(trait, end) for key, trait in cls.quantities().items()}
        if "sizes" in ends:
            ends["sizes"] = [ends["sizes"]]
        assert state_of(page, name) == ends


def test_numbers_and_sentence_are_true_at_the_ends(show):
    page = show(DeepTrust(), WideLayer())
    for hash in distance_states(60):
        go(page, hash)
        deep, wide = (dict(re.findall(r"(\w+)=([^&;]+)", part)) for part in hash.split(";"))
        sizes = [float(size) for size in deep.pop("sizes").split(",")]
        check_deep(page, sizes=sizes, **{key: float(text) for key, text in deep.items()})
        check_wide(page, **{key: float(text) for key, text in wide.items()})


@CLASSES
def test_random_dragging_does_no_harm(show, cls):
    drag_at_random(show(cls()), cls.__name__, check_deep if cls is DeepTrust else check_wide)


def test_presets_glide_unless_motion_is_reduced(show):
    drawn = "document.querySelector('.fx-view path.fx-line.deep').getAttribute('d')"
    check_glide(show, DeepTrust, drawn, preset=2)


def test_the_bars_and_the_sliders_are_linked(show):
    page = show(DeepTrust(depth=6))
    page.locator("input[data-key=layer]").press("Home")
    page.locator("input[data-key=single]").press("End")
    first = page.locator(".fx-bar-layer").first
    settle(page)
    heights = [float(bar.get_attribute("height")) for bar in page.locator(".fx-bar-layer").all()]
    assert heights[0] > 5 * heights[1] > 0 and "fx-chosen" in first.get_attribute("class")
    assert rows_of(page, "DeepTrust")[0] == pytest.approx(1.05)
