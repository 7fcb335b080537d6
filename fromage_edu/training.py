"""One training loop, one record of what it did."""

import dataclasses
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from numbers import Integral

import torch
from torch import Tensor, nn

__all__ = ["Record", "accuracy", "seeded", "train"]


@dataclasses.dataclass(repr=False)
class Record:
    """What a run did: tidy rows, one for each epoch, and where they come from.

    Attributes:
        rows: dicts with epoch, step, lr, loss (mean over the epoch's examples), and for class labels
            train_accuracy; test_loss and test_accuracy where there are test data.
        config: what was asked for, JSON-ready.
        seed: seed of the order of the batches.
        diverged: whether the loss became NaN or infinite, which ended the run.
        seconds: wall-clock time, s.
        versions: of Python, torch and fromage_edu.
    """

    rows: list[dict]
    config: dict
    seed: int
    diverged: bool = False
    seconds: float = 0.0
    versions: dict = dataclasses.field(default_factory=dict)

    @property
    def final(self) -> dict:
        """The last row; empty for a run of no steps."""
        return self.rows[-1] if self.rows else {}

    def frame(self):
        """The rows as a pandas `DataFrame`.

        Raises:
            ImportError: without pandas, with the command that installs it.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "frame() needs pandas, which is not installed: pip install 'fromage-edu[notebooks]'"
            ) from error
        return pandas.DataFrame(self.rows)

    def __repr__(self):
        """The outcome in a line, without the time it took: texts of notebooks are compared."""
        numbers = ", ".join(
            f"{name}={value:.3g}" for name, value in self.final.items() if name not in ("epoch", "step")
        )
        end = ", diverged" if self.diverged else ""
        return f"Record(epochs={len(self.rows)}, seed={self.seed}{', ' * bool(numbers)}{numbers}{end})"


@contextmanager
def seeded(seed: int):
    """Context with torch's global random numbers seeded; outside, they go on as if nothing had happened.

    Args:
        seed: where the random numbers start.

    >>> with seeded(1):
    ...     first = torch.rand(3)
    >>> with seeded(1):
    ...     print(torch.equal(first, torch.rand(3)))
    True
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of rows of `outputs` (N, classes) whose largest entry is at `labels` (N,).

    Args:
        outputs: one row of scores for each example.
        labels: integers 0…classes − 1.

    Returns:
        A number in 0…1; NaN for no examples.

    >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    0.75
    """
    return (outputs.argmax(-1) == labels).double().mean().item()


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Sequence[Tensor],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    schedule=None,
    progress: bool | None = None,
) -> Record:
    """Train a model and return a tidy record, one row for each epoch.

    Every epoch passes once through the training data in a new order, which `seed` alone decides; the last
    batch may be smaller. A loss that is NaN or infinite ends the run, which is recorded as diverged and
    never raises.

    Args:
        model: any module; its parameters are trained in place, in training mode; its mode is restored.
        optimizer: an optimizer of its parameters.
        data: (x_train, y_train) or (x_train, y_train, x_test, y_test), as `digits()` returns; moved to the
            model's device. Integer targets (N,) are class labels, whose accuracy is recorded.
        epochs: number of passes; give either this or `steps`.
        steps: number of steps; the last epoch may be a part.
        batch_size: examples in a batch.
        seed: seed of the order of the batches. The model is seeded where it is made: see `seeded`.
        loss: function of (outputs, targets), the mean over a batch.
        schedule: a torch `LRScheduler`, stepped once an epoch; None keeps the learning rate.
        progress: True shows a progress bar on stderr, False none; None shows one if stderr is a terminal.

    Returns:
        Record.

    Raises:
        TypeError: for data, a loss or a schedule of another kind.
        ValueError: for data that do not match, no data, labels that are none of the model's classes, both or
            none of epochs and steps, numbers that are not whole, a loss that is not one number, a model
            without parameters, or an optimizer of another model.

    >>> from fromage_edu.data import digits
    >>> from fromage_edu.networks import Perceptron
    >>> from fromage_edu.optim import Fromage
    >>> with seeded(0):
    ...     model = Perceptron([64, 32, 10], output_nonlinearity=False)
    >>> record = train(model, Fromage(model.parameters()), digits(), epochs=3)
    >>> record.final["train_accuracy"] > 0.8
    True
    """
    _check_parts(model, optimizer, data, loss, schedule)
    data = _on_device(model, data)
    x, y = data[:2]
    total = _total_steps(len(x), epochs, steps, batch_size, seed)
    labels = not y.is_floating_point() and y.ndim == 1
    generator = torch.Generator().manual_seed(seed)
    record = Record([], _config(model, optimizer, epochs, steps, batch_size, loss, schedule), seed)
    started, done, mode = time.perf_counter(), 0, model.training

    with _bar(total, progress) as bar:
        while done < total and not record.diverged:
            model.train()
            rates = optimizer.param_groups[0]["lr"]
            summed, seen = 0.0, 0
            for batch in torch.randperm(len(x), generator=generator).split(batch_size)[: total - done]:
                batch = batch.to(x.device)
                optimizer.zero_grad(set_to_none=True)
                outputs = model(x[batch])
                if labels and not done:
                    _check_labels(outputs, data)
                value = loss(outputs, y[batch])
                _check_loss(value)
                summed, seen = summed + value.item() * len(batch), seen + len(batch)
                done += 1
                if not math.isfinite(summed):
                    record.diverged = True
                    break
                value.backward()
                optimizer.step()
                bar.update()
            row = {"epoch": len(record.rows) + 1, "step": done, "lr": float(rates), "loss": summed / seen}
            record.rows.append(row | _evaluation(model, data, loss, labels))
            if schedule is not None:
                schedule.step()

    model.train(mode)
    record.seconds, record.versions = time.perf_counter() - started, _versions()
    return record


@torch.no_grad()
def _evaluation(model, data, loss, labels) -> dict:
    model.eval()
    row = {}
    if labels:
        row["train_accuracy"] = accuracy(model(data[0]), data[1])
    if len(data) == 4 and len(data[2]):
        outputs = model(data[2])
        row["test_loss"] = loss(outputs, data[3]).item()
        if labels:
            row["test_accuracy"] = accuracy(outputs, data[3])
    return row


def _check_parts(model, optimizer, data, loss, schedule):
    if not isinstance(data, tuple | list):
        raise TypeError(f"data is a {type(data).__name__}: give (x_train, y_train) or what digits() returns")
    if not callable(loss):
        raise TypeError(f"loss is {loss!r}: give a function of (outputs, targets), such as nn.MSELoss()")
    if schedule is not None and not hasattr(schedule, "step"):
        raise TypeError(f"schedule is {schedule!r}: give a torch LRScheduler of the optimizer, or None")
    parameters = {id(parameter) for parameter in model.parameters()}
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing to train")
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not any(id(parameter) in parameters for parameter in trained):
        raise ValueError("the optimizer holds no parameter of the model: make it with model.parameters()")


def _check_labels(outputs, data):
    if outputs.ndim != 2:
        raise ValueError(
            f"outputs have shape {tuple(outputs.shape)}: class labels need (N, classes); "
            "for another loss give targets as floats"
        )
    for part, targets in zip(("train", "test"), data[1::2], strict=False):
        wrong = targets[(targets < 0) | (targets >= outputs.shape[1])]
        if len(wrong):
            raise ValueError(
                f"y_{part} holds the label {wrong[0].item()} and the model has {outputs.shape[1]} outputs: "
                f"labels are 0…{outputs.shape[1] - 1}; widen the model's last layer or renumber them"
            )


def _check_loss(value):
    if not isinstance(value, Tensor):
        raise TypeError(f"loss returned a {type(value).__name__}: return a tensor, which has a gradient")
    if value.ndim:
        raise ValueError(
            f"loss returned shape {tuple(value.shape)}: return one number, the mean over a batch "
            "(reduction='mean')"
        )


def _on_device(model, data):
    tensors = [part for part in data if isinstance(part, Tensor)]
    if len(tensors) not in (2, 4):
        raise ValueError(
            f"data hold {len(tensors)} tensors: give (x_train, y_train) or (x_train, y_train, x_test, y_test)"
        )
    parameter = next(model.parameters())
    for part, inputs, targets in zip(("train", "test"), tensors[::2], tensors[1::2], strict=False):
        if len(inputs) != len(targets):
            raise ValueError(f"x_{part} has {len(inputs)} examples and y_{part} has {len(targets)}")
        if inputs.is_floating_point() and inputs.dtype != parameter.dtype:
            raise ValueError(
                f"x_{part} is {inputs.dtype} and the model {parameter.dtype}: convert one, "
                f"for example digits(dtype={parameter.dtype})"
            )
    if not len(tensors[0]):
        raise ValueError("x_train holds no examples: there is nothing to train on")
    return [tensor.to(parameter.device) for tensor in tensors]


def _total_steps(examples, epochs, steps, batch_size, seed) -> int:
    if (epochs is None) == (steps is None):
        raise ValueError(f"epochs is {epochs} and steps is {steps}: give one of the two")
    length = ("epochs", epochs, 0) if steps is None else ("steps", steps, 0)
    for name, value, least in (length, ("batch_size", batch_size, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is {value!r}: give a whole number >= {least}")
    return steps if epochs is None else epochs * math.ceil(examples / batch_size)


def _config(model, optimizer, epochs, steps, batch_size, loss, schedule) -> dict:
    options = {
        name: value if isinstance(value, bool | int | float | str | None) else str(value)
        for name, value in optimizer.defaults.items()
    }
    return {
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "optimizer": type(optimizer).__name__,
        "options": options,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "schedule": None if schedule is None else type(schedule).__name__,
    }


def _versions() -> dict:
    from fromage_edu import __version__

    return {"python": platform.python_version(), "torch": torch.__version__, "fromage_edu": __version__}


class _Silent:
    def update(self):
        pass


def _bar(total, progress):
    if progress is False or progress is None and not sys.stderr.isatty():
        return nullcontext(_Silent())
    try:
        from tqdm import tqdm
    except ImportError as error:
        if progress is None:
            return nullcontext(_Silent())
        raise ImportError(
            "a progress bar needs tqdm, which is not installed: pip install 'fromage-edu[notebooks]'"
        ) from error
    return tqdm(total=total, unit="step", file=sys.stderr, leave=False)
