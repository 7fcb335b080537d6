"""What experiments are asked to do: entrants, their labels, and what is refused before anything runs."""

import re

import pytest
import torch

from fromage_edu import Fromage
from fromage_edu.experiments import settings
from fromage_edu.experiments.settings import ADAM, ADAM_TINY_EPS, ENTRANTS, FROMAGE, SGD, Entrant
from fromage_edu.experiments.stacked import NormalizedSGD, StackedFromage


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "Lion"}, "optimizer is 'Lion': use 'Fromage' or 'Adam' or 'SGD' or 'Normalized SGD'"),
        ({"norms": "fast"}, "norms is 'fast': use 'safe' or 'naive'"),
        *(
            ({"lr": bad}, f"lr is {bad!r}: give a number >= 0, such as 0.01")
            for bad in (-1, float("nan"), float("inf"), 10**400, "0.1", None, True)
        ),
        *(({"eps": bad}, f"eps is {bad!r}: give a number >= 0") for bad in (-1e-8, float("nan"), "x")),
        *(
            ({"momentum": bad}, f"momentum is {bad!r}: give a number >= 0 and < 1")
            for bad in (-0.1, 1, float("nan"), "x")
        ),
        *(
            ({"loss_scale": bad}, f"loss_scale is {bad!r}: give a number > 0, such as 1e12")
            for bad in (0, -1.0, float("inf"), "x")
        ),
    ],
)
def test_bad_entrants_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Entrant(**{"optimizer": "SGD", "lr": 0.1, **options})


@pytest.mark.parametrize(
    ("entrant", "name"),
    [
        (Entrant("Fromage", 0.01), "Fromage"),
        (Entrant("Fromage", 0.01, norms="naive"), "Fromage, naive norms"),
        (Entrant("Adam", 0.01, norms="naive"), "Adam"),
        (Entrant("Adam", 0.01), "Adam"),
        (Entrant("Adam", 0.01, eps=1.0, loss_scale=1e8), "Adam"),
        (Entrant("Adam", 0.01, eps=1e-20, loss_scale=1e-12), "Adam"),
        (Entrant("Adam", 0.01, eps=1e-16), "Adam, eps 1e-16"),
        (Entrant("Adam", 0.01, eps=1e-8, loss_scale=1e8), "Adam, eps 1e-16"),
        (Entrant("Adam", 0.01, eps=1e-30), "Adam, tiny eps"),
        (Entrant("Adam", 0.01, eps=1e-30, loss_scale=1e12), "Adam, tiny eps"),
        (Entrant("Adam", 0.01, eps=1e-60), "Adam, eps 1e-60"),
        (Entrant("Adam", 0.01, eps=1.5e-8), "Adam, eps 1.5e-08"),
        (Entrant("Adam", 0.01, eps=0), "Adam, eps 0"),
        (Entrant("SGD", 0.01), "SGD + momentum"),
        (Entrant("SGD", 0.01, momentum=0), "SGD"),
        (Entrant("Normalized SGD", 0.01), "Normalized SGD"),
    ],
)
def test_a_name_says_what_differs_from_the_usual(entrant, name):
    assert entrant.name == name and entrant.label == f"{name} at 0.01"


def test_the_usual_entrants_are_told_apart():
    assert ENTRANTS == (FROMAGE, ADAM, SGD, ADAM_TINY_EPS)
    names = ["Fromage", "Adam", "SGD + momentum", "Adam, tiny eps"]
    assert [entrant.name for entrant in ENTRANTS] == names
    assert ADAM_TINY_EPS.name == settings.TINY_EPS


@pytest.mark.parametrize(
    ("entrant", "stacked", "alone"),
    [
        (Entrant("Fromage", 0.3), StackedFromage, Fromage),
        (Entrant("Adam", 0.3, eps=1e-5), torch.optim.Adam, torch.optim.Adam),
        (Entrant("SGD", 0.3, momentum=0.5), torch.optim.SGD, torch.optim.SGD),
        (Entrant("Normalized SGD", 0.3), NormalizedSGD, NormalizedSGD),
    ],
)
def test_an_entrant_hands_its_numbers_on(entrant, stacked, alone):
    for build, kind in ((entrant.build, stacked), (entrant.build_alone, alone)):
        optimizer = build([torch.ones(2, 2, requires_grad=True)])
        (group,) = optimizer.param_groups
        assert type(optimizer) is kind and group["lr"] == 0.3
        if "eps" in group:
            assert group["eps"] == entrant.eps
        if kind is torch.optim.SGD:
            assert group["momentum"] == entrant.momentum


@pytest.mark.parametrize("bad", [1, 0, 1.0, None])
def test_one_is_not_true(bad):
    """JSON keeps them apart: a folder with `"bias": 1` could not be gone on with."""
    assert settings.one_of("bias", True, iter([True, False])) is True
    with pytest.raises(ValueError, match=re.escape(f"bias is {bad!r}: use True or False")):
        settings.one_of("bias", bad, iter([True, False]))


def test_naive_norms_are_for_stacks():
    naive = Entrant("Fromage", 0.01, norms="naive")
    assert naive.build([torch.ones(1, 2, 2)]).naive and not FROMAGE.build([torch.ones(1, 2, 2)]).naive
    with pytest.raises(ValueError, match="norms is 'naive': only networks in a stack train so"):
        naive.build_alone([torch.ones(2, 2)])


def test_numbers_that_a_dtype_cannot_hold_are_refused():
    for entrant, message in [
        (Entrant("Adam", 0.01, eps=1e-60), "eps is 1e-60: float32 takes it for 0, .* or dtype 'float64'"),
        (Entrant("SGD", 0.01, loss_scale=1e39), r"loss_scale is 1e\+39: beyond the range of float32"),
        (Entrant("SGD", 0.01, loss_scale=1e-50), "loss_scale is 1e-50: beyond the range of float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            entrant.check_dtype("float32")
        entrant.check_dtype("float64")
    # Who has no eps is not asked for one.
    Entrant("SGD", 0.01, eps=1e-60).check_dtype("float32")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: settings.whole("n", True, least=0), "n is True: give a whole number >= 0"),
        (lambda: settings.number("x", "1", "> 0", lambda x: x > 0), "x is '1': give a number > 0"),
        (lambda: settings.one_of("word", "a", ("b", "c")), "word is 'a': use 'b' or 'c'"),
        (lambda: settings.distinct("seeds", "12", "(1, 2)"), "seeds is '12': give a list such as (1, 2)"),
        (lambda: settings.distinct("seeds", [], "(1, 2)"), "seeds is empty: give at least one, such as (1"),
        (lambda: settings.distinct("seeds", [3, 3], "(1, 2)"), "seeds hold 3 twice"),
    ],
)
def test_messages_name_the_value_and_the_way_out(check, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check()
