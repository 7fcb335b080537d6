"""The optimizer: options, state, and what `torch.optim` expects; the arithmetic is in the other files."""

import warnings
from itertools import chain

import torch
from torch import Tensor

from fromage_edu.optim import paths, sharded
from fromage_edu.optim.update import check_lr, check_number, check_one_element
from fromage_edu.trust import frobenius_norm


class Fromage(torch.optim.Optimizer):
    """Fromage: each tensor moves by about `lr` times its own norm.

    For every tensor W with gradient g, where η is `lr` and ‖·‖ the Frobenius norm::

        if momentum:                        # β; without it, m is g
            m ← average of all g so far with weights (1 − β)β^age / (1 − βᵗ)
        if g holds a NaN or an infinity:    W ← NaN, all of it
        elif ‖m‖ = 0:                       W stays: no step, so no growth to correct
        elif ‖W‖ = 0:                       W ← −η·m: a relative step could never leave 0
        else:                               W ← (W − η·‖W‖/‖m‖·m) / √(1 + η²)
        if p_bound and ‖W‖ > p_bound·‖W₀‖:  W ← W·p_bound·‖W₀‖/‖W‖

    One hyperparameter with a meaning: the relative size of a step, in every layer. The step does not see the
    gradient's scale and follows the weight's, at any scale that the dtype holds. With c the cosine of the
    angle between W and m, and s = √(1 + η²), it is exactly::

        ‖W'‖²/‖W‖²    = 1 − 2ηc/s²
        ‖W' − W‖/‖W‖  = √(2(1 − 1/s)(1 + ηc/s)) = η + O(η²)

    so the norm is kept where c = 0, as in every scale-invariant layer, and elsewhere to first order in η.

    A tensor with one entry can shrink or grow but, for η < 1, never change sign. Half precision is computed
    in float32 but stored rounded: in bfloat16, with its 8 bits, a step of 1e-3 leaves three entries in four
    as they are, so keep float32 weights and use autocast.

    On a CPU and on a GPU, small tensors are stepped together and large ones in as few passes over memory as
    the norms allow; on a GPU nothing waits for the device. DTensors (FSDP2, tensor parallel) are stepped with
    the norms of their whole layers, which takes one reduction of a small vector a step. `torch.compile` of
    `step` wants `lr` as a tensor.

    Args:
        params: tensors, named tensors, or dicts of parameter groups; every group may have its own options.
        lr: η ≥ 0, finite, without unit; a number or a one-element tensor. 0.01 is a good start; 0 leaves
            weights untouched.
        momentum: β in [0, 1); its average takes the place of the gradient, norm included: the paper's remedy
            for small batches (F33). Kept in float32, or in float64 for float64 parameters.
        p_bound: None, or c ≥ 1: after a step, a norm above c times ‖W₀‖, the norm that the tensor had when
            its group was added, is scaled back to that. Tensors that were 0 then, or held a NaN or an
            infinity, are not bounded.
        norm_correction: whether to divide by √(1 + η²); without it, this is the paper's equation (4).
        maximize: climb instead of descend; gradients are left as they are.
        foreach: None chooses the fastest way; True asks for torch's multi-tensor operations; False steps
            one tensor after the other.
        capturable: whether steps may be recorded in a CUDA graph. A replay sees changes of `lr` if it is a
            tensor on the device.
        differentiable: whether autograd runs through the step.

    Raises:
        ValueError: for an option out of its range, with the value named.
        TypeError: for an option of the wrong type, or the flat parameters of FullyShardedDataParallel.
        RuntimeError: at `step()`, for sparse gradients.

    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Fromage([weight], lr=0.75)
    >>> weight.grad = torch.tensor([4e-20, -3e-20])
    >>> optimizer.step()
    >>> weight.data.round(decimals=6)
    tensor([0., 5.])

    Source: Fromage paper, Algorithm 1 and equation (4) (F25).
    """

    def __init__(
        self,
        params,
        lr: float | Tensor = 0.01,
        *,
        momentum: float = 0.0,
        p_bound: float | None = None,
        norm_correction: bool = True,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        """Take the parameters and options; see the class."""
        defaults = dict(
            lr=lr,
            momentum=momentum,
            p_bound=p_bound,
            norm_correction=norm_correction,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict) -> None:
        """Add a group with its own options; norms that `p_bound` refers to are those of this moment."""
        if isinstance(param_group, dict):
            _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)
        try:
            self._start_group(self.param_groups[-1])
        except Exception:  # leave no half of a group behind
            for param in self.param_groups.pop()["params"]:
                self.state.pop(param, None)
            raise

    def _start_group(self, group):
        for param in group["params"]:
            sharded.check(param, group["differentiable"])
        if group["p_bound"] is not None:
            for param, norm in zip(group["params"], _norms(group["params"]), strict=True):
                self.state[param]["initial_norm"] = norm.reshape(1)  # as in _start_average
        if self.state:  # which a distributed checkpoint takes for complete
            for some in self.param_groups:
                for param in some["params"] if some["momentum"] else []:
                    self._start_average(param, some)

    def __setstate__(self, state: dict) -> None:
        """Restore what was pickled or loaded; options that it does not name take their defaults."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def state_dict(self) -> dict:
        """What `load_state_dict` and distributed checkpoints take."""
        saved = super().state_dict()
        if saved["state"]:  # a distributed checkpoint then wants an entry for every tensor
            for key in chain.from_iterable(group["params"] for group in saved["param_groups"]):
                entry = saved["state"][key] = dict(saved["state"].get(key, {}))
                if "momentum_weight" in entry:  # and only a scalar apart from its tensor's device
                    entry["momentum_weight"] = entry["momentum_weight"].reshape(())
        return saved

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a `state_dict()`; training continues bit for bit."""
        loaded = []  # what the hooks of others make of it, which may be another one
        hook = self.register_load_state_dict_pre_hook(lambda _, changed: loaded.append(changed))
        try:
            super().load_state_dict(state_dict)
        finally:
            hook.remove()
        state_dict = loaded[0]
        # torch casts state to the parameter's dtype: half precision would lose its float32 averages.
        saved = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        places = ((param, group) for group in self.param_groups for param in group["params"])
        for key, (param, group) in zip(saved, places, strict=True):
            for name, value in state_dict["state"].get(key, {}).items():
                if name in ("momentum_buffer", "initial_norm"):
                    dtype = _dtype_of_average(param) if name == "momentum_buffer" else value.dtype
                    self.state[param][name] = value.detach().clone().to(param.device, dtype)
                elif name == "momentum_weight":
                    device = param.device if group["capturable"] else "cpu"
                    self.state[param][name] = value.detach().clone().reshape(1).to(device)

    def step(self, closure=None):
        """Update every parameter that has a gradient.

        Args:
            closure: optional; evaluates the loss anew, with gradients enabled, and returns it.

        Returns:
            What `closure` returned, or None.

        Raises:
            RuntimeError: for sparse gradients, or a p_bound set on a group after it was added.
            ValueError: for a number set as a group's lr, momentum or p_bound that is out of its range.
            TypeError: for something else in its place.
        """
        if not torch.compiler.is_compiling():
            self._check_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        jobs = self._step_groups(self.param_groups)
        # Every process takes part in the reduction, also one that has no gradient this time.
        shards = [p for group in self.param_groups for p in group["params"] if sharded.is_sharded(p)]
        if shards:
            with torch.no_grad():
                bounded = any(group["p_bound"] is not None for group in self.param_groups)
                sharded.update_(jobs, shards, bounded)
        return loss

    def _check_capture(self):
        if not torch.cuda.is_available() or not torch.cuda.is_current_stream_capturing():
            return
        if not all(group["capturable"] for group in self.param_groups):
            raise RuntimeError("a CUDA graph is being recorded and capturable is False: set capturable=True")
        for lr in (group["lr"] for group in self.param_groups):
            if isinstance(lr, Tensor) and lr.device.type != "cuda":
                raise RuntimeError(
                    f"a CUDA graph is being recorded and lr is a tensor on {lr.device}, which its replays "
                    'would not read: give a number to keep for ever, or torch.tensor(0.01, device="cuda")'
                )

    def _step_groups(self, groups) -> list[sharded.Job]:
        compiled = torch.compiler.is_compiling()
        filled = []
        for group in groups:  # all of them first: what one is refused for must not find another one stepped
            lists = [], [], [], [], []
            self._init_group(group, *lists, compiled)
            filled.append(lists)
        jobs = []
        for group, lists in zip(groups, filled, strict=True):
            with torch.set_grad_enabled(group["differentiable"]):
                jobs += _update(group, *lists)
        return jobs

    def _init_group(self, group, params, grads, averages, weights, norms, compiled):
        """Fill the lists with what the step needs; torch.compile knows this name and runs it as it is."""
        momentum, p_bound = group["momentum"], group["p_bound"]
        # They may have been set since; a tensor is not read.
        _check_numbers(momentum, p_bound)
        if isinstance(group["lr"], Tensor):
            check_one_element("lr", group["lr"])
        else:
            check_lr(group["lr"])
            if compiled:
                self._mind_compiled(group)
        for param in group["params"][:1]:  # one of them tells, and asking all takes time
            sharded.check_layers(param)
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            if grad.layout is not torch.strided:
                raise RuntimeError(
                    f"Fromage does not take sparse gradients (layout {grad.layout}): "
                    "use Embedding(sparse=False), or torch.optim.SparseAdam for that tensor"
                )
            params.append(param)
            grads.append(grad)
            if momentum:
                self._start_average(param, group)
                averages.append(self.state[param]["momentum_buffer"])
                weights.append(self.state[param]["momentum_weight"])
            if p_bound is not None:
                if "initial_norm" not in self.state[param]:
                    raise RuntimeError(
                        f"p_bound was set to {p_bound} after its group was added, so no norm was recorded: "
                        "give it to Fromage(...) or add_param_group(...)"
                    )
                norms.append(self.state[param]["initial_norm"])

    def _mind_compiled(self, group):
        first = self.__dict__.setdefault("_compiled_lr", {}).setdefault(id(group), group["lr"])
        if first != group["lr"]:
            warnings.warn(
                "torch.compile compiles the step anew for each number that lr takes, and after a few of them "
                f"no more: give lr=torch.tensor({first}), which schedulers change in place",
                stacklevel=2,
            )

    def _start_average(self, param, group):
        state = self.state[param]
        if "momentum_weight" not in state:
            zeros = torch.zeros_like(param, dtype=_dtype_of_average(param), requires_grad=False)
            state["momentum_buffer"] = zeros
            wide = torch.float32 if param.device.type == "mps" else torch.float64
            device = param.device if group["capturable"] else "cpu"
            # Not of shape (): torch.compile takes float64 without a dimension for a Python number, and loses
            # what is written to it.
            state["momentum_weight"] = torch.zeros(1, dtype=wide, device=device)
        if group["capturable"] and state["momentum_weight"].device != param.device:
            state["momentum_weight"] = state["momentum_weight"].to(param.device)


def _update(group, params, grads, averages, weights, norms) -> list[sharded.Job]:
    """Step the tensors of a group that are whole here; return what is left to do for the others."""
    options = paths.Options(*(group[name] for name in paths.Options._fields))
    spread = [sharded.is_sharded(param) for param in params]
    if any(spread):
        grads = [sharded.local_grad(p, g) for p, g in zip(params, grads, strict=True)]
        averages = [sharded.local(average) for average in averages]
    if group["momentum"]:
        _average(grads, averages, weights, float(group["momentum"]), group["capturable"])
        grads = [average.clone() for average in averages] if group["differentiable"] else averages
    limits = [None] * len(params)
    if norms:
        p_bound = float(group["p_bound"])
        # Where the norm is NaN, too, there is no limit.
        limits = [torch.where(norm > 0, p_bound * norm, torch.inf).squeeze() for norm in norms]
    if group["differentiable"]:
        for param, grad, limit in zip(params, grads, limits, strict=True):
            # The step reads W, and autograd needs the W that it read: the parameter itself is overwritten.
            param.copy_(paths.exactly(param.clone(), grad, limit, options))
        return []
    if not any(spread):
        paths.update_(params, grads, limits, options)
        return []
    rows = list(zip(spread, params, grads, limits, strict=True))
    whole = [row[1:] for row in rows if not row[0]]
    if whole:
        paths.update_(*map(list, zip(*whole, strict=True)), options)
    return [sharded.Job(*row[1:], options) for row in rows if row[0]]


def _average(grads, averages, weights, momentum, capturable):
    """m ← m + (1 − β)/(1 − βᵗ)·(g − m): the bias-corrected average itself; right also if β changes."""
    if not weights:
        return
    torch._foreach_mul_(weights, momentum)  # 1 − βᵗ: the weight of all gradients so far
    torch._foreach_add_(weights, 1 - momentum)
    if capturable or torch.compiler.is_compiling():
        for average, grad, weight in zip(averages, grads, weights, strict=True):
            fraction = ((1 - momentum) / weight).squeeze().to(average, non_blocking=True)
            average.lerp_(grad.to(average.dtype), fraction)
        return
    fractions = [(1 - momentum) / weight.item() for weight in weights]
    together = len(set(fractions)) == 1 and len({g.dtype for g in chain(grads, averages)}) == 1
    if together and len({g.device for g in grads}) == 1:
        torch._foreach_lerp_(averages, grads, fractions[0])
        return
    for average, grad, fraction in zip(averages, grads, fractions, strict=True):
        average.lerp_(grad.to(average.dtype), fraction)


def _dtype_of_average(param) -> torch.dtype:
    return torch.promote_types(param.dtype, torch.float32)


def _norms(params) -> list[Tensor]:
    spread = iter(sharded.norms([param for param in params if sharded.is_sharded(param)]))
    return [next(spread) if sharded.is_sharded(p) else frobenius_norm(p.detach()) for p in params]


def _check_options(options):
    check_lr(options["lr"])
    _check_numbers(options["momentum"], options["p_bound"])
    for name in ("norm_correction", "maximize", "foreach", "capturable", "differentiable"):
        value = options[name]
        if not isinstance(value, bool) and not (name == "foreach" and value is None):
            raise TypeError(f"{name} is {value!r}: give True or False")


def _check_numbers(momentum, p_bound):
    check_number("momentum", momentum)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}: it must be >= 0 and < 1")
    if p_bound is not None and not check_number("p_bound", p_bound) >= 1:
        raise ValueError(f"p_bound is {p_bound}: it must be None or a factor >= 1")
