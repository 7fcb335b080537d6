"""The depth race at the authors' width, 784, on 5,000 digits: who is in it, and at which learning rates.

Arithmetic fills a core here, so the race comes in two pieces. One seed and half the epochs choose each
entrant's learning rate at each depth; three other seeds run the race with it.
"""

from __future__ import annotations

from dataclasses import replace

from fromage_edu.experiments.settings import ADAM, FROMAGE, SGD, Entrant

__all__ = ["ADAM_SCALED", "DEPTHS", "GRID", "presets"]

DEPTHS = (5, 15, 25, 40, 50)

#: Adam with its eps out of the way. The loss is multiplied as well, or g² would leave float32: at 40 layers
#: the first gradient has entries near 1e-18.
ADAM_SCALED = Entrant("Adam", lr=0.0001, eps=1e-30, loss_scale=1e12)
GRID = (
    *(replace(FROMAGE, lr=lr) for lr in (0.001, 0.003, 0.01)),
    *(replace(ADAM, lr=lr) for lr in (0.00001, 0.0001, 0.001)),
    *(replace(ADAM_SCALED, lr=lr) for lr in (0.00001, 0.0001, 0.001)),
    *(replace(SGD, lr=lr) for lr in (0.01, 0.1, 1.0)),
)


def presets(full_size) -> dict:
    """The configurations of the race.

    Args:
        full_size: the `depth.Config` of the paper's own experiment.

    Returns:
        Name -> `depth.Config`.
    """
    small = replace(full_size, depths=DEPTHS, entrants=GRID, dataset="mnist_5k")
    return {"width 784, rates": replace(small, seeds=(311,), epochs=30)}
