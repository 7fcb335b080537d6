"""Fromage: gradient descent whose steps are measured layer by layer, relative to the layer's own weights.

`fromage_update` is Algorithm 1 for one tensor, exact at any scale; `Fromage` is the optimizer around it, and
`step_in_backward` spends each gradient as soon as it is there. Which code takes a step depends on where the
tensors live, and all of it is held to `fromage_update` by tests:

- `paths` chooses: an ordinary tensor on a CPU goes to `cpu`; on an accelerator to `kernels` (Triton) or,
  where that is missing or a CUDA graph is recorded, to `foreach`; all else to `fromage_update` itself.
- `sharded` steps DTensors, whose norms take one reduction over the processes.

What such a step does is in `geometry`: how the norm, the distance moved and the angle depend on the angle
between weights and gradient. `steepest` holds the same step in other norms.
"""

from fromage_edu.optim.backward import step_in_backward
from fromage_edu.optim.geometry import norm_factor, norm_growth, relative_change, turn
from fromage_edu.optim.optimizer import Fromage
from fromage_edu.optim.steepest import polar_factor, steepest_step
from fromage_edu.optim.update import fromage_update

__all__ = [
    "Fromage",
    "fromage_update",
    "norm_factor",
    "norm_growth",
    "polar_factor",
    "relative_change",
    "steepest_step",
    "step_in_backward",
    "turn",
]
