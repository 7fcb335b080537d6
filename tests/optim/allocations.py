"""Memory on a CPU: what torch allocates beyond what is there, read from the profiler's events."""

import torch
from torch.profiler import ProfilerActivity, profile


def peak(action) -> int:
    """Bytes allocated at the highest point of `action()`, above those before it; its result is dropped."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        action()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    now = highest = 0
    for event in events:
        now += event.nbytes()
        highest = max(highest, now)
    return highest


def bytes_of(tensors) -> int:
    """What tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def model_of(shapes, dtype=torch.float32):
    """Parameters of these shapes, with gradients."""
    params = [torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param)
    return params
