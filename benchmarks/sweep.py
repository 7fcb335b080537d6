"""Training many networks at once beside a plain loop over them: `python -m benchmarks.sweep`.

Needs torch and nothing else; images are random numbers. Nine runs, three optimizers from three starts, train
in two ways, in turns within each round:

- the plain loop: one `nn.Module` and its optimizer for each run, one run after another, on one thread;
- as sweeps do it: narrow networks side by side in a stack, on one thread; wide ones in two processes with
  one thread each. These are the sweep's own workers; their start, once a sweep, is not in the times. As torch
  gives one process all cores if nobody says otherwise, the loop also runs on two threads there.

A time is that of a run's step: of the whole, divided by the runs and their steps. Narrow networks are built
once, before the clock starts. Wide ones are copied from their start in each round, in both ways: a worker
does so for each run that it is given.
"""

import argparse
import os
import statistics
from contextlib import closing
from functools import cache, partial
from typing import NamedTuple

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler chats; read when torch is loaded

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.paired import extra_bytes, in_turns, ratios  # noqa: E402
from benchmarks.results import keep, show  # noqa: E402
from fromage_edu.experiments import workers  # noqa: E402
from fromage_edu.experiments.alone import Alone  # noqa: E402
from fromage_edu.experiments.settings import ADAM, FROMAGE, SGD, Entrant  # noqa: E402
from fromage_edu.experiments.stack import Stack  # noqa: E402
from fromage_edu.experiments.trainers import NARROW, network  # noqa: E402

ENTRANTS, SEEDS = (FROMAGE, ADAM, SGD), (1, 2, 3)
RUNS = [(entrant, seed) for entrant in ENTRANTS for seed in SEEDS]
PROCESSES = 2
MB = 1e6


class Case(NamedTuple):
    """Networks of one shape; `steps` of each run are one round, and `target` is the ratio to reach."""

    width: int
    depth: int
    batch: int
    inputs: int
    steps: int
    target: float


CASES = (
    Case(width=32, depth=20, batch=32, inputs=64, steps=10, target=8.0),
    Case(width=64, depth=20, batch=32, inputs=64, steps=10, target=1.5),
    Case(width=784, depth=10, batch=250, inputs=784, steps=2, target=1.0),
)


class Point(NamedTuple):
    """One run, as a worker is given it."""

    case: Case
    entrant: Entrant
    seed: int


@cache
def batch(case: Case, seed: int) -> tuple[Tensor, Tensor]:
    """Images (1, N, pixels) and labels (1, N) of a seed."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(1, case.batch, case.inputs, generator=generator)
    return images, torch.randint(10, (1, case.batch), generator=generator)


@cache
def start(case: Case, seed: int):
    """The network of a seed: drawn once in each process, before the clock starts."""
    return network(case.depth, width=case.width, seed=seed, inputs=case.inputs)


def run_point(point: Point) -> dict:
    """Train one run from its start for a round's steps; a worker finds this function by its name."""
    losses = train(Alone(start(point.case, point.seed), point.entrant), point.case, [point.seed])
    return {"loss": losses.item()}


def train(networks: Alone | Stack, case: Case, seeds) -> Tensor:
    """A round's steps of one run, or of all that stand side by side; the last losses."""
    images, labels = (torch.cat(parts) for parts in zip(*(batch(case, seed) for seed in seeds), strict=True))
    for _ in range(case.steps):
        losses, _ = networks.step(images, labels)
    return losses


def loop(case: Case, threads: int = 1) -> None:
    """The plain loop over wide networks: one run after another."""
    torch.set_num_threads(threads)
    for entrant, seed in RUNS:
        run_point(Point(case, entrant, seed))
    torch.set_num_threads(1)


def build(case: Case) -> tuple[list[Alone], Stack]:
    """Narrow networks for the two ways: one by one, and side by side."""
    alone = [Alone(start(case, seed), entrant) for entrant, seed in RUNS]
    return alone, Stack([start(case, seed) for seed in SEEDS], [entrant.build for entrant in ENTRANTS])


def one_by_one(alone: list[Alone], case: Case) -> None:
    """The plain loop over narrow networks."""
    for run, (_, seed) in zip(alone, RUNS, strict=True):
        train(run, case, [seed])


def loop_bytes(alone: list[Alone], case: Case) -> int:
    """The most memory of a step of the loop beyond weights, gradients and what the optimizers keep."""
    # A loop lets go of gradients before it makes new ones. The profiler sees only the new: count them off.
    for run in alone:
        run.optimizer.zero_grad()
    most = extra_bytes(partial(one_by_one, alone, case), "cpu")
    return most - sum(weight.grad.nbytes for run in alone for weight in run.network.parameters())


class Team:
    """The sweep's own worker processes, kept for all rounds."""

    def __init__(self, case: Case):
        self.case, self.team = case, workers._Team("benchmarks.sweep", threads=1)
        for _ in range(PROCESSES):
            self.team.hire()
        free = []
        while len(free) < PROCESSES:
            free += [end for end, _, _ in self.team.hear()]
        self.free = free

    def __call__(self) -> None:
        """Give out all runs; return when the last is back."""
        points = [Point(self.case, entrant, seed) for entrant, seed in RUNS]
        waiting, back = list(range(len(points))), 0
        free, self.free = self.free, []
        while back < len(points):
            for end in free:
                if waiting:
                    at = waiting.pop(0)
                    self.team.give(end, at, points[at])
                else:
                    self.free.append(end)
            free = []
            for end, _, result in self.team.hear():
                if "loss" not in result:
                    raise RuntimeError(f"a worker gave {result!r:.200}")
                free.append(end)
                back += 1
        self.free += free

    def close(self) -> None:
        """End the processes."""
        self.team.close()


def measure(case: Case, rounds: int) -> list[dict]:
    """A row for each loop that the sweep's way is held against."""
    if case.width <= NARROW:
        alone, stack = build(case)
        ways = {
            "plain loop": partial(one_by_one, alone, case),
            "stack": partial(train, stack, case, SEEDS),
        }
        for action in ways.values():
            action()  # once, for what the optimizers keep
        memory = {"plain loop": loop_bytes(alone, case) / MB, "stack": extra_bytes(ways["stack"], "cpu") / MB}
        return [row(case, in_turns(ways, rounds, 1, "cpu"), "stack", "plain loop", memory)]
    with closing(Team(case)) as team:
        ways = {
            "plain loop": partial(loop, case),
            f"plain loop, {PROCESSES} threads": partial(loop, case, PROCESSES),
            f"{PROCESSES} processes": team,
        }
        for action in ways.values():
            action()  # once, for what is drawn or allocated only once
        times = in_turns(ways, max(2, rounds // 2), 1, "cpu")
    *loops, ours = ways
    return [row(case, times, ours, theirs, {}) for theirs in loops]


def row(case: Case, times: dict[str, list[float]], ours: str, theirs: str, memory: dict) -> dict:
    """One line of the result: how many times faster than the loop the sweep's way is."""
    lower, median, upper = ratios(times[theirs], times[ours])
    each = 1e3 / (len(RUNS) * case.steps)
    return {
        "width": case.width,
        "depth": case.depth,
        "batch": case.batch,
        "runs": len(RUNS),
        "loop": theirs,
        "way": ours,
        "loop ms": statistics.median(times[theirs]) * each,
        "ms": statistics.median(times[ours]) * each,
        "ratio": median,
        "lower quartile": lower,
        "upper quartile": upper,
        "target": case.target,
        "loop MB": memory.get(theirs),
        "MB": memory.get(ours),
    }


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run."""
    about = __doc__.partition(": ")[0]
    parser = argparse.ArgumentParser("python -m benchmarks.sweep", description=about)
    widths = [case.width for case in CASES]
    listed = f"of {', '.join(map(str, widths))} (default: all)"
    parser.add_argument(
        "--widths", nargs="+", type=int, choices=widths, default=widths, metavar="W", help=listed
    )
    parser.add_argument(
        "--rounds", type=int, default=9, help="2 or more, half as many of wide ones (default: 9)"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error("there are at least 2 rounds")
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        if case.width in options.widths:
            print(f"width {case.width} …", flush=True)
            rows += measure(case, options.rounds)
    if sorted(options.widths) != sorted(widths):
        show(rows)
        print("not kept: only a run over all widths is")
        return
    keep("sweep", rows, threads=1, processes=PROCESSES, rounds=options.rounds)


if __name__ == "__main__":
    main()
