"""Sweeps: the same outcomes wherever points run, errors kept, and nothing lost or run twice through kills."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fromage_edu.experiments import store, sweep, workers
from fromage_edu.experiments.plain import plain, rebuild

HERE = Path(__file__).parent


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return import_module("toy_experiment")


def rows(folder):
    return [json.loads(line) for line in (folder / "points.jsonl").read_bytes().splitlines()]


def started(config):
    """How often each point of a toy has started."""
    lines = Path(config.log).read_text().splitlines()
    return Counter(int(line.split()[2]) for line in lines if line.split()[1] == "start")


class TestPlaces:
    def test_processes_give_what_this_process_gives_to_the_last_bit(self, toy, tmp_path):
        config = toy.Config(str(tmp_path / "log"))
        torch.manual_seed(1)
        alone = sweep.sweep(toy, config, folder=tmp_path / "alone")
        torch.manual_seed(2)
        torch.randn(3)
        shared = sweep.sweep(toy, config, folder=tmp_path / "shared", workers=2)
        assert shared == alone and [outcome.number for outcome in alone.outcomes] == [0, 1, 2, 3, 4]
        assert len({outcome.value for outcome in alone.outcomes}) == 5
        assert len({line.split()[0] for line in Path(config.log).read_text().splitlines()}) > 1

    def test_an_experiment_of_the_book_does_so_too(self, tmp_path):
        tightness = sweep.find("tightness")
        config = tightness.Config(networks=20, batch=20, ascents=2, starts=2, steps=5)
        alone = sweep.sweep(tightness, config, folder=tmp_path / "alone")
        shared = sweep.sweep(tightness, config, folder=tmp_path / "shared", workers=2)
        plainly = store.run(tightness, config)
        for found in (alone.outcomes, shared.outcomes):
            assert [outcome[:-1] for outcome in found] == [outcome[:-1] for outcome in plainly]

    def test_a_point_leaves_random_numbers_and_threads_as_they_were(self, toy, tmp_path):
        before, point = torch.get_rng_state(), toy.Point(toy.Config(str(tmp_path / "log")), 0)
        threads = torch.get_num_threads()
        first = workers.attempt(toy, point, threads=2)
        assert torch.get_rng_state().equal(before) and torch.get_num_threads() == threads
        assert first.keys() == {"number", "value", "seconds"}

    def test_points_run_in_order_here(self, toy, tmp_path):
        config, lines = toy.Config(str(tmp_path / "log"), size=3), []
        sweep.sweep(toy, config, folder=tmp_path / "out", progress=lines.append)
        assert [row["point"]["number"] for row in rows(tmp_path / "out")] == [0, 1, 2]
        assert lines[0] == "1 of 3: number 0, 0 s; about 0 s left" and lines[2] == "3 of 3: number 2, 0 s"


class TestErrors:
    @pytest.mark.parametrize("count", [0, 2])
    def test_they_are_kept_and_the_sweep_goes_on_and_tries_again(self, count, toy, tmp_path):
        config, lines = toy.Config(str(tmp_path / "log"), raises=(1, 3)), []
        broken = tmp_path / "log.broken"
        broken.touch()

        def go():
            return sweep.sweep(toy, config, folder=tmp_path / "out", workers=count, progress=lines.append)

        found = go()
        assert [outcome.number for outcome in found.outcomes] == [0, 2, 4]
        assert [(point.number, failure.error) for point, failure in found.failures] == [
            (1, "ValueError: no luck with 1"),
            (3, "ValueError: no luck with 3"),
        ]
        kept = {row["point"]["number"]: row for row in rows(tmp_path / "out")}
        assert kept[1]["error"] == "ValueError: no luck with 1" and "outcome" not in kept[1]
        assert "in run_point" in kept[1]["traceback"] and len(kept) == 5
        assert any("number 1, failed, ValueError: no luck with 1" in line for line in lines)

        if count == 0:  # Still broken: tried again, and kept again.
            assert go() == found
            assert started(config) == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1}
        before = started(config)
        broken.unlink()
        found = go()
        assert found.failures == [] and len(found.outcomes) == 5
        assert started(config) - before == {1: 1, 3: 1}
        assert sweep.sweep(toy, config, folder=tmp_path / "out") == found

    def test_an_outcome_that_json_cannot_hold_is_one(self, tmp_path):
        odd = SimpleNamespace(
            __name__="odd", points=lambda config: [(1,)], run_point=lambda point: {1, 2}, Outcome=dict
        )
        failure = workers.attempt(odd, (1,))
        assert "TypeError" in failure.error and "a store holds text, numbers" in failure.error

    def test_a_gpu_out_of_memory_says_what_to_do(self):
        def run_point(point):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nMore")

        failure = workers.attempt(SimpleNamespace(run_point=run_point), (1,))
        assert "the GPU has too little memory for this point (OutOfMemoryError" in failure.error
        assert "use fewer workers or a larger GPU" in failure.error and "\n" not in failure.error
        assert "Tried to allocate" in failure.traceback

    @pytest.mark.parametrize("handled", [False, True])
    def test_its_tensors_are_let_go_before_the_next_point(self, handled, monkeypatch):
        alive, emptied = [], []

        class Large:  # In a cycle, as networks and optimizers often are.
            def __init__(self):
                self.itself = self
                alive.append(weakref.ref(self))

        def fill():
            large = Large()  # noqa: F841  Held by the frame of the error.
            if handled:
                try:
                    raise ValueError("the first try")
                except ValueError:
                    raise torch.OutOfMemoryError("CUDA out of memory")  # noqa: B904
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(alive[-1]()))
        assert "too little memory" in workers.attempt(SimpleNamespace(run_point=lambda _: fill()), (1,)).error
        assert emptied == [None]

    def test_a_script_that_exits_in_a_point_is_one(self):
        def run_point(point):
            sys.exit("enough")

        assert workers.attempt(SimpleNamespace(run_point=run_point), (1,)).error == "SystemExit: enough"


class TestWorkers:
    def test_a_lost_one_costs_a_life_and_two_cost_the_point(self, toy, tmp_path):
        config = toy.Config(str(tmp_path / "log"), kills=(2,))
        (tmp_path / "log.kills").write_text("xxx")
        found = sweep.sweep(toy, config, folder=tmp_path / "out", workers=2)
        ((point, failure),) = found.failures
        assert point.number == 2 and len(found.outcomes) == 4 and started(config)[2] == 2
        assert failure.error.startswith("WorkerLost: 2 worker processes ended in this point")
        assert "exit code -9" in failure.error and "use fewer workers" in failure.error
        # The next start finds one kill left: the second life gets through.
        found = sweep.sweep(toy, config, folder=tmp_path / "out", workers=2)
        assert found.failures == [] and started(config) == {0: 1, 1: 1, 2: 4, 3: 1, 4: 1}
        assert multiprocessing.active_children() == []

    def test_a_full_disk_stops_them_and_keeps_what_is_there(self, toy, tmp_path, monkeypatch):
        config, add, left = toy.Config(str(tmp_path / "log")), store.Store.add, [0, 1]

        def full(self, point, outcome):
            if not left:
                raise OSError(28, "No space left on device: make room and run again", "points.jsonl")
            left.pop()
            add(self, point, outcome)

        with monkeypatch.context() as patched:
            patched.setattr(store.Store, "add", full)
            with pytest.raises(OSError, match="make room and run again"):
                sweep.sweep(toy, config, folder=tmp_path / "out", workers=2)
        assert multiprocessing.active_children() == [] and len(rows(tmp_path / "out")) == 2
        assert len(sweep.sweep(toy, config, folder=tmp_path / "out").outcomes) == 5
        assert len(rows(tmp_path / "out")) == 5

    def test_an_experiment_that_they_cannot_import_is_said_at_once(self, tmp_path, capfd):
        nowhere = SimpleNamespace(
            __name__="no_such_experiment", points=lambda config: [(1,)], run_point=None, Outcome=dict
        )
        with pytest.raises(RuntimeError, match=r"ended before it began \(exit code 1\).*__main__"):
            sweep.sweep(nowhere, {"size": 1}, folder=tmp_path / "out", workers=1)
        assert "No module named 'no_such_experiment'" in capfd.readouterr().err


# A process that forks sweeps of a toy and kills them at random moments: most while points run, some while the
# folder is opened. Before each it reads which points are finished: none of those may start again.
KILLS = """
    import json, os, random, signal, sys, time
    from pathlib import Path
    from fromage_edu.experiments import store, sweep
    sys.path.insert(0, sys.argv[2])
    import toy_experiment as toy

    folder, random_ = Path(sys.argv[1]), random.Random(5)
    config = toy.Config(str(folder / "log"), size=120, raises=(3, 50), seconds=0.001)
    Path(config.log + ".broken").touch()
    Path(config.log).touch()
    out = folder / "out"

    def finished():
        path = out / "points.jsonl"
        text = path.read_bytes() if path.exists() else b""
        rows = [json.loads(line) for line in text[: text.rfind(b"\\n") + 1].splitlines()]
        return [row["point"]["number"] for row in rows if "outcome" in row]

    def starts():
        return [int(line.split()[2]) for line in open(config.log) if line.split()[1] == "start"]

    progressed = 0
    for kill in range(50):
        before, seen = finished(), len(starts())
        child = os.fork()
        if child == 0:
            try:
                sweep.sweep(toy, config, folder=out)
                os._exit(0)
            finally:
                os._exit(1)
        # Some die as they open the folder. Others get through about three points first.
        wanted = random_.randint(1, 4) if kill % 5 else 0
        while len(starts()) < seen + wanted:
            time.sleep(0.0005)
        time.sleep(random_.uniform(0, 0.006))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status), f"it ended by itself: {status}"
        again = set(starts()[seen:]) & set(before)
        assert not again, f"finished, and started again: {again}"
        after = finished()
        assert after[: len(before)] == before, "lost"
        progressed += len(after) > len(before)
    Path(config.log + ".broken").unlink()
    found = sweep.sweep(toy, config, folder=out)
    numbers = finished()
    assert sorted(numbers) == list(range(120)) and not found.failures
    assert sweep.sweep(toy, config, folder=folder / "fresh") == found, "another outcome"
    print(progressed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_lose_nothing_and_run_nothing_twice(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLS), str(tmp_path), str(HERE)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10, "too few got to a point's end"


SCRIPT = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import toy_experiment as toy
    from fromage_edu.experiments import sweep

    if __name__ == "__main__":
        folder = Path(sys.argv[1])
        config = toy.Config(str(folder / "log"), size=10, seconds=0.2)
        sweep.sweep(toy, config, folder=folder / "out", workers=2)
"""


def alive(pid):
    try:
        # A process that has ended and waits for its parent's word is no longer at work.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_sweep_that_is_killed_and_the_next_goes_on(toy, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, str(script), str(tmp_path), str(HERE)]
    config = toy.Config(str(tmp_path / "log"), size=10, seconds=0.2)
    process = subprocess.Popen(command)
    points, limit = tmp_path / "out" / "points.jsonl", time.monotonic() + 60
    while (not points.exists() or points.read_bytes().count(b"\n") < 3) and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pids = {int(line.split()[0]) for line in Path(config.log).read_text().splitlines()}
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert len(pids) == 2 and not any(map(alive, pids))
    before, kept = started(config), {row["point"]["number"] for row in rows(tmp_path / "out")}
    assert 3 <= len(kept) < 10
    assert subprocess.run(command).returncode == 0
    assert set(started(config) - before).isdisjoint(kept)
    assert sorted(row["point"]["number"] for row in rows(tmp_path / "out")) == list(range(10))


class TestFolder:
    def test_an_empty_one_and_one_with_the_configuration_only_are_fine(self, toy, tmp_path):
        config = toy.Config(str(tmp_path / "log"), size=1)
        (tmp_path / "empty").mkdir()
        assert len(sweep.sweep(toy, config, folder=tmp_path / "empty").outcomes) == 1
        (tmp_path / "empty" / "points.jsonl").unlink()
        assert len(sweep.sweep(toy, config, folder=tmp_path / "empty").outcomes) == 1

    def test_one_with_other_files_is_refused_as_it_is(self, toy, tmp_path):
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(
            ValueError, match="is no folder of a sweep, it holds 'thesis.tex': choose an empty"
        ):
            sweep.sweep(toy, toy.Config("log"), folder=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_what_is_there_is_said(self, toy, tmp_path, monkeypatch):
        config, lines = toy.Config(str(tmp_path / "log"), size=2), []
        sweep.sweep(toy, config, folder=tmp_path / "out")
        path = tmp_path / "out" / "points.jsonl"
        path.write_bytes(path.read_bytes()[:-5])
        sweep.sweep(toy, config, folder=tmp_path / "out", progress=lines.append)
        assert lines[:2] == [
            "the last line was torn when a process ended; its point runs again",
            "1 of 2 points were finished before",
        ]
        lines.clear()
        monkeypatch.setattr(store, "code_version", lambda: "other")
        sweep.sweep(toy, config, folder=tmp_path / "out", progress=lines.append)
        assert lines[0] == "2 finished points are of other code or settings: their points run again"
        assert len(lines) == 3

    def test_one_that_cannot_be_written_is_named(self, toy, tmp_path):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(OSError, match="choose a folder that can be written"):
            sweep.sweep(toy, toy.Config("log"), folder=tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers is -1: give a whole number >= 0"),
        ({"workers": 1.5}, "workers is 1.5: give a whole number >= 0"),
        ({"threads": 0}, "threads is 0: give a whole number >= 1"),
        ({"scheduler": 8786}, "scheduler is 8786: give an address such as 'tcp://"),
        ({"scheduler": "local"}, "workers is 0: a local cluster needs at least one"),
        ({"scheduler": "tcp://x:1", "workers": 2}, "workers is 2: the cluster at tcp://x:1 has its own"),
    ],
)
def test_options_that_cannot_be_are_refused_before_a_folder_is_made(options, message, toy, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweep.sweep(toy, toy.Config("log"), folder=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


class TestBar:
    def test_it_is_drawn_on_demand_only_where_no_terminal_is(self, toy, tmp_path, capfd):
        config, lines = toy.Config(str(tmp_path / "log"), size=2), []
        sweep.sweep(toy, config, folder=tmp_path / "quiet", progress=lines.append)
        assert capfd.readouterr() == ("", "")
        sweep.sweep(toy, config, folder=tmp_path / "loud", progress=lines.append, bar=True)
        out, err = capfd.readouterr()
        assert out == "" and "2/2" in err and lines[:2] == lines[2:]

    def test_without_tqdm_it_says_how_to_get_it(self, toy, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with pytest.raises(ImportError, match="pip install 'fromage-edu"):
            sweep.sweep(toy, toy.Config(str(tmp_path / "log")), folder=tmp_path / "out", bar=True)


class TestResume:
    @pytest.mark.parametrize("name", sweep.names())
    def test_every_preset_is_rebuilt_from_what_its_folder_says(self, name, tmp_path):
        experiment = sweep.find(name)
        for number, config in enumerate(experiment.PRESETS.values()):
            store.Store(tmp_path / str(number), config, name).close()
            about, _ = store.read(tmp_path / str(number))
            again = rebuild(experiment.Config, about["config"])
            assert again == config
            # Whole numbers stay whole: the keys of points are the same.
            assert list(map(store.key, experiment.points(again))) == list(
                map(store.key, experiment.points(config))
            )

    def test_a_folder_says_what_is_kept_without_running_anything(self, tmp_path):
        depth = sweep.find("depth")
        config = depth.PRESETS["quick"]
        first, second = depth.points(config)
        outcome = depth.run_point(first)
        with store.Store(tmp_path, config, "depth") as keep:
            keep.add_error(first, "an error", "early")
            keep.add(first, outcome)
            keep.add_error(second, "ValueError: no", "a traceback")
            # Also while it is written.
            experiment, found, waiting = sweep.kept(tmp_path)
        assert experiment is depth and waiting == 0 and found.outcomes == [depth.Outcome(**plain(outcome))]
        assert found.failures == [(second, ("ValueError: no", "a traceback"))]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"experiment": "lunch"}, "no experiment is named 'lunch'; there are confounders, depth"),
            ({"config": {"depths": "deep"}}, r"holds settings that depth does not know \('deep' is no "),
            ({"config": {"colour": 3}}, "holds settings that depth does not know"),
            ({"config": {"depths": [2], "width": -1}}, "does not know .width is -1: give a whole number"),
        ],
    )
    def test_a_folder_of_something_else_is_refused(self, change, message, tmp_path):
        store.Store(tmp_path, sweep.find("depth").PRESETS["quick"], "depth").close()
        about = json.loads((tmp_path / "config.json").read_text()) | change
        (tmp_path / "config.json").write_text(json.dumps(about))
        with pytest.raises(ValueError, match=message):
            sweep.resume(tmp_path)

    def test_outcomes_of_other_code_are_refused(self, tmp_path):
        depth = sweep.find("depth")
        store.Store(tmp_path, depth.PRESETS["quick"], "depth").close()
        point = plain(depth.points(depth.PRESETS["quick"])[0])
        row = {"key": "0" * 32, "point": point, "outcome": {"old": 1}}
        (tmp_path / "points.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(ValueError, match="holds outcomes that depth does not know .*'old'"):
            sweep.kept(tmp_path)

    def test_a_folder_without_a_sweep_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no sweep has begun there") as caught:
            sweep.resume(tmp_path)
        assert caught.value.filename == str(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(ValueError, match="config.json is not JSON .*restore it, or delete it"):
            sweep.resume(tmp_path)
        for text in ("[]", "null", "3"):
            (tmp_path / "config.json").write_text(text)
            with pytest.raises(ValueError, match="config.json holds .*restore it, or delete it"):
                sweep.resume(tmp_path)


def test_types_that_a_setting_may_have():
    assert rebuild(tuple[int, ...], [1, 2]) == (1, 2)
    assert rebuild(tuple[int, str], [1, "a"]) == (1, "a")
    assert rebuild(float | None, None) is None and rebuild(float | None, 2) == 2
    assert rebuild(dict[str, int], {"a": 1}) == {"a": 1} and rebuild(tuple, [1]) == (1,)
    for form, data in [(int, "a"), (tuple[int, ...], 3), (int | None, "a"), (str, None), (float, {})]:
        with pytest.raises(TypeError, match="is no "):
            rebuild(form, data)
