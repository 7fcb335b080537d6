"""An experiment that does as it is told, for tests of sweeps: fails, kills its process, draws random numbers.

It lies in a file of its own because worker processes import it by its name.
"""

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

import torch


class Config(NamedTuple):
    log: str  # A file that hears of every point that starts and ends.
    size: int = 5
    # These raise, for as long as the file `log` + ".broken" is there.
    raises: tuple[int, ...] = ()
    # These kill their process, so many times as the file `log` + ".kills" has bytes.
    kills: tuple[int, ...] = ()
    seconds: float = 0.0


class Point(NamedTuple):
    config: Config
    number: int


class Outcome(NamedTuple):
    number: int
    value: float
    seconds: float


PRESETS = {"quick": Config("unused")}


def points(config):
    return [Point(config, number) for number in range(config.size)]


def run_point(point):
    config, number = point
    note(config, f"start {number}")
    time.sleep(config.seconds)
    if number in config.raises and os.path.exists(config.log + ".broken"):
        raise ValueError(f"no luck with {number}")
    if number in config.kills:
        left = Path(config.log + ".kills")
        if text := left.read_text():
            left.write_text(text[1:])
            os.kill(os.getpid(), signal.SIGKILL)
    # From the process's own random numbers, and with a sum whose last bits depend on its order.
    value = (torch.randn(300, 300) @ torch.randn(300, 300)).sum().item()
    note(config, f"end {number}")
    return Outcome(number, value, 0.5)


def note(config, text):
    with open(config.log, "a") as file:
        file.write(f"{os.getpid()} {text}\n")


def summarise(outcomes):
    return list(outcomes)


def figure(summary):
    raise AssertionError("no test draws a toy")
