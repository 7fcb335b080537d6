"""Reports: a chapter runs on stored results, in this interpreter, and is written whole or not at all."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

import fromage_edu
from fromage_edu.cli import app, reports
from fromage_edu.experiments import norms, perturbation, store, sweep, tightness

# What papermill, nbclient and the kernel's client say, also when they are collected, is not about reports.
pytestmark = pytest.mark.filterwarnings("ignore")

TOLD = [name for name in sweep.names() if hasattr(sweep.find(name), "CHAPTER")]
HEAD = "import os, sys"
SHOW = """
from fromage_edu.experiments import sweep
print(results, len(sweep.kept(results)[1].outcomes), os.listdir(), sys.executable, sep="|")
import fromage_edu, matplotlib
print(fromage_edu.__file__, matplotlib.get_backend(), sep="|")
"""


def call(*arguments, code=0):
    """What a command prints: on the standard output, and on the standard error."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="fromage-edu")
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """A sweep of fourteen points of which one is finished. Its name is a trap for format strings."""
    place = tmp_path / "my {runs} 1"
    begun(place, tightness, tightness.Outcome("Lemma 1, below", 400, 0.9, 0.5, 8, 0.99, 0.1))
    return place


def begun(place, experiment, outcome=None):
    """A folder with the first point of a quick sweep."""
    config = experiment.PRESETS["quick"]
    first, *_ = experiment.points(config)
    with store.Store(place, config, experiment.__name__.rpartition(".")[2]) as keep:
        keep.add(first, outcome or experiment.run_point(first))


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """Makes a chapter of cells, and `tightness` the experiment that it tells."""

    def make(*cells, parameters="results = None  # here"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A toy")])
        for source in (HEAD, parameters, *cells):
            notebook.cells.append(nbformat.v4.new_code_cell(source))
        notebook.cells[2].metadata["tags"] = ["parameters"]
        path = tmp_path / "chapters" / "part" / "99_toy.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        monkeypatch.setattr(reports, "HOMES", (tmp_path / "nowhere", tmp_path / "chapters"))
        monkeypatch.setattr(tightness, "CHAPTER", "part/99_toy", raising=False)

    return make


def shown(path):
    """What the code cells of a notebook have printed."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in cells]


def files(folder):
    return sorted(path.name for path in folder.iterdir())


class TestReport:
    def test_a_chapter_runs_on_the_results_in_this_interpreter(self, folder, chapter, tmp_path, monkeypatch):
        # Somebody's own "python3", start-up files and settings of matplotlib: none of them counts.
        broken = tmp_path / "jupyter" / "kernels" / "python3"
        broken.mkdir(parents=True)
        spec = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "x", "language": "python"}
        (broken / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        monkeypatch.setenv("MPLBACKEND", "Agg")
        chapter(SHOW)
        (folder / reports.PARTIAL).write_text("of an earlier try")
        text, errors = call("report", "tightness", "--out", folder.name)
        assert text.splitlines() == [
            "the chapter part/99_toy runs on 1 of 14 points; about a minute",
            f"    {folder / reports.REPORT}",
        ]
        assert not errors and files(folder) == ["config.json", "points.jsonl", "report.ipynb"]
        first, second = shown(folder / reports.REPORT)[-1].splitlines()
        assert first == f"{folder}|1|[]|{sys.executable}"
        assert second == f"{fromage_edu.__file__}|{reports.KERNEL_ENV['MPLBACKEND']}"
        assert os.environ["JUPYTER_PATH"] == str(tmp_path / "jupyter")
        assert not (tmp_path / "ipython").exists()

        notebook = nbformat.read(folder / reports.REPORT, as_version=4)
        about = notebook.cells[1].source
        assert (
            "**This is a report**: 99_toy" in about and "1 of 14 points of the sweep of *tightness*" in about
        )
        assert f"`{folder}`" in about
        assert notebook.metadata.papermill.output_path == str(folder / reports.REPORT)
        assert not [
            output
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if output.get("name") == "stderr"
        ]

    def test_as_json_all_else_is_on_the_standard_error(self, folder, chapter):
        chapter("1 + 1")
        text, errors = call("report", "tightness", "--out", folder, "--json")
        found = json.loads(text)
        assert found.pop("seconds") > 0 and len(errors.splitlines()) == 1
        assert found == {
            "chapter": "part/99_toy",
            "points": 14,
            "finished": 1,
            "files": [str(folder / reports.REPORT)],
        }

    def test_a_cell_that_fails_is_named_and_what_ran_is_kept_beside(self, folder, chapter):
        chapter("print('so far')", "\n\nnumbers = [1]\nraise LookupError('no such\\nluck')")
        (folder / reports.REPORT).write_text("the last good one")
        _, errors = call("report", "tightness", "--out", folder, code=1)
        assert errors == (
            "the chapter 99_toy failed in cell [5] (numbers = [1]): LookupError: no such. "
            f"What ran is in {folder / reports.PARTIAL}\n"
        )
        assert (folder / reports.REPORT).read_text() == "the last good one"
        assert "so far\n" in shown(folder / reports.PARTIAL)
        assert files(folder) == ["config.json", "points.jsonl", "report.ipynb", "report.partial.ipynb"]

    def test_what_a_chapter_lacks_is_said(self, folder, chapter):
        chapter("import a_package_that_nobody_has")
        _, errors = call("report", "tightness", "--out", folder, code=1)
        assert "No module named 'a_package_that_nobody_has'" in errors
        assert "pip install 'fromage-edu[report]' brings what chapters need" in errors

    def test_a_process_that_ends_in_a_cell_is_named(self, folder, chapter):
        chapter("print('so far')", "os._exit(9)")
        _, errors = call("report", "tightness", "--out", folder, code=1)
        assert "99_toy failed in cell [5] (os._exit(9)): its process ended" in errors
        assert "too little memory" in errors and "so far\n" in shown(folder / reports.PARTIAL)
        assert reports.REPORT not in files(folder)


class TestRefusals:
    def test_an_experiment_that_does_not_exist(self):
        _, errors = call("report", "lunch", code=2)
        assert "no experiment is named 'lunch'; there are " in " ".join(errors.split())

    def test_an_experiment_without_a_chapter(self, folder):
        _, errors = call("report", "tightness", "--out", folder, code=2)
        assert errors == (
            "no chapter tells tightness: `fromage-edu figures DIR` draws its results. "
            f"Reports are for those with a chapter: {', '.join(TOLD)}\n"
        )

    def test_a_folder_of_another_experiment(self, folder):
        _, errors = call("report", "norms", "--out", folder, code=2)
        assert errors == (
            f"{folder} holds a sweep of tightness, not of norms: "
            f"`fromage-edu report tightness --out {folder}` tells it\n"
        )

    def test_folders_without_results(self, tmp_path):
        assert "runs/norms: no sweep has begun there" in call("report", "norms", code=2)[1]
        (tmp_path / "empty").mkdir()
        assert "empty: no sweep has begun there" in call("report", "norms", "--out", "empty", code=2)[1]
        store.Store(tmp_path / "begun", norms.PRESETS["quick"], "norms").close()
        _, errors = call("report", "norms", "--out", "begun", code=1)
        assert errors == "begun holds no finished point: `fromage-edu resume begun` runs them\n"

    def test_a_chapter_that_is_not_there_or_takes_no_results(self, folder, chapter, monkeypatch, tmp_path):
        chapter("1", parameters="depths = [2]")
        _, errors = call("report", "tightness", "--out", folder, code=2)
        assert "the chapter part/99_toy takes no stored results yet" in errors
        monkeypatch.setattr(reports, "HOMES", (tmp_path / "nowhere",))
        _, errors = call("report", "tightness", "--out", folder, code=3)
        assert f"the chapter part/99_toy is not where it should be, in {tmp_path / 'nowhere'}" in errors
        assert "install fromage-edu anew" in errors

    @pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"cells": [3]}', '{"cells": [{}]}'])
    def test_a_chapter_that_is_no_notebook(self, text, folder, chapter, tmp_path):
        chapter("1")
        path = tmp_path / "chapters" / "part" / "99_toy.ipynb"
        path.write_text(text)
        _, errors = call("report", "tightness", "--out", folder, code=3)
        assert errors == f"{path} is no notebook: install fromage-edu anew, or restore it\n"

    @pytest.mark.parametrize("name", ["papermill", "ipykernel"])
    def test_without_papermill_or_a_kernel_it_says_what_to_install(self, name, folder, chapter, monkeypatch):
        chapter("1")
        monkeypatch.setitem(sys.modules, name, None)
        _, errors = call("report", "tightness", "--out", folder, code=3)
        assert "a report needs papermill and a Jupyter kernel" in errors
        assert "pip install 'fromage-edu[report]'" in errors and files(folder) == [
            "config.json",
            "points.jsonl",
        ]

    def test_a_folder_that_cannot_be_written_before_anything_runs(self, folder, chapter, monkeypatch):
        chapter("1")

        def refused(dir):
            raise PermissionError(errno.EACCES, "Permission denied", str(dir))

        monkeypatch.setattr(tempfile, "TemporaryFile", refused)
        _, errors = call("report", "tightness", "--out", folder, code=3)
        assert errors.startswith(f"{folder}: Permission denied: a report is written there; ")

    def test_a_disk_that_is_full_at_the_end_leaves_the_last_report(self, folder, chapter, monkeypatch):
        chapter("1")
        (folder / reports.REPORT).write_text("the last good one")

        def full(file):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(reports.os, "fsync", full)
        _, errors = call("report", "tightness", "--out", folder, code=3)
        assert errors.startswith(f"{folder / reports.REPORT}: No space left on device: ")
        assert (folder / reports.REPORT).read_text() == "the last good one"
        assert files(folder) == ["config.json", "points.jsonl", "report.ipynb"]


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_an_interrupted_report_writes_nothing_and_leaves_no_process(tmp_path):
    """The real thing, and with the chapter that takes longest."""
    begun(tmp_path / "here", perturbation)
    env = os.environ | {
        "PYTHONPATH": str(Path(fromage_edu.__file__).parents[1]),
        "TMPDIR": str(tmp_path / "places"),
    }
    (tmp_path / "places").mkdir()
    command = [sys.executable, "-W", "error", "-m", "fromage_edu.cli"]
    report = subprocess.Popen(
        [*command, "report", "perturbation", "--out", "here"],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env},
        start_new_session=True,
        # Whatever started the tests in the background had them ignore Control-C, which children inherit.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert report.stdout.readline().startswith("the chapter descent/06_breakdown runs on 1 of 2 points")
    while not list((tmp_path / "places").glob("fromage-edu-*/out.ipynb")):  # A cell has run.
        assert report.poll() is None, report.communicate()
    os.killpg(report.pid, signal.SIGINT)
    _, errors = report.communicate(timeout=60)
    assert (report.returncode, errors) == (130, "interrupted; no report was written\n")
    assert files(tmp_path / "here") == ["config.json", "points.jsonl"]
    assert not list((tmp_path / "places").glob("fromage-edu-*"))


@pytest.mark.parametrize("name", TOLD)
def test_every_chapter_of_an_experiment_takes_results(name):
    text = reports.chapter_of(sweep.find(name)).read_text(encoding="utf-8")
    called = "experiment" if f"import {name} as experiment" in text else name
    assert f"sweep.stored({called}, results)" in text


@pytest.mark.parametrize("name", ["depth", "norms", "perturbation"])  # One for each chapter.
def test_a_chapter_of_the_book_tells_a_part_of_a_sweep(name, tmp_path):
    begun(tmp_path / "here", sweep.find(name))
    call("report", name, "--out", "here")
    notebook = nbformat.read(tmp_path / "here" / reports.REPORT, as_version=4)
    injected = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in injected] == [f'# Parameters\nresults = "{tmp_path / "here"}"\n']
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if "sweep.stored(" in cell.source and cell.outputs]
