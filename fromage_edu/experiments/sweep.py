"""All points of an experiment, here or on many machines, kept as they finish.

`sweep` runs the points of any experiment of this package in order in this process, in processes beside it
(`workers=4`), or on a Dask cluster (`scheduler="tcp://…"`), with the same results, and keeps each in a
`store.Store` the moment it is there. Kill it, and start it again: nothing that is finished is lost or run
twice. A point that raises is kept with its error, the others go on, and the next start tries it again.
"""

from __future__ import annotations

import json
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from fromage_edu import experiments
from fromage_edu.experiments import devices, store
from fromage_edu.experiments import workers as places
from fromage_edu.experiments.plain import plain, rebuild, settings
from fromage_edu.experiments.settings import whole
from fromage_edu.experiments.workers import Failure

__all__ = ["Sweep", "find", "kept", "names", "resume", "stored", "sweep"]

#: What a file of this package needs to be an experiment.
PARTS = ("Config", "Outcome", "PRESETS", "points", "run_point", "summarise", "figure")
#: What a folder may hold before a sweep begins in it: an earlier one may have been killed as early.
BEFORE = {"points.jsonl", "config.aside"}


class Sweep(NamedTuple):
    """What a sweep leaves: outcomes in the order of the points, and the points that have none, with why."""

    outcomes: list
    failures: list[tuple]


def names() -> list[str]:
    """The experiments of this package.

    Returns:
        Their names, sorted.

    >>> "depth" in names()
    True
    """
    found = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))
    return [name for name in found if _is_one(import_module(f"{experiments.__name__}.{name}"))]


def _is_one(module: ModuleType) -> bool:
    return all(hasattr(module, part) for part in PARTS)


def find(name: str) -> ModuleType:
    """An experiment by its name.

    Args:
        name: one of `names()`.

    Returns:
        The module.

    Raises:
        ValueError: for another name.

    >>> find("depth").points(find("depth").PRESETS["quick"])[0].depth
    2
    """
    if name not in names():
        raise ValueError(f"no experiment is named {name!r}; there are {', '.join(names())}")
    return import_module(f"{experiments.__name__}.{name}")


def sweep(
    experiment: ModuleType,
    config,
    *,
    folder: Path | str,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int = 1,
    bar: bool | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Sweep:
    """Run the points that a folder does not hold yet, and give the outcomes of all.

    The outcomes are the same whatever ran them, to the last bit on one kind of machine at one number of
    threads; only `seconds` differ. Scripts that ask for processes start them below
    `if __name__ == "__main__":`, as all that use multiprocessing do.

    Args:
        experiment: a module of this package, or one like it that can be imported.
        config: one of its `PRESETS`, or your own.
        folder: made if it is not there; empty, or of an earlier sweep of the same configuration.
        workers: 0 runs the points in this process, in order; N in N processes.
        scheduler: the address of a running Dask cluster, such as "tcp://10.0.0.5:8786"; or "local", which
            starts one of `workers` processes here.
        threads: of torch, for each point.
        bar: whether to draw a progress bar on the standard error; None draws it on a terminal only.
        progress: called with a line of text for each finished point, and for what else happens.

    Returns:
        Outcomes and failures.

    Raises:
        ConnectionError: if the cluster cannot be reached, or is gone.
        ImportError: without Dask or tqdm where they are asked for.
        OSError: if the folder cannot be written, or the disk is full; what is finished is kept.
        RuntimeError: if workers cannot start, or have other code than this process; or if this machine lacks
            the device of the configuration.
        ValueError: for a number of workers or threads that cannot be, or a folder that holds something else.

    >>> import tempfile
    >>> depth = find("depth")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = sweep(depth, depth.PRESETS["quick"], folder=folder, progress=print)  # doctest: +ELLIPSIS
    ...     again = sweep(depth, depth.PRESETS["quick"], folder=folder, progress=print)
    1 of 2: depth 2, ... s; about ... s left
    2 of 2: depth 6, ... s
    2 of 2 points were finished before
    >>> again == first
    True
    """
    whole("workers", workers, least=0)
    whole("threads", threads, least=1)
    if scheduler is not None and (not isinstance(scheduler, str) or not scheduler):
        raise ValueError(
            f"scheduler is {scheduler!r}: give an address such as 'tcp://10.0.0.5:8786', or 'local'"
        )
    if scheduler == "local" and not workers:
        raise ValueError("workers is 0: a local cluster needs at least one, such as workers=2")
    if scheduler not in (None, "local") and workers:
        raise ValueError(f"workers is {workers}: the cluster at {scheduler} has its own; leave it out")
    if scheduler in (None, "local"):
        devices.usable(getattr(config, "device", "cpu"))
    points = experiment.points(config)
    _check_folder(Path(folder))
    with store.Store(folder, config, experiment.__name__.rpartition(".")[2]) as keep:
        # By their keys: should two points be the same, one run serves both.
        todo = list({store.key(point): point for point in points if point not in keep}.values())
        _say_what_is_there(keep, points, todo, progress)
        failed = {}
        if todo:
            runs = _runs(experiment, todo, workers, scheduler, threads)
            with closing(runs), _drawn(bar, progress, len(points), len(points) - len(todo)) as say:
                clock = _Clock(len(todo), len(points))
                for index, result in runs:
                    point = todo[index]
                    if isinstance(result, Failure):
                        keep.add_error(point, result.error, result.traceback)
                        failed[store.key(point)] = result
                    else:
                        keep.add(point, result)
                    say(clock.line(point, result))
        outcomes = [experiment.Outcome(**keep[point]) for point in points if point in keep]
        failures = [(point, failed[store.key(point)]) for point in points if point not in keep]
    return Sweep(outcomes, failures)


def resume(folder: Path | str, **options) -> Sweep:
    """Go on with the sweep that a folder says it holds.

    Args:
        folder: of a sweep, even if it was killed before its first point.
        options: of `sweep`: workers, scheduler, threads, bar, progress.

    Returns:
        As `sweep` does.

    Raises:
        FileNotFoundError: for a folder without `config.json`.
        ValueError: if it holds no experiment of this package, or settings that it no longer knows.

    >>> import tempfile
    >>> from fromage_edu.experiments import tightness
    >>> config = tightness.Config(networks=1, batch=1, ascents=1, starts=1, steps=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store.Store(folder, config, "tightness").close()
    ...     len(resume(folder).outcomes) == len(tightness.CASES)
    True
    """
    experiment, config, _ = _what(folder)
    return sweep(experiment, config, folder=folder, **options)


def kept(folder: Path | str) -> tuple[ModuleType, Sweep, int]:
    """What a folder holds, without running anything; also while a sweep runs there.

    Args:
        folder: of a sweep.

    Returns:
        The experiment; outcomes and failures so far; and how many points still wait. Outcomes of other code
        are taken as well: `config.json` says of which.

    Raises:
        FileNotFoundError: for a folder without `config.json`.
        ValueError: if it holds no experiment of this package, or settings or outcomes that it no longer
            knows.

    >>> import tempfile
    >>> from fromage_edu.experiments import tightness
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store.Store(folder, tightness.PRESETS["quick"], "tightness").close()
    ...     kept(folder)[1:]
    (Sweep(outcomes=[], failures=[]), 14)
    """
    experiment, config, rows = _what(folder)
    last = {json.dumps(row["point"]): row for row in rows}
    for row in rows:
        if "error" not in row:  # An outcome counts for more than an error that came later, of other code.
            last[json.dumps(row["point"])] = row
    points = experiment.points(config)
    found = [(point, last.get(json.dumps(plain(point)))) for point in points]
    try:
        outcomes = [experiment.Outcome(**row["outcome"]) for _, row in found if row and "error" not in row]
    except TypeError as error:
        raise _of_other_code(folder, "outcomes", experiment, error) from error
    failures = [
        (point, Failure(row["error"], row["traceback"])) for point, row in found if row and "error" in row
    ]
    return experiment, Sweep(outcomes, failures), len(points) - len(outcomes) - len(failures)


def stored(experiment: ModuleType, folder: Path | str | None) -> list | None:
    """What a chapter shows in place of its own runs, in `fromage-edu report`: a folder's finished outcomes.

    Args:
        experiment: a module of this package.
        folder: of a sweep; or None, where a chapter runs for itself.

    Returns:
        The outcomes; None without a folder, or if it holds another experiment: one chapter may tell several.

    Raises:
        FileNotFoundError: for a folder without `config.json`.
        ValueError: if it holds no experiment of this package, or settings that it no longer knows.

    >>> stored(find("depth"), None) is None
    True
    """
    if folder is None:
        return None
    there, found, _ = kept(folder)
    return found.outcomes if there is experiment else None


def _what(folder) -> tuple[ModuleType, object, list[dict]]:
    """The experiment, configuration and lines of a folder."""
    about, rows = store.read(folder)
    experiment = find(about.get("experiment"))
    try:
        config = rebuild(experiment.Config, about.get("config"))
    except (TypeError, ValueError) as error:
        raise _of_other_code(folder, "settings", experiment, error) from error
    return experiment, config, rows


def _of_other_code(folder, what: str, experiment: ModuleType, error: Exception) -> ValueError:
    """An error for what another version of an experiment wrote."""
    name = experiment.__name__.rpartition(".")[2]
    return ValueError(
        f"{folder} holds {what} that {name} does not know ({error}): other code wrote them; run it with that "
        "code, or begin in another folder"
    )


def _check_folder(folder: Path) -> None:
    """Refuse to begin among files that are not of a sweep."""
    if folder.is_dir() and not (folder / "config.json").exists():
        others = sorted(path.name for path in folder.iterdir() if path.name not in BEFORE)
        if others:
            raise ValueError(
                f"{folder} is no folder of a sweep, it holds {others[0]!r}: choose an empty or a new one"
            )


def _say_what_is_there(keep, points, todo, progress) -> None:
    if keep.torn:
        progress("the last line was torn when a process ended; its point runs again")
    done = sum(point in keep for point in points)
    if done:
        progress(f"{done} of {len(points)} points were finished before")
    if len(keep) > done:
        progress(f"{len(keep) - done} finished points are of other code or settings: their points run again")


def _runs(experiment, todo, workers, scheduler, threads) -> Iterator:
    if scheduler is not None:
        from fromage_edu.experiments import cluster

        return cluster.on_dask(experiment, todo, scheduler, workers, threads)
    if workers:
        return places.in_processes(experiment, todo, workers, threads)
    return places.here(experiment, todo, threads)


class _Clock:
    """Lines of progress, with the time that is left at the pace so far."""

    def __init__(self, todo: int, total: int):
        self.start, self.todo, self.total, self.done, self.failed = time.monotonic(), todo, total, 0, 0

    def line(self, point, result) -> str:
        """One for each point that has run."""
        self.done += 1
        self.failed += isinstance(result, Failure)
        number, passed = self.total - self.todo + self.done, time.monotonic() - self.start
        left = f"; about {_duration(passed / self.done * (self.todo - self.done))} left"
        if isinstance(result, Failure):
            what = f"failed, {result.error}"
        else:
            what = f"{result['seconds']:.0f} s" if "seconds" in result else "done"
        return f"{number} of {self.total}: {settings(point)}, {what}" + left * (self.done < self.todo)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def _drawn(bar: bool | None, progress, total: int, done: int) -> Iterator[Callable[[str], None]]:
    """What to call with a line for each point: with a bar below the lines, or without."""
    if not (sys.stderr.isatty() if bar is None else bar):
        yield progress
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        if bar is None:
            yield progress
            return
        raise ImportError("a bar needs tqdm: pip install 'fromage-edu[experiments]'") from error
    with tqdm(total=total, initial=done, unit="point", file=sys.stderr, dynamic_ncols=True) as drawn:

        def say(text: str) -> None:
            with tqdm.external_write_mode(file=sys.stdout):
                progress(text)
            drawn.update()

        yield say
