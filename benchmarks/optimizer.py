"""One step of Fromage beside other optimizers and the machine's memory: `python -m benchmarks.optimizer`.

Needs torch 2.6 or newer and nothing else; a peer that is missing is a row that says so. All optimizers step
the same parameters with the same gradients, in turns within each round, and are compared with torch's SGD
(foreach) of the same round. Learning rates are tiny, so that thousands of steps change no number's size; no
optimizer takes a shortcut for that.

A run over all models is kept in `results/optimizer.json`; a GPU's beside it, under the GPU's name.
"""

import argparse
import os
import re
import statistics
from collections.abc import Callable
from importlib import metadata

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler chats; read when torch is loaded

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.paired import extra_bytes, in_turns, ratios  # noqa: E402
from benchmarks.results import keep, show  # noqa: E402
from benchmarks.shapes import SHAPES, Shape  # noqa: E402
from fromage_edu import Fromage  # noqa: E402

LR = 1e-5
# A model of fewer parameters is stepped several times in a row, so that the clock has something to measure.
PARAMETERS, REPEATS = 2**24, 10
MB = 1e6
# Floats a parameter. An update reads W and g and writes W, as SGD does; norms read W and g before that.
UPDATE, WITH_NORMS = 3, 5


def peer(params, **options) -> torch.optim.Optimizer:
    """The Fromage of pytorch-optimizer, if it is installed."""
    from pytorch_optimizer import Fromage as Peer

    return Peer(params, lr=LR, **options)


BASE = "torch SGD (foreach)"
OPTIMIZERS: dict[str, Callable] = {
    BASE: lambda params: torch.optim.SGD(params, LR, foreach=True),
    "torch SGD (fused)": lambda params: torch.optim.SGD(params, LR, fused=True),
    "torch SGD (foreach), momentum 0.9": lambda params: torch.optim.SGD(params, LR, 0.9, foreach=True),
    "torch Adam (foreach)": lambda params: torch.optim.Adam(params, LR, foreach=True),
    "torch Adam (fused)": lambda params: torch.optim.Adam(params, LR, fused=True),
    "pytorch-optimizer Fromage": peer,
    "pytorch-optimizer Fromage (foreach=False)": lambda params: peer(params, foreach=False),
    "Fromage": lambda params: Fromage(params, LR),
    "Fromage (foreach=True)": lambda params: Fromage(params, LR, foreach=True),
    "Fromage (foreach=False)": lambda params: Fromage(params, LR, foreach=False),
    "Fromage, momentum 0.9": lambda params: Fromage(params, LR, momentum=0.9),
}
TRAFFIC = {floats: f"memory traffic of {floats} floats a parameter" for floats in (UPDATE, WITH_NORMS)}


def blank(name: str, shapes: list[Shape], optimizer: str, status: str) -> dict:
    """A row of which nothing but its place is known."""
    return {
        "shapes": name,
        "tensors": len(shapes),
        "parameters": sum(torch.Size(shape).numel() for shape in shapes),
        "optimizer": optimizer,
        "status": status,
        "ms": None,
        "ratio to SGD": None,
        "lower quartile": None,
        "upper quartile": None,
        "us per tensor": None,
        "ratio to 5N traffic": None,
        "state MB": None,
        "extra MB": None,
    }


def measure(name: str, shapes: list[Shape], device: str, rounds: int) -> list[dict]:
    """One row for each optimizer, and for the memory traffic that bounds them."""
    params = make_parameters(shapes, device)
    optimizers, missing = {}, {}
    for title, make in OPTIMIZERS.items():
        try:
            optimizers[title] = make(params)
        except ImportError:
            missing[title] = blank(name, shapes, title, "not installed")
    actions = {title: optimizer.step for title, optimizer in optimizers.items()}
    number = sum(param.numel() for param in params)
    flat, change = (torch.full((number,), 1e-5, device=device) for _ in range(2))
    # In place, W and g read and W written: the update itself, without the seams between tensors.
    actions[TRAFFIC[UPDATE]] = lambda: flat.add_(change, alpha=LR)
    for action in actions.values():
        action()  # once to create the state
        action()
    repeats = REPEATS if device == "cuda" else max(1, min(REPEATS, PARAMETERS // number))
    times = in_turns(actions, rounds, repeats, device)
    times[TRAFFIC[WITH_NORMS]] = [time * WITH_NORMS / UPDATE for time in times[TRAFFIC[UPDATE]]]
    rows = []
    for title in [*OPTIMIZERS, *TRAFFIC.values()]:
        if title in missing:
            rows.append(missing[title])
            continue
        row = blank(name, shapes, title, "measured") | timings(times, title, len(shapes))
        if title in optimizers:
            row["state MB"] = state_bytes(optimizers[title]) / MB
            row["extra MB"] = extra_bytes(actions[title], device) / MB
        rows.append(row)
    return rows


def make_parameters(shapes: list[Shape], device: str) -> list[nn.Parameter]:
    """Random weights and gradients; the same each time."""
    generator = torch.Generator(device).manual_seed(0)
    params = []
    for shape in shapes:
        param = nn.Parameter(torch.randn(shape, generator=generator, device=device).mul_(0.02))
        param.grad = torch.randn(shape, generator=generator, device=device).mul_(0.01)
        params.append(param)
    return params


def timings(times: dict[str, list[float]], title: str, tensors: int) -> dict:
    """The columns that are times."""
    lower, median, upper = ratios(times[title], times[BASE])
    seconds = statistics.median(times[title])
    return {
        "ms": seconds * 1e3,
        "ratio to SGD": median,
        "lower quartile": lower,
        "upper quartile": upper,
        "us per tensor": seconds * 1e6 / tensors,
        "ratio to 5N traffic": ratios(times[title], times[TRAFFIC[WITH_NORMS]])[1],
    }


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """What the optimizer keeps from step to step."""
    values = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor))


def version(package: str) -> str:
    """The installed version, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def run(device: str, names: list[str], rounds: int) -> None:
    """Measure the models named on one device; print, and keep if it was all of them."""
    rows = []
    for name in names:
        print(f"{device}: {name} …", flush=True)
        if device == "cuda" and not torch.cuda.is_available():
            titles = [*OPTIMIZERS, *TRAFFIC.values()]
            rows += [blank(name, SHAPES[name], title, "not measured") for title in titles]
        else:
            rows += measure(name, SHAPES[name], device, rounds)
    if names != list(SHAPES) or rows[0]["status"] == "not measured":
        show(rows)
        print("not kept: only a run over all models is")
        return
    settings = {"pytorch-optimizer": version("pytorch-optimizer"), "rounds": rounds}
    if device == "cpu":
        keep("optimizer", rows, device=device, threads=torch.get_num_threads(), **settings)
        return
    gpu = torch.cuda.get_device_name()
    keep("optimizer-" + re.sub(r"[^a-z0-9]+", "-", gpu.lower()), rows, device=gpu, **settings)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run."""
    about = __doc__.partition(": ")[0]
    parser = argparse.ArgumentParser("python -m benchmarks.optimizer", description=about)
    models = f"of {', '.join(map(repr, SHAPES))} (default: all)"
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), metavar="M", help=models)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--rounds", type=int, default=21, help="2 or more (default: 21)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cpu, and cuda if there is one")
    parser.add_argument("--quick", action="store_true", help="5 rounds of the two smallest models")
    options = parser.parse_args(arguments)
    if options.rounds < 2 or options.threads < 1:
        parser.error("there are at least 2 rounds and 1 thread")
    if options.quick:
        options.rounds, options.shapes = 5, list(SHAPES)[:2]
    torch.set_num_threads(options.threads)
    found = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in [options.device] if options.device else found:
        run(device, options.shapes, options.rounds)


if __name__ == "__main__":
    main()
