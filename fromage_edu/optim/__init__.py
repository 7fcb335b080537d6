"""Fromage: gradient descent whose steps are measured layer by layer, relative to the layer's own weights.

`fromage_update` is Algorithm 1 for one tensor, exact at any scale; `Fromage` is the optimizer around it, and
`step_in_backward` spends each gradient as soon as it is there. Which code takes a step depends on where the
tensors live, and all of it is held to `fromage_update` by tests:

- `paths` chooses: an ordinary tensor on a CPU goes to `cpu`; on an accelerator to `kernels` (Triton) or,
  where that is missing or a CUDA graph is recorded, to `foreach`; all else to `fromage_update` itself.
- `sharded` steps DTensors, whose norms take one reduction over the processes.
"""

from fromage_edu.optim.backward import step_in_backward
from fromage_edu.optim.optimizer import Fromage
from fromage_edu.optim.update import fromage_update

__all__ = ["Fromage", "fromage_update", "step_in_backward"]
