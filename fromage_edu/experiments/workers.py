"""Where the points of a sweep run: in this process, in processes beside it, or on a Dask cluster.

Each place is a generator: it takes points and yields `(index, result)` as they finish, where a result is the
outcome as JSON holds it, or a `Failure`. A point runs in the same way in every place: on so many threads of
torch, and with torch's global random numbers set from the point itself, so that nothing depends on what ran
before it in the same process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from multiprocessing import connection
from types import ModuleType
from typing import NamedTuple

import numpy
import torch

from fromage_edu.experiments import store
from fromage_edu.experiments.plain import plain

__all__ = ["Failure", "attempt", "here", "in_processes"]

#: A point that takes its worker down with it does so again: after two, it counts as failed.
LIVES = 2


class Failure(NamedTuple):
    """Why a point has no outcome: a line, and where in the code it happened."""

    error: str
    traceback: str


def attempt(experiment: ModuleType, point, threads: int = 1) -> dict | Failure:
    """Run one point, whatever happens in it.

    Args:
        experiment: a module of this package, or one like it.
        point: one of its points.
        threads: of torch. The order of sums depends on it, and so do the last digits.

    Returns:
        The outcome as JSON holds it, or what went wrong. Random numbers and threads are as they were.

    >>> from fromage_edu.experiments import depth
    >>> attempt(depth, "no point").error
    "AttributeError: 'str' object has no attribute 'config'"
    """
    try:
        with _alone(store.key(point), threads):
            return plain(experiment.run_point(point))
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        where = traceback.format_exc()
        if isinstance(error, torch.OutOfMemoryError):
            _make_room(error)
            text = (
                f"the GPU has too little memory for this point ({text}): use fewer workers or a larger GPU, "
                "or begin in another folder with --device cpu"
            )
        return Failure(text, where)


def _make_room(error: BaseException | None) -> None:
    """Let go of the tensors of a point that has failed: those that come after it need the memory."""
    while error is not None:  # Also what was being handled when this was raised: its frames hold tensors too.
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    gc.collect()
    torch.cuda.empty_cache()


# Random numbers and threads are the process's: where Dask runs several points in one, they take turns.
_turn = threading.Lock()


@contextmanager
def _alone(seed: str, threads: int) -> Iterator[None]:
    number = int(seed[:8], 16)
    with _turn, torch.random.fork_rng(devices=[]):
        before, states = torch.get_num_threads(), (random.getstate(), numpy.random.get_state())
        torch.set_num_threads(threads)
        torch.manual_seed(number)
        random.seed(number)
        numpy.random.seed(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            random.setstate(states[0])
            numpy.random.set_state(states[1])


def here(experiment: ModuleType, points: Sequence, threads: int = 1) -> Iterator[tuple[int, dict | Failure]]:
    """One after the other, in this process.

    Args:
        experiment: the module that has `run_point`.
        points: of it.
        threads: of torch.

    >>> from fromage_edu.experiments import tightness
    >>> points = tightness.points(tightness.PRESETS["quick"])[:1]
    >>> [(index, outcome["case"]) for index, outcome in here(tightness, points)]
    [(0, 'Lemma 1, below')]
    """
    for index, point in enumerate(points):
        yield index, attempt(experiment, point, threads)


def in_processes(
    experiment: ModuleType, points: Sequence, workers: int, threads: int = 1
) -> Iterator[tuple[int, dict | Failure]]:
    """In processes of their own, each a fresh interpreter.

    A process that is lost (killed, out of memory) costs the point it was in one of its two lives, and nothing
    else. When this process ends, however it ends, the others end too.

    Args:
        experiment: a module that can be imported by its name.
        points: of it.
        workers: how many processes, at least 1.
        threads: of torch, in each process.

    Raises:
        RuntimeError: if a process ends before it begins.
    """
    waiting, lost = deque(range(len(points))), Counter()
    with closing(_Team(experiment.__name__, threads)) as team:
        while waiting or team.members:
            # Those at work will be free again: hire no more than are of use.
            while waiting and len(team.members) < workers and team.unready() < len(waiting):
                team.hire()
            for end, at, result in team.hear():
                if result is LOST:
                    lost[at] += 1
                    if lost[at] < LIVES:
                        waiting.appendleft(at)
                        continue
                    result = Failure(
                        f"WorkerLost: {LIVES} worker processes ended in this point, the last with exit code "
                        f"{team.exit_code}; -9 often means too little memory: use fewer workers",
                        "",
                    )
                elif waiting:
                    number = waiting.popleft()
                    team.give(end, number, points[number])
                else:
                    team.dismiss(end)
                if at is not None:
                    yield at, result


#: What is heard of a worker that has ended in a point.
LOST = object()


class _Team:
    """Processes, and this side's ends of the pipes to them."""

    def __init__(self, name: str, threads: int):
        self.about, self.exit_code = (name, threads), None
        #: end of the pipe -> the process, and the number of the point it is in; None until it is ready.
        self.members = {}

    def unready(self) -> int:
        return sum(at is None for _, at in self.members.values())

    def hire(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, *self.about))
        # Control-C reaches all processes of a terminal: the sweep decides, and its workers do not hear it,
        # not even while they start.
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
        try:
            process.start()
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
        theirs.close()
        self.members[ours] = process, None

    def give(self, end, number: int, point) -> None:
        self.members[end] = self.members[end][0], number
        with suppress(OSError):  # Lost just now: it is heard of in the next round.
            end.send(point)

    def hear(self) -> Iterator[tuple]:
        """Wait, then yield ends, the points they were in (None: it is ready for one), and what they say."""
        for end in connection.wait(list(self.members)):
            at = self.members[end][1]
            try:
                result = end.recv()
            except (EOFError, OSError):
                result = LOST
                self.dismiss(end)
                if at is None:
                    raise RuntimeError(
                        f"a worker process ended before it began (exit code {self.exit_code}): see its "
                        "message above. A script starts a sweep below `if __name__ == '__main__':`"
                    ) from None
            yield end, at, result

    def dismiss(self, end) -> None:
        process, _ = self.members.pop(end)
        end.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
        self.exit_code = process.exitcode

    def close(self) -> None:
        for process, _ in self.members.values():
            process.kill()  # What it is in is not finished: there is nothing to wait for.
        for end in list(self.members):
            self.dismiss(end)


def _serve(end, name: str, threads: int) -> None:
    """A worker: says that it is there, then runs a point for each that it is sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    experiment = import_module(name)
    try:
        end.send(None)
        while True:
            end.send(attempt(experiment, end.recv(), threads))
    except (EOFError, OSError):  # No more points, or nobody to give them.
        return


def _end_with_parent() -> None:
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
