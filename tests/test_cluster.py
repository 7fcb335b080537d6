"""Sweeps on a Dask cluster: the same outcomes, and clear words where the cluster is not as it should be."""

import json
import socket
import subprocess
import sys
import textwrap
import time
from importlib import import_module
from pathlib import Path

import pytest

from fromage_edu.experiments import cluster, sweep

pytest.importorskip("dask.distributed")
HERE = Path(__file__).parent
# Dask closes its sockets and loops as its processes end, and warns of those that it has not yet closed.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=":")
    return import_module("toy_experiment")


def test_a_local_cluster_gives_what_this_process_gives_and_keeps_errors(toy, tmp_path):
    config = toy.Config(str(tmp_path / "log"), raises=(1,), size=6)
    (tmp_path / "log.broken").touch()
    alone = sweep.sweep(toy, config, folder=tmp_path / "alone")
    shared = sweep.sweep(toy, config, folder=tmp_path / "shared", scheduler="local", workers=2)
    assert shared.outcomes == alone.outcomes and len(alone.outcomes) == 5
    assert [(point, failure.error) for point, failure in shared.failures] == [
        (point, failure.error) for point, failure in alone.failures
    ]


JOINED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import toy_experiment as toy
    from fromage_edu.experiments import store, sweep

    if __name__ == "__main__":
        folder, address = Path(sys.argv[1]), sys.argv[3]
        config = toy.Config(str(folder / "log"), size=6, kills=(2,))
        found = sweep.sweep(toy, config, folder=folder / "out", scheduler=address, progress=print)
        print(len(found.outcomes), found.failures)
        ours, store.code_version = store.code_version, lambda: "other"
        try:
            sweep.sweep(toy, config, folder=folder / "out", scheduler=address)
        except RuntimeError as error:
            print(error)
        store.code_version = ours
        config = config._replace(size=4, seconds=0.3)
        try:
            sweep.sweep(
                toy, config, folder=folder / "gone", scheduler=address,
                progress=lambda line: os.kill(int(sys.argv[4]), signal.SIGKILL),
            )
        except ConnectionError as error:
            print(error)
"""


def test_a_running_cluster_is_joined_and_may_lose_a_worker_or_be_gone(toy, tmp_path):
    address_file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    options = ["--scheduler-file", str(address_file), "--no-dashboard"]
    (tmp_path / "log.kills").write_text("x")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ours = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *options], **quiet)
    worker = None
    try:
        while not address_file.exists():
            assert ours.poll() is None
            time.sleep(0.05)
        address = json.loads(address_file.read_text())["address"]
        worker = subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-dashboard"], **quiet)
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(JOINED))
        done = subprocess.run(
            [sys.executable, script, tmp_path, HERE, address, str(ours.pid)],
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        for process in (worker, ours):
            if process is not None:
                process.terminate()
                process.wait()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if " of 6: number " in line]) == 6 and lines[6] == "6 []"
    assert (
        "a worker has the code" in lines[7] and "install the same fromage_edu and torch on both" in lines[7]
    )
    assert "is gone: finished points are kept; start the same command again" in lines[8]
    assert (tmp_path / "gone" / "points.jsonl").read_bytes().count(b"\n") == 1
    config = toy.Config(str(tmp_path / "log"), size=6, kills=(2,))
    again = sweep.sweep(toy, config, folder=tmp_path / "out")
    assert again == sweep.sweep(toy, config, folder=tmp_path / "alone") and len(again.outcomes) == 6


def test_nobody_answers(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionError, match="no cluster with a worker answers at tcp://.*dask worker"):
        sweep.sweep(toy, toy.Config(str(tmp_path / "log")), folder=tmp_path / "out", scheduler=address)


def test_without_dask_it_says_how_to_get_it(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'fromage-edu\[dask\]'"):
        sweep.sweep(toy, toy.Config("log"), folder=tmp_path / "out", scheduler="local", workers=1)
