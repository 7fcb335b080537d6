"""Cases for several gloo processes on this machine, which are started once for all of them.

    python processes.py MODULE RANK WORLD FOLDER SECONDS [NAME...]

is one process: it runs the cases that importing MODULE registers, or those named, and writes what raised.
"""

import faulthandler
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
import unittest
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

# Name → numbers of processes that it is for, and what each of them runs.
CASES: dict[str, tuple[tuple[int, ...], Callable]] = {}
# Seconds that a process waits for another one, which may have raised.
PATIENCE = 60
# What stands before the reason of a case that cannot run here.
SKIPPED = "skipped: "


def case(*worlds: int):
    """Register a function of (world, folder) under its name, for these numbers of processes."""

    def register(function):
        CASES[function.__name__] = worlds, function
        return function

    return register


def run(module: str, world: int, folder: Path, seconds: int = 400, names=()) -> dict[str, list[str]]:
    """What each process wrote about each case that it finished, "" if it held; at "log" ends of their output.

    Args:
        module: its import registers cases.
        world: number of processes.
        folder: shared by the processes.
        seconds: after which all that still runs is killed.
    """
    inherited = [path for path in sys.path if path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(inherited), "OMP_NUM_THREADS": "1"}
    environment["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    logs = [folder / f"log-{world}-{rank}.txt" for rank in range(world)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            command = [sys.executable, __file__, module, rank, world, folder, seconds]
            with log.open("wb") as out:
                started = subprocess.Popen(
                    [*map(str, command), *names], env=environment, stdout=out, stderr=subprocess.STDOUT
                )
            processes.append(started)
        deadline = time.monotonic() + seconds + 5
        for process in processes:
            process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass  # the logs tell where each was
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return _results(folder, world) | {"log": [log.read_text()[-3000:] for log in logs]}


def _results(folder, world):
    results: dict[str, list[str]] = {}
    for rank in range(world):
        path = folder / f"results-{world}-{rank}.jsonl"
        for line in path.read_text().splitlines() if path.exists() else []:
            name, error = json.loads(line)
            results.setdefault(name, []).append(error)
    return results


def main(module: str, rank: int, world: int, folder: Path, names: list[str]) -> None:
    """Run the cases as one of the processes."""
    torch.set_num_threads(1)
    importlib.import_module(module)
    cases = sys.modules["processes"].CASES  # the module itself runs as __main__
    names = names or [name for name, (worlds, _) in cases.items() if world in worlds]
    store = dist.FileStore(str(folder / f"store-{world}"), world)
    meeting = dist.PrefixStore("results", store)
    with (folder / f"results-{world}-{rank}.jsonl").open("w") as results:
        for number, name in enumerate(names):
            if not dist.is_initialized():
                dist.init_process_group(
                    "gloo",
                    store=dist.PrefixStore(str(number), store),
                    rank=rank,
                    world_size=world,
                    timeout=timedelta(seconds=PATIENCE),
                )
            torch.manual_seed(0)
            error = ""
            try:
                cases[name][1](world, folder)
            except unittest.SkipTest as reason:
                error = f"{SKIPPED}{reason}"
            except Exception:
                error = traceback.format_exc()
            print(json.dumps([name, error]), file=results, flush=True)
            meeting.set(f"{number}-{rank}", error or "held")
            keys = [f"{number}-{other}" for other in range(world)]
            meeting.wait(keys, timedelta(seconds=3 * PATIENCE))
            if any(meeting.get(key) != b"held" for key in keys):
                dist.destroy_process_group()  # messages may be left in it: the next case gets its own
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    faulthandler.dump_traceback_later(int(sys.argv[5]), exit=True)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[6:])
