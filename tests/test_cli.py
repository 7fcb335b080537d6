"""The command: what it says, what it leaves on the disk, and the code it ends with."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fromage_edu
from fromage_edu.cli import app, main
from fromage_edu.experiments import depth, devices, perturbation, store, sweep

QUICK = depth.PRESETS["quick"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments, code=0):
    """What a command prints: on the standard output, and on the standard error."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="fromage-edu")
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


class TestHelp:
    def test_it_teaches(self):
        text, _ = call("--help")
        for word in (
            "run depth --preset quick",
            "resume",
            "figures",
            "report depth",
            "--device cuda",
            "Exit codes",
        ):
            assert word in text
        assert "..." not in text.partition("Commands:")[2], "a line is cut: say it shorter"

    @pytest.mark.parametrize("command", ["list", "run", "resume", "figures", "report"])
    def test_every_option_of_a_command_is_explained(self, command):
        text, _ = call(command, "--help")
        options = re.findall(r"^  (--[a-z]+)(.*(?:\n {10,}.*)*)", text, re.M)
        assert {name for name, _ in options} >= {"--json", "--help"}
        assert all(len(rest.split()) > 3 for _, rest in options)

    def test_the_version_is_the_package_s(self):
        assert call("--version")[0] == f"fromage-edu {fromage_edu.__version__}\n"

    def test_a_bare_command_shows_the_help(self):
        assert "Exit codes" in "".join(call(code=2))


class TestList:
    def test_it_names_experiments_presets_and_points(self):
        text, _ = call("list")
        assert "depth: How deep can a perceptron be and still learn?" in text
        assert "    --preset quick: 2 points" in text and '--preset "miniature, float64": 3 points' in text
        assert "    descent/09_depth, takes a --device\n" in text and "    no chapter\n" in text

    def test_as_json(self):
        about = json.loads(call("list", "--json")[0])
        assert sorted(about) == sweep.names() and about["depth"]["presets"]["quick"] == 2
        assert all(each["about"] and each["presets"] for each in about.values())
        assert (about["norms"]["chapter"], about["norms"]["device"]) == ("descent/08_fromage", False)
        assert (about["tightness"]["chapter"], about["perturbation"]["device"]) == (None, True)


class TestRun:
    def test_it_writes_to_runs_name_and_says_what_next(self, tmp_path):
        text, errors = call("run", "depth", "--preset", "quick")
        lines = text.splitlines()
        assert re.fullmatch(r"1 of 2: depth 2, \d+ s; about \d+ s left", lines[0]) and not errors
        assert lines[2:] == [
            f"2 of 2 points are finished, in {Path('runs/depth/points.jsonl')}",
            f"`fromage-edu figures {Path('runs/depth')}` draws them",
        ]
        about = json.loads((tmp_path / "runs" / "depth" / "config.json").read_text())
        assert about["experiment"] == "depth" and about["config"]["depths"] == [2, 6]
        assert call("run", "depth", "--preset", "quick")[0].startswith("2 of 2 points were finished before\n")

    def test_as_json_all_else_is_on_the_standard_error(self):
        text, errors = call("run", "depth", "--preset", "quick", "--out", "here", "--json")
        found = json.loads(text)
        assert found.pop("seconds") >= 0 and len(errors.splitlines()) == 2
        assert found == {"folder": "here", "points": 2, "finished": 2, "failed": []}

    def test_failed_points_make_it_end_with_1_and_resume_tries_them_again(self, monkeypatch):
        run_point = depth.run_point

        def broken(point):
            if point.depth == 2:
                raise ValueError("no luck")
            return run_point(point)

        with monkeypatch.context() as patched:
            patched.setattr(depth, "run_point", broken)
            text, errors = call("run", "depth", "--preset", "quick", "--out", "here", code=1)
            assert "1 of 2: depth 2, failed, ValueError: no luck" in text and "1 of 2 points are" in text
            assert "1 points failed" in errors and "`fromage-edu resume here` tries them again" in errors
            found = json.loads(call("resume", "here", "--json", code=1)[0])
        assert found["finished"] == 1
        assert [(each["point"]["depth"], each["error"]) for each in found["failed"]] == [
            (2, "ValueError: no luck")
        ]
        assert "2 of 2 points are finished" in call("resume", "here")[0]

    def test_an_interrupt_says_how_to_go_on(self, monkeypatch):
        def interrupted(point):
            raise KeyboardInterrupt

        monkeypatch.setattr(depth, "run_point", interrupted)
        _, errors = call("run", "depth", "--out", "here", code=130)
        assert errors == "interrupted; finished points are kept, `fromage-edu resume here` goes on\n"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["lunch"], f"no experiment is named 'lunch'; there are {', '.join(sweep.names())}"),
            (["depth", "--preset", "huge"], "depth has no preset 'huge'; there are 'quick', 'default'"),
            (["depth", "--workers", "-1"], "workers is -1: give a whole number >= 0"),
            (["depth", "--workers", "two"], "'--workers'"),
            (["depth", "--threads", "0"], "threads is 0: give a whole number >= 1"),
            (["depth", "--scheduler", "local"], "workers is 0: a local cluster needs at least one"),
            (["depth", "--scheduler", ""], "scheduler is '': give an address such as"),
            (["depth", "--lr", "1"], "No such option"),
            (["depth", "--device", "gpu"], "device is 'gpu': give 'cpu', 'cuda', or one of several GPUs"),
            (["depth", "--device", "mps"], "device is 'mps': it has no float64"),
            (["norms", "--device", "cpu"], "norms runs on the CPU only; those with a device are "),
        ],
    )
    def test_what_cannot_be_ends_with_2_and_leaves_nothing(self, options, message, tmp_path):
        _, errors = call("run", *options, code=2)
        assert message in " ".join(errors.split()) and not (tmp_path / "runs").exists()

    def test_the_device_is_one_of_the_settings(self, tmp_path, monkeypatch):
        monkeypatch.setattr(devices, "present", lambda: ["cpu", "cuda:0"])
        ran = []
        monkeypatch.setattr(depth, "run_point", lambda point: ran.append(point) or depth.Outcome([], [], 0.0))
        call("run", "depth", "--preset", "quick", "--device", "cuda", "--out", "here")
        assert [point.config.device for point in ran] == ["cuda", "cuda"]
        assert json.loads((tmp_path / "here" / "config.json").read_text())["config"]["device"] == "cuda"
        _, errors = call("run", "depth", "--preset", "quick", "--out", "here", code=2)
        assert "holds another config, with device 'cuda' and not 'cpu'" in errors
        call("run", "depth", "--preset", "quick", "--device", "cpu", "--out", "there")
        assert len(ran) == 4

    def test_a_device_that_is_not_here_is_refused_and_its_folder_can_be_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(devices, "present", lambda: ["cpu", "cuda:0"])
        arguments = ["perturbation", "--preset", "quick", "--out", "here", "--device"]
        _, errors = call("run", *arguments, "cuda:1", code=2)
        assert "device is 'cuda:1': this machine has cpu, cuda:0" in errors
        assert not (tmp_path / "here").exists()
        config = replace(perturbation.PRESETS["quick"], device="cuda")
        store.Store(tmp_path / "here", config, "perturbation").close()
        monkeypatch.setattr(devices, "present", lambda: ["cpu"])
        _, errors = call("run", *arguments, "cuda", code=2)
        assert "device is 'cuda': this machine has only 'cpu': torch sees no GPU" in " ".join(errors.split())
        assert "device is 'cuda': this machine has only" in call("resume", "here", code=3)[1]
        assert "holds no finished point" in call("figures", "here", code=1)[1]

    def test_another_machine_s_device_is_its_own_affair(self, monkeypatch):
        monkeypatch.setattr(devices, "present", lambda: ["cpu"])
        seen = {}

        def on_a_cluster(experiment, config, **options):
            seen.update(options, device=config.device)
            return sweep.Sweep([], [])

        monkeypatch.setattr(sweep, "sweep", on_a_cluster)
        call("run", "depth", "--preset", "quick", "--device", "cuda:7", "--scheduler", "tcp://far:1")
        assert seen["device"] == "cuda:7" and seen["scheduler"] == "tcp://far:1"

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        call("run", "depth", "--preset", "quick")
        _, errors = call("run", "depth", code=2)
        assert "holds another config, with depths [2, 6]" in errors and "choose another folder" in errors
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "thesis.tex").touch()
        _, errors = call("run", "depth", "--out", "thesis", code=2)
        assert "is no folder of a sweep, it holds 'thesis.tex'" in errors

    def test_one_that_cannot_be_written_ends_with_3(self, tmp_path):
        (tmp_path / "file").touch()
        assert (
            "file: File exists: choose a folder that can be written"
            in call("run", "depth", "--out", "file", code=3)[1]
        )

    @pytest.mark.skipif(store.fcntl is None, reason="no locks here")
    def test_another_writer_makes_it_end_with_3(self, tmp_path):
        with store.Store(tmp_path / "here", QUICK, "depth"):
            _, errors = call("resume", "here", code=3)
        assert "another process" in errors and "wait for it" in errors


class TestResume:
    def test_a_folder_that_holds_only_the_configuration_is_run(self, tmp_path):
        store.Store(tmp_path / "here", QUICK, "depth").close()
        (tmp_path / "here" / "points.jsonl").unlink()
        assert "2 of 2 points are finished" in call("resume", "here")[0]

    def test_a_folder_without_a_sweep_ends_with_2(self, tmp_path):
        assert "nowhere: no sweep has begun there" in call("resume", "nowhere", code=2)[1]
        assert not (tmp_path / "nowhere").exists()

    def test_a_line_that_is_no_point_is_named(self, tmp_path):
        store.Store(tmp_path / "here", QUICK, "depth").close()
        (tmp_path / "here" / "points.jsonl").write_text("nonsense\n")
        assert "line 1 of" in call("resume", "here", code=2)[1]


class TestFigures:
    def test_they_show_what_is_there_also_of_a_part(self, tmp_path):
        first, _ = depth.points(QUICK)
        with store.Store(tmp_path / "here", QUICK, "depth") as keep:
            keep.add(first, depth.run_point(first))
            text, _ = call("figures", "here")
        assert text.splitlines()[0] == "of 1 of 2 points:"
        assert (tmp_path / "here" / "figure.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "here" / "figure.svg").read_text()
        assert (tmp_path / "here" / "summary.csv").read_text().startswith("dtype,depth,entrant,")
        call("resume", "here")
        found = json.loads(call("figures", "here", "--json")[0])
        assert found["points"] == found["finished"] == 2 and len(found["files"]) == 3

    def test_without_a_point_they_say_so(self, tmp_path):
        store.Store(tmp_path / "here", QUICK, "depth").close()
        assert "holds no finished point: `fromage-edu resume here`" in call("figures", "here", code=1)[1]
        assert "no sweep has begun there" in call("figures", "nowhere", code=2)[1]

    def test_a_disk_that_fills_up_leaves_the_old_ones(self, tmp_path, monkeypatch):
        first, second = depth.points(QUICK)
        here = tmp_path / "here"
        with store.Store(here, QUICK, "depth") as keep:
            keep.add(first, depth.run_point(first))
            call("figures", "here")
            before = {path.name: path.read_bytes() for path in here.iterdir() if path.suffix != ".jsonl"}
            keep.add(second, depth.run_point(second))
        draw = depth.figure

        def full(summary):
            picture = draw(summary)
            save = picture.savefig

            def some(path, **options):
                save(path, **options)
                if path.suffix == ".png":
                    raise OSError(errno.ENOSPC, "No space left on device")

            picture.savefig = some
            return picture

        monkeypatch.setattr(depth, "figure", full)
        assert call("figures", "here", code=3)[1] == "No space left on device\n"
        assert {path.name: path.read_bytes() for path in here.iterdir() if path.suffix != ".jsonl"} == before

    def test_what_goes_wrong_is_said(self, tmp_path, monkeypatch):
        first, _ = depth.points(QUICK)
        with store.Store(tmp_path / "here", QUICK, "depth") as keep:
            keep.add(first, depth.run_point(first))

        def fail(error):
            def figure(summary):
                raise error

            monkeypatch.setattr(depth, "figure", figure)

        fail(OSError(errno.ENOSPC, "No space left on device"))  # It names no file.
        assert call("figures", "here", code=3)[1] == "No space left on device\n"
        fail(KeyboardInterrupt())
        assert call("figures", "here", code=130)[1] == "interrupted; not all figures were drawn\n"
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        _, errors = call("figures", "here", code=3)
        assert "figures need matplotlib" in errors and "pip install 'fromage-edu[experiments]'" in errors


def test_it_says_how_to_get_what_is_missing():
    code = "import sys; sys.modules['typer'] = None; import fromage_edu.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "fromage-edu needs typer: pip install 'fromage-edu[experiments]'\n"


def test_the_project_installs_the_command():
    project = Path(__file__).parents[1] / "pyproject.toml"
    scripts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"fromage-edu": f"{main.__module__}:{main.__name__}"}


def real(*arguments, **options):
    """The command in a process of its own, with warnings as errors."""
    env = os.environ | {"PYTHONPATH": str(Path(fromage_edu.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-m", "fromage_edu.cli", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **options
    )


def test_a_full_disk_ends_with_3_and_what_is_finished_is_kept(tmp_path):
    """Against the system's own limit on the size of a file."""
    resource = pytest.importorskip("resource")
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2500, 2500))
    arguments = ["tightness", "--preset", "quick", "--out", "here", "--workers", "1"]
    full = real("run", *arguments, preexec_fn=limit)
    out, errors = full.communicate()
    kept = len((tmp_path / "here" / "points.jsonl").read_bytes().splitlines())
    assert full.returncode == 3 and len(out.splitlines()) == kept > 1
    assert f"make room and run again; {kept} finished points are kept" in errors
    assert len(errors.splitlines()) == 1
    text, _ = call("resume", "here")
    assert text.startswith(f"{kept} of 14 points were finished before\n{kept + 1} of 14: case ")


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_a_process_with_workers_is_interrupted_and_goes_on(tmp_path):
    """The real thing: Control-C reaches all processes of the group; the next command runs the rest."""
    arguments = ["tightness", "--preset", "quick", "--out", "here", "--workers", "2"]
    # Whatever started the tests in the background had them ignore Control-C, which children inherit.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    first = real("run", *arguments, start_new_session=True, preexec_fn=heard)
    line = first.stdout.readline()
    assert line.startswith("1 of 14: case "), first.communicate()
    os.killpg(first.pid, signal.SIGINT)
    out, errors = first.communicate(timeout=60)
    assert first.returncode == 130
    assert errors == "interrupted; finished points are kept, `fromage-edu resume here` goes on\n"
    kept = len((tmp_path / "here" / "points.jsonl").read_bytes().splitlines())
    # The disk has a point before the line says so.
    assert kept - 1 - len(out.splitlines()) in (0, 1) and kept < 14
    second = real("resume", "here", "--workers", "2", "--json")
    out, errors = second.communicate()
    assert second.returncode == 0, errors
    assert errors.startswith(f"{kept} of 14 points were finished before\n{kept + 1} of 14: case ")
    assert json.loads(out)["finished"] == 14
    assert len((tmp_path / "here" / "points.jsonl").read_bytes().splitlines()) == 14
