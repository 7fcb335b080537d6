"""Compare things fairly on one machine: in turns, as ratios within a round; and what a call allocates.

A machine's speed drifts from minute to minute by more than the differences of interest. Within one round,
every action meets the same drift; the order rotates, so that none always runs after the same other.
"""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

Action = Callable[[], object]


def in_turns(actions: dict[str, Action], rounds: int, repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of each action in each round, as means over `repeats` calls in a row."""
    clock = _seconds_on_gpu if device == "cuda" else _seconds
    names, times = list(actions), {name: [] for name in actions}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                times[name].append(clock(actions[name], repeats))
    finally:
        if collecting:
            gc.enable()
    return times


def ratios(times: list[float], base: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the ratios within each round."""
    return tuple(statistics.quantiles([a / b for a, b in zip(times, base, strict=True)], method="inclusive"))


def extra_bytes(action: Action, device: str) -> int:
    """The most memory that was in use at any moment of a call, beyond what was in use before it."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        action()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    memory = [event["args"] for event in events if event.get("name") == "[memory]"]
    in_use = most = 0
    for event in sorted(memory, key=lambda event: event["Ev Idx"]):
        in_use += event["Bytes"]
        most = max(most, in_use)
    return most


def _seconds(action: Action, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def _seconds_on_gpu(action: Action, repeats: int) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        action()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1000 / repeats
