"""The explorer of recorded training runs: who learns at a depth, and what reaches the first layer (F29)."""

from __future__ import annotations

import csv
import math
from functools import cache
from typing import Any

import traitlets

from fromage_edu import recorded
from fromage_edu.explorers.base import Choice, Explorer, Quantity

#: The optimizers by their names in the record, in the order in which they drop out of the race.
OPTIMIZERS = ("SGD", "Adam", "Fromage", "Normalized SGD")
INITS = ("default", "He")
DEPTHS = (2, 10, 20, 30, 40)
EPSILONS = (1e-30, 1e-16, 1e-8)
#: Epochs after which gradients and signals are recorded.
EPOCHS = (0, 1, 2, 4, 8, 14, 22, 31, 40)

#: What numbers are written with, a character each: safe in JSON and in HTML.
MARKS = [chr(code) for code in range(40, 127) if chr(code) not in "<\\"]
MOST = len(MARKS) - 1
#: What the first character stands for, and what each further one adds. Accuracies: guessing, 0.1, is one of
#: them, and 1 is the last.
ACCURACIES = (0.1 - 5 * 0.9 / (MOST - 5), 0.9 / (MOST - 5))
#: Logarithms to base 10. Here the first is an exact zero, and the last no finite number.
GRADIENTS = (-24.9, 0.32)
SIGNALS = (-11.4, 0.3)


def encoded(values: list[float], low: float, step: float) -> str:
    """Write logarithms as text, a character each.

    Args:
        values: log10 of what is kept; -inf for an exact zero, inf or NaN for what is not finite.
        low: what the first character would stand for.
        step: from one character's value to the next.

    Returns:
        The text; a value between the ends is kept to half a step.

    >>> encoded([-math.inf, -12.1, math.inf], *GRADIENTS)
    '(Q~'
    """

    def code(value: float) -> int:
        if math.isfinite(value):
            return min(max(round((value - low) / step), 1), MOST - 1)
        return 0 if value == -math.inf else MOST

    return "".join(MARKS[code(value)] for value in values)


def decoded(text: str, low: float, step: float) -> list[float]:
    """Read what `encoded` wrote; the JavaScript of the explorer does the same.

    Args:
        text: of marks.
        low: as it was written.
        step: as it was written.

    Returns:
        A logarithm for each character.

    >>> [round(value, 2) for value in decoded("(Q~", *GRADIENTS)]
    [-inf, -12.1, nan]
    """
    codes = [MARKS.index(mark) for mark in text]
    return [-math.inf if code == 0 else math.nan if code == MOST else low + step * code for code in codes]


def _accuracies(row: dict[str, str]) -> str:
    low, step = ACCURACIES
    shares = [float(value) for name, value in row.items() if name.startswith("epoch_")]
    return "".join(MARKS[max(0, round((share - low) / step))] for share in shares)


def _layers(name: str, low: float, step: float) -> dict[tuple[str, int], str]:
    """The text of a record of layers: (run, epoch) -> a character for each layer."""
    rows = csv.reader((recorded.FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()[1:])
    return {
        (run, int(epoch)): encoded([float(value) for value in values if value], low, step)
        for run, epoch, *values in rows
    }


@cache
def races() -> dict[str, Any]:
    """The recorded runs in the form that the page reads, about 90 kB.

    Returns:
        `rates`: the learning rates of each optimizer; `accuracies`, `gradients`, `signals`: what their
        characters stand for; `runs`: a text for each depth, start and entrant, in this order: SGD from the
        smallest rate, Adam from the smallest eps and for each from the smallest rate, Fromage, normalized
        SGD. A text has the accuracies after every epoch of the median run of three, of the lowest and of
        the highest; then for the median run, for each epoch of `EPOCHS`, the gradients and the signals of
        all layers.
    """
    gradients, signals = _layers("race_gradients", *GRADIENTS), _layers("race_signals", *SIGNALS)
    runs: dict[tuple, list[dict[str, str]]] = {}
    rates: dict[str, set[float]] = {name: set() for name in OPTIMIZERS}
    with (recorded.FOLDER / "race.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name, lr, eps = row["optimizer"], float(row["lr"]), float(row["eps"] or 0)
            runs.setdefault((int(row["depth"]), row["init"], name, eps, lr), []).append(row)
            rates[name].add(lr)

    def text(*entrant) -> str:
        low, middle, high = sorted(runs[entrant], key=lambda row: (float(row["epoch_40"]), int(row["seed"])))
        layers = (part[middle["run"], epoch] for epoch in EPOCHS for part in (gradients, signals))
        return "".join([*map(_accuracies, (middle, low, high)), *layers])

    def texts(depth: int, init: str) -> list[str]:
        return [
            text(depth, init, name, eps, lr)
            for name in OPTIMIZERS
            for eps in (EPSILONS if name == "Adam" else (0.0,))
            for lr in sorted(rates[name])
        ]

    return {
        "rates": [sorted(rates[name]) for name in OPTIMIZERS],
        "accuracies": ACCURACIES,
        "gradients": GRADIENTS,
        "signals": SIGNALS,
        "runs": [[texts(depth, init.lower()) for init in INITS] for depth in DEPTHS],
    }


class DepthRace(Explorer):
    """Recorded training runs on digits, replayed: accuracy, each layer's gradient, each layer's signal.

    Traits:
        depth: hidden layers: 2, 10, 20, 30 or 40.
        optimizer: "SGD" (with momentum), "Adam", "Fromage", "Normalized SGD", or their numbers from 1.
        rate: which of the optimizer's three learning rates, 1…3.
        eps: Adam's ε: 1e-30, 1e-16 or 1e-8.
        init: the start: "default" (that of `nn.Linear`), "He", or their numbers from 1.
        epoch: after how many epochs the layers are shown: 0, 1, 2, 4, 8, 14, 22, 31 or 40.

    >>> DepthRace(optimizer="Fromage", depth=40)
    DepthRace(depth=40, optimizer='Fromage', rate=2, eps=1e-08, init='default', epoch=40)

    Source: Fromage paper, Figure 4 (F29).
    """

    parts = ("recorded_runs", "depth_race")

    depth = Choice(30, DEPTHS)
    optimizer = Choice(2, OPTIMIZERS)
    rate = Quantity(2, 1, 3, whole=True)
    eps = Choice(1e-8, EPSILONS)
    init = Choice(1, INITS)
    epoch = Choice(40, EPOCHS)
    #: The recorded runs, for the page alone.
    races = traitlets.Dict(read_only=True).tag(sync=True)

    still_alt = (
        "Three pictures of recorded training at 30 hidden layers. First, training accuracy over 40 epochs: "
        "Adam with its usual ε guesses from beginning to end, and so does SGD, while Fromage and normalized "
        "SGD leave the guessing level. Second, the typical gradient of each layer, which falls from the last "
        "layer to the first, far below the line of ε. Third, each layer's signal, which fades until the "
        "rounding of float32 hides it."
    )

    @traitlets.default("races")
    def _races(self) -> dict[str, Any]:
        return races()

    @classmethod
    def given(cls) -> dict[str, Any]:
        """The recorded runs, once for a page."""
        return {"races": races()}
