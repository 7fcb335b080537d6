"""What experiments gave, as tidy pandas tables."""

from __future__ import annotations

__all__ = ["rows_of", "table"]


def table(rows):
    """Tidy rows as a pandas table.

    Args:
        rows: dictionaries with the same keys, or a table already.

    Returns:
        The pandas `DataFrame`.

    Raises:
        ImportError: without pandas, with the command that installs it.

    >>> table([{"seed": 1, "loss": 0.5}])["loss"].tolist()
    [0.5]
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "tables need pandas, which is not installed: pip install 'fromage-edu[notebooks]'"
        ) from error
    return pandas.DataFrame(rows)


def rows_of(outcomes, kind: str = "rows"):
    """The rows of all outcomes in one table.

    Args:
        outcomes: a list of what an experiment's `run_point` returned, or a recorded table.
        kind: the outcomes' field that holds the rows.

    Returns:
        The pandas table.

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> from fromage_edu.experiments.norms import Outcome
    >>> rows_of([Outcome([{"seed": 1}], seconds=0.1), Outcome([{"seed": 2}], seconds=0.1)])["seed"].tolist()
    [1, 2]
    """
    if hasattr(outcomes, "groupby"):
        rows = outcomes
    else:
        for outcome in outcomes:
            if not hasattr(outcome, kind):
                raise TypeError(f"an outcome is {outcome!r:.60}: give a list of what run_point returned")
        rows = table([row for outcome in outcomes for row in getattr(outcome, kind)])
    if not len(rows):
        raise ValueError("there are no runs to sum up: give what run_point returned for at least one point")
    return rows
