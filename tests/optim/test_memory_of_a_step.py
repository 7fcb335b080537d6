"""No path of the step needs temporaries the size of a model."""

import pytest
import torch
from allocations import bytes_of, model_of, peak

from fromage_edu import Fromage

MB = 2**20
# One tensor dominates the first model; the second has many of the same size.
MODELS = {"one large": [(2000, 1000), (1000, 100), (100,)], "many": [(300, 300)] * 20 + [(64, 64)] * 40}
WAYS = {
    "default": {},
    "one by one": {"foreach": False},
    "foreach": {"foreach": True},
    "capturable": {"capturable": True},
}


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"p_bound": 1.0}, {"maximize": True}])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shapes", MODELS)
def test_a_step_needs_little_memory_of_its_own(shapes, dtype, way, options):
    params = model_of(MODELS[shapes], dtype)
    optimizer = Fromage(params, **WAYS[way], **options)
    optimizer.step()  # the state is there from the first step on
    extra = peak(optimizer.step)
    # An average is kept in float32: a half-precision gradient is converted for it, one tensor at a time.
    converted = max(4 * p.numel() for p in params) if "momentum" in options and dtype != torch.float32 else 0
    assert extra <= 2.5 * MB + converted
    assert extra < bytes_of(params) + converted


def test_the_measure_sees_a_temporary():
    tensor = torch.randn(1000, 1000)
    assert 4e6 <= peak(lambda: tensor * 2) < 4.1e6
