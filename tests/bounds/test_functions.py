"""Theorem 1, Lemma 2 and their repairs against 60 digits, where they are sharp, and where the print fails."""

import copy
import math
import re

import mpmath
import pytest
import slow
import torch
from mpmath import mp
from torch import nn

from fromage_edu import bounds
from fromage_edu.bounds import (
    HypothesisError,
    frobenius_bound,
    functional_bound,
    functional_constant,
    magnitude_bound,
    operator_bound,
    restricted_bound,
    tau,
)
from fromage_edu.networks import Perceptron
from fromage_edu.trust import distance

DOUBLE = {"dtype": torch.float64}
RISING = [[1, 1], [2, 2], [1, 2, 4], [3, 3, 3], [2, 3, 3, 5]]
ANY_SHAPE = [*RISING, [4, 2], [3, 1, 3], [5, 4, 2, 3]]
EYE, X = torch.eye(2), torch.ones(2)


def leaky(slope):
    return nn.LeakyReLU(slope) if slope != 1 else nn.Identity()


def eye(count, size=2, factor=1.0):
    return [torch.eye(size, **DOUBLE) * factor] * count


def expected(before, after, x, slope):
    """All parts of all bounds about functions, with 60 digits."""
    old, new = [slow.exact(w) for w in before], [slow.exact(w) for w in after]
    changes = [b - a for a, b in zip(old, new, strict=True)]
    h, moved = slow.layers(old, slow.exact(x), slope), slow.layers(new, slow.exact(x), slope)
    depth, size = len(old), slow.norm(h[0])
    constant = (2 / mp.mpf(slope) ** 2 * slow.widest(old) * max(map(slow.kappa, old)) ** 2) ** depth
    taus = [slow.norm(w) * slow.norm(a) / slow.norm(w * a) for w, a in zip(old, h, strict=False)]
    rhos = [
        slow.singular_values(d)[0] / slow.singular_values(w)[0] for w, d in zip(old, changes, strict=True)
    ]
    gain = mp.fprod(slow.singular_values(w)[0] for w in old)
    frobenius = mp.fprod(slow.norm(w) ** 2 for w in old)
    trust, change = slow.trust(old, changes), slow.norm(moved[-1] - h[-1])
    return {
        "relative": (change / slow.norm(h[-1])) ** 2,
        "magnitude": (slow.norm(moved[-1]) / slow.norm(h[-1])) ** 2,
        "change": change,
        "tau": taus,
        "C0": constant,
        "theorem 1": constant * trust,
        "lemma 2": constant * (trust + 1),
        "restricted": mp.fprod(2 / mp.mpf(slope) ** 2 * t**2 for t in taus) * trust,
        "operator": size * gain * (mp.fprod(1 + rho for rho in rhos) - 1),
        "frobenius": size**2 * frobenius * (2**depth - 1) * trust,
    }


@pytest.mark.result("F12", "F35", "X1")
@pytest.mark.parametrize("slope", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("widths", ANY_SHAPE, ids=str)
def test_every_bound_matches_the_oracle_and_holds(widths, slope):
    for seed in range(2):
        pair = slow.random_pair(widths, seed)
        printed = {"as_printed": widths not in RISING}
        phi = {"nonlinearity": leaky(slope)}
        with mp.workdps(slow.DIGITS):
            parts = expected(*pair, slope)
            cases = [
                (functional_bound(*pair, **phi, **printed), parts["relative"], parts["theorem 1"]),
                (magnitude_bound(*pair, **phi, **printed), parts["magnitude"], parts["lemma 2"]),
                (restricted_bound(*pair, **phi), parts["relative"], parts["restricted"]),
                (operator_bound(*pair, **phi), parts["change"], parts["operator"]),
                (frobenius_bound(*pair, **phi), parts["change"] ** 2, parts["frobenius"]),
            ]
            logs = functional_constant(pair[0], **phi).item(), float(mpmath.log10(parts["C0"]))
        for bound, measured, limit in cases:
            assert bound.measured.item() == pytest.approx(float(measured), rel=1e-9)
            assert bound.bound.item() == pytest.approx(float(limit), rel=1e-9)
        assert all(bound.holds for bound, _, _ in (cases[2:] if printed["as_printed"] else cases))
        assert tau(pair[0], pair[2], **phi).tolist() == pytest.approx(
            [float(t) for t in parts["tau"]], rel=1e-9
        )
        assert logs[0] == pytest.approx(logs[1], rel=1e-9)


@pytest.mark.result("F12")
@pytest.mark.parametrize("depth", [1, 2, 3, 10])
def test_theorem_1_is_nearly_attained_when_every_weight_doubles(depth):
    bound = functional_bound(eye(depth, 1), eye(depth, 1, 2.0), torch.ones(1, **DOUBLE))
    assert (1 / bound.slack).item() == pytest.approx((2**depth - 1) / 2**depth)


@pytest.mark.result("F12", "F35")
@pytest.mark.parametrize(("eps", "relative"), [(0.1, 25.0), (0.01, 2500.0)])
def test_the_print_fails_for_a_layer_narrower_than_its_input_and_the_repairs_hold(eps, relative):
    before, after = [torch.tensor([[1.0, 0.0]], **DOUBLE)], [torch.tensor([[1.0, 0.5]], **DOUBLE)]
    x = torch.tensor([eps, 1.0], **DOUBLE)
    print_of_1 = functional_bound(before, after, x, as_printed=True)
    print_of_2 = magnitude_bound(before, after, x, as_printed=True)
    assert print_of_1.measured.item() == pytest.approx(relative)
    assert print_of_1.bound.item() == pytest.approx(1) and not print_of_1.holds
    assert print_of_2.bound.item() == pytest.approx(5) and not print_of_2.holds
    assert restricted_bound(before, after, x).holds and operator_bound(before, after, x).holds
    assert frobenius_bound(before, after, x).holds


@pytest.mark.result("F12")
def test_how_often_the_print_fails_for_gaussian_rows_and_changes_along_the_input():
    generator = torch.Generator().manual_seed(0)
    weights, x = (torch.randn(2000, 1, 100, generator=generator, **DOUBLE) for _ in range(2))
    change = 0.01 * x * weights.norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True)
    bound = functional_bound([weights], [weights + change], x, as_printed=True)
    # n* counts the input width here. Leaving it out divides the bound by 100.
    assert 0.45 < (~bound.holds).double().mean() < 0.55
    assert (bound.measured > bound.bound / 100).double().mean() > 0.98
    assert restricted_bound([weights], [weights + change], x).holds.all()


@pytest.mark.result("F12")
def test_x_in_the_null_space_moves_infinitely_and_has_no_restricted_bound():
    before, after, x = [EYE[:1]], [torch.tensor([[1.0, 0.5]])], torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    bound = functional_bound(before, after, x, as_printed=True)
    assert bound.measured.tolist() == [0, math.inf] and bound.holds.tolist() == [True, False]
    assert tau(before, x)[:, 0].tolist() == [1, math.inf]
    with pytest.raises(
        HypothesisError, match="input 1 is mapped to 0 by layer 1: the restricted bound bounds a"
    ):
        restricted_bound(before, after, x)
    assert operator_bound(before, after, x).holds.all()


@pytest.mark.result("F12")
def test_tau_is_at_most_what_conditioning_promises_for_tall_layers():
    for seed in range(20):
        before, _, x = slow.random_pair([2, 3, 3, 6], seed)
        promised = [(min(w.shape) ** 0.5 * torch.linalg.cond(w)).item() for w in before]
        taus = tau(before, x, nonlinearity=nn.LeakyReLU(0.2)).tolist()
        assert all(1 <= t <= p + 1e-9 for t, p in zip(taus, promised, strict=True))


@pytest.mark.result("X1")
@pytest.mark.parametrize("depth", [1, 2, 30])
def test_the_operator_bound_is_attained_when_every_layer_grows_alike(depth):
    bound = operator_bound(eye(depth), eye(depth, factor=1.1), torch.ones(2, **DOUBLE))
    assert bound.slack.item() == pytest.approx(1, rel=1e-9)


@pytest.mark.result("X1")
def test_zero_matrices_relu_and_zero_inputs_are_fine_for_the_operator_bound():
    before, after = [torch.zeros(3, 2), torch.ones(1, 3)], [torch.ones(3, 2), torch.ones(1, 3)]
    x = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    for function in (operator_bound, frobenius_bound):
        bound = function(before, after, x, nonlinearity=nn.ReLU())
        assert bound.holds.all() and bound.bound[1] == 0 and bound.measured[0] > 0


def test_small_changes_of_linear_networks_keep_their_digits():
    for size in (1e-6, 1e-10, 1e-14):
        before, after, x = slow.random_pair([2, 3, 3], 0, size)
        with mp.workdps(slow.DIGITS):
            parts = expected(before, after, x, 1.0)
        assert functional_bound(before, after, x).measured.item() == pytest.approx(
            float(parts["relative"]), rel=1e-9
        )
        assert operator_bound(before, after, x).bound.item() == pytest.approx(
            float(parts["operator"]), rel=1e-9
        )


@pytest.mark.parametrize(
    "phi", [nn.ReLU(), nn.LeakyReLU(0.1), nn.LeakyReLU(3.0), nn.LeakyReLU(-2.0), nn.Tanh()], ids=repr
)
@pytest.mark.parametrize("size", [1e-14, 1e-9, 1.0, 1e9])
def test_rounding_breaks_no_sharp_bound(phi, size):
    x = torch.tensor([[1.7], [-1.7], [1e-6]], **DOUBLE)
    for weight in (0.3, -0.3):
        before = [torch.full((1, 1), weight, **DOUBLE)] * 2
        for factor in (1 + size, 1 - size):
            after = [before[0] * factor] * 2
            assert operator_bound(before, after, x, nonlinearity=phi).holds.all()
            assert frobenius_bound(before, after, x, nonlinearity=phi).holds.all()


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.5, -2.0])
def test_changes_across_a_kink_are_those_of_the_nonlinearity(slope):
    before, after, x = slow.random_pair([3, 4, 5], 7, 3.0)
    phi = nn.LeakyReLU(slope)
    old, new = ((phi(phi(x @ one.mT) @ two.mT)) for one, two in (before, after))
    torch.testing.assert_close(
        operator_bound(before, after, x, nonlinearity=phi).measured, (new - old).norm()
    )


def test_huge_changes_in_decades():
    for function in (functional_bound, magnitude_bound, restricted_bound):
        bound = function(eye(1, factor=1e-200), eye(1), torch.ones(2), log10=True)
        assert bound.measured.item() == pytest.approx(400)
        assert bound.bound.item() == pytest.approx(400 + math.log10(4))


@pytest.mark.result("F12")
def test_depth_50_and_more_in_decades():
    for depth in (50, 400):
        before, after, x = slow.random_pair([4] * (depth + 1), 1, 0.01)
        before, after = ([w / 2 for w in group] for group in (before, after))
        phi = nn.LeakyReLU(0.1)
        bound = functional_bound(before, after, x, nonlinearity=phi, log10=True)
        constant = functional_constant(before, nonlinearity=phi)
        trust = distance(before, after).log10()
        assert bound.bound.item() == pytest.approx((constant + trust).item(), rel=1e-12)
        assert constant > 150 and bound.holds and bound.measured.isfinite()
        assert functional_bound(before, after, x, nonlinearity=phi).holds
        assert restricted_bound(before, after, x, nonlinearity=phi, log10=True).bound < bound.bound
        assert magnitude_bound(before, after, x, nonlinearity=phi, log10=True).holds


def test_nothing_changed():
    before, _, x = slow.random_pair([2, 3, 3], 0)
    for function in (functional_bound, restricted_bound, operator_bound, frobenius_bound):
        bound = function(before, before, x, nonlinearity=nn.LeakyReLU(0.5))
        assert bound.measured == bound.bound == 0 and bound.holds
    assert functional_bound(before, before, x, log10=True).holds
    assert frobenius_bound(before, before, 1e200 * x).bound == 0
    assert frobenius_bound(eye(1100), eye(1100), X).bound == 0
    assert functional_bound(before, before, x, nonlinearity=nn.ReLU(), as_printed=True).holds


def test_a_perceptron_is_its_matrices():
    torch.manual_seed(1)
    before, after = (Perceptron([3, 4, 4], nn.LeakyReLU(0.3)).double() for _ in range(2))
    x = torch.randn(5, 3, **DOUBLE)
    for function in (functional_bound, magnitude_bound, restricted_bound, operator_bound, frobenius_bound):
        one = function(before, after, x)
        two = function(before.weights, after.weights, x, nonlinearity=nn.LeakyReLU(0.3))
        torch.testing.assert_close(tuple(one), tuple(two))
    difference = (after(x) - before(x)).norm(dim=-1)
    torch.testing.assert_close(operator_bound(before, after, x).measured, difference)


def test_an_output_without_nonlinearity_has_no_transmission():
    weights = [torch.eye(2, **DOUBLE) * 2] * 2
    networks = []
    for last in (True, False):
        network = Perceptron([2, 2, 2], nn.LeakyReLU(0.1), output_nonlinearity=last).double()
        network.load_state_dict({f"layers.{index}.weight": w for index, w in enumerate(weights)})
        networks.append(network)
    with_phi, without = (functional_constant(network).item() for network in networks)
    assert with_phi - without == pytest.approx(2)
    relu = Perceptron([2, 2], nn.ReLU(), output_nonlinearity=False)
    assert functional_bound(relu, relu, torch.ones(2)).holds


def test_a_learnable_nonlinearity_is_read_with_its_parameters():
    before, after = (Perceptron([2, 3, 3], nn.PReLU(init=0.25)) for _ in range(2))
    given, x = bounds.Transmission(1 / 16, 1.0), torch.randn(4, 2)
    for function in (functional_bound, operator_bound):
        bound = function(before, after, x, transmission=given)
        same = function(before.weights, after.weights, x, nonlinearity=nn.LeakyReLU(0.25))
        torch.testing.assert_close(tuple(bound), tuple(same))
    operator_bound(before, before, x, transmission=given).measured.sum().backward()
    other = Perceptron([2, 3, 3], nn.PReLU(init=0.5))
    with pytest.raises(ValueError, match=re.escape("has PReLU([0.25]) where `after` has PReLU([0.5]): only")):
        operator_bound(before, other, x, transmission=given)


def test_a_nonlinearity_that_works_in_place_does_no_harm():
    before, after, x = slow.random_pair([3, 4, 4], 0, 2.0)
    kept = x.clone()
    for function in (operator_bound, frobenius_bound):
        one, two = (function(before, after, x, nonlinearity=nn.ReLU(inplace=each)) for each in (True, False))
        assert one.measured == two.measured > 0
    assert x.equal(kept)
    leaky = nn.LeakyReLU(0.5)
    hidden = nn.Sequential(nn.LeakyReLU(0.5, inplace=True))
    given = bounds.Transmission(0.25, 1.0)
    expected = operator_bound(before, after, x, nonlinearity=leaky)
    found = operator_bound(before, after, x, nonlinearity=hidden, transmission=given)
    torch.testing.assert_close(tuple(found), tuple(expected))


def test_networks_are_compared_by_what_their_nonlinearities_do():
    one, two = (Perceptron([2, 2], lambda z, slope=slope: slope * z) for slope in (1.0, 2.0))
    given = bounds.Transmission(1.0, 4.0)
    assert operator_bound(one, copy.deepcopy(one), X, transmission=given).holds
    with pytest.raises(ValueError, match="only weights may differ"):
        operator_bound(one, two, X, transmission=given)
    relu, leaky = Perceptron([2, 2]), Perceptron([2, 2], nn.LeakyReLU(0.0))
    assert operator_bound(relu, leaky, X).holds


def test_shapes():
    before, after, _ = slow.random_pair([3, 4, 4], 0)
    for shape in [(3,), (1, 3), (5, 3), (0, 3), (2, 5, 3)]:
        for function in (
            functional_bound,
            magnitude_bound,
            restricted_bound,
            operator_bound,
            frobenius_bound,
        ):
            bound = function(before, after, torch.ones(shape, **DOUBLE))
            assert bound.measured.shape == bound.bound.shape == bound.holds.shape == shape[:-1]
        assert tau(before, torch.ones(shape, **DOUBLE)).shape == (*shape[:-1], 2)


def test_many_networks_at_once_are_each_their_own():
    pairs = [slow.random_pair([2, 3, 4], seed) for seed in range(4)]
    before, after = (
        [torch.stack(group) for group in zip(*side, strict=True)]
        for side in list(zip(*pairs, strict=True))[:2]
    )
    x = torch.stack([pair[2] for pair in pairs])[:, None]
    phi = {"nonlinearity": nn.LeakyReLU(0.5)}
    for function in (functional_bound, magnitude_bound, restricted_bound, operator_bound, frobenius_bound):
        together = function(before, after, x, **phi)
        assert together.bound.shape == (4, 1)
        for index, pair in enumerate(pairs):
            alone = function(*pair, **phi)
            torch.testing.assert_close(tuple(side[index, 0] for side in together), tuple(alone))
    assert tau(before, x, **phi).shape == (4, 1, 2)


def test_precision():
    before, after, x = slow.random_pair([2, 3, 3], 0)
    low = [[w.float() for w in group] for group in (before, after)]
    for function in (functional_bound, magnitude_bound, restricted_bound, operator_bound, frobenius_bound):
        bound, double = function(*low, x.float()), function(before, after, x)
        assert bound.measured.dtype == bound.bound.dtype == torch.float32 and bound.holds
        torch.testing.assert_close(tuple(bound), tuple(side.float() for side in double), rtol=1e-4, atol=1e-6)
    half = [[w.half() for w in group] for group in (before, after)]
    assert functional_bound(*half, x.half()).bound.dtype == torch.float32
    assert functional_bound(*low, x).bound.dtype == torch.float64


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scales_cancel_in_relative_bounds(scale):
    before, after, x = slow.random_pair([2, 3, 3], 0)
    phi = {"nonlinearity": nn.LeakyReLU(0.5)}
    scaled = [before[0] * scale, before[1] / scale], [after[0] * scale, after[1] / scale], x * scale
    for function in (functional_bound, magnitude_bound, restricted_bound):
        torch.testing.assert_close(tuple(function(before, after, x, **phi)), tuple(function(*scaled, **phi)))


def test_gradients():
    before, after, x = slow.random_pair([2, 2, 3], 3)
    inputs = [each.clone().requires_grad_() for each in (*before, *after, x)]
    for function in (functional_bound, magnitude_bound, restricted_bound, operator_bound, frobenius_bound):

        def sides(*each, function=function):
            return tuple(function(each[:2], each[2:4], each[4], nonlinearity=nn.LeakyReLU(0.5)))

        assert torch.autograd.gradcheck(sides, inputs)
    still = [w.clone().requires_grad_() for w in before]
    functional_bound(before, still, x).bound.backward()
    assert all(w.grad.eq(0).all() for w in still)
