"""Run an experiment at its recorded size and write `fromage_edu/recorded/`.

`python -m fromage_edu.experiments.record depth` takes about half an hour, `confounders` about twenty minutes,
`perturbation` about ten, `race` about seven, `norms` and `tightness` about five, `wide` about four hours;
`--folder DIR` writes elsewhere. With `--keep DIR` finished points are kept there: a run that was interrupted
goes on where it ended when the same command is given again.
"""

from __future__ import annotations

import argparse
from importlib import import_module

import torch

from fromage_edu import recorded

#: Experiments that have `recordings(progress, keep=...) -> {name: (table, config)}`.
RECORDED = ("confounders", "depth", "norms", "perturbation", "race", "tightness", "wide")


def main(arguments: list[str] | None = None) -> None:
    """The command: see the text of this module."""
    parser = argparse.ArgumentParser(prog="python -m fromage_edu.experiments.record", description=__doc__)
    parser.add_argument("experiment", choices=RECORDED)
    parser.add_argument("--folder", default=recorded.FOLDER, help="where to write (default: the package)")
    parser.add_argument("--keep", help="where to keep finished points (default: nowhere)")
    options = parser.parse_args(arguments)
    # One thread: matrices this small are slower when shared, and the order of sums stays the same everywhere.
    torch.set_num_threads(1)
    experiment = import_module(f"fromage_edu.experiments.{options.experiment}")
    command = f"python -m fromage_edu.experiments.record {options.experiment}"
    for name, (table, config) in experiment.recordings(progress=print, keep=options.keep).items():
        print(recorded.save(name, table, config=config, command=command, folder=options.folder))


if __name__ == "__main__":
    main()
