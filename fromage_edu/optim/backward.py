"""The step inside the backward pass: a gradient is spent as soon as it is there."""

from torch import nn

from fromage_edu.optim import sharded
from fromage_edu.optim.optimizer import Fromage


class BackwardHandle:
    """What `step_in_backward` returns: the optimizer it steps, and the way to stop.

    Args:
        optimizer: holds the options, the state and the `state_dict()`; a scheduler takes it. Its `step()`
            finds no gradient left and does nothing, but torch warns of a scheduler's step without it.
        hooks: one for each parameter.
    """

    def __init__(self, optimizer: Fromage, hooks: list):
        """Keep both."""
        self.optimizer = optimizer
        self._hooks = hooks

    def remove(self) -> None:
        """Stop: from now on gradients stay where they are, as usual. Removing twice is harmless."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def step_in_backward(model: nn.Module, **options) -> BackwardHandle:
    """Update each parameter during `backward()`, as soon as its gradient is ready, and free the gradient.

    A layer's step needs its own gradient and no other, so the result is that of `step()` after `backward()`,
    while the gradients of the whole model never exist at the same time. It is equal to the bit with
    `foreach=False`; by default, `step()` takes small tensors of one shape together and rounds otherwise, by
    about 1e-7. What needs all gradients is out of reach: accumulating over several `backward()` calls,
    clipping by the norm of all of them (which would change nothing, the step being blind to scale), skipping
    a step for one bad value. So is a parameter that serves in several segments checkpointed with
    `use_reentrant=True`: each of them has a backward pass, and so a step, of its own.

    Args:
        model: every parameter that requires a gradient is stepped. A copy of it (deepcopy, pickle) keeps its
            gradients: call this function for it, too.
        options: as for `Fromage`.

    Returns:
        A handle with `.optimizer` and `.remove()`.

    Raises:
        TypeError: for what is no module; for a model wrapped in DistributedDataParallel, or distributed
            tensors: their gradients are combined over processes only later.
        ValueError: for a model without parameters that require a gradient; for an option out of its range.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> handle = step_in_backward(model, lr=0.01)
    >>> before = model.weight.detach().clone()
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> bool((model.weight != before).any()), model.weight.grad
    (True, None)
    >>> handle.remove()

    Source: Fromage paper, Algorithm 1 (F25).
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"the model is a {type(model).__name__}: give a torch.nn.Module")
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in model.modules()):
        raise TypeError(
            "DistributedDataParallel averages gradients after they are ready, so a step inside backward "
            "would use one process's own: call Fromage(...).step() after backward()"
        )
    params = [param for param in model.parameters() if param.requires_grad]
    if any(sharded.is_sharded(param) for param in params):
        raise TypeError(
            "step_in_backward would need one reduction over processes for each DTensor: "
            "call Fromage(...).step() after backward(), which needs one for all"
        )
    if options.get("differentiable"):
        raise ValueError("differentiable=True needs the graph that backward() is freeing: leave it False")
    if not params:
        raise ValueError("the model has no parameter that requires a gradient: there is nothing to step")
    optimizer = Fromage(params, **options)

    def spend(param):
        optimizer._step_groups([{**optimizer.param_groups[0], "params": [param]}])
        param.grad = None

    return BackwardHandle(optimizer, [param.register_post_accumulate_grad_hook(spend) for param in params])
