"""Where a point computes: on the processor, or on a GPU.

A configuration says it by name, as torch has it. Whether the name can be one is checked when the
configuration is made; whether this machine has the device, when points are about to run here. So figures of a
sweep that ran on a GPU are drawn, and points sent to a cluster, where there is none.
"""

from __future__ import annotations

import re

import torch

__all__ = ["device_name", "present", "usable"]


def device_name(name: str) -> str:
    """Pass the name of a device on, or say what it could be.

    Args:
        name: "cpu", "cuda" or, with its number, such as "cuda:1".

    Returns:
        The name.

    Raises:
        ValueError: for anything else.

    >>> device_name("cuda:1")
    'cuda:1'
    """
    if name == "mps":
        raise ValueError(
            "device is 'mps': it has no float64, in which norms and accuracies are taken; use 'cpu'"
        )
    if not isinstance(name, str) or not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]*))?", name):
        raise ValueError(f"device is {name!r}: give 'cpu', 'cuda', or one of several GPUs, such as 'cuda:1'")
    return name


def present() -> list[str]:
    """The devices of this machine that torch can use.

    Returns:
        Their names, "cpu" first.

    >>> present()[0]
    'cpu'
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ["cpu", *(f"cuda:{index}" for index in range(gpus))]


def usable(name: str) -> str:
    """Pass the name of a device of this machine on, or say which ones there are.

    Args:
        name: as `device_name` takes it.

    Returns:
        The name.

    Raises:
        RuntimeError: if this machine has no such device.
        ValueError: if nothing is named so.

    >>> usable("cpu")
    'cpu'
    """
    here = present()
    if device_name(name) in here or name == "cuda" and len(here) > 1:
        return name
    have = ", ".join(here) if len(here) > 1 else "only 'cpu': torch sees no GPU"
    raise RuntimeError(f"device is {name!r}: this machine has {have}")
