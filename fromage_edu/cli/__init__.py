"""The command `fromage-edu`: run an experiment of the book, go on with one, draw and tell what it found."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Annotated

try:
    import typer
except ImportError as missing:  # A command is missing, not a library: no traceback.
    raise SystemExit("fromage-edu needs typer: pip install 'fromage-edu[experiments]'") from missing

from fromage_edu import __version__
from fromage_edu.cli import reports
from fromage_edu.experiments import devices, sweep
from fromage_edu.experiments.plain import plain

__all__ = ["app", "main"]

HELP = """Run the experiments of the book, keep what is finished, draw and tell what was found.

\b
  fromage-edu list                          what there is
  fromage-edu run depth --preset quick      a look, in seconds
  fromage-edu figures runs/depth            its picture and table, also while it runs
  fromage-edu report depth                  the book's chapter, on these results
  fromage-edu run depth --preset paper --workers 8 --out runs/paper
  fromage-edu run depth --preset paper --device cuda --out runs/gpu
  fromage-edu resume runs/paper             after it was killed

A sweep runs the points of an experiment and writes each to points.jsonl in its folder as soon as it is
there. Kill it at any moment and start it again: nothing that is finished is lost or run twice. A point that
raises an error is kept with it, the others go on, and the next start tries it again.

\b
Exit codes
  0    all points are finished; the figures, or the report, are written
  1    some points failed, or none is finished yet, or a cell of the chapter failed
  2    the command is wrong, or its folder holds something else
  3    it could not run or go on (folder, disk, workers, cluster); finished points are kept
  130  interrupted; finished points are kept"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and all else on the standard error.")
]
Workers = Annotated[
    int,
    typer.Option(
        metavar="N", help="Processes to run points in, at best one a core; 0 runs them in this one."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A running Dask cluster, such as tcp://10.0.0.5:8786; or local, with --workers, for one here.",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        metavar="N", help="Threads of torch for each point; the last digits of results depend on it."
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="An experiment; `fromage-edu list` names them.")]
Bar = Annotated[
    bool | None,
    typer.Option("--bar/--no-bar", help="Draw a progress bar; if neither is given, on a terminal only."),
]


@app.callback(invoke_without_command=True)
def _everything(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"fromage-edu {__version__}")
        raise typer.Exit


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List experiments and presets.

    Each preset with the number of its points: the pieces that are run, kept, and shared among workers. Then
    the chapter that `report` runs, and whether `run` takes a --device.
    """
    about = {}
    for name in sweep.names():
        experiment = sweep.find(name)
        presets = {preset: len(experiment.points(config)) for preset, config in experiment.PRESETS.items()}
        about[name] = {
            "about": experiment.__doc__.strip().partition("\n")[0],
            "presets": presets,
            "chapter": getattr(experiment, "CHAPTER", None),
            "device": any(map(_has_device, experiment.PRESETS.values())),
        }
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    for name, what in about.items():
        typer.echo(f"{name}: {what['about']}")
        for preset, points in what["presets"].items():
            typer.echo(f"    --preset {_quoted(preset)}: {points} points")
        told = what["chapter"] or "no chapter"
        typer.echo(f"    {told}{', takes a --device' * what['device']}")


def _quoted(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f'"{text}"'


@app.command()
def run(
    name: Name,
    preset: Annotated[
        str,
        typer.Option(
            metavar="PRESET",
            help="How much of it: quick is a look, default what the page shows, paper the figure.",
        ),
    ] = "default",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the results: new, empty, or of the same sweep.",
            show_default="runs/NAME",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Where to compute: cpu, cuda, or one of several GPUs, such as cuda:1. It is one of the "
            "settings, which `resume` keeps; not every experiment has it.",
            show_default="cpu",
        ),
    ] = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    threads: Threads = 1,
    bar: Bar = None,
    as_json: Json = False,
) -> None:
    """Run an experiment, or the rest of it.

    The folder gets config.json, with the settings and where the numbers come from, and points.jsonl, with a
    line for each point. One folder holds one preset on one device: give each its own with --out.
    """
    experiment = _experiment(name)
    if preset not in experiment.PRESETS:
        known = ", ".join(map(repr, experiment.PRESETS))
        raise typer.BadParameter(f"{name} has no preset {preset!r}; there are {known}", param_hint="--preset")
    config = experiment.PRESETS[preset]
    if device is not None:
        config = _placed(name, config, device, here=scheduler in (None, "local"))
    folder = _folder(name, out)
    go = partial(sweep.sweep, experiment, config, folder=folder)
    _go(go, folder, as_json, workers=workers, scheduler=scheduler, threads=threads, bar=bar)


def _experiment(name: str) -> ModuleType:
    if name not in sweep.names():
        raise typer.BadParameter(
            f"no experiment is named {name!r}; there are {', '.join(sweep.names())}", param_hint="NAME"
        )
    return sweep.find(name)


def _folder(name: str, out: Path | None) -> Path:
    return Path("runs") / name if out is None else out


def _placed(name: str, config, device: str, here: bool):
    """A configuration on another device; whoever else runs the points has devices of its own."""
    if not _has_device(config):
        able = [each for each in sweep.names() if any(map(_has_device, sweep.find(each).PRESETS.values()))]
        raise typer.BadParameter(
            f"{name} runs on the CPU only; those with a device are {', '.join(able)}", param_hint="--device"
        )
    try:
        return replace(config, device=devices.usable(device) if here else devices.device_name(device))
    except (RuntimeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--device") from error


def _has_device(config) -> bool:
    return is_dataclass(config) and "device" in {field.name for field in fields(config)}


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep, as `run` made it.")],
    workers: Workers = 0,
    scheduler: Scheduler = None,
    threads: Threads = 1,
    bar: Bar = None,
    as_json: Json = False,
) -> None:
    """Go on with a sweep that was ended.

    Runs what is not finished, and what failed once more. Everything else is in the folder, the experiment and
    its settings too, the device among them. Where nothing is left to run, this says so.
    """
    _go(
        partial(sweep.resume, folder),
        folder,
        as_json,
        workers=workers,
        scheduler=scheduler,
        threads=threads,
        bar=bar,
    )


def _go(start: Callable[..., sweep.Sweep], folder: Path, as_json: bool, **options) -> None:
    """Run a sweep, say what came of it, and end with its exit code."""
    began = time.monotonic()
    with _in_words(folder):
        found = start(**options, progress=partial(typer.echo, err=as_json))
    points = len(found.outcomes) + len(found.failures)
    if as_json:
        failed = [{"point": plain(point), "error": failure.error} for point, failure in found.failures]
        result = {"folder": str(folder), "points": points, "finished": len(found.outcomes), "failed": failed}
        typer.echo(json.dumps(result | {"seconds": round(time.monotonic() - began, 3)}))
    else:
        typer.echo(f"{len(found.outcomes)} of {points} points are finished, in {folder / 'points.jsonl'}")
        if found.outcomes:
            typer.echo(f"`fromage-edu figures {folder}` draws them")
    if found.failures:
        typer.echo(
            f"{len(found.failures)} points failed; their tracebacks are there too. "
            f"`fromage-edu resume {folder}` tries them again",
            err=True,
        )
        raise typer.Exit(1)


@app.command()
def figures(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a sweep; it may still be running.")
    ],
    as_json: Json = False,
) -> None:
    """Draw what a folder holds so far.

    Writes figure.svg, figure.png, and the numbers in them as summary.csv, into the folder.
    """
    with _in_words(folder, interrupted="interrupted; not all figures were drawn"):
        experiment, found, points = _finished(folder)
        try:
            import matplotlib
        except ImportError as error:
            raise ImportError(
                f"figures need matplotlib ({error}): pip install 'fromage-edu[experiments]'"
            ) from error

        matplotlib.use("Agg")  # Pictures go to files: no display is needed.
        summary = experiment.summarise(found.outcomes)
        picture = experiment.figure(summary)
        paths = [folder / name for name in ("summary.csv", "figure.svg", "figure.png")]
        # Written aside and moved: a full disk leaves the old ones as they were.
        with TemporaryDirectory(dir=folder, prefix=".figures-") as aside:
            drawn = [Path(aside, path.name) for path in paths]
            summary.to_csv(drawn[0], index=False)
            for path in drawn[1:]:
                picture.savefig(path, dpi=200, bbox_inches="tight")
            for path, place in zip(drawn, paths, strict=True):
                path.replace(place)
    if as_json:
        files = list(map(str, paths))
        typer.echo(json.dumps({"points": points, "finished": len(found.outcomes), "files": files}))
        return
    typer.echo(f"of {len(found.outcomes)} of {points} points:")
    for path in paths:
        typer.echo(f"    {path}")


def _finished(folder: Path) -> tuple[ModuleType, sweep.Sweep, int]:
    """What a folder holds, and of how many points; without a finished one there is nothing to show."""
    experiment, found, waiting = sweep.kept(folder)
    if not found.outcomes:
        typer.echo(f"{folder} holds no finished point: `fromage-edu resume {folder}` runs them", err=True)
        raise typer.Exit(1)
    return experiment, found, len(found.outcomes) + len(found.failures) + waiting


@app.command()
def report(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of a sweep of it, of any preset; it may still be running.",
            show_default="runs/NAME",
        ),
    ] = None,
    bar: Bar = None,
    as_json: Json = False,
) -> None:
    """Run the book's chapter on your results.

    The chapter that tells an experiment runs once more, with what the folder holds in place of the runs that
    it makes or quotes, and is written there as report.ipynb: open it in Jupyter. That takes about a minute.
    Where a cell of the chapter fails, what ran is in report.partial.ipynb. Needs fromage-edu[report].
    """
    experiment, folder, began = _experiment(name), _folder(name, out), time.monotonic()
    with _in_words(folder, interrupted="interrupted; no report was written"):
        reports.chapter_of(experiment)
        there, found, points = _finished(folder)
        if there is not experiment:
            other = there.__name__.rpartition(".")[2]
            raise ValueError(
                f"{folder} holds a sweep of {other}, not of {name}: "
                f"`fromage-edu report {other} --out {folder}` tells it"
            )
        done = f"{len(found.outcomes)} of {points} points"
        typer.echo(f"the chapter {experiment.CHAPTER} runs on {done}; about a minute", err=as_json)
        about = f"They are {done} of the sweep of *{name}* in `{folder.resolve()}`."
        shown = sys.stderr.isatty() if bar is None else bar
        path = reports.write(experiment, folder, about, bar=shown)
    if as_json:
        result = {"chapter": experiment.CHAPTER, "points": points, "finished": len(found.outcomes)}
        seconds = round(time.monotonic() - began, 3)
        typer.echo(json.dumps(result | {"files": [str(path)], "seconds": seconds}))
    else:
        typer.echo(f"    {path}")


@contextmanager
def _in_words(folder: Path, interrupted: str | None = None) -> Iterator[None]:
    """Errors that a user can do something about: in words, without a traceback, with an exit code."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        kept = f"interrupted; finished points are kept, `fromage-edu resume {folder}` goes on"
        text, code = interrupted or kept, 130
    except reports.ChapterFailed as error:
        text, code = str(error), 1
    except FileNotFoundError as error:
        text, code = _text(error), 2
    except (ImportError, OSError, RuntimeError) as error:
        text, code = _text(error), 3
    except ValueError as error:
        text, code = _text(error), 2
    else:
        return
    typer.echo(text, err=True)
    raise typer.Exit(code)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        # What was written to has no name where a pipe is closed, or a disk is full.
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def main() -> None:
    """The command itself; `fromage-edu --help` says what it does.

    Returns:
        Nothing: it ends the process, with an exit code.
    """
    app(prog_name="fromage-edu")
