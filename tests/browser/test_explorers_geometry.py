"""StepGeometry in Chromium: by hand, key, finger and URL, at every width, in both themes."""

import cmath
import itertools
import math

import pytest
import torch
from explorer_page import (
    check_heights,
    conclusion_of,
    drag,
    drag_at_random,
    go,
    rows_of,
    settle,
    state_of,
    swipe,
    value_of,
)
from explorer_states import geometry_states, hash_of

from fromage_edu.bounds import mirsky_bound
from fromage_edu.explorers import StepGeometry
from fromage_edu.optim import fromage_update, norm_factor, relative_change, steepest_step, turn
from fromage_edu.spectra import condition_number, singular_values

NAME = "StepGeometry"
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])
OPENING = {name: trait.default_value for name, trait in StepGeometry.quantities().items()}
VIEWS = [1, 2, 3]


def exact(x):
    return torch.tensor(x, dtype=torch.float64)


def near(shown, expected):
    # What is left of a number that was taken away is rounding.
    return shown == pytest.approx(expected, rel=0.04 if shown > 9_995 or shown < 1e-4 else 0.006, abs=1e-12)


def cosine_of(state):
    c = math.cos(math.radians(state["angle"]))
    return 0.0 if abs(c) < 1e-15 else c


def check_step(page, state):
    c, lr = cosine_of(state), state["lr"]
    share = lr * state["grad_norm"] / state["weight_norm"]
    factors = [
        norm_factor(exact(share), exact(c), norm_correction=False).item(),
        norm_factor(exact(lr), exact(c), norm_correction=False).item(),
        norm_factor(exact(lr), exact(c)).item(),
    ]
    shares = [share, lr, relative_change(exact(lr), exact(c)).item()]
    turns = [turn(exact(x), exact(c)).item() for x in (share, lr, lr)]
    assert [near(*pair) for pair in zip(rows_of(page, NAME), factors, strict=True)] == [True] * 3, state
    formulas = page.locator(f".explorer-{NAME} .fx-formula").all_inner_texts()
    for text, moved, angle in zip(formulas, shares, turns, strict=True):
        assert near(value_of(text.split("moves ")[1]), moved), state
        assert near(value_of(text.split("turns ")[1]), math.degrees(angle)), state
    sentence = conclusion_of(page, NAME)
    assert sentence.endswith("The length of g matters to SGD alone.")
    if c == 0:
        assert near(value_of(sentence.split("√(1 + η²) = ")[1]), math.sqrt(1 + lr * lr))
        assert near(value_of(sentence.split("arctan η = ")[1]), math.degrees(math.atan(lr)))
    else:
        stands = ("along", "against") if abs(c) == 1 else ("towards", "away from")
        assert f" {stands[c < 0]} W, c = " in sentence
        assert abs(c) < 1 or f"c = {'−' if c < 0 else ''}1:" in sentence
        assert near(value_of(sentence.split("multiplies the norm by ")[1]), factors[2])
        assert near(value_of(sentence.split("moves W by ")[1]), shares[2])


def check_path(page, state):
    c, lr, count = cosine_of(state), state["lr"], int(state["steps"])
    grown, kept = (
        norm_factor(exact(lr), exact(c), norm_correction=corrected).item() ** count
        for corrected in (False, True)
    )
    way = math.degrees(count * turn(exact(lr), exact(c)).item())
    for shown, expected in zip(rows_of(page, NAME), (grown, kept, way), strict=True):
        assert near(shown, expected), state
    sentence = conclusion_of(page, NAME)
    if c == 0:
        assert near(value_of(sentence.split("√(1 + η²)ᵗ = ")[1]), grown)
        assert near(value_of(sentence.split("t arctan η = ")[1]), way)
    else:
        assert near(value_of(sentence.split("equation (4) comes to ")[1]), grown)


def kappa(text):
    found = text.split("κ = ")[-1]
    return math.inf if found.startswith("∞") else value_of(found)


def check_spectrum(page, state):
    pair = page.evaluate(
        """async ([kind, kappa]) => {
          const { shared } = JSON.parse(document.querySelector("#explorers").textContent);
          const math = await import(URL.createObjectURL(new Blob([shared], { type: "text/javascript" })));
          return math.matrixPair(kind, kappa);
        }""",
        [int(state["matrix"]), state["conditioning"]],
    )
    weight, grad = exact(pair["weight"]), exact(pair["grad"])
    after = [
        fromage_update(weight, grad, state["lr"]),
        weight + steepest_step(weight, grad, state["lr"], norm="operator"),
    ]
    settle(page)
    values = page.locator(f".explorer-{NAME} .fx-row .fx-value").all_inner_texts()
    formulas = page.locator(f".explorer-{NAME} .fx-formula").all_inner_texts()[1:]
    assert near(kappa(values[0]), condition_number(weight).item())
    parts = conclusion_of(page, NAME).split("spends ")[1:]
    ruined = [condition_number(new) > 9.9 * condition_number(weight) and new.norm() > 1e-13 for new in after]
    assert ("does not protect a small singular value" in conclusion_of(page, NAME)) == any(ruined), state
    for new, value, formula, part in zip(after, values[1:], formulas, parts, strict=True):
        last = singular_values(new)[-1].item()
        gone = singular_values(new)[0].item() < 1e-14
        assert ("nothing is left of W" in part) == gone, state
        if gone:
            assert kappa(value) == math.inf, state
        elif last > 1e-13:
            assert near(kappa(value), condition_number(new).item()), state
        elif last < 1e-15:
            assert kappa(value) == math.inf, state
        bound = mirsky_bound(weight, new)
        used, budget = (x.item() / weight.norm().item() for x in (bound.measured, bound.bound))
        assert near(value_of(formula.split("√Σ(σ̃ − σ)² = ")[1]), used), state
        assert near(value_of(formula.split("F = ")[1]), budget), state
        share = used / budget
        assert value_of(part) == pytest.approx(share, abs=0.006 if share > 0.1 else 0.06 * share + 1e-9)


def check(page, **state):
    state = {**OPENING, **state}
    [check_step, check_path, check_spectrum][int(state["view"]) - 1](page, state)


@THEMES
@WIDTHS
def test_the_opening_state_shows_the_point(show, theme, width):
    page = show(StepGeometry(), theme=theme, width=width)
    check(page)
    assert conclusion_of(page, NAME).startswith("g stands at a right angle to W")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("location.hash") == ""
    for view, sliders, narrow in ((1, 5, 2), (2, 3, 3), (3, 3, 3)):
        page.locator(".fx-tabs[aria-label=Picture] button").nth(view - 1).click()
        settle(page)
        assert page.locator(".fx-view:visible").count() == 1
        assert page.locator("input:visible").count() == (narrow if width == 390 else sliders)
        assert page.locator(".fx-tabs[aria-label=Sliders]").is_visible() == (width == 390 and view == 1)


@WIDTHS
def test_presets_tell_the_story(show, width):
    page = show(StepGeometry(lr=0.1, angle=10), width=width)
    ruin = {"view": 3, "lr": 0.01, "matrix": 4, "conditioning": 100}
    for text, state in (
        ("right angle", {"angle": 90}),
        ("longer g", {"angle": 90, "grad_norm": 1.8}),
        ("leaning g", {"angle": 45}),
        ("spiral", {"view": 2, "lr": 0.2, "angle": 90, "steps": 60}),
        ("drift", {"view": 2, "lr": 0.2, "angle": 84, "steps": 60}),
        ("random matrix", {"view": 3, "lr": 0.1, "conditioning": 10}),
        ("ruined κ", ruin),
        ("Reset", {"lr": 0.1, "angle": 10}),
    ):
        page.locator(".fx-presets button", has_text=text).click()
        settle(page)
        check(page, **state)
        pressed = page.locator(".fx-tabs[aria-label=Picture] [aria-pressed=true]")
        names = ["One step", "Many steps", "Singular values"]
        assert pressed.inner_text() == names[state.get("view", 1) - 1]
        if state == ruin:
            assert "does not protect a small singular value" in conclusion_of(page, NAME)
            kappas = page.locator(".fx-row .fx-value").all_inner_texts()
            assert (kappas[0], kappas[2]) == ("κ = 100", "κ = ∞") and kappa(kappas[1]) == 2e6
    assert state_of(page, NAME) is None


def test_a_longer_g_moves_sgd_alone(show):
    page = show(StepGeometry())
    before = rows_of(page, NAME)
    slider = page.locator("input[data-key=grad_norm]")
    slider.press("End")
    after = rows_of(page, NAME)
    assert after[0] > before[0] + 0.5 and after[1:] == before[1:]


GRIPS = ".fx-view.fx-chosen .fx-grip >> nth="


def test_the_mouse_drags_w_and_g(show):
    page = show(StepGeometry())
    drag(page, GRIPS + "0", (-60, -40))
    after = state_of(page, NAME)
    moved = {key for key in after if after[key] != OPENING[key]}
    assert moved == {"weight_norm", "direction", "angle"}
    # g stays where it is.
    assert after["direction"] + after["angle"] == OPENING["direction"] + OPENING["angle"]
    check(page, **after)
    drag(page, GRIPS + "1", (-30, 60))
    then = state_of(page, NAME)
    assert {key for key in then if then[key] != after[key]} == {"grad_norm", "angle"}
    check(page, **then)


def test_the_mouse_winds_the_path_and_drags_the_smallest_singular_value(show):
    page = show(StepGeometry(view=2, lr=0.2, steps=20))
    box = page.locator(".fx-view.fx-chosen > svg").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    grip = page.locator(GRIPS + "0").bounding_box()
    x, y = (grip[a] + grip[b] / 2 - m for a, b, m in zip("xy", ("width", "height"), middle, strict=True))
    # A quarter turn on: the path runs clockwise.
    drag(page, GRIPS + "0", (-y - x, x - y))
    after = state_of(page, NAME)
    quarter = 90 / math.degrees(math.atan(0.2))
    assert after == {**OPENING, "view": 2, "lr": 0.2, "steps": pytest.approx(20 + quarter, abs=1)}
    check(page, **after)
    go(page, f"#{NAME}?view=3&lr=0.1")
    drag(page, GRIPS + "0", (0, 30))
    after = state_of(page, NAME)
    assert after["conditioning"] > 12
    assert after == {**OPENING, "view": 3, "lr": 0.1, "steps": 20, "conditioning": after["conditioning"]}
    check(page, **after)


def test_the_end_of_the_path_does_not_leap_from_the_last_step_to_the_first(show):
    page = show(StepGeometry(view=2, lr=0.1, steps=90))
    box = page.locator(".fx-view.fx-chosen > svg").bounding_box()
    grip = page.locator(GRIPS + "0").bounding_box()
    middle = complex(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    start = complex(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    counts = []
    page.mouse.move(start.real, start.imag)
    page.mouse.down()
    for degrees in (*range(0, 330, 15), *range(330, -420, -15)):
        to = middle + (start - middle) * cmath.exp(1j * math.radians(degrees))
        page.mouse.move(to.real, to.imag)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        counts.append(int(page.locator("input[data-key=steps]").get_attribute("aria-valuetext")))
    page.mouse.up()
    each = math.degrees(math.atan(0.1))
    assert counts[21:24] == [100] * 3 and counts[22 + 22] == 90
    assert counts[-1] == pytest.approx(90 - 405 / each, abs=1)
    assert all(abs(one - other) <= 15 / each + 1 for one, other in itertools.pairwise(counts))


def test_a_factor_near_one_is_told_from_one(show):
    page = show(StepGeometry(lr=0.01))
    assert "√(1 + η²) = 1.00005 times as long" in conclusion_of(page, NAME)
    go(page, f"#{NAME}?view=2&lr=0.001&steps=1")
    shown = page.locator(".fx-row .fx-value").all_inner_texts()[:2]
    assert shown == ["1.0000005 ‖W‖", "1.000 ‖W‖"]


def test_nothing_is_left_of_a_matrix_that_is_its_own_gradient(show):
    page = show(StepGeometry(view=3, matrix=3, lr=1))
    # Rounding leaves some of them other traces than zeros.
    for conditioning in (1, 2, 10, 60, 61, 62.5, 1000):
        go(page, f"#{NAME}?view=3&matrix=3&lr=1&conditioning={conditioning}")
        values = page.locator(".fx-row .fx-value").all_inner_texts()
        assert values[1] == "κ = ∞"
        sentence = conclusion_of(page, NAME)
        assert "Fromage spends 100 % of Mirsky's budget, and nothing is left of W." in sentence
        assert sentence.count("nothing is left of W") == (2 if conditioning == 1 else 1)


def test_a_finger_drags_g_and_scrolls_beside_it(show):
    page = show(StepGeometry(), width=390, has_touch=True, is_mobile=True)
    page.locator(".fx-view.fx-chosen").scroll_into_view_if_needed()
    box = page.locator(GRIPS + "1").bounding_box()
    scrolled = page.evaluate("scrollY")
    swipe(page, box["x"] + 22, box["y"] + 22, -30, -30)
    after = state_of(page, NAME)
    assert after["grad_norm"] > 0.7 and page.evaluate("scrollY") == scrolled
    svg = page.locator(".fx-view.fx-chosen > svg").bounding_box()
    swipe(page, svg["x"] + 30, svg["y"] + 240, 0, -150)
    assert state_of(page, NAME) == after and page.evaluate("scrollY") > scrolled
    for control in page.locator(".fx button:visible, .fx input:visible").all():
        assert control.bounding_box()["height"] >= 44


def test_the_keyboard_alone_reaches_everything(show):
    page = show(StepGeometry())
    page.locator("a").first.focus()
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.dataset.key ?? document.activeElement.textContent")
        )
    assert reached[:3] == ["One step", "Many steps", "Singular values"]
    assert reached[3:8] == ["lr", "angle", "grad_norm", "weight_norm", "direction"]
    assert reached[8] == "right angle" and reached[15] == "Reset"
    page.locator("input[data-key=angle]").press("End")
    page.locator("input[data-key=lr]").press("Home")
    page.locator("input[data-key=direction]").press("ArrowRight")
    after = state_of(page, NAME)
    assert after == {**OPENING, "angle": 180, "lr": 0.001, "direction": 35}
    check(page, **after)
    page.locator(".fx-tabs button", has_text="Singular").press("Enter")
    page.locator("input[data-key=matrix]").wait_for()  # drawn a frame later; what is hidden takes no focus
    page.locator("input[data-key=matrix]").press("End")
    page.locator("input[data-key=conditioning]").press("ArrowRight")
    settle(page)
    spoken = page.locator("input[data-key=matrix]").get_attribute("aria-valuetext")
    assert spoken == "weakest σ"
    after = state_of(page, NAME)
    assert (after["view"], after["matrix"], after["conditioning"]) == (3, 4, 15)
    check(page, **after)


@pytest.mark.parametrize(
    ("hash", "state"),
    [
        ("?view=9&lr=7", {"view": 3, "lr": 1}),
        ("?view=2.2&steps=0&angle=-999", {"view": 2, "steps": 1, "angle": -180}),
        ("?view=NaN&grad_norm=1,2&weight_norm=&matrix=x", {}),
        ("?lr=0&weight_norm=0&grad_norm=0", {"lr": 0.001, "weight_norm": 0.2, "grad_norm": 0.05}),
        ("?constructor=1&__proto__=2", {}),
    ],
)
def test_a_malformed_url_does_no_harm(show, hash, state):
    check(show(StepGeometry(), hash=f"#{NAME}{hash}"), **state)


def test_the_page_has_the_ranges_of_python(show):
    page = show(StepGeometry())
    for end in ("low", "high"):
        far = "&".join(f"{key}={-1e9 if end == 'low' else 1e9}" for key in OPENING)
        go(page, f"#{NAME}?{far}")
        ends = {key: getattr(trait, end) for key, trait in StepGeometry.quantities().items()}
        assert state_of(page, NAME) == ends


@pytest.mark.result("F24", "F26", "F27")
def test_numbers_and_sentence_are_true_at_the_ends(show):
    page = show(StepGeometry())
    for state in geometry_states(60):
        go(page, hash_of(state))
        page.wait_for_timeout(260)  # until the page has written its address
        check(page, **state)


@pytest.mark.parametrize("finger", [False, True])
@pytest.mark.parametrize("width", [320, 344, 360, 390, 700, 1280])
def test_the_tabs_stay_under_the_hand(show, width, finger):
    touch = {"has_touch": True, "is_mobile": True} if finger else {}
    page = show(StepGeometry(), width=width, **touch)
    tabs = page.locator(".fx-tabs[aria-label=Picture]")
    places = set()
    for view in VIEWS:
        tabs.locator("button").nth(view - 1).click()
        settle(page)
        places.add(tabs.bounding_box()["y"] - page.locator(".explorer").bounding_box()["y"])
    assert len(places) == 1
    if width < 640:
        tabs.locator("button").first.click()
        settle(page)
        page.locator(".fx-tabs[aria-label=Sliders] button").last.click()
        check_heights(page, list(map(hash_of, geometry_states(9))), 1)


def test_random_dragging_does_no_harm(show):
    drag_at_random(show(StepGeometry()), NAME, check)
