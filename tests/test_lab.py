"""The live lab without its widgets: sessions against the plain loop, and pictures."""

import math
import re
import subprocess
import sys
import weakref
import xml.etree.ElementTree as ET
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fromage_edu import Fromage, figures
from fromage_edu.data import digits
from fromage_edu.experiments import depth as race
from fromage_edu.lab import DepthLab, Record, Session, Setting, pictures

SMALL = {"depth": 2, "width": 8, "epochs": 2}


# --- settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 1}, "depth is 1: give a whole number from 2 to 50"),
        ({"depth": 51}, "depth is 51: give a whole number from 2 to 50"),
        ({"depth": 2.5}, "depth is 2.5: give a whole number from 2 to 50"),
        ({"depth": True}, "depth is True: give a whole number"),
        ({"width": 48}, "width is 48: give one of 8, 16, 32, 64, 128, 256"),
        ({"width": 8.0}, "width is 8.0: give a whole number"),
        ({"optimizer": "adam"}, "optimizer is 'adam': use 'Fromage' or 'Adam' or 'SGD' or 'Normalized SGD'"),
        ({"lr": 0}, "lr is 0: give a number from 1e-05 to 1"),
        ({"lr": math.nan}, "lr is nan: give a number from 1e-05 to 1"),
        ({"lr": "fast"}, "lr is 'fast': give a number from 1e-05 to 1"),
        ({"eps": 0.0}, "eps is 0.0: give a number from 1e-30 to 0.0001"),
        ({"init": "zero"}, "init is 'zero': use 'default' or 'he' or 'orthogonal'"),
        ({"seed": -1}, "seed is -1: give a whole number from 0 to 9999"),
        ({"epochs": 101}, "epochs is 101: give a whole number from 1 to 100"),
    ],
)
def test_a_bad_setting_is_named_before_anything_runs(values, message):
    for cls in (Setting, DepthLab):
        with pytest.raises(ValueError, match=re.escape(message)):
            cls(**values)


def test_numbers_of_other_kinds_become_plain_ones():
    odd = Setting(
        np.int8(2), np.int64(8), "SGD", Fraction(1, 8), np.float64(1e-8), seed=np.uint8(3), epochs=np.int8(1)
    )
    plain = Setting(2, 8, "SGD", 0.125, 1e-8, seed=3, epochs=1)
    assert repr(odd) == repr(plain) and odd.label == "SGD, lr 0.125"
    assert Session(odd).advance(seconds=0)  # 10**6 more than this seed is beyond eight bits


def test_every_optimizer_has_a_usual_learning_rate():
    rates = {name: Setting(optimizer=name).lr for name in ("Fromage", "Adam", "SGD")}
    assert rates == {"Fromage": race.FROMAGE.lr, "Adam": race.ADAM.lr, "SGD": race.SGD.lr}
    assert Setting(optimizer="Normalized SGD").lr > 0 and Setting(lr=0.5).lr == 0.5


def test_importing_the_lab_imports_no_widgets():
    code = "import sys, fromage_edu.lab; print(*{'ipywidgets', 'matplotlib', 'anywidget'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- sessions -------------------------------------------------------------------------------------------


def plain_loop(setting):
    """Train as anyone would write it down; the curve and the final accuracies."""
    data = digits()
    network = race.network(setting.depth, width=setting.width, seed=setting.seed, init=setting.init)
    if setting.optimizer == "Fromage":
        optimizer = Fromage(network.parameters(), lr=setting.lr)
    elif setting.optimizer == "Adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=setting.lr, eps=setting.eps, fused=True)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=setting.lr, momentum=0.9, fused=True)
    generator, curve = torch.Generator().manual_seed(10**6 + setting.seed), []
    for _ in range(setting.epochs):
        order, right = torch.randperm(len(data.x_train), generator=generator), []
        for start in range(0, len(order) - 31, 32):
            batch = order[start : start + 32]
            logits = network(data.x_train[batch])
            right.append((logits.argmax(1) == data.y_train[batch]).double().mean().item())
            optimizer.zero_grad()
            cross_entropy(logits, data.y_train[batch]).backward()
            optimizer.step()
        curve.append(sum(right) / len(right))
        for group in optimizer.param_groups:
            group["lr"] *= 0.2 ** (1 / setting.epochs)
    with torch.no_grad():
        pairs = ((data.x_train, data.y_train), (data.x_test, data.y_test))
        return curve, [(network(x).argmax(1) == y).double().mean().item() for x, y in pairs]


@pytest.mark.parametrize("init", ["default", "he", "orthogonal"])
@pytest.mark.parametrize("optimizer", ["Fromage", "Adam", "SGD"])
def test_a_session_is_the_plain_loop(optimizer, init):
    setting = Setting(**SMALL, optimizer=optimizer, init=init, eps=1e-12, seed=3)
    record = Session(setting).finish()
    curve, accuracies = plain_loop(setting)
    assert record.curve == pytest.approx(curve, abs=1e-12)
    assert record.accuracies == pytest.approx(accuracies, abs=1e-12)


@pytest.mark.parametrize("optimizer", ["Fromage", "Adam", "SGD", "Normalized SGD"])
def test_a_session_is_a_run_of_the_race(optimizer):
    setting = Setting(depth=3, width=16, epochs=3, optimizer=optimizer, seed=12)
    entrant = race.Entrant(optimizer, lr=setting.lr)
    config = race.Config(depths=[3], entrants=[entrant], seeds=[12], width=16, epochs=3)
    (outcome,) = map(race.run_point, race.points(config))
    # A stack rounds otherwise than a network alone.
    assert Session(setting).finish().curve == pytest.approx(
        [row["accuracy"] for row in outcome.curves], abs=0.02
    )


def test_slices_of_any_length_give_the_same_run():
    whole = Session(Setting(**SMALL)).finish()
    sliced, slices = Session(Setting(**SMALL)), 1
    while sliced.advance(seconds=0):
        slices += 1
        assert sliced.record.steps == slices - 1
    assert sliced.record == whole and slices == whole.steps + 1 == 2 * 44 + 1
    assert Session(Setting(**SMALL, seed=4)).finish().curve != whole.curve


def test_a_slice_ends_by_the_clock():
    ticks = iter(range(100))
    session = Session(Setting(**SMALL))
    assert session.advance(seconds=5, clock=lambda: next(ticks))
    assert session.record.steps == 5


def test_training_leaves_random_numbers_and_gradients_alone():
    before = torch.get_rng_state()
    Session(Setting(**SMALL)).advance(seconds=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_first_gradient_is_the_one_of_the_chapter():
    record = Session(Setting(depth=20, seed=11)).record
    assert record.first[0] == pytest.approx(race.first_layer_gradient(20, seed=11), rel=0.05)
    assert len(record.first) == 21


def test_a_session_that_is_stopped_keeps_what_it_has():
    session = Session(Setting(**SMALL))
    while not session.record.curve:
        session.advance(seconds=0)
    network = weakref.ref(session._network)
    record = session.stop()
    assert (record.state, record.epoch, len(record.curve)) == ("stopped", 2, 1)
    assert re.fullmatch(
        r"Run 1, Fromage at depth 2, \D+: stopped in epoch 2, \d+% of the training images are right, "
        r"\d+% of the new ones\.",
        record.sentence,
    )
    assert not session.advance(seconds=0) and session.stop() is session.finish() is record
    assert network() is None, "a session that is over holds no network"


def interrupted_after(session, steps, error):
    for _ in range(steps):
        session.advance(seconds=0)
    step = session._network.step

    def fail(*arguments):
        session._network.step = step
        raise error

    session._network.step = fail
    with pytest.raises(type(error)):
        session.finish()


def test_a_run_that_was_interrupted_within_a_step_is_never_called_done():
    session = Session(Setting(**SMALL))
    interrupted_after(session, 50, KeyboardInterrupt())
    record = session.finish()
    assert (record.state, len(record.curve)) == ("stopped", 1) and "stopped in epoch 2" in record.sentence


def test_a_run_with_an_error_is_broken_and_goes_no_further():
    session = Session(Setting(**SMALL))
    interrupted_after(session, 50, RuntimeError("no memory"))
    assert not session.advance(seconds=0)
    assert session.stop().state == "broken" and session.record.steps == 50


def test_numbers_that_leave_float32_end_the_run_and_are_named():
    # What the chapter shows: at depth 50 g² is 0 in float32, and a tiny eps makes enormous steps of that.
    record = Session(Setting(depth=50, optimizer="Adam", eps=1e-30), number=4).finish()
    assert record.state == "diverged" and record.steps < record.all_steps
    assert (
        record.sentence
        == "Run 4, Adam at depth 50, ended in epoch 1: its numbers left the range of float32 (NaN)."
    )


def test_depth_fifty_trains_and_its_gradients_are_seen():
    session = Session(Setting(depth=50, epochs=1))
    assert session.advance(seconds=0) and 0 < session.record.first[0] < 1e-18


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "Fromage"}, "Run 1, Fromage at depth 30, {}: after 30 epochs, "),
        ({"optimizer": "Adam"}, "started near 5e-14, below eps = 1e-08."),
        ({"optimizer": "Adam", "eps": 1e-20}, "started near 5e-14, above eps = 1e-20."),
    ],
)
def test_the_sentence_says_what_came_of_it_and_what_eps_met(values, words):
    for train, verdict in ((0.9, "learns"), (0.2, "hardly learns"), (0.1, "only guesses")):
        record = Record(Setting(**values), state="done", curve=[0.1] * 30, first=[5e-14, 1e-3])
        record.accuracies = (train, 0.1)
        assert words.format(verdict) in record.sentence
        assert record.sentence.count(". ") == 0 and f"{train:.0%} of the training images" in record.sentence


def test_a_run_of_one_epoch_is_counted_in_words():
    record = Record(Setting(epochs=1), state="done", curve=[0.5], accuracies=(0.5, 0.5))
    assert "after 1 epoch, 50%" in record.sentence


# --- pictures -------------------------------------------------------------------------------------------


def some_records(count=3):
    made = []
    for index in range(count):
        setting = Setting(depth=5 + index, optimizer=("Fromage", "Adam", "SGD", "Normalized SGD")[index % 4])
        record = Record(setting, index + 1, "done", 44, 44, [0.1, 0.3, 0.5], accuracies=(0.5, 0.4))
        record.first = [10.0 ** (layer - 12) for layer in range(setting.depth + 1)]
        record.last = [0.0, math.nan, math.inf, *record.first[3:]]
        made.append(record)
    return made


def svg_of(text):
    return ET.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])


@pytest.mark.parametrize("draw", [pictures.accuracy_picture, pictures.gradient_picture])
@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_pictures_are_whole_whatever_there_is_to_draw(draw, count):
    records = some_records(count)
    if records:
        records[-1].curve.clear()  # before its first epoch is over
    svg = svg_of(draw(records))
    assert svg.get("role") == "img" and len(svg.get("aria-label")) > 40
    assert not re.search(r"\b(nan|inf)\b", " ".join(path.get("d") for path in svg.iter("path")))
    numbers = [text.text for text in svg.iter("text") if text.get("class") == "run"]
    drawn = count - 1 if draw is pictures.accuracy_picture and count else count
    assert sorted(numbers) == [str(number) for number in range(1, drawn + 1)]
    for text in svg.iter("text"):
        assert -1 <= float(text.get("x")) <= pictures.WIDTH and 0 < float(text.get("y")) <= pictures.HEIGHT


def test_a_run_before_its_first_look_is_drawn_too():
    record = Record(Setting())
    assert "No run yet." in svg_of(pictures.gradient_picture([record])).get("aria-label")
    assert "No run has finished an epoch yet." in pictures.accuracy_picture([record])


def test_the_picture_says_in_words_what_it_shows():
    records = some_records(2)
    words = svg_of(pictures.accuracy_picture(records)).get("aria-label")
    assert "run 2, Adam, lr 0.001, eps 1e-08, depth 6: 50% after 3 epochs" in words
    words = svg_of(pictures.gradient_picture(records)).get("aria-label")
    assert "Run 2: before training 1e-12 in the first layer" in words and "Adam's eps is 1e-08." in words


def test_eps_is_drawn_for_adam_only():
    records = some_records(3)
    assert "eps =" in pictures.gradient_picture(records[:2])
    assert "eps =" not in pictures.gradient_picture(records)


def test_the_newest_run_stands_out_and_the_others_are_faint():
    svg = svg_of(pictures.accuracy_picture(some_records(3)))
    groups = [group.get("class") for group in svg.iter("g")]
    assert groups == [None, None, "now"]
    dashes = [path.get("stroke-dasharray") for path in svg.iter("path") if path.get("class")]
    assert len(set(dashes)) == 3, "no meaning by color alone"


def test_the_table_holds_every_run_and_its_seed():
    text = pictures.runs_table(some_records(4))
    rows = re.findall(r"<tr.*?</tr>", text)
    assert len(rows) == 5 and "class=now" in rows[1] and ">4</th>" in rows[1]
    assert all("<td>11</td>" in row for row in rows[1:])
    assert "NaN" in pictures.runs_table([Record(Setting(), state="diverged", accuracies=(0.1, 0.1))])


def test_text_is_escaped_and_trouble_is_an_alert():
    text = pictures.message("eps = 1e-08 <b>", trouble="<traceback>")
    assert 'role="alert"' in text and "&lt;b&gt;" in text and "&lt;traceback&gt;" in text
    assert 'role="status"' in pictures.message("fine")


def test_the_colors_are_those_of_the_figures():
    for theme in ("light", "dark"):
        for role in ("fromage", "adam", "sgd", "bound", "measured"):
            assert f"--{role}: {figures.COLORS[role][theme]};" in pictures.STYLE
        assert f"--paper: {figures.PAGE[theme]};" in pictures.STYLE
