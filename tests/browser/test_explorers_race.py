"""DepthRace in Chromium: the record as it is decoded, by hand, key, finger and URL, and replayed."""

import json
import math
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
    settle,
    state_of,
    value_of,
)
from explorer_states import race_hash, race_states

from fromage_edu.explorers import DepthRace
from fromage_edu.explorers.base import SHARED, page_data
from fromage_edu.explorers.depth_race import DEPTHS, EPOCHS, EPSILONS, MARKS, decoded, races

NAME = "DepthRace"
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [390, 1280])
OPENING = {"depth": 30, "optimizer": 2, "rate": 2, "eps": 1e-8, "init": 1, "epoch": 40}
STORY = {**OPENING, "epoch": 40}
press = lambda page, key, *keys: [page.locator(f"input[data-key={key}]").press(one) for one in keys]  # noqa: E731

LOAD = """async ([text, races, states]) => {
  const { runOf } = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  const plain = (list) => list.map((x) => (Number.isNaN(x) ? "nan" : Number.isFinite(x) ? x : "zero"));
  return states.map((state) => {
    const { middle, low, high, moments } = runOf({ races, ...state });
    return [middle, low, high, ...moments.flatMap((one) => [one.gradients, one.signals])].map(plain);
  });
}"""


def text_of(depth, optimizer, rate, eps, init):
    """Where Python finds a run among the texts."""
    slot = {1: 0, 2: 3 + 3 * EPSILONS.index(eps), 3: 12, 4: 15}[optimizer] + rate - 1
    return races()["runs"][DEPTHS.index(depth)][init - 1][slot]


def run_of(epoch, **setting):
    """The accuracies of three runs and the layers of the median one, after an epoch."""
    setting = {key: value if key == "eps" else int(value) for key, value in setting.items()}
    text, epoch = text_of(**setting), int(epoch)
    low, step = races()["accuracies"]
    accuracies = [low + step * MARKS.index(text[41 * run + epoch]) for run in range(3)]
    layers, place = setting["depth"] + 1, EPOCHS.index(epoch)
    at = 123 + 2 * layers * place
    gradients = decoded(text[at : at + layers], *races()["gradients"])
    return accuracies, gradients, decoded(text[at + layers : at + 2 * layers], *races()["signals"])


def one_digit(shown, exact):
    """As is told: one digit, or 0."""
    return shown == pytest.approx(float(f"{exact:.0e}"), rel=1e-9)


def check(page, **state):
    """The numbers and the sentence against the record."""
    (accuracy, *others), gradients, signals = run_of(**state)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown = page.locator(f".explorer-{NAME} .fx-row .fx-value").all_inner_texts()
    formulas = page.locator(f".explorer-{NAME} .fx-row .fx-formula").all_inner_texts()
    sentence = conclusion_of(page, NAME)
    assert value_of(shown[0]) == pytest.approx(accuracy, abs=0.0051), state
    told = [value_of(part) for part in re.findall(r"[\d.]+\xa0%", formulas[0])]
    assert told == pytest.approx(others, abs=0.0051), state
    assert f"{int(state['depth'])} hidden layers" in sentence
    if any(math.isnan(log) for log in gradients):
        assert shown[1:] == ["–", "–"] and "no numbers any more" in sentence
        return
    g, eps = 10 ** gradients[0], state["eps"]
    assert one_digit(value_of(shown[1]), g), state
    signal = value_of(formulas[1].split("last layer ")[1])
    assert one_digit(signal, 10 ** signals[-1]), state
    share = g / (g + eps)
    assert value_of(shown[2]) == pytest.approx(share, rel=0.34 if share < 1e-3 else 0.06), state
    if state["epoch"] == 0:
        assert "the network guesses" in sentence
    elif accuracy <= 0.15:
        assert " guesses (" in sentence
    else:
        told = sentence.split(": ", 1)[1].split(" of the training images")[0]
        assert value_of(told.replace(" ", "\u00a0")) == pytest.approx(accuracy, abs=0.0051), state
    if g == 0:
        assert "exactly 0" in sentence
    elif state["optimizer"] == 2:
        assert ("above ε" in sentence) == (share >= 0.9), state
        assert ("of its step" in sentence) == (share < 0.9), state


@pytest.fixture
def still(show):
    """A page where nothing plays or glides."""
    return lambda **options: show(DepthRace(), reduced_motion="reduce", **options)


@THEMES
@WIDTHS
@pytest.mark.result("F29")
def test_the_opening_state_shows_the_point(show, theme, width):
    page = show(DepthRace(), theme=theme, width=width)
    check(page, **OPENING)
    assert conclusion_of(page, NAME).startswith(
        "Adam with ε = 10⁻⁸, 30 hidden layers, after epoch 40: it only guesses (10 %, and so do the other"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("location.hash") == ""
    assert page.locator(".fx-view:visible").count() == (1 if width == 390 else 3)
    assert page.locator("input:visible").count() == (3 if width == 390 else 6)


@WIDTHS
@pytest.mark.result("F29")
def test_presets_tell_the_story(still, width):
    page = still(width=width)
    go(page, f"#{NAME}?depth=2&epoch=4")
    for text, patch, learns in (
        ("Adam stops", {}, False),
        ("move ε", {"eps": 1e-30}, True),
        ("He's start", {"init": 2}, True),
        ("only the norm", {"optimizer": 4}, None),
        ("not far enough", {"depth": 40, "eps": 1e-16}, False),
    ):
        page.locator(".fx-presets button", has_text=text).click()
        settle(page)
        state = {**OPENING, **patch}
        check(page, **state)
        found = state_of(page, NAME)
        assert found == state or (found is None and state == OPENING), text
        if learns is not None:
            assert (run_of(**state)[0][0] > 0.25) == learns, text
    page.locator(".fx-reset").click()
    settle(page)
    check(page, **OPENING)
    assert state_of(page, NAME) is None


def test_a_preset_plays_until_a_hand_stops_it(show):
    page = show(DepthRace(eps=1e-30))
    value = lambda key: page.locator(f"input[data-key={key}]").input_value()  # noqa: E731
    drawn = "requestAnimationFrame(() => requestAnimationFrame(done))"
    page.locator(".fx-presets button", has_text="replay").click()
    page.evaluate(f"new Promise((done) => {drawn})")
    seen = [int(value("epoch"))]
    while seen[-1] < 8 and len(seen) < 200:
        page.wait_for_timeout(50)
        seen.append(int(value("epoch")))
    assert seen == sorted(seen) and seen[0] < 5 and seen[-1] == 8 and len(set(seen)) > 4
    settle(page)
    check(page, **{**OPENING, "eps": 1e-30})
    assert state_of(page, NAME) is None  # the opening of this one: the address stays quiet
    page.locator(".fx-presets button", has_text="replay").click()
    page.wait_for_timeout(1000)
    press(page, "epoch", "Home", "ArrowRight")
    page.wait_for_timeout(600)
    assert value("epoch") == "1"
    check(page, **{**OPENING, "eps": 1e-30, "epoch": 1})


def test_nothing_plays_where_motion_is_reduced(still):
    page = still()
    go(page, f"#{NAME}?epoch=8")
    page.locator(".fx-presets button", has_text="replay").click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator("input[data-key=epoch]").input_value() == "8"


def test_presets_glide_unless_motion_is_reduced(show):
    drawn = "document.querySelector('.fx-view:nth-child(1) .fx-grip').getAttribute('transform')"
    check_glide(show, DepthRace, drawn, preset=2)


def test_the_mouse_drags_time_and_eps(show):
    page = show(DepthRace(depth=40))
    before = {**OPENING, "depth": 40}
    drag(page, grip(1, name=NAME), (-330, 40))
    after = state_of(page, NAME)
    assert {key for key in after if after[key] != before[key]} == {"epoch"} and 0 < after["epoch"] < 31
    check(page, **after)
    for by, eps in ((80, 1e-16), (150, 1e-30), (-400, 1e-8)):
        drag(page, grip(2, name=NAME), (0, by))
        settle(page)
        found = state_of(page, NAME)
        assert found["eps"] == eps, by
        check(page, **found)
    picture = page.locator(".fx-view:nth-child(1) > svg").bounding_box()
    page.mouse.click(picture["x"] + 60, picture["y"] + 50)  # a press anywhere takes the time there
    assert state_of(page, NAME)["epoch"] == 1


def test_a_finger_drags_time_and_scrolls_beside_it(show):
    page = show(DepthRace(), width=390, has_touch=True, is_mobile=True)
    assert check_finger(page, NAME, 1, along=(-120, -10), beside=(60, 190))["epoch"] < 31


def test_the_keyboard_alone_reaches_everything(show):
    page = show(DepthRace())
    press(page, "epoch", "Home", "ArrowRight", "ArrowRight", "ArrowRight")
    press(page, "depth", "End", "ArrowLeft", "ArrowLeft")
    press(page, "optimizer", "End")
    press(page, "rate", "ArrowLeft")
    press(page, "eps", "Home", "ArrowRight")
    press(page, "init", "End")
    after = state_of(page, NAME)
    assert after == {"depth": 20, "optimizer": 4, "rate": 1, "eps": 1e-16, "init": 2, "epoch": 4}
    check(page, **after)
    spoken = lambda key: page.locator(f"input[data-key={key}]").get_attribute("aria-valuetext")  # noqa: E731
    assert [spoken(key) for key in ("epoch", "depth", "optimizer", "rate", "eps", "init")] == [
        "after epoch 4",
        "20 hidden layers",
        "normalized SGD",
        "0.003, 1 of 3",
        "ten to the minus 16",
        "He",
    ]
    page.locator("a").first.focus()
    reached = []
    for _ in range(13):
        page.keyboard.press("Tab")
        focused = "document.activeElement.dataset.key ?? document.activeElement.textContent"
        reached.append(page.evaluate(focused))
    assert reached[:6] == ["epoch", "depth", "optimizer", "rate", "eps", "init"]
    assert reached[6] == "replay" and reached[12] == "Reset"


def test_the_url_carries_the_state_from_disk_and_never_the_record(still):
    page = still(hash=f"#{NAME}?depth=10&optimizer=1&epoch=8")
    check(page, **{**OPENING, "depth": 10, "optimizer": 1, "epoch": 8})
    press(page, "init", "End")
    assert set(state_of(page, NAME)) == set(OPENING)
    assert len(page.evaluate("location.hash")) < 100


@pytest.mark.parametrize(
    ("query", "patch"),
    [
        ("depth=99&optimizer=0&rate=7&eps=1&init=-1&epoch=1e9", {"depth": 40, "optimizer": 1, "rate": 3}),
        ("depth=28.4&epoch=19&eps=1e-20&rate=1.4", {"epoch": 22, "eps": 1e-30, "rate": 1}),
        ("races=1&given=2&depth=NaN&eps=&epoch=Infinity&optimizer=Adam", {}),
        ("__proto__=1&constructor=2&%E0%A4%A&depth=2,10", {}),
    ],
)
def test_a_malformed_url_does_no_harm(still, query, patch):
    check(still(hash=f"#{NAME}?{query}"), **{**OPENING, **patch})


def test_the_page_has_the_ranges_of_python(still):
    page = still()
    for end in ("low", "high"):
        far = "&".join(f"{key}={-1e9 if end == 'low' else 1e9}" for key in DepthRace.quantities())
        go(page, f"#{NAME}?{far}")
        assert state_of(page, NAME) == {
            key: getattr(trait, end) for key, trait in DepthRace.quantities().items()
        }


def test_the_page_decodes_every_run_as_python_does(open_page, tmp_path):
    blank = tmp_path / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>", encoding="utf-8")
    states = [
        {"depth": depth, "init": init, "optimizer": optimizer, "eps": eps, "rate": rate}
        for depth in DEPTHS
        for init in (1, 2)
        for optimizer in (1, 2, 3, 4)
        for eps in (EPSILONS if optimizer == 2 else (1e-8,))
        for rate in (1, 2, 3)
    ]
    page = open_page(blank.as_uri())
    found = page.evaluate(LOAD, [SHARED + "\n" + DepthRace.source, races(), states])
    read = {"nan": math.nan, "zero": -math.inf}
    for state, (middle, low, high, *layers) in zip(states, found, strict=True):
        for place, epoch in enumerate(EPOCHS):
            accuracies, gradients, signals = run_of(epoch, **state)
            assert [middle[epoch], low[epoch], high[epoch]] == pytest.approx(accuracies, abs=1e-12)
            for values, expected in zip(layers[2 * place : 2 * place + 2], (gradients, signals), strict=True):
                values = [read.get(value, value) for value in values]
                assert values == pytest.approx(expected, nan_ok=True, abs=1e-12), (state, epoch)


def test_a_page_holds_the_record_once(show):
    page = show(DepthRace(), DepthRace(depth=2))
    data = json.loads(page.locator("script#explorers").text_content())
    assert list(data["given"][NAME]) == ["races"]
    assert all("races" not in model["traits"] for model in data["models"].values())
    kept = page_data({})["given"]
    assert kept == {}
    assert len(json.dumps(data["given"], separators=(",", ":"))) <= 100_000
    assert page.locator(".explorer-DepthRace .fx-view svg").count() == 6


@pytest.mark.result("F29")
def test_numbers_and_sentence_are_those_of_the_record(still):
    page = still()
    for state in race_states(80):
        go(page, race_hash(state))
        check(page, **{key: float(value) for key, value in state.items()})


def test_random_dragging_does_no_harm(still):
    drag_at_random(still(), NAME, check)
