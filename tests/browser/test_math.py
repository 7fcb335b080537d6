"""math.js and the Python library agree over a grid, and numbers read well at the ends of every range."""

import itertools
import math
import re
from functools import partial

import pytest
import torch

from fromage_edu.bounds import (
    functional_bound,
    operator_bound,
    restricted_bound,
    scalar_bound,
    scalar_chain_bound,
    scalar_terms,
    tau,
)
from fromage_edu.spectra import condition_number, operator_norm
from fromage_edu.trust import deep_relative_trust, euclidean_trust, relative_sizes

DEPTHS = [1, 2, 3, 10, 30, 100, 1000]
STEPS = [0.0, 1e-8, 1e-4, 0.001, 0.01, 0.1, 0.3, 0.7, 1.0]
NUMBERS = [-1000.0, -2.0, -0.5, -0.001, 0.001, 0.3, 1.0, 1.5, 1000.0]
CHANGES = [-1000.0, -1.5, -0.01, 0.0, 1e-6, 0.6, 1.0, 1000.0]


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


SIZES = [[0.1], [0.0, 0.5, 0.0], [1.0, 0.01], [0.3, 0.0, 1e-9, 0.02], [1.0], [1e-9], [0.0]]


def test_layers_of_different_sizes_agree_with_the_library(call):
    for sizes in SIZES:
        full = call([["sizesOf", 50, sizes]])[0]
        assert full == (sizes + [sizes[-1]] * 50)[:50]
        for depth, found in enumerate(call([["trusts", full]])[0], start=1):
            assert close(found["D"], deep_relative_trust(full[:depth]).item())
            assert close(found["S"], math.fsum(size**2 for size in full[:depth]))
            assert close(found["limit"], math.expm1(math.fsum(size**2 for size in full[:depth])))
            chain = scalar_chain_bound([1.0] * depth, full[:depth]).measured.item()
            assert close(found["chain"] ** 2, chain, rel=1e-9)
            assert found["S"] <= found["D"] * (1 + 1e-12) and found["D"] <= found["limit"] * (1 + 1e-12)


@pytest.mark.parametrize("conditioning", [1, 3, 100])
@pytest.mark.parametrize("alignment", [0, 0.35, 1])
def test_the_linear_network_is_what_it_is_said_to_be(call, alignment, conditioning):
    layers = call([["linearNetwork", alignment, conditioning]])[0]
    weights = torch.tensor([one["weight"] for one in layers], dtype=torch.float64)
    changes = torch.tensor([one["change"] for one in layers], dtype=torch.float64)
    assert weights.shape == (50, 8, 8)
    assert condition_number(weights).tolist() == pytest.approx([conditioning] * 50, rel=1e-9)
    norms = weights.square().sum((1, 2)), changes.square().sum((1, 2)), (weights * changes).sum((1, 2))
    assert close(norms[1].tolist(), norms[0].tolist(), rel=1e-9)
    assert (norms[2] / norms[0]).tolist() == pytest.approx([alignment] * 50, abs=1e-9)
    assert [one["growth"] for one in layers] == pytest.approx(operator_norm(weights).tolist())
    shares = operator_norm(changes) / operator_norm(weights)
    assert [one["share"] for one in layers] == pytest.approx(shares.tolist(), rel=1e-9)


@pytest.mark.parametrize("conditioning", [1, 3, 100])
@pytest.mark.parametrize("alignment", [0, 0.35, 1])
def test_its_change_and_its_bounds_agree_with_the_library(call, alignment, conditioning):
    layers = call([["linearNetwork", alignment, conditioning]])[0]
    before = [torch.tensor(one["weight"], dtype=torch.float64) for one in layers]
    changes = [torch.tensor(one["change"], dtype=torch.float64) for one in layers]
    x = torch.ones(8, dtype=torch.float64)
    for sizes in SIZES[:-1]:
        full = call([["sizesOf", 50, sizes]])[0]
        found = call([["functionChange", full, alignment, conditioning]])[0]
        after = [one + size * change for one, size, change in zip(before, full, changes, strict=True)]
        for depth in (1, 2, 7, 30, 50):
            if not any(full[:depth]):
                assert found[depth - 1]["measured"] == -math.inf
                continue
            # W + ΔW − W is rounded: changes of 1e-9 have seven digits.
            near = partial(pytest.approx, abs=1e-5 if min(filter(None, full[:depth])) < 1e-6 else 1e-9)
            theorem = functional_bound(before[:depth], after[:depth], x, log10=True)
            assert found[depth - 1]["measured"] == near(theorem.measured.item())
            assert found[depth - 1]["theorem"] == near(theorem.bound.item())
            operator = operator_bound(before[:depth], after[:depth], x)
            gain = 2 * (math.log10(operator.bound.item()) - math.log10(operator.measured.item()))
            assert (
                found[depth - 1]["operator"] - found[depth - 1]["measured"] == near(gain) or abs(gain) < 1e-5
            )
            assert theorem.holds and operator.holds


def test_at_random_deep_relative_trust_is_right_on_average(call):
    """In a rotation W, the errors E at right angles to it, of its length, have a mean ‖Eh‖² of ‖h‖²."""
    weight = torch.tensor(call([["linearNetwork", 0, 1]])[0][0]["weight"], dtype=torch.float64)
    basis = torch.eye(64, dtype=torch.float64)
    basis[0] = weight.flatten()
    errors = torch.linalg.qr(basis.T).Q.T[1:].reshape(63, 8, 8) * weight.square().sum().sqrt()
    h = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert close((errors @ h).square().sum(-1).mean().item(), h.square().sum().item())


def test_the_wide_layer_agrees_with_the_library(call):
    grid = list(itertools.product([0, 12.5, 45, 63.5, 84, 89.9], [1e-3, 0.5, 1], [0, 5, 90, 133, 180]))
    weight = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    limits = {at: call([["failingAngle", at]])[0] for at in (0, 5, 90, 133, 180)}
    for point, found in zip(grid, call([["wideLayer", *point] for point in grid]), strict=True):
        angle, size, direction = point
        at, to = math.radians(angle), math.radians(direction)
        x = torch.tensor([math.cos(at), math.sin(at)], dtype=torch.float64)
        change = torch.tensor([[size * math.cos(to), size * math.sin(to)]], dtype=torch.float64)
        before, after = [weight], [weight + change]
        theorem = functional_bound(before, after, x, as_printed=True)
        restricted, operator = restricted_bound(before, after, x), operator_bound(before, after, x)
        near = lambda value: pytest.approx(value.item(), rel=1e-8, abs=1e-24)  # noqa: E731
        assert found["measured"] == near(theorem.measured) and found["theorem"] == near(theorem.bound)
        assert found["tau"] == near(tau(before, x)[0]) and found["restricted"] == near(restricted.bound)
        assert found["operator"] == near((operator.bound / (weight @ x).abs()).square().squeeze())
        assert found["trust"] == near(deep_relative_trust(relative_sizes(before, after)))
        assert theorem.holds == (angle <= limits[direction] + 1e-9)
        assert restricted.holds and operator.holds


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
