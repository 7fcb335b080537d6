"""Mirsky's theorem: against 60 digits, on random matrices, at its sharpest, and under attack."""

import re

import hypothesis
import mpmath
import pytest
import slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

from fromage_edu.bounds import mirsky_bound
from fromage_edu.spectra import spectral_shift

EXAMPLES, BATCH = 60, 200


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.result("F27")
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 2), (2, 5), (1, 4)])
@pytest.mark.parametrize("size", [1e-3, 0.3, 10.0])
def test_both_sides_match_the_oracle(shape, size):
    for seed in range(4):
        before, change = gaussian(*shape, seed=seed), size * gaussian(*shape, seed=seed + 50)
        bound = mirsky_bound(before, before + change)
        with mp.workdps(slow.DIGITS):
            old, new = slow.exact(before), slow.exact(before + change)
            pairs = zip(slow.singular_values(old), slow.singular_values(new), strict=True)
            shift = mp.sqrt(mp.fsum((b - a) ** 2 for a, b in pairs))
            assert bound.measured.item() == pytest.approx(float(shift), rel=1e-10)
            assert bound.bound.item() == pytest.approx(float(slow.norm(new - old)), rel=1e-12)
        assert bound.holds
        relative = spectral_shift(before, before + change)
        assert relative.item() == pytest.approx((bound.measured / before.norm()).item(), rel=1e-9)


@pytest.mark.result("F27")
def test_no_random_matrix_breaks_it():
    tried, worst = 0, 0.0

    @hypothesis.settings(max_examples=EXAMPLES, phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
    @given(
        st.integers(1, 6),
        st.integers(1, 6),
        st.floats(-3, 3),
        st.floats(0, 1.5),
        st.sampled_from(["any", "along", "low rank"]),
        st.integers(0, 10**4),
    )
    def holds(rows, columns, decades, stretch, kind, seed):
        nonlocal tried, worst
        scale = 10 ** (stretch * gaussian(BATCH, 1, columns, seed=seed))
        before = gaussian(BATCH, rows, columns, seed=seed + 1) * scale
        change = (
            10**decades
            * {
                "any": lambda: gaussian(BATCH, rows, columns, seed=seed + 2),
                "along": lambda: before * (1 + 0.1 * gaussian(BATCH, rows, columns, seed=seed + 2)),
                "low rank": lambda: (
                    gaussian(BATCH, rows, 1, seed=seed + 2) @ gaussian(BATCH, 1, columns, seed=seed)
                ),
            }[kind]()
        )
        bound = mirsky_bound(before, before + change)
        assert bound.holds.all()
        tried, worst = tried + BATCH, max(worst, (1 / bound.slack).max().item())

    holds()
    assert tried >= 10_000 and worst <= 1 + 1e-9
    print(f"Mirsky: {tried} pairs, largest measured/bound {worst:.6f}")


@pytest.mark.result("F27")
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_a_stretch_along_the_singular_directions_reaches_it(shape):
    matrix = gaussian(*shape)
    assert mirsky_bound(matrix, 1.1 * matrix).slack.item() == pytest.approx(1, rel=1e-12)
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    moved = u @ (values + torch.linspace(0.3, 0.1, len(values)).double()).diag() @ vt
    assert mirsky_bound(matrix, moved).slack.item() == pytest.approx(1, rel=1e-12)
    # In another order of the directions the same lengths move nothing.
    swapped = u @ values.flip(0).diag() @ vt
    assert mirsky_bound(matrix, swapped).measured < 1e-14 < mirsky_bound(matrix, swapped).bound


@pytest.mark.result("F27")
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 2), (2, 5)])
def test_gradient_ascent_reaches_it_and_does_not_break_it(shape):
    inputs = [gaussian(16, *shape, seed=seed).requires_grad_() for seed in (0, 1)]
    optimizer, reached = torch.optim.Adam(inputs, lr=0.03), 0.0
    for _ in range(300):
        matrix, change = inputs
        ratio = 1 / mirsky_bound(matrix, matrix + change).slack
        reached = max(reached, ratio.max().item())
        optimizer.zero_grad()
        (-ratio.clamp(min=1e-12).log()).sum().backward()
        optimizer.step()
    assert 0.999 < reached <= 1 + 1e-9


@pytest.mark.result("F27")
def test_the_order_of_the_spectrum_matters():
    """Compared in another order the left side can be larger than the right."""
    before, after = torch.diag(torch.tensor([2.0, 1.0])), torch.diag(torch.tensor([2.1, 1.1]))
    bound = mirsky_bound(before, after)
    assert bound.holds and (torch.tensor([2.0, 1.0]) - torch.tensor([1.1, 2.1])).norm() > bound.bound


def test_batches_precision_and_edges():
    before, after = gaussian(3, 4, 2), gaussian(3, 4, 2, seed=1)
    together = mirsky_bound(before, after)
    assert together.measured.shape == together.bound.shape == (3,)
    alone = mirsky_bound(before[1], after[1])
    torch.testing.assert_close(tuple(side[1] for side in together), tuple(alone))
    single = mirsky_bound(before.float(), after.float())
    assert single.bound.dtype == torch.float32 and single.holds.all()
    assert mirsky_bound(before, before).holds.all() and (mirsky_bound(before, before).bound == 0).all()
    for scale in (1e-150, 1e150):
        scaled = mirsky_bound(before * scale, after * scale)
        torch.testing.assert_close(tuple(side / scale for side in scaled), tuple(together))
    inputs = [gaussian(3, 2, seed=seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(lambda *pair: tuple(mirsky_bound(*pair)), inputs)


def test_rounding_near_equality_is_where_the_docs_say():
    """Below 1e-6 of W the singular values' own rounding shows, and never by more than they carry."""
    matrix = gaussian(6, 6)
    for size in (1e-3, 1e-6):
        assert mirsky_bound(matrix, (1 + size) * matrix).holds
    tiny = mirsky_bound(matrix, (1 + 1e-10) * matrix)
    assert (tiny.measured - tiny.bound).abs() < 1e-14 * matrix.norm()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mirsky_bound(torch.ones(2, 2), torch.ones(2, 3)),
            ValueError,
            "`matrix` is 2 x 2 and `perturbed` 2 x 3: compare matrices of one shape",
        ),
        (lambda: mirsky_bound([[1.0]], torch.ones(1, 1)), TypeError, "`matrix` is a list: give a tensor"),
        (
            lambda: mirsky_bound(torch.ones(2), torch.ones(2)),
            ValueError,
            "`matrix` has shape (2,): give a matrix (..., m, n)",
        ),
        (
            lambda: mirsky_bound(torch.ones(1, 1), torch.ones(1, 1) / 0),
            ValueError,
            "`perturbed` holds NaN or infinity: give finite numbers",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_oracle_itself():
    assert float(slow.norm(mpmath.matrix([[3, 0], [0, 4]]))) == 5
