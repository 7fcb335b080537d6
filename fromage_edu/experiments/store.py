"""A folder that keeps what an experiment has finished, whatever happens to the process.

Two files. `config.json`, written before the first point, says what runs: the experiment, its configuration,
and where it comes from (versions, commit, device, date). `points.jsonl` has one line for each finished point,
appended and flushed to the disk before the next point starts: its `key` (a hash of configuration, point and
the package's source), the point and its outcome; or, for a point that raised, its `error` and `traceback`.
A process killed at any moment loses at most the points it was in; started again, it goes on behind the last
finished one, and tries those that raised once more. One process writes at a time, any number may read.

Numbers that JSON has no name for are written as `NaN` and `Infinity`, as Python's json reads them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import torch

from fromage_edu import recorded
from fromage_edu.experiments.plain import plain, settings

try:
    import fcntl
except ImportError:  # Windows: there nothing keeps a second writer out.
    fcntl = None

__all__ = ["Store", "code_version", "key", "read", "run", "run_presets"]


@cache
def code_version() -> str:
    """Hash of what an outcome may depend on: torch, and the source, but for pages, records and commands.

    Returns:
        Sixteen hexadecimal digits; another edit, another version.

    >>> len(code_version())
    16
    """
    package = Path(recorded.__file__).parents[1]
    digest = hashlib.sha256(torch.__version__.encode())
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] not in ("explorers", "lab", "exercises", "recorded", "figures.py", "cli"):
            digest.update(name.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def key(point) -> str:
    """The name of a point in a store: a hash of its settings and of the code.

    Args:
        point: a point, with its configuration: a dataclass or a NamedTuple of what JSON can hold.

    Returns:
        Thirty-two hexadecimal digits, the same in every process.

    Raises:
        TypeError: for a point that holds something else.

    >>> from fromage_edu.experiments.perturbation import PRESETS, points
    >>> first, second = points(PRESETS["quick"])
    >>> key(first) == key(first) != key(second)
    True
    """
    text = json.dumps([plain(point), code_version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(folder: Path | str) -> tuple[dict, list[dict]]:
    """What a store holds, without writing there; also while another process does.

    Args:
        folder: of a store.

    Returns:
        The contents of `config.json`, and a dictionary for each line of `points.jsonl`. A last line that is
        not whole is passed over.

    Raises:
        FileNotFoundError: for a folder without `config.json`.
        ValueError: for a line that is no point, or a config.json that is no store's.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Store(folder, {"size": 3}, "tightness").close()
    ...     about, rows = read(folder)
    >>> about["experiment"], about["config"], rows
    ('tightness', {'size': 3}, [])
    """
    try:
        about = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "no sweep has begun there: its config.json is missing", str(folder)
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{Path(folder) / 'config.json'} is not JSON ({error}): restore it, or delete it"
        ) from error
    if not isinstance(about, dict):
        raise ValueError(f"{Path(folder) / 'config.json'} holds {about!r:.40}: restore it, or delete it")
    path = Path(folder) / "points.jsonl"
    return about, _rows(path, path.read_bytes() if path.exists() else b"")


def _rows(path: Path, text: bytes) -> list[dict]:
    """The whole lines of a file of points."""
    rows = []
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            row = json.loads(line)
            row["key"], row["outcome"] if "error" not in row else row["traceback"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"line {number} of {path} is no finished point: something else has changed the file; "
                "delete the line, and its point runs again"
            ) from error
        rows.append(row)
    return rows


class Store:
    """A folder of finished points; opening it makes it, or goes on where another process ended.

    Args:
        folder: made if it is not there; one folder for each configuration.
        config: of the experiment.
        experiment: its name.

    Attributes:
        torn: whether a line was cut off that a killed process had not finished.

    Raises:
        ValueError: if the folder holds another experiment or configuration, or what no store has written.
        BlockingIOError: while another process, or another store of this one, writes there.
        OSError: if the folder or its files cannot be written.

    >>> import tempfile
    >>> from fromage_edu.experiments import tightness
    >>> config = tightness.PRESETS["quick"]
    >>> point = tightness.points(config)[0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Store(folder, config, "tightness") as store:
    ...         store.add(point, {"random": 0.5})
    ...     with Store(folder, config, "tightness") as store:
    ...         print(point in store, store[point])
    True {'random': 0.5}
    """

    def __init__(self, folder: Path | str, config, experiment: str):
        """Open or make the folder; see the class."""
        self.folder, self._file = Path(folder), None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.folder / "points.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._lock()
            self._describe({"experiment": experiment, "config": plain(config)})
            self._outcomes = self._read()
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError) or isinstance(error, BlockingIOError):
                raise
            # The same kind of error, and the way out.
            raise type(error)(
                error.errno,
                f"{error.strerror}: choose a folder that can be written, or make room",
                str(folder),
            ) from error

    def _lock(self) -> None:
        """Keep other writers out; the system lets go when this process ends, however it ends."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno,
                "another process, or a store that this one left open, is writing there: "
                "wait for it, close it, or choose another folder",
                str(self.folder),
            ) from error

    def _describe(self, wanted: dict) -> None:
        """Write config.json, or hold what it says against what is wanted."""
        path = self.folder / "config.json"
        if path.exists():
            there = self._described(path)
            for name, value in wanted.items():
                if there.get(name) != json.loads(json.dumps(value)):
                    raise ValueError(
                        f"{self.folder} holds {_difference(name, there.get(name), value)}: "
                        "choose another folder, or delete this one"
                    )
            return
        if os.fstat(self._file).st_size:
            raise ValueError(
                f"{self.folder} holds a points.jsonl without the config.json that says of what: "
                "choose another folder, or put the file back"
            )
        text = json.dumps(wanted | recorded.provenance() | {"code": code_version()}, indent=2) + "\n"
        aside = path.with_suffix(".aside")
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _flush_names(self.folder)

    def _described(self, path: Path) -> dict:
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(there, dict):
                return there
        except ValueError:
            pass
        raise ValueError(
            f"{path} is not what a store writes: something else has changed it; "
            "put it back, or choose another folder"
        )

    def _read(self) -> dict:
        """The outcomes by key; what a killed process left of a last line is cut off."""
        path = self.folder / "points.jsonl"
        text = path.read_bytes()
        rows = _rows(path, text)
        self._length = text.rfind(b"\n") + 1
        self.torn = self._length < len(text)
        if self.torn:
            os.ftruncate(self._file, self._length)
        return {row["key"]: row["outcome"] for row in rows if "error" not in row}

    def add(self, point, outcome) -> None:
        """Keep a point's outcome; when this returns, it is on the disk.

        Args:
            point: of the configuration.
            outcome: of what JSON can hold.

        Raises:
            OSError: if there is no room, or the file was deleted; what was kept before stays.
            TypeError: for an outcome that holds something else.
            ValueError: for a point that is kept already, or after `close`.
        """
        row = self._append(point, {"outcome": plain(outcome)})
        self._outcomes[row["key"]] = json.loads(json.dumps(row["outcome"]))

    def add_error(self, point, error: str, traceback: str) -> None:
        """Keep why a point has no outcome; it stays unfinished.

        Args:
            point: of the configuration.
            error: one line.
            traceback: many.

        Raises:
            OSError: if there is no room; what was kept before stays.
            ValueError: for a point that is finished already, or after `close`.
        """
        self._append(point, {"error": error, "traceback": traceback})

    def _append(self, point, result: dict) -> dict:
        """Write one line, whole or not at all."""
        name = key(point)
        if self._file is None:
            raise ValueError(f"the store in {self.folder} is closed: open it again")
        if name in self._outcomes:
            raise ValueError(f"{point!r:.80} is in {self.folder} already: ask `point in store` first")
        if not os.fstat(self._file).st_nlink:
            raise FileNotFoundError(
                errno.ENOENT,
                "somebody has deleted the file: open the store again, to begin anew, or put the folder back",
                str(self.folder / "points.jsonl"),
            )
        row = {"key": name, "point": plain(point)} | result
        rest = memoryview((json.dumps(row) + "\n").encode())
        length = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except BaseException as error:
            try:
                os.ftruncate(self._file, self._length)
            except OSError:
                self.close()  # Nothing may follow half a line; opened again, the store cuts it off.
            if not isinstance(error, OSError):
                raise
            raise type(error)(
                error.errno,
                f"{error.strerror}: make room and run again; {len(self._outcomes)} finished points are kept",
                str(self.folder / "points.jsonl"),
            ) from error
        self._length += length
        return row

    def __contains__(self, point) -> bool:
        """Whether a point is finished."""
        return key(point) in self._outcomes

    def __getitem__(self, point):
        """The outcome of a finished point, as JSON gives it back; KeyError for one that is not finished."""
        name = key(point)
        if name not in self._outcomes:
            raise KeyError(f"{point!r:.80} is not in {self.folder}: ask `point in store` first")
        return self._outcomes[name]

    def __len__(self) -> int:
        """How many points are finished, of this code and of others."""
        return len(self._outcomes)

    def close(self) -> None:
        """Let other processes write."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Store:
        """Nothing more to do."""
        return self

    def __exit__(self, *_) -> None:
        """Close."""
        self.close()


def _difference(name: str, there, wanted) -> str:
    """What a folder holds, in words: the first setting that differs."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for inner in sorted(there.keys() | wanted.keys()):
            if there.get(inner) != json.loads(json.dumps(wanted.get(inner))):
                return (
                    f"another {name}, with {inner} {there.get(inner)!r:.60} and not {wanted.get(inner)!r:.60}"
                )
    return f"the {name} {there!r:.60}, not {wanted!r:.60}"


def _flush_names(folder: Path) -> None:
    """Put a folder's list of files on the disk; where a system cannot open folders, it does so itself."""
    try:
        file = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(file)
    finally:
        os.close(file)


def run(
    experiment: ModuleType,
    config,
    *,
    folder: Path | str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list:
    """All points of a configuration, one after the other; those that the folder holds are not run again.

    Args:
        experiment: a module of this package, such as `fromage_edu.experiments.perturbation`.
        config: one of its `PRESETS`, or your own.
        folder: where to keep what is finished; None keeps nothing.
        progress: called with a line of text after every point.

    Returns:
        What its `run_point` returned, in the order of its `points`.

    Raises:
        OSError: if the folder cannot be written, or another process writes there.
        ValueError: if the folder holds another experiment or configuration.

    >>> from fromage_edu.experiments import perturbation
    >>> outcomes = run(perturbation, perturbation.PRESETS["quick"])
    >>> len(outcomes)
    2
    """
    points, outcomes = experiment.points(config), []
    if folder is None:
        for number, point in enumerate(points, start=1):
            outcomes.append(experiment.run_point(point))
            progress(_line(number, points, outcomes[-1]))
        return outcomes
    with Store(folder, config, experiment.__name__.rpartition(".")[2]) as store:
        for number, point in enumerate(points, start=1):
            if point not in store:
                store.add(point, experiment.run_point(point))
                progress(_line(number, points, experiment.Outcome(**store[point])))
            # From the store in either case: an outcome is the same whether it ran now or before.
            outcomes.append(experiment.Outcome(**store[point]))
    return outcomes


def _named(progress, preset: str, text: str) -> None:
    progress(f"{preset}: {text}")


def _line(number: int, points: list, outcome) -> str:
    return f"{number} of {len(points)}: {settings(points[number - 1])}, {outcome.seconds:.0f} s"


def run_presets(
    experiment: ModuleType,
    presets,
    *,
    keep: Path | str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[list, dict]:
    """Several presets of an experiment, for a record.

    Args:
        experiment: a module of this package.
        presets: names of its `PRESETS`.
        keep: a folder for the stores of the presets, one in it for each; None keeps nothing.
        progress: called with a line of text after every point.

    Returns:
        All outcomes, and the configurations by preset, as JSON holds them.

    Raises:
        ValueError: for a preset that does not exist.

    >>> from fromage_edu.experiments import perturbation
    >>> outcomes, configs = run_presets(perturbation, ["quick"])
    >>> len(outcomes), list(configs)
    (2, ['quick'])
    """
    for preset in presets:
        if preset not in experiment.PRESETS:
            known = ", ".join(map(repr, experiment.PRESETS))
            raise ValueError(f"no preset is named {preset!r}; there are {known}")
    outcomes = []
    for preset in presets:
        folder = None if keep is None else Path(keep) / re.sub(r"\W+", "-", preset)
        lines = partial(_named, progress, preset)
        outcomes += run(experiment, experiment.PRESETS[preset], folder=folder, progress=lines)
    return outcomes, {preset: plain(experiment.PRESETS[preset]) for preset in presets}
