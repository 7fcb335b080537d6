"""What makes a step a step of Fromage: its symmetries, its geometry, exact and stored examples."""

import json
import math
from fractions import Fraction

import golden
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import oracle, relative_error
from ways import WAYS, every_way, fromage, parameter, step, steps

from fromage_edu.optim import fromage_update

SIDES = st.lists(st.integers(1, 4), max_size=5).map(tuple)
SEEDS = st.integers(0, 10**6)
LRS = st.sampled_from([1e-4, 0.01, 0.3, 1.0, 10.0])
EVERY_WAY = st.sampled_from(list(WAYS))


def two(shape, seed, dtype=torch.float64):
    return torch.randn(2, *shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def orthogonal(grad, weight):
    """`grad` without its part along `weight`."""
    return grad - (grad * weight).sum() / weight.square().sum() * weight


# --- Symmetries -----------------------------------------------------------------------------------------


@pytest.mark.result("F25")
@pytest.mark.rule("tiny or huge")
@given(EVERY_WAY, SIDES, SEEDS, LRS, st.integers(-14, 14), st.sampled_from([torch.float32, torch.float64]))
def test_blind_to_the_gradients_scale_bit_for_bit(way, shape, seed, lr, power, dtype):
    """Powers of 4 round nothing, not even in a square root."""
    weight, grad = two(shape, seed, dtype)
    assert step(way, weight, grad * 4.0**power, lr).equal(step(way, weight, grad, lr))


@pytest.mark.rule("tiny or huge")
@given(EVERY_WAY, SIDES, SEEDS, LRS, st.integers(-14, 14), st.sampled_from([torch.float32, torch.float64]))
def test_equivariant_to_the_weights_scale_bit_for_bit(way, shape, seed, lr, power, dtype):
    weight, grad = two(shape, seed, dtype)
    assert step(way, weight * 4.0**power, grad, lr).equal(step(way, weight, grad, lr) * 4.0**power)


@given(EVERY_WAY, SEEDS, LRS, st.floats(-17, 17), st.floats(-17, 17))
def test_blind_and_equivariant_at_any_factor(way, seed, lr, weight_power, grad_power):
    weight, grad = two((6,), seed, torch.float32)
    scaled = step(way, weight * 10**weight_power, grad * 10**grad_power, lr)
    bound = 5e-7 * (weight.norm() * (1 + lr) / math.hypot(1, lr))
    assert (scaled.double() / 10**weight_power - step(way, weight, grad, lr)).norm() <= bound


@pytest.mark.parametrize("max_norm", [0.5, 0.01])
def test_clipping_gradients_changes_nothing(max_norm):
    weight, grad = two((5, 3), 0)
    clipped = grad * (max_norm / grad.norm())
    assert relative_error(step("alone", weight, clipped), step("alone", weight, grad)) <= 1e-15


@given(EVERY_WAY, SIDES, SEEDS, LRS)
def test_odd_in_both_and_blind_to_the_order_of_entries(way, shape, seed, lr):
    weight, grad = two(shape, seed)
    new = step(way, weight, grad, lr)
    assert step(way, -weight, -grad, lr).equal(-new)
    flat = step(way, weight.reshape(-1).flip(0), grad.reshape(-1).flip(0), lr)
    torch.testing.assert_close(flat.flip(0).view(shape), new, rtol=1e-14, atol=1e-14 * weight.norm().item())


@given(EVERY_WAY, SEEDS, LRS)
def test_equivariant_to_rotations(way, seed, lr):
    weight, grad = two((4, 4), seed)
    rotation = torch.linalg.qr(two((4, 4), seed + 1)[0]).Q
    new = rotation @ step(way, weight, grad, lr)
    assert (step(way, rotation @ weight, rotation @ grad, lr) - new).norm() <= 1e-14 * weight.norm()


@every_way
def test_a_tensors_step_depends_on_its_own_gradient_only(way):
    weight, grad = two((3, 3), 0)
    alone = step("alone", weight, grad)
    assert relative_error(step(way, weight, grad), alone) <= 1e-15  # "packed": beside others


@every_way
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (2, 1, 3, 1, 2), (1,) * 8])
def test_any_shape(way, shape):
    new = step(way, torch.ones(shape), torch.ones(shape), 0.1)
    torch.testing.assert_close(new, torch.full(shape, (1 - 0.1) / math.sqrt(1.01)))


@every_way
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}])
def test_gradients_are_only_read(way, options):
    """Neither in their values nor in their version, of which not every operation tells."""
    param, grad = parameter([3.0, 4.0], way), torch.tensor([1.0, -2.0])
    param.grad = grad
    optimizer = fromage([param], way, **options)
    for _ in range(3):
        optimizer.step()
    assert param.grad is grad and grad._version == 0 and grad.tolist() == [1.0, -2.0]


# --- Geometry (A16) -------------------------------------------------------------------------------------


@pytest.mark.rule("geometry")
@given(EVERY_WAY, SIDES, SEEDS, LRS)
def test_before_the_factor_the_relative_size_of_a_step_is_lr(way, shape, seed, lr):
    weight, grad = two(shape, seed)
    plain = step(way, weight, grad, lr, norm_correction=False)
    assert (plain - weight).norm().item() == pytest.approx(lr * weight.norm().item(), rel=1e-11)
    corrected = step(way, weight, grad, lr) * math.hypot(1, lr)
    torch.testing.assert_close(corrected, plain, rtol=1e-13, atol=1e-14 * (1 + lr) * weight.norm().item())


@pytest.mark.result("F25", "F26")
@pytest.mark.rule("geometry")
@every_way
@pytest.mark.parametrize("eta", [0.001, 0.01, 0.5, 2.0])
@pytest.mark.parametrize("cosine", [-1.0, -0.3, 0.0, 0.5, 1.0])
def test_norm_ratio_and_relative_change_against_the_angle(way, eta, cosine):
    weight = torch.tensor([2.0, 0.0], dtype=torch.float64)
    grad = torch.tensor([cosine, math.sqrt(1 - cosine**2)], dtype=torch.float64)
    new, s = step(way, weight, grad, eta), math.hypot(1, eta)
    assert (new.norm() / weight.norm()).item() ** 2 == pytest.approx(1 - 2 * eta * cosine / s**2, rel=1e-13)
    moved, factor = ((new - weight).norm() / weight.norm()).item(), eta**2 / (s * (1 + s))  # 1 − 1/s
    assert moved == pytest.approx(math.sqrt(2 * factor * (1 + eta * cosine / s)), rel=1e-11)


@pytest.mark.rule("geometry")
@given(EVERY_WAY, SIDES.filter(lambda shape: math.prod(shape) > 1), SEEDS, LRS)
def test_a_gradient_orthogonal_to_the_weight_keeps_the_norm(way, shape, seed, lr):
    weight, grad = two(shape, seed)
    grad = orthogonal(orthogonal(grad, weight), weight)
    norm = weight.norm().item()
    assert step(way, weight, grad, lr).norm().item() == pytest.approx(norm, rel=1e-14)
    grown = step(way, weight, grad, lr, norm_correction=False).norm().item()
    assert grown == pytest.approx(norm * math.hypot(1, lr), rel=1e-14)


@pytest.mark.rule("geometry")
@every_way
def test_the_norm_of_a_scale_invariant_layer_stays(way):
    """By Euler's theorem its gradient is orthogonal to it; without the factor the norm grows like sˡ."""
    data, target = two((5, 4), 0)
    for norm_correction, growth in ((True, 1.0), (False, math.hypot(1, 0.1) ** 50)):
        weight = two((4, 4), 1)[0]
        first = weight.norm().item()
        for _ in range(50):
            leaf = weight.clone().requires_grad_()
            loss = (data @ (leaf / leaf.norm()) - target).square().sum()
            loss.backward()
            weight = step(way, weight, leaf.grad, 0.1, norm_correction=norm_correction)
        assert weight.norm().item() == pytest.approx(first * growth, rel=1e-12)


# --- Examples -------------------------------------------------------------------------------------------

# W, g and η whose norms and √(1 + η²) are rational: Pythagorean triples.
RATIONAL = [
    ((3, 4), (4, -3), Fraction(3, 4)),
    ((3, 4), (8, 15), Fraction(5, 12)),
    ((2, 3, 6), (1, 4, 8), Fraction(8, 15)),
    ((1, 2, 2, 4, 0), (-2, 0, 3, 6, 0), Fraction(20, 21)),
    ((5,), (-7,), Fraction(12, 35)),
]


@pytest.mark.rule("ordinary step")
@every_way
@pytest.mark.parametrize(("weight", "grad", "eta"), RATIONAL)
def test_examples_in_fractions(way, weight, grad, eta):
    def root(value):
        value = Fraction(value)
        result = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        assert result**2 == value
        return result

    ratio = root(sum(x * x for x in weight)) / root(sum(x * x for x in grad))
    expected = [float((x - eta * ratio * y) / root(1 + eta**2)) for x, y in zip(weight, grad, strict=True)]
    expected = torch.tensor(expected, dtype=torch.float64)
    weight, grad = torch.tensor(weight, dtype=torch.float64), torch.tensor(grad, dtype=torch.float64)
    bound = 1e-15 * weight.norm()
    assert (step(way, weight, grad, float(eta)) - expected).norm() <= bound
    assert (fromage_update(weight, grad, float(eta)) - expected).norm() <= bound
    assert (oracle(weight, grad, float(eta)) - expected).norm() <= bound


STORED = json.loads(golden.FILE.read_text(encoding="utf-8"))
GOLDEN = [
    pytest.param(case, id=f"{source} {index}")
    for source in ("algorithm 1", "optax")
    for index, case in enumerate(STORED[source]["cases"])
]


@pytest.mark.rule("ordinary step")
@every_way
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", GOLDEN)
def test_stored_runs(way, dtype, case):
    weight, path = (torch.tensor(case[name], dtype=torch.float64) for name in ("weight", "path"))
    grads = [torch.tensor(grad, dtype=dtype) for grad in case["grads"]]
    mine = torch.stack(steps(way, weight.to(dtype), grads, case["lr"], **case["options"]))
    bound = {torch.float64: 2e-15, torch.float32: 1e-6}[dtype] * weight.norm()
    assert (mine.double() - path).reshape(golden.STEPS, -1).norm(dim=1).max() <= bound


def test_the_stored_runs_are_those_of_the_recipe():
    assert STORED["recipe"] == "python tests/optim/golden.py"
    assert STORED["algorithm 1"]["cases"] == golden.of_algorithm_1()


def test_optax_ran_away_from_its_least_norm():
    """Below 1e-6 it takes norms for 1e-6; Fromage has rules of its own there."""
    assert STORED["optax"]["versions"].keys() == {"optax", "jax"}
    for case in STORED["optax"]["cases"]:
        for values in (case["weight"], *case["grads"], *case["path"]):
            assert torch.tensor(values).norm() > 1e-4
