"""Writes golden.json: runs of Fromage that this library did not compute.

`python tests/optim/golden.py` computes the first part with the oracle, in 60 digits, and, where optax is
installed, the second with optax; without it the second part stays. A test holds the first part to this file.
"""

import itertools
import json
from pathlib import Path

import torch
from oracle import DIGITS, trajectory

FILE = Path(__file__).resolve().with_name("golden.json")
SHAPES = [(5,), (3, 4), (2, 3, 2, 2), (1,), ()]
OPTIONS = [
    {},
    {"norm_correction": False},
    {"maximize": True},
    {"momentum": 0.9},
    {"p_bound": 1.01},
    {"momentum": 0.5, "p_bound": 1.0, "maximize": True},
]
STEPS = 4


def numbers(shape, seed) -> torch.Tensor:
    """float64 in (−1, 1), multiples of 2⁻¹⁴: a linear congruential generator, the same on any machine."""
    values = torch.empty(shape, dtype=torch.float64)
    for index in range(values.numel()):
        seed = (1103515245 * seed + 12345) % 2**31
        values.view(-1)[index] = (seed >> 16) / 2**14 - 1
    return values


def problem(shape, seed):
    """A weight and a few gradients of very different sizes."""
    weight, *grads = (numbers(shape, 1 + 97 * seed + i) for i in range(STEPS + 1))
    return weight, [grad * 10.0 ** (1 - i) for i, grad in enumerate(grads)]


def case(weight, grads, lrs, options, path) -> dict:
    tensors = {"weight": weight, "grads": torch.stack(grads), "path": torch.stack(path)}
    return {"lr": lrs, "options": options, **{name: tensor.tolist() for name, tensor in tensors.items()}}


def of_algorithm_1() -> list[dict]:
    """One shape with every set of options and every shape without any, lr varying from step to step."""
    cases = []
    for seed, (shape, options) in enumerate([((3, 4), some) for some in OPTIONS] + [(s, {}) for s in SHAPES]):
        weight, grads = problem(shape, seed)
        lrs = [0.1, 0.001, 2.0, 0.01]
        cases.append(case(weight, grads, lrs, options, trajectory(weight, grads, lrs, **options)))
    return cases


def of_optax() -> dict:
    """Every shape with a few constant lr and a schedule; all norms far above optax's min_norm of 1e-6."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    cases = []
    for seed, (shape, lr) in enumerate(itertools.product(SHAPES, [1e-4, 0.01, 0.3, [0.5, 0.1, 0.02, 0.004]])):
        weight, grads = problem(shape, 1000 + seed)
        schedule = jax.numpy.array(lr)
        fromage = optax.fromage((lambda t, values=schedule: values[t]) if isinstance(lr, list) else lr)
        params, path = jax.numpy.array(weight.tolist()), []
        state = fromage.init(params)
        for grad in grads:
            updates, state = fromage.update(jax.numpy.array(grad.tolist()), state, params)
            params = optax.apply_updates(params, updates)
            path.append(torch.tensor(params.tolist(), dtype=torch.float64))
        lrs = lr if isinstance(lr, list) else [lr] * STEPS
        cases.append(case(weight, grads, lrs, {}, path))
    return {"versions": {"optax": optax.__version__, "jax": jax.__version__}, "cases": cases}


def main():
    parts = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    parts.pop("recipe", None)
    parts["algorithm 1"] = {"versions": {"digits": DIGITS}, "cases": of_algorithm_1()}
    try:
        parts["optax"] = of_optax()
    except ModuleNotFoundError as missing:
        print(f"{missing}: the part of optax stays as it is")
    text = json.dumps({"recipe": "python tests/optim/golden.py", **parts})
    # One case to a line.
    FILE.write_text(text.replace('{"lr"', '\n{"lr"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
