"""The store of finished points: what it keeps through kills, full disks, torn lines, and what it refuses."""

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

from fromage_edu import recorded
from fromage_edu.experiments import depth, norms, perturbation, store, tightness
from fromage_edu.experiments.store import Store


class Config(NamedTuple):
    size: int = 3
    lr: float = 0.1


class Point(NamedTuple):
    config: Config
    number: int


def add(folder, *numbers):
    with Store(folder, Config(), "counting") as kept:
        for number in numbers:
            kept.add(Point(Config(), number), {"number": number})


def lines(folder):
    return (folder / "points.jsonl").read_bytes().splitlines()


# A process that adds points, one after the other, and says on a pipe when each is kept. Its parent kills it
# at random moments, starts the next, and at last compares what was said with what is there.
KILLS = """
    import json, os, random, signal, sys, time
    from collections import Counter
    from pathlib import Path
    from typing import NamedTuple
    from fromage_edu.experiments.store import Store, key

    class Point(NamedTuple):
        number: int

    folder, random_ = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    POINTS = [Point(number) for number in range(1000)]

    def outcome(number):
        # Some lines are long: a kill may hit in the middle of one.
        return {"number": number, "filler": "x" * (number * 7919 % 60_000)}

    def write(pipe):
        with Store(folder, {"size": 1}, "killed") as store:
            os.write(pipe, b"o\\n")
            for point in POINTS:
                if point not in store:
                    store.add(point, outcome(point.number))
                    os.write(pipe, b"%d\\n" % point.number)

    said, lives, pace = [], [], 0.01
    for kill in range(20):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write(writing)
            finally:
                os._exit(1)
        os.close(writing)
        # Some die while they open the store, most while they write; a slow disk only makes it last longer.
        heard, born, wanted = b"", time.perf_counter(), random_.randint(1, 12) if kill % 4 else 0
        while heard.count(b"\\n") < wanted:
            heard += os.read(reading, 1)
            pace = (time.perf_counter() - born) / wanted
        time.sleep(random_.uniform(0, 2 * pace))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it ended by itself"
        with open(reading, "rb") as pipe:
            numbers = [int(line) for line in (heard + pipe.read()).split() if line.isdigit()]
        said += numbers
        lives.append(len(numbers))

    with Store(folder, {"size": 1}, "killed") as store:
        kept = [point.number for point in POINTS if point in store]
        assert len(store) == len(kept)
        assert all(store[Point(number)] == outcome(number) for number in kept), "an outcome changed"
    rows = [json.loads(line) for line in (folder / "points.jsonl").read_bytes().splitlines()]
    counts = Counter(row["key"] for row in rows)
    doubled = sum(count > 1 for count in counts.values())
    # The pipe hears of a point after the disk: at most one a life is kept and was not yet said.
    print(json.dumps({
        "lives": lives, "lost": len(set(said) - set(kept)), "doubled": doubled,
        "unsaid": len(set(kept) - set(said)), "kept": len(kept),
    }))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_kills_lose_nothing_and_double_nothing(seed, tmp_path):
    code = textwrap.dedent(KILLS)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store"), str(seed)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["lost"] == found["doubled"] == 0 and found["unsaid"] <= 20
    assert len(found["lives"]) == 20 and sum(found["lives"]) >= 15, "too few got to write"


@pytest.mark.parametrize("cut", [1, 2, 17, 10_000])
def test_a_torn_last_line_is_cut_off_and_its_point_runs_again(cut, tmp_path):
    add(tmp_path, 0, 1)
    path = tmp_path / "points.jsonl"
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    path.write_bytes(whole[: max(second, len(whole) - cut)])
    with Store(tmp_path, Config(), "counting") as kept:
        assert Point(Config(), 0) in kept and Point(Config(), 1) not in kept
        kept.add(Point(Config(), 1), {"number": 1})
    assert path.read_bytes() == whole


def test_zeros_that_a_power_cut_left_are_cut_off_too(tmp_path):
    add(tmp_path, 0)
    path = tmp_path / "points.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(500))
    add(tmp_path, 1)
    assert path.read_bytes().startswith(whole) and len(lines(tmp_path)) == 2


@pytest.mark.parametrize("bad", [b"nonsense", b"{}", b"3", b'{"key": "a"}', b"\xff", b"[]"])
def test_a_line_in_the_middle_that_is_no_point_is_named(bad, tmp_path):
    add(tmp_path, 0, 1)
    path = tmp_path / "points.jsonl"
    first, second = lines(tmp_path)
    path.write_bytes(b"\n".join([first, bad, second, b""]))
    with pytest.raises(ValueError, match=r"line 2 of .*points.jsonl is no finished point: .*delete the line"):
        Store(tmp_path, Config(), "counting")
    path.write_bytes(b"\n".join([first, second, b""]))
    with Store(tmp_path, Config(), "counting") as kept:
        assert len(kept) == 2


def test_a_disk_that_fills_up_in_the_middle_of_a_line_keeps_what_was_there(tmp_path):
    """Against the system's own limit on the size of a file: the write that crosses it is torn."""
    code = """
        import resource, signal, sys
        from typing import NamedTuple
        from fromage_edu.experiments.store import Store

        class Point(NamedTuple):
            number: int

        store = Store(sys.argv[1], {"size": 1}, "full")
        store.add(Point(0), {"filler": "x" * 3000})
        # From here on it is as if the disk had 2,000 bytes left.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = (store.folder / "points.jsonl").stat().st_size + 2000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            store.add(Point(1), {"filler": "y" * 3000})
        except OSError as error:
            print(error)
        print(Point(0) in store, Point(1) in store, (store.folder / "points.jsonl").stat().st_size)
        store.add(Point(2), {"filler": "z" * 1000})
        print(len((store.folder / "points.jsonl").read_bytes().splitlines()))
    """
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    message, there, count = done.stdout.splitlines()
    assert "make room and run again; 1 finished points are kept" in message and "points.jsonl" in message
    first = len(lines(tmp_path)[0]) + 1
    assert there == f"True False {first}" and count == "2"


@pytest.mark.skipif(os.name == "nt", reason="there a file that is open cannot be deleted")
def test_nothing_is_written_into_a_file_that_was_deleted(tmp_path):
    with Store(tmp_path, Config(), "counting") as kept:
        kept.add(Point(Config(), 0), {})
        (tmp_path / "points.jsonl").unlink()
        with pytest.raises(FileNotFoundError, match="somebody has deleted the file: open the store again"):
            kept.add(Point(Config(), 1), {})
        assert Point(Config(), 1) not in kept


def test_a_folder_that_cannot_be_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OSError, match="choose a folder that can be written") as caught:
            Store(folder, Config(), "counting")
        assert caught.value.filename == str(folder)


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError, match="Permission denied: choose a folder that can be written"):
        Store(tmp_path, Config(), "counting")


@pytest.mark.skipif(store.fcntl is None, reason="no locks here")
def test_a_second_writer_is_kept_out_until_the_first_is_gone(tmp_path):
    with Store(tmp_path, Config(), "counting") as first:
        with pytest.raises(BlockingIOError, match="another process, or a store that this one left open"):
            Store(tmp_path, Config(), "counting")
        first.add(Point(Config(), 0), {})
    add(tmp_path, 1)
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("text", ["a line of notes\nthe last one", "one line without an end"])
def test_a_file_that_no_store_wrote_is_left_as_it_is(text, tmp_path):
    path = tmp_path / "points.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="points.jsonl without the config.json .*: choose another folder"):
        Store(tmp_path, Config(), "counting")
    assert [file.name for file in tmp_path.iterdir()] == ["points.jsonl"] and path.read_text() == text


def test_nothing_is_cut_off_a_file_that_is_refused(tmp_path):
    add(tmp_path, 0)
    path = tmp_path / "points.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes() + b"half")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="line 1 of"):
        Store(tmp_path, Config(), "counting")
    assert path.read_bytes() == before


def test_a_write_that_was_interrupted_leaves_no_half_line(tmp_path, monkeypatch):
    write = os.write

    def interrupted(file, data):
        write(file, data[:20])
        raise KeyboardInterrupt

    with Store(tmp_path, Config(), "counting") as kept:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kept.add(Point(Config(), 0), {})
        monkeypatch.undo()
        kept.add(Point(Config(), 1), {})
    assert [json.loads(line)["point"]["number"] for line in lines(tmp_path)] == [1]


def test_a_half_line_that_cannot_be_cut_off_closes_the_store(tmp_path, monkeypatch):
    write = os.write

    def broken(*arguments):
        if len(arguments[1:]) and isinstance(arguments[1], memoryview):
            write(arguments[0], arguments[1][:20])
        raise OSError(5, "Input/output error")

    kept = Store(tmp_path, Config(), "counting")
    kept.add(Point(Config(), 0), {})
    monkeypatch.setattr(os, "write", broken)
    monkeypatch.setattr(os, "ftruncate", broken)
    with pytest.raises(OSError, match="Input/output error: make room and run again; 1 finished points"):
        kept.add(Point(Config(), 1), {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match="is closed: open it again"):
        kept.add(Point(Config(), 1), {})
    add(tmp_path, 1)
    assert [json.loads(line)["point"]["number"] for line in lines(tmp_path)] == [0, 1]


class TestConfig:
    @pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"null", b"\xff"])
    def test_one_that_something_else_has_changed_is_named(self, bad, tmp_path):
        add(tmp_path, 0)
        path = tmp_path / "config.json"
        whole = path.read_bytes()
        path.write_bytes(bad)
        for _ in range(2):  # The refused one has let go of the folder.
            with pytest.raises(ValueError, match="config.json is not what a store writes: .*put it back"):
                Store(tmp_path, Config(), "counting")
        path.write_bytes(whole)
        add(tmp_path, 1)
        assert len(lines(tmp_path)) == 2

    def test_one_that_json_cannot_hold_lets_go_of_the_folder(self, tmp_path):
        with pytest.raises(TypeError, match="a store holds text, numbers"):
            Store(tmp_path, {1, 2}, "counting")
        add(tmp_path, 0)

    def test_it_is_there_before_the_first_point_and_says_where_the_numbers_come_from(self, tmp_path):
        add(tmp_path)
        about = json.loads((tmp_path / "config.json").read_text())
        assert about["experiment"] == "counting" and about["config"] == {"size": 3, "lr": 0.1}
        assert about.keys() >= {"versions", "commit", "device", "date", "code"}
        assert lines(tmp_path) == []

    def test_it_stays_as_it_was_when_the_run_goes_on(self, tmp_path):
        add(tmp_path, 0)
        before = (tmp_path / "config.json").read_bytes()
        add(tmp_path, 1)
        assert (tmp_path / "config.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("config", "name", "message"),
        [
            (
                Config(lr=0.2),
                "counting",
                "holds another config, with lr 0.1 and not 0.2: choose another folder",
            ),
            (Config(size=4), "counting", "holds another config, with size 3 and not 4"),
            (Config(), "norms", "holds the experiment 'counting', not 'norms'"),
            ("text", "counting", "holds the config {'size': 3, 'lr': 0.1}, not 'text'"),
        ],
    )
    def test_another_is_refused_and_nothing_changes(self, config, name, message, tmp_path):
        add(tmp_path, 0)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match=re.escape(message)):
            Store(tmp_path, config, name)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        add(tmp_path, 1)  # The refused one has let go of the folder.

    @pytest.mark.parametrize("module", [depth, norms, perturbation, tightness])
    def test_every_preset_comes_back_from_json(self, module, tmp_path):
        for number, config in enumerate(module.PRESETS.values()):
            for _ in range(2):
                Store(tmp_path / str(number), config, "any").close()


class TestKey:
    def test_settings_point_and_code_make_it(self, monkeypatch):
        one = store.key(Point(Config(), 1))
        assert one == store.key(Point(Config(), 1)) and len(one) == 32
        assert len({one, store.key(Point(Config(), 2)), store.key(Point(Config(lr=0.2), 1))}) == 3
        monkeypatch.setattr(store, "code_version", lambda: "other")
        assert store.key(Point(Config(), 1)) != one

    def test_the_points_of_every_preset_have_keys_of_their_own(self):
        for module in (depth, norms, perturbation, tightness):
            points = [point for config in module.PRESETS.values() for point in module.points(config)]
            assert len({store.key(point) for point in points}) == len(points)

    def test_code_of_another_day_has_its_points_run_again(self, tmp_path, monkeypatch):
        add(tmp_path, 0)
        monkeypatch.setattr(store, "code_version", lambda: "other")
        with Store(tmp_path, Config(), "counting") as kept:
            assert Point(Config(), 0) not in kept and len(kept) == 1
        add(tmp_path, 0)
        assert len(lines(tmp_path)) == 2

    def test_code_is_the_source_but_not_pages_and_records(self, tmp_path, monkeypatch):
        for name in (
            "__init__.py",
            "trust/core.py",
            "explorers/deep.py",
            "figures.py",
            "recorded/__init__.py",
        ):
            (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "package" / name).write_text("")
        monkeypatch.setattr(recorded, "__file__", str(tmp_path / "package" / "recorded" / "__init__.py"))
        versions = [store.code_version.__wrapped__()]
        for name in ("explorers/deep.py", "figures.py", "trust/core.py", "__init__.py"):
            (tmp_path / "package" / name).write_text("changed = True")
            versions.append(store.code_version.__wrapped__())
        assert versions[0] == versions[1] == versions[2] and len(set(versions[2:])) == 3

    @pytest.mark.parametrize("bad", [{1, 2}, object(), b"bytes"])
    def test_what_json_cannot_hold_is_refused(self, bad, tmp_path):
        message = f"is a {type(bad).__name__}: a store holds text, numbers, lists, dictionaries"
        with Store(tmp_path, Config(), "counting") as kept:
            with pytest.raises(TypeError, match=message):
                kept.add(Point(Config(), 0), {"rows": [bad]})
        assert lines(tmp_path) == []


def test_a_point_that_is_not_finished_has_no_outcome(tmp_path):
    with Store(tmp_path, Config(), "counting") as kept:
        with pytest.raises(KeyError, match="is not in .*: ask `point in store` first"):
            kept[Point(Config(), 0)]


def test_a_point_is_added_once_and_only_while_the_store_is_open(tmp_path):
    kept = Store(tmp_path, Config(), "counting")
    kept.add(Point(Config(), 0), {})
    with pytest.raises(ValueError, match="is in .* already: ask `point in store` first"):
        kept.add(Point(Config(), 0), {})
    kept.close()
    kept.close()
    with pytest.raises(ValueError, match="is closed: open it again"):
        kept.add(Point(Config(), 1), {})
    assert len(lines(tmp_path)) == 1
