"""In which precision the package computes, and in which it answers."""

import math
from numbers import Real

import torch
from torch import Tensor


def working_dtype(device: torch.device) -> torch.dtype:
    """The precision in which norms and bounds are computed: float64 wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def result_dtype(*tensors: Tensor) -> torch.dtype:
    """The real precision in which an answer is returned: that of the tensors, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype.to_real()


def as_float(value: Real) -> float:
    """A number as Python's float; infinite where that is too small for it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
