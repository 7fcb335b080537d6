"""The wheel as a reader gets it: installed into a clean environment, it runs a copied notebook on its own.

The environment holds only the wheel and its `notebooks` extra, pinned by `requirements.lock`. It is kept
under `_build` from run to run, for as long as the pins stay the same; the wheel in it is new each time.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import fromage_edu
from fromage_edu.experiments import norms, store

ROOT = Path(__file__).resolve().parents[1]
# Text outputs of these are compared; one shows explorers and recorded runs, one trains on the digits.
NOTEBOOKS = ["intro.ipynb", "descent/09_depth.ipynb"]


def run(*command):
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # By way of the source distribution: it holds all that a wheel is made of.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean_python(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [project["dependencies"], project["optional-dependencies"], sys.version, str(ROOT)]
    key = json.dumps(wanted) + (ROOT / "requirements.lock").read_text(encoding="utf-8")
    folder = ROOT / "_build" / "clean" / hashlib.sha256(key.encode()).hexdigest()[:16]
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if not (folder / "complete").exists():
        shutil.rmtree(folder.parent, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        run(*pip, "--constraint", "requirements.lock", f"{wheel}[notebooks]")
        (folder / "complete").touch()
    run(*pip, "--no-deps", "--force-reinstall", wheel)
    return python


def test_the_wheel_holds_the_library_and_its_data_and_nothing_else(wheel):
    names = set(run(sys.executable, "-m", "zipfile", "--list", wheel).split())
    library = [path for path in (ROOT / "fromage_edu").rglob("*") if path.is_file()]
    files = {path.relative_to(ROOT).as_posix() for path in library if "__pycache__" not in path.parts}
    chapters = [path.relative_to(ROOT / "book") for path in (ROOT / "book").rglob("*.ipynb")]
    chapters = {path.as_posix() for path in chapters if ".ipynb_checkpoints" not in path.parts}
    files |= {f"fromage_edu/chapters/{name}" for name in chapters}
    assert not files - names
    assert {name.partition("/")[0] for name in names if "/" in name} == {
        "fromage_edu",
        f"fromage_edu-{fromage_edu.__version__}.dist-info",
    }
    assert {name for name in names if name.startswith("fromage_edu/")} == files


def test_a_report_runs_the_chapter_that_the_wheel_brings(wheel, tmp_path):
    """Away from the checkout, from the wheel's files; papermill is that of the project's environment."""
    place = tmp_path / "installed"
    run(sys.executable, "-m", "zipfile", "--extract", wheel, place)
    config = norms.PRESETS["quick"]
    with store.Store(tmp_path / "here", config, "norms") as keep:
        keep.add(norms.points(config)[0], norms.run_point(norms.points(config)[0]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fromage_edu.cli", "report", "norms", "--out", "here"],
        **{"cwd": tmp_path, "text": True, "capture_output": True},
        env=os.environ | {"PYTHONPATH": str(place)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = nbformat.read(tmp_path / "here" / "report.ipynb", as_version=4)
    assert any("norm at the end / norm at the start" in text for text in printed(told))
    assert "1 of 9 points" in told.cells[1].source


def test_the_clean_environment_lacks_what_only_the_book_needs(clean_python):
    listed = run(clean_python, "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze")
    packages = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert "torch" in packages and not {"sphinx", "pytest", "jupyter-book", "playwright"} & packages
    where = run(clean_python, "-I", "-c", "import fromage_edu; print(fromage_edu.__file__)").strip()
    assert Path(where).is_relative_to(clean_python.parents[1])


@pytest.fixture
def kernel(clean_python, tmp_path, monkeypatch):
    """The name of a kernel that runs in the clean environment."""
    folder = tmp_path / "jupyter" / "kernels" / "clean"
    folder.mkdir(parents=True)
    argv = [str(clean_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "clean", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return "clean"


def printed(notebook):
    return [
        "".join(output["text"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == "stdout"
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.filterwarnings("ignore")  # what nbclient and the kernel's client say is not about the wheel
def test_a_copied_notebook_runs_in_an_empty_directory(name, kernel, clean_python, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(ROOT / "book" / name, folder)
    notebook = nbformat.read(folder / Path(name).name, as_version=4)
    committed = printed(notebook)
    where = nbformat.v4.new_code_cell("import fromage_edu\nprint(fromage_edu.__file__)")
    notebook.cells.append(where)
    options = {"resources": {"metadata": {"path": str(folder)}}, "timeout": 300, "coalesce_streams": True}
    NotebookClient(notebook, kernel_name=kernel, **options).execute()
    *again, place = printed(notebook)
    assert again == committed
    assert Path(place.strip()).is_relative_to(clean_python.parents[1])
