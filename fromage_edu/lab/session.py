"""One network in training, a slice of time at a time, and the record of it. Nothing here knows of widgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Integral

import torch

from fromage_edu.experiments.alone import Alone
from fromage_edu.experiments.depth import CHANCE, LEARNS, network
from fromage_edu.experiments.settings import OPTIMIZERS, Entrant, number, one_of, whole
from fromage_edu.experiments.trainers import INITS, images

__all__ = [
    "DEPTHS",
    "EPOCHS",
    "EPS",
    "LEARNING_RATES",
    "SEEDS",
    "STARTS",
    "USUAL",
    "WIDTHS",
    "Record",
    "Session",
    "Setting",
]

#: The range of every setting: what the sliders offer is what the constructor takes.
DEPTHS, EPOCHS, SEEDS = (2, 50), (1, 100), (0, 9999)
WIDTHS = (8, 16, 32, 64, 128, 256)
LEARNING_RATES, EPS = (1e-5, 1.0), (1e-30, 1e-4)
#: The learning rate that an optimizer starts with: those of the live race, and one for the fourth.
USUAL = {"Fromage": 0.01, "Adam": 0.001, "SGD": 0.1, "Normalized SGD": 0.0316}
#: Names of the starts, for readers.
STARTS = dict(zip(INITS, ("default", "He", "orthogonal"), strict=True))
#: As in the live race: images a step, and the share of the learning rate that is left at the end.
BATCH_SIZE, FINAL_LR = 32, 0.2


def _within(name: str, value: int, ends: tuple[int, int]) -> None:
    """Refuse all but whole numbers in a range."""
    right = isinstance(value, Integral) and not isinstance(value, bool) and ends[0] <= value <= ends[1]
    if not right:
        raise ValueError(f"{name} is {value!r}: give a whole number from {ends[0]} to {ends[1]}")


def _between(name: str, value: float, ends: tuple[float, float]) -> None:
    """Refuse all but numbers in a range."""
    number(name, value, f"from {ends[0]:g} to {ends[1]:g}", lambda given: ends[0] <= given <= ends[1])


@dataclass(frozen=True)
class Setting:
    """What one run trains: a network on the 1,438 digits, and how.

    Args:
        depth: hidden layers, 2 to 50; one output layer comes on top.
        width: units of a hidden layer: 8, 16, 32, 64, 128 or 256.
        optimizer: "Fromage", "Adam", "SGD" (with momentum 0.9) or "Normalized SGD".
        lr: the learning rate of the first epoch, 1e-5 to 1; None: the optimizer's usual one. It shrinks
            smoothly to a fifth.
        eps: Adam's eps, 1e-30 to 1e-4; the others have none.
        init: how weights start: "default" (as `nn.Linear` starts them), "he" or "orthogonal".
        seed: of the weights and of the order of images, 0 to 9999.
        epochs: passes through the images, 1 to 100.

    Raises:
        ValueError: for anything else; the message names the value.

    >>> Setting(optimizer="Adam", eps=1e-30).label
    'Adam, lr 0.001, eps 1e-30'
    """

    depth: int = 30
    width: int = 32
    optimizer: str = "Fromage"
    lr: float | None = None
    eps: float = 1e-8
    init: str = "default"
    seed: int = 11
    epochs: int = 30

    def __post_init__(self):
        """Refuse what cannot run, before anything runs."""
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("init", self.init, INITS)
        if self.lr is None:
            object.__setattr__(self, "lr", USUAL[self.optimizer])
        _within("depth", self.depth, DEPTHS)
        _within("seed", self.seed, SEEDS)
        _within("epochs", self.epochs, EPOCHS)
        if whole("width", self.width, least=1) not in WIDTHS:
            raise ValueError(f"width is {self.width!r}: give one of {', '.join(map(str, WIDTHS))}")
        _between("lr", self.lr, LEARNING_RATES)
        _between("eps", self.eps, EPS)
        # Numbers of numpy are taken, but not kept: a seed in eight bits cannot be added to.
        for kind, names in {int: ("depth", "width", "seed", "epochs"), float: ("lr", "eps")}.items():
            for name in names:
                object.__setattr__(self, name, kind(getattr(self, name)))

    @property
    def label(self) -> str:
        """The optimizer and its numbers in a few words."""
        eps = f", eps {self.eps:.0e}" if self.optimizer == "Adam" else ""
        return f"{self.optimizer}, lr {self.lr:.3g}{eps}"


@dataclass
class Record:
    """What a run has done so far: a few hundred numbers, and no network.

    Attributes:
        setting: what was trained.
        number: 1 for the first run of a lab.
        state: "training", "done", "stopped" or "diverged"; "broken" after an error.
        steps: taken so far, of `all_steps`.
        curve: the accuracy of each epoch: the mean over its batches, each taken before its step.
        first: typical (root mean square) entry of each weight matrix's gradient before training, on all
            training images.
        last: the same after the newest epoch.
        accuracies: at the end, on all training images and on the test images.

    >>> Record(Setting(depth=5)).state
    'training'
    """

    setting: Setting
    number: int = 1
    state: str = "training"
    steps: int = 0
    all_steps: int = 0
    curve: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    accuracies: tuple[float, float] | None = None

    @property
    def epoch(self) -> int:
        """The epoch that is under way, or the last one that was; 1 is the first."""
        each = max(1, self.all_steps // self.setting.epochs)
        return min(self.steps // each + 1, self.setting.epochs) if self.steps else 1

    @property
    def sentence(self) -> str:
        """The result in one sentence.

        >>> Record(Setting(), state="diverged", steps=3, all_steps=30 * 44).sentence
        'Run 1, Fromage at depth 30, ended in epoch 1: its numbers left the range of float32 (NaN).'
        """
        head = f"Run {self.number}, {self.setting.optimizer} at depth {self.setting.depth}"
        if self.state == "training":
            return f"{head}, is training."
        if self.state == "diverged":
            return f"{head}, ended in epoch {self.epoch}: its numbers left the range of float32 (NaN)."
        if not self.accuracies:
            return f"{head}, broke off in epoch {self.epoch}."
        train, test = self.accuracies
        verdict = "learns" if train > LEARNS else "only guesses" if train < CHANCE else "hardly learns"
        count = f"{len(self.curve)} epoch{'s' * (len(self.curve) != 1)}"
        when = f"after {count}" if self.state == "done" else f"stopped in epoch {self.epoch}"
        right = f"{train:.0%} of the training images are right, {test:.0%} of the new ones"
        return f"{head}, {verdict}: {when}, {right}{self._reason}."

    @property
    def _reason(self) -> str:
        """How Adam's eps compares with the gradient that it met."""
        if self.setting.optimizer != "Adam" or not self.first or not self.first[0]:
            return ""
        side = "below" if self.first[0] < self.setting.eps else "above"
        start, eps = f"{self.first[0]:.0e}", f"{self.setting.eps:.0e}"
        return f"; its first layer's gradient entries started near {start}, {side} eps = {eps}"


class Session:
    """A run that trains in slices, so that whoever drives it can look, draw and stop in between.

    It is the plain loop of the live race: the same start, order of images and schedule for a seed.

    Args:
        setting: what to train.
        number: of the run in its lab.

    >>> session = Session(Setting(depth=2, width=8, epochs=2))
    >>> session.advance(seconds=0.001)  # at least one step; True: there is more to do
    True
    >>> session.finish().state, len(session.record.curve)
    ('done', 2)
    """

    def __init__(self, setting: Setting, number: int = 1):
        """Start the network; no step is taken."""
        self._data = images("digits", "float32")
        count = max(1, len(self._data.x_train) // BATCH_SIZE)
        self.record = Record(setting, number, all_steps=count * setting.epochs)
        start = network(setting.depth, width=setting.width, seed=setting.seed, init=setting.init)
        self._network = Alone(start, Entrant(setting.optimizer, lr=setting.lr, eps=setting.eps))
        self.record.first = self.record.last = self._gradients()
        self._steps = self._train(count)

    def _gradients(self) -> list[float]:
        return self._network.probe(self._data.x_train, self._data.y_train).gradients[0].tolist()

    def _train(self, count: int) -> Iterator[bool]:
        """Train, and say after every step whether all numbers are still numbers."""
        setting, data = self.record.setting, self._data
        # As in the race: a seed far from that of the start.
        generator = torch.Generator().manual_seed(10**6 + setting.seed)
        for _ in range(setting.epochs):
            order = torch.randperm(len(data.x_train), generator=generator)
            accuracies = []
            for batch in order.split(BATCH_SIZE)[:count]:
                losses, right = self._network.step(data.x_train[batch][None], data.y_train[batch][None])
                accuracies.append(right)
                self.record.steps += 1
                yield bool(losses.isfinite())
            self._network.decay(FINAL_LR ** (1 / setting.epochs))
            self.record.curve.append(torch.stack(accuracies).mean().item())
            self.record.last = self._gradients()

    def advance(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> bool:
        """Train for about so long, at least one step.

        Args:
            seconds: the length of the slice.
            clock: what tells the time, in seconds.

        Returns:
            Whether there is more to do. After an error there is not: the record is "broken". An interrupt of
            the kernel ends the run too, at the next call, as "stopped".
        """
        end = clock() + seconds
        while self.record.state == "training":
            try:
                finite = next(self._steps, None)
            except Exception:
                self.record.state = "broken"
                raise
            if finite is None:
                # An interrupt within a step has ended the loop before its last epoch was over.
                self._end("done" if len(self.record.curve) == self.record.setting.epochs else "stopped")
            elif not finite:
                self._end("diverged")
            elif clock() >= end:
                return True
        return False

    def finish(self) -> Record:
        """Train to the end.

        Returns:
            The record.
        """
        while self.advance(seconds=60):
            pass
        return self.record

    def stop(self) -> Record:
        """End the run here; one that is over stays as it is.

        Returns:
            The record.
        """
        if self.record.state == "training":
            self._end("stopped")
        return self.record

    def _end(self, state: str) -> None:
        """Note how it ended, and let the network go: a lab keeps records only."""
        self.record.state = "broken"  # if the last accuracies cannot be taken
        self._steps.close()
        if self._network.diverged().any():
            state = "diverged"
        data, alone = self._data, self._network
        pairs = ((data.x_train, data.y_train), (data.x_test, data.y_test))
        self.record.accuracies = tuple(alone.accuracies(*pair).item() for pair in pairs)
        self.record.state, self._network = state, None
