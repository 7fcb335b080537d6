"""A chapter of the book, run on the results of a sweep: what `fromage-edu report` writes."""

from __future__ import annotations

import json
import os
import site
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import fromage_edu
from fromage_edu.experiments import sweep

__all__ = ["PARTIAL", "REPORT", "ChapterFailed", "chapter_of", "write"]

PACKAGE = Path(fromage_edu.__file__).parent
#: Where chapters are: beside an installed package's files, or in the book of a checkout.
HOMES = (PACKAGE / "chapters", PACKAGE.parent / "book")
#: What is written into the folder of the sweep; the second only where a cell of the chapter fails.
REPORT, PARTIAL = "report.ipynb", "report.partial.ipynb"
#: A chapter runs as the book does it: on one core, figures beside the cells that draw them.
KERNEL_ENV = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
SHARP = 'get_config().InlineBackend.figure_formats = {"retina"}'


class ChapterFailed(Exception):
    """A chapter did not run to its end; the message says which cell, why, and where the part that ran is."""


def chapter_of(experiment: ModuleType) -> Path:
    """The notebook that tells an experiment.

    Args:
        experiment: a module of `fromage_edu.experiments`.

    Returns:
        Its path.

    Raises:
        RuntimeError: if this installation has no such chapter, or another file in its place.
        ValueError: for an experiment without a chapter, or a chapter that takes no results.
    """
    name = experiment.__name__.rpartition(".")[2]
    if not hasattr(experiment, "CHAPTER"):
        told = ", ".join(each for each in sweep.names() if hasattr(sweep.find(each), "CHAPTER"))
        raise ValueError(
            f"no chapter tells {name}: `fromage-edu figures DIR` draws its results. "
            f"Reports are for those with a chapter: {told}"
        )
    found = [path for home in HOMES if (path := home / f"{experiment.CHAPTER}.ipynb").exists()]
    if not found:
        raise RuntimeError(
            f"the chapter {experiment.CHAPTER} is not where it should be, in {HOMES[0]}: "
            "install fromage-edu anew, or run in a checkout"
        )
    path = found[0]
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        takes = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (ValueError, LookupError, TypeError) as error:
        raise RuntimeError(f"{path} is no notebook: install fromage-edu anew, or restore it") from error
    if not any("results =" in "".join(cell["source"]) for cell in takes):
        raise ValueError(f"the chapter {experiment.CHAPTER} takes no stored results yet: {path}")
    return path


def write(experiment: ModuleType, folder: Path, about: str, bar: bool = False) -> Path:
    """Run a chapter on the results in a folder, and put what it gives into the folder.

    Args:
        experiment: the one whose results the folder holds.
        folder: of a sweep.
        about: a line that says which results these are.
        bar: whether to draw a progress bar on the standard error.

    Returns:
        The notebook's path. It is written whole, in place of an earlier one, or not at all.

    Raises:
        ChapterFailed: if a cell of the chapter raises an error.
        ImportError: without papermill or a kernel, with the command that installs them.
        OSError: if the folder cannot be written.
    """
    path, folder = chapter_of(experiment), folder.resolve()
    with _with_a_way_out(folder), tempfile.TemporaryFile(dir=folder):
        pass  # Before a minute is spent: the folder can be written.
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="fromage-edu-") as place:
        warnings.simplefilter("ignore")  # What papermill and its own libraries say is not about the results.
        try:
            import ipykernel  # noqa: F401  The chapter's process needs it, and has no way to say so.
            import papermill  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"a report needs papermill and a Jupyter kernel ({error}): pip install 'fromage-edu[report]'"
            ) from error
        target = Path(place, "out.ipynb")
        with _kernel(Path(place)):
            failed = _run(path, target, folder, about, bar)
        if failed:
            raise ChapterFailed(f"{failed}. {_kept(target, folder)}")
        _replace(folder / REPORT, _named(target, folder / REPORT))
    (folder / PARTIAL).unlink(missing_ok=True)  # Of an earlier try: it would be older than the report.
    return folder / REPORT


def _run(path: Path, target: Path, folder: Path, about: str, bar: bool) -> str:
    """Run a chapter into a file, in an empty folder beside it; why that failed, or nothing."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    desk = target.with_name("desk")
    desk.mkdir()
    try:
        papermill.execute_notebook(
            _introduced(path, about),
            target,
            parameters={"results": str(folder)},
            kernel_name="python3",
            language="python",
            cwd=desk,
            progress_bar=bar,
            start_timeout=300,
            # The kernel says that it listens on this machine; nobody has asked.
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
    except papermill.PapermillExecutionError as error:
        text = _which(path, error.exec_count, error.source, f"{error.ename}: {error.evalue}")
        lacks = error.ename in ("ImportError", "ModuleNotFoundError")
        return text + ". pip install 'fromage-edu[report]' brings what chapters need" * lacks
    except DeadKernelError:
        return _which(path, *_last(target), "its process ended; often there is too little memory")
    return ""


def _introduced(path: Path, about: str):
    """The chapter, with a cell below its title that says that this is a report, and of what."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    text = (
        f"**This is a report**: {path.stem}, run by fromage-edu {fromage_edu.__version__} on stored results. "
        f"{about}\n\nCells below that use `results` show these; all others, and all prose, speak of the "
        "book's own runs."
    )
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(f"> {text}".replace("\n", "\n> "), id="report"))
    return notebook


@contextmanager
def _kernel(place: Path) -> Iterator[None]:
    """Let "python3" be this interpreter, with this package, whatever else is installed under that name."""
    spec, profile = place / "kernels" / "python3", place / "ipython" / "profile_default"
    spec.mkdir(parents=True)
    profile.mkdir(parents=True)
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(about), encoding="utf-8")
    (profile / "ipython_kernel_config.py").write_text(SHARP, encoding="utf-8")
    # The kernel inherits these. IPython's folder: a reader's own start-up files are not part of a chapter.
    env = KERNEL_ENV | {"JUPYTER_PATH": _first(str(place), "JUPYTER_PATH"), "IPYTHONDIR": str(profile.parent)}
    root = str(PACKAGE.parent)
    if root not in (*site.getsitepackages(), site.getusersitepackages()):  # A checkout: first of all places.
        env["PYTHONPATH"] = _first(root, "PYTHONPATH")
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _first(path: str, name: str) -> str:
    return os.pathsep.join(filter(None, [path, os.environ.get(name)]))


def _which(path: Path, number: int | None, source: str, why: str) -> str:
    """Which cell failed, in words."""
    lines = [line for line in source.splitlines() if line.strip()]
    begins = f" ({lines[0].strip():.60})" if lines else ""
    return f"the chapter {path.stem} failed in cell [{number or ' '}]{begins}: {why.partition(chr(10))[0]}"


def _last(target: Path) -> tuple[int | None, str]:
    """Number and source of the cell in which a kernel has died: papermill calls it the last completed one."""
    with suppress(OSError, ValueError, LookupError):
        cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        begun = [cell for cell in code if cell["metadata"]["papermill"].get("status") == "completed"]
        return len(begun), "".join(begun[-1]["source"])
    return None, ""


def _kept(target: Path, folder: Path) -> str:
    """Put the part of a notebook that has run into the folder, and say so."""
    if not target.exists():
        return "Nothing was written"
    _replace(folder / PARTIAL, _named(target, folder / PARTIAL))
    return f"What ran is in {folder / PARTIAL}"


def _named(target: Path, path: Path) -> str:
    """A notebook's text, with the place where it will be in place of the one where it was made."""
    notebook = json.loads(target.read_text(encoding="utf-8"))
    notebook["metadata"].get("papermill", {}).update(input_path=None, output_path=str(path))
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _replace(path: Path, text: str) -> None:
    """Write a file whole, or leave the one that is there."""
    aside = path.with_name(f"{path.name}.part")
    with _with_a_way_out(path):
        try:
            with open(aside, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def _with_a_way_out(path: Path) -> Iterator[None]:
    """Errors of writing, of the same kind, with the way out."""
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno,
            f"{error.strerror}: a report is written there; make the folder writable, or make room",
            str(path),
        ) from error
