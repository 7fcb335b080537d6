"""math.js and the Python library agree over a grid, and numbers read well at the ends of every range."""

import itertools
import re

import pytest
import torch

from fromage_edu.bounds import scalar_bound, scalar_chain_bound, scalar_terms
from fromage_edu.explorers.base import SHARED
from fromage_edu.trust import deep_relative_trust, euclidean_trust

DEPTHS = [1, 2, 3, 10, 30, 100, 1000]
STEPS = [0.0, 1e-8, 1e-4, 0.001, 0.01, 0.1, 0.3, 0.7, 1.0]
NUMBERS = [-1000.0, -2.0, -0.5, -0.001, 0.001, 0.3, 1.0, 1.5, 1000.0]
CHANGES = [-1000.0, -1.5, -0.01, 0.0, 1e-6, 0.6, 1.0, 1000.0]

LOAD = """async ([text, calls]) => {
  const math = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  return calls.map(([name, ...args]) => math[name](...args));
}"""


@pytest.fixture
def call(open_page, tmp_path):
    """Evaluate `[name, *arguments]` of the shared JavaScript, many at once."""
    blank = tmp_path / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>", encoding="utf-8")
    page = open_page(blank.as_uri())
    return lambda calls: page.evaluate(LOAD, [SHARED, calls])


def close(found, expected, rel=1e-12):
    return found == pytest.approx(expected, rel=rel, abs=1e-300)


def test_trust_agrees_with_the_library(call):
    grid = list(itertools.product(DEPTHS, STEPS))
    deep = call([["deepTrust", *point] for point in grid])
    flat = call([["euclideanTrust", *point] for point in grid])
    for (depth, step), d, s in zip(grid, deep, flat, strict=True):
        assert close(d, deep_relative_trust([step] * depth).item()), (depth, step)
        # Layers of norm 1, each changed by the size `step`.
        before = torch.eye(3, dtype=torch.float64)[0].expand(depth, 3)
        after = before + step * torch.eye(3, dtype=torch.float64)[1]
        assert close(s, euclidean_trust(list(before), list(after)).item()), (depth, step)


def test_the_radii_are_where_trust_reaches_one(call):
    for depth, deep, flat in zip(
        DEPTHS,
        call([["deepRadius", depth] for depth in DEPTHS]),
        call([["euclideanRadius", depth] for depth in DEPTHS]),
        strict=True,
    ):
        assert close(deep_relative_trust([deep] * depth).item(), 1.0)
        assert close(depth * flat**2, 1.0)


def test_the_chain_agrees_with_the_library(call):
    grid = [(depth, step) for depth in DEPTHS for step in STEPS if depth < 1000 or step < 0.1]
    for (depth, step), found in zip(grid, call([["chainChange", *point] for point in grid]), strict=True):
        measured = scalar_chain_bound([1.0] * depth, [step] * depth).measured.item()
        assert close(found**2, measured, rel=1e-9), (depth, step)


def test_the_scalar_network_agrees_with_the_library(call):
    grid = list(itertools.product(NUMBERS[::2], NUMBERS[1::2], CHANGES, CHANGES))
    for point, found in zip(grid, call([["scalarTerms", *point] for point in grid]), strict=True):
        terms, both = scalar_terms(*point), scalar_bound(*point)
        assert close([found["u"], found["v"]], [terms.u.item(), terms.v.item()])
        assert close(found["squares"], terms.squares.tolist())
        assert close([one["value"] for one in found["crosses"]], terms.cross.tolist())
        assert close([one["bound"] for one in found["crosses"]], terms.young.tolist())
        assert close([one["slack"] for one in found["crosses"]], terms.slacks.tolist(), rel=1e-9)
        assert close(found["bound"], both.bound.item())
        # Where the changes cancel, what is left is rounding on both sides.
        assert found["measured"] == pytest.approx(both.measured.item(), rel=1e-9, abs=1e-14 * found["bound"])


def test_the_share_is_between_zero_and_one(call):
    grid = list(itertools.product([-1.5, -1, -0.3, 0, 1e-9, 0.4, 1, 1.5], repeat=2))
    shares = call([["scalarShare", *point] for point in grid])
    assert all(0 <= share <= 1 + 1e-12 for share in shares)
    assert shares[grid.index((1, 1))] == 1 and shares[grid.index((0, 0))] == 2 / 3


READS = [
    (["number", 0], "0"),
    (["number", -0.0], "0"),
    (["number", 0.348], "0.348"),
    (["number", 0.3], "0.300"),
    (["number", 999.6], "1,000"),
    (["number", 1644.94], "1,645"),
    (["number", 999400], "999,400"),
    (["number", 999999.9], "1.0 × 10⁶"),
    (["number", 1.7e33], "1.7 × 10³³"),
    (["number", 9.96e33], "1.0 × 10³⁴"),
    (["number", -3e-9], "−3.0 × 10⁻⁹"),
    (["number", 1e308], "1.0 × 10³⁰⁸"),
    (["plain", 0.1], "0.1"),
    (["plain", 30], "30"),
    (["plain", 100], "100"),
    (["plain", -0.25], "−0.25"),
    (["plain", 1000], "1,000"),
    (["percent", 16.4494], "1,645 %"),
    (["plainPercent", 0.1], "10 %"),
    (["plainPercent", 0.07], "7 %"),
    (["superscript", -12], "⁻¹²"),
]


def test_numbers_as_text(call):
    texts = [text.replace("\u00a0", " ") for text in call([expression for expression, _ in READS])]
    assert texts == [text for _, text in READS]


def test_no_number_prints_as_a_computer_would(call):
    values = [sign * 10**power for power in (-320, -30, -5, -3, 0, 3, 5, 6, 30, 308) for sign in (1, -1)]
    names = ("number", "plain", "percent", "plainPercent")
    texts = call([[name, value] for name in names for value in values])
    assert not [text for text in texts if re.search(r"NaN|Infinity|undefined|\de", text)]
