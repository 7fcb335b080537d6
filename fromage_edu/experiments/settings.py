"""What experiments are asked to do, checked before anything runs: numbers, lists of them, and entrants."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor

from fromage_edu.experiments.stacked import NormalizedSGD, StackedFromage
from fromage_edu.optim import Fromage

__all__ = [
    "ADAM",
    "ADAM_SCALED",
    "ADAM_TINY_EPS",
    "ENTRANTS",
    "EPS_FLOOR",
    "FROMAGE",
    "OPTIMIZERS",
    "SGD",
    "TINY_EPS",
    "Entrant",
    "distinct",
    "number",
    "one_of",
    "whole",
]

#: The name of the fair rival.
TINY_EPS = "Adam, tiny eps"


def whole(name: str, value: int, least: int) -> int:
    """Pass a whole number on, or say what it should have been.

    Args:
        name: of the setting, for the message.
        value: what was given.
        least: the smallest value that can run.

    Returns:
        The value.

    Raises:
        ValueError: for anything else than a whole number of at least `least`.

    >>> whole("epochs", 3, least=1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}: give a whole number >= {least}")
    return value


def number(name: str, value: float, form: str, fits: Callable[[float], bool]) -> float:
    """Pass a finite number on, or say what it should have been.

    Args:
        name: of the setting, for the message.
        value: what was given.
        form: what a fitting number looks like, to complete "give a number …".
        fits: whether a number does.

    Returns:
        The value.

    Raises:
        ValueError: for anything else than a finite number that fits.

    >>> number("lr", 0.1, ">= 0", lambda lr: lr >= 0)
    0.1
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    # Compared, not converted: a whole number may be too large to become a float.
    real = real and abs(value) <= sys.float_info.max
    if not real or not fits(value):
        raise ValueError(f"{name} is {value!r}: give a number {form}")
    return value


def distinct(name: str, values: Iterable, example: str) -> tuple:
    """Read a list of settings as a tuple, or say what is wrong with it.

    Args:
        name: of the setting, for the message.
        values: what was given.
        example: what it could be.

    Returns:
        The values.

    Raises:
        ValueError: for something that is no list, for an empty one, or where a value stands twice.

    >>> distinct("seeds", range(3), "(0, 1)")
    (0, 1, 2)
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is {values!r}: give a list such as {example}")
    values = tuple(values)
    if not values:
        raise ValueError(f"{name} is empty: give at least one, such as {example}")
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{name} hold {twice[0]!r} twice: a table would take the two for one; give it once")
    return values


def one_of(name: str, value, known: Iterable):
    """Pass a known word on, or say which there are.

    Args:
        name: of the setting, for the message.
        value: what was given.
        known: the words that can run.

    Returns:
        The value.

    Raises:
        ValueError: for anything else, and for a 1 in place of True: JSON keeps them apart.

    >>> one_of("init", "he", ["default", "he"])
    'he'
    """
    known = tuple(known)
    if not any(isinstance(value, type(each)) and value == each for each in known):
        raise ValueError(f"{name} is {value!r}: use {' or '.join(map(repr, known))}")
    return value


#: The optimizers that can be raced.
OPTIMIZERS = ("Fromage", "Adam", "SGD", "Normalized SGD")


@dataclass(frozen=True)
class Entrant:
    """One way to train: an optimizer and its settings.

    Args:
        optimizer: "Fromage", "Adam", "SGD" or "Normalized SGD", which divides each layer's gradient by its
            norm.
        lr: the learning rate of the first epoch, at least 0.
        eps: Adam's eps, at least 0; ignored by the others.
        momentum: SGD's momentum, 0 ≤ m < 1; ignored by the others.
        loss_scale: what the loss is multiplied by before its gradient is taken, above 0. To Adam it is the
            same as dividing eps by it, but g² stays in the range of float32.
        norms: how Fromage takes norms: "safe", or "naive", as the root of a sum of squares in the weights'
            own dtype; ignored by the others.

    Raises:
        ValueError: for another optimizer, or a number out of its range.

    >>> Entrant("Adam", lr=0.001, eps=1e-30).name
    'Adam, tiny eps'
    >>> Entrant("Adam", lr=0.001, eps=1e-8, loss_scale=1e8).name
    'Adam, eps 1e-16'
    """

    optimizer: str
    lr: float
    eps: float = 1e-8
    momentum: float = 0.9
    loss_scale: float = 1.0
    norms: str = "safe"

    def __post_init__(self):
        """Refuse what cannot run."""
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("norms", self.norms, ("safe", "naive"))
        number("lr", self.lr, ">= 0, such as 0.01", lambda lr: lr >= 0)
        number("eps", self.eps, ">= 0, such as 1e-8", lambda eps: eps >= 0)
        number("momentum", self.momentum, ">= 0 and < 1, such as 0.9", lambda momentum: 0 <= momentum < 1)
        number("loss_scale", self.loss_scale, "> 0, such as 1e12", lambda scale: scale > 0)

    def check_dtype(self, dtype: str) -> None:
        """Refuse numbers that a dtype takes for 0 or for infinity.

        Args:
            dtype: of the weights, "float32" or "float64".

        Raises:
            ValueError: for such a number, with the way out.

        >>> Entrant("Adam", lr=0.001, eps=1e-60).check_dtype("float64")
        """

        def rounded(value: float) -> float:
            return torch.tensor(value, dtype=torch.float64).to(getattr(torch, dtype)).item()

        if self.optimizer == "Adam" and self.eps and not rounded(self.eps):
            raise ValueError(
                f"eps is {self.eps:g}: {dtype} takes it for 0, and Adam divides 0 by 0 where a gradient is "
                "0; use a larger one and loss_scale, or dtype 'float64'"
            )
        if not 0 < rounded(self.loss_scale) < math.inf:
            raise ValueError(
                f"loss_scale is {self.loss_scale:g}: beyond the range of {dtype}; use one such as 1e12"
            )

    @property
    def name(self) -> str:
        """The label in tables and figures, where learning rates stand apart."""
        if self.optimizer == "Adam":
            eps = self.eps / self.loss_scale
            name = f"Adam, eps {eps:.2g}"
            return TINY_EPS if self.eps == 1e-30 else "Adam" if name == "Adam, eps 1e-08" else name
        if self.optimizer == "Fromage" and self.norms == "naive":
            return "Fromage, naive norms"
        return "SGD + momentum" if self.optimizer == "SGD" and self.momentum else self.optimizer

    @property
    def label(self) -> str:
        """The label where a run stands by itself."""
        return f"{self.name} at {self.lr:g}"

    def build(self, tensors: list[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of a stack's slices."""
        if self.optimizer == "Fromage":
            return StackedFromage(tensors, lr=self.lr, naive=self.norms == "naive")
        if self.optimizer == "Normalized SGD":
            return NormalizedSGD(tensors, lr=self.lr)
        return self._elementwise(tensors)

    def build_alone(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of one network's parameters."""
        if self.optimizer == "Fromage":
            if self.norms == "naive":
                raise ValueError("norms is 'naive': only networks in a stack train so; make them narrower")
            return Fromage(parameters, lr=self.lr)
        if self.optimizer == "Normalized SGD":
            return NormalizedSGD(parameters, lr=self.lr, stacked=False)
        return self._elementwise(parameters)

    def _elementwise(self, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
        if self.optimizer == "Adam":
            return torch.optim.Adam(tensors, lr=self.lr, eps=self.eps, fused=True)
        return torch.optim.SGD(tensors, lr=self.lr, momentum=self.momentum, fused=True)


FROMAGE = Entrant("Fromage", lr=0.01)
ADAM = Entrant("Adam", lr=0.001)
SGD = Entrant("SGD", lr=0.1)
ADAM_TINY_EPS = Entrant("Adam", lr=0.001, eps=1e-30)
#: Where no gradient has been above 8e-22, Adam's running mean of squares is 0 in float32 and that of
#: gradients is not. Below an eps of about 1e-22 such an entry takes a step of many learning rates; this
#: leaves a margin.
EPS_FLOOR = 1e-20
#: The fair rival where gradients are smaller than that: the factor lifts them above eps.
ADAM_SCALED = Entrant("Adam", lr=0.0001, eps=EPS_FLOOR, loss_scale=1e12)
ENTRANTS = (FROMAGE, ADAM, SGD, ADAM_TINY_EPS)
