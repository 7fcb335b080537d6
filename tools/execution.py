"""Run notebooks in fresh kernels, several at a time, and keep what they wrote.

A notebook runs alone, in an empty directory and on one core, as it does for a reader who downloaded only
that file. What it wrote is kept under a key made of its code cells, the library's source and the versions
of what it runs on: change any of these and the notebook is stale. (jupyter-cache, the usual tool, keys by the
code cells alone and cannot give each kernel an empty directory, one core and a profile of its own.)
"""

import concurrent.futures
import hashlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "fromage_edu"
CACHE = ROOT / "_build" / "executed"
# A chapter takes at most a minute on one core; on a busy machine a single cell still gets this long.
CELL_TIMEOUT = 300
# Figures with two pixels for each one of the layout: sharp on the screens of today.
KERNEL_SETTINGS = 'get_config().InlineBackend.figure_formats = {"retina"}'
# Packages whose version can change what a notebook prints or draws.
PACKAGES = ("torch", "numpy", "matplotlib", "pandas", "scikit-learn", "anywidget", "ipywidgets", "ipykernel")


class NotebookFailed(Exception):
    """A cell raised an error; the message names the notebook and holds the traceback."""


def library_key(library=LIBRARY):
    """Hash of everything outside a notebook that its outputs depend on.

    Scripts and styles of explorers are left out: a built page takes them from the library itself.
    """
    digest = hashlib.sha256((sys.version + KERNEL_SETTINGS).encode())
    for path in sorted(library.rglob("*")):
        if path.suffix in (".py", ".csv", ".json"):
            digest.update(path.relative_to(library).as_posix().encode())
            digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    return digest.hexdigest()


def notebook_key(notebook, library):
    """Hash of the code cells (source and tags) and of `library`, the key of the rest."""
    cells = [
        ("".join(cell["source"]), sorted(cell["metadata"].get("tags", [])))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    return hashlib.sha256((library + json.dumps(cells)).encode()).hexdigest()


def execute(path):
    """Run the notebook at `path`; return `{"cells": [{outputs, execution_count}…], "widgets": …}`."""
    import nbclient
    from nbclient import exceptions as trouble

    # The kernels inherit these: one core each, and no history or start-up files of the user.
    os.environ["OMP_NUM_THREADS"] = "1"
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "ipython", "profile_default")
        profile.mkdir(parents=True)
        (profile / "ipython_kernel_config.py").write_text(KERNEL_SETTINGS, encoding="utf-8")
        os.environ["IPYTHONDIR"] = str(profile.parent)
        work = Path(folder, "work")
        work.mkdir()
        client = nbclient.NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=CELL_TIMEOUT,
            resources={"metadata": {"path": str(work)}},
            record_timing=False,
            coalesce_streams=True,
            # The kernel warns that it listens on 127.0.0.1, once per notebook.
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )
        try:
            client.execute()
        except (trouble.CellExecutionError, trouble.CellTimeoutError, trouble.DeadKernelError) as error:
            raise NotebookFailed(f"{path}: {error}") from None
    cells = [
        {"outputs": cell.outputs, "execution_count": cell.execution_count}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return {"cells": cells, "widgets": notebook.metadata.get("widgets")}


def fill(path, executed):
    """Return the notebook at `path` (as plain JSON) with its outputs replaced by those of `executed`."""
    notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    outputs = iter(executed["cells"])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(next(outputs))
    notebook["metadata"].pop("widgets", None)
    if executed["widgets"]:
        notebook["metadata"]["widgets"] = executed["widgets"]
    return notebook


def keys_of(paths):
    """Return the key of each notebook."""
    library = library_key()
    return {path: notebook_key(json.loads(Path(path).read_text(encoding="utf-8")), library) for path in paths}


def load(key):
    """Return what the notebook with this key wrote."""
    return json.loads(_kept(key).read_text(encoding="utf-8"))


def run(keys, *, force=False, jobs=None, say=print):
    """Run the stale notebooks of `keys` (path -> key), or all if `force`, `jobs` at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # The longest first: a pool that ends with its longest job idles.
    stale = [path for path, key in keys.items() if force or not _kept(key).exists()]
    stale.sort(key=_last_seconds, reverse=True)
    if not stale:
        return
    jobs = min(jobs or max(2, min(4, os.cpu_count() or 2)), len(stale))
    say(f"executing {len(stale)} of {len(keys)} notebooks, {jobs} at a time")
    failures = []
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        paths = {pool.submit(_timed, path): path for path in stale}
        for number, job in enumerate(concurrent.futures.as_completed(paths), start=1):
            path = paths[job]
            head = f"  [{number}/{len(stale)}] {_name(path)}"
            try:
                executed, seconds = job.result()
            except NotebookFailed as error:
                failures.append(str(error))
                say(f"{head}  failed")
                continue
            write(_kept(keys[path]), json.dumps(executed))
            write(_clock(path), f"{seconds:.1f}")
            say(f"{head}  {seconds:.1f} s")
    if failures:
        raise NotebookFailed("\n\n".join(failures))


def _timed(path):
    start = time.perf_counter()
    return execute(path), time.perf_counter() - start


def _kept(key):
    return CACHE / f"{key}.json"


def _clock(path):
    return CACHE / f"{Path(path).stem}.seconds"


def _last_seconds(path):
    return float(_clock(path).read_text()) if _clock(path).exists() else float("inf")


def _name(path):
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def write(path, text):
    """Write in one go, so that an interrupted run leaves no half file behind."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
