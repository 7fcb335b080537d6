"""What the depth race gave: the table with a row for each thing compared, and the pictures of it."""

from __future__ import annotations

from fromage_edu import figures
from fromage_edu.experiments.settings import TINY_EPS
from fromage_edu.experiments.tables import rows_of, table

__all__ = ["CHANCE", "LEARNS", "best_learning_rates", "figure", "line_look", "race_figure", "summarise"]

#: Networks that ignore their input stay near 1/10; these two accuracies leave a margin on either side.
CHANCE, LEARNS = 0.15, 0.25


def summarise(outcomes):
    """One row per depth, entrant and learning rate: the spread of the final training accuracy over the seeds.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table of final accuracies.

    Returns:
        A pandas table: dtype, depth, entrant, lr, runs, median, lowest, highest, learned (how many
        runs are above `LEARNS`), diverged (how many), verdict ("learns", "guesses" or "between", by
        the median).

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> from fromage_edu.experiments.depth import Config, Point, run_point
    >>> summary = summarise([run_point(Point(Config(seeds=[1, 2], width=8, epochs=1), depth=2))])
    >>> summary["runs"].tolist()
    [2, 2, 2, 2]
    """
    finals = rows_of(outcomes, "finals")
    summary = (
        finals.groupby(["dtype", "depth", "entrant", "lr"], sort=False)
        .agg(
            runs=("train_accuracy", "size"),
            median=("train_accuracy", "median"),
            lowest=("train_accuracy", "min"),
            highest=("train_accuracy", "max"),
            learned=("train_accuracy", lambda column: int((column > LEARNS).sum())),
            diverged=("diverged", "sum"),
        )
        .reset_index()
    )
    summary["verdict"] = summary["median"].map(
        lambda median: "learns" if median > LEARNS else "guesses" if median < CHANCE else "between"
    )
    return summary


def best_learning_rates(summary):
    """Keep, of each entrant's learning rates, the best at every depth (by the median), as the paper does.

    The choice is made on the seeds that are shown; that flatters every entrant a little.

    Args:
        summary: what `summarise` returned, here, in `confounders` or in `race`.

    Returns:
        Its best rows: one for each variant, dtype, start, depth and entrant, as far as it tells them apart.
    """
    apart = [name for name in ("variant", "dtype", "init", "depth", "entrant") if name in summary]
    best = summary.groupby(apart, sort=False)["median"].idxmax()
    return summary.loc[best].reset_index(drop=True)


def figure(summary, authors=None):
    """Final training accuracy against depth: lines through the medians, bars from worst seed to best.

    Args:
        summary: what `summarise` or `best_learning_rates` returned, of one dtype.
        authors: the authors' own runs, `recorded.load("figure4_authors")`, to lie over ours: a cross for the
            best of their learning rates after 100 epochs.

    Returns:
        The matplotlib figure.
    """
    with figures.style():
        import matplotlib.pyplot as plt

        fig, ax = plt.subplots(figsize=(5.6, 3.8))
        _guessing(ax, summary["depth"].min(), summary["depth"].max())
        entrants = list(dict.fromkeys(summary["entrant"]))
        # Bars of one depth stand side by side, or they would hide one another.
        apart = 0.008 * (summary["depth"].max() - summary["depth"].min())
        for index, entrant in enumerate(entrants):
            rows = summary[summary["entrant"] == entrant].sort_values("depth")
            depths = rows["depth"] + apart * (index - (len(entrants) - 1) / 2)
            ax.plot(depths, rows["median"], label=entrant, **line_look(entrant))
            ax.vlines(depths, rows["lowest"], rows["highest"], color=line_look(entrant)["color"], linewidth=1)
        ax.set(xlabel="hidden layers", ylabel="training accuracy at the end", ylim=(0, 1.02))
        figures.label_lines(ax)
        if authors is not None:
            _lay_over(ax, authors)
    return fig


def _lay_over(ax, authors) -> None:
    """The authors' best runs, in the colors of ours."""
    ours = {"fromage": "Fromage", "adam": "Adam", "SGD": "SGD + momentum"}
    runs = (
        authors[authors["epochs"] == 100].groupby(["optimizer", "num_hidden_layers"])["last_epoch_acc"].max()
    )
    for optimizer, entrant in ours.items():
        color = line_look(entrant)["color"]
        ax.plot(runs[optimizer].index, runs[optimizer], linestyle="none", marker="x", color=color)


def race_figure(curves, order=("SGD + momentum", "Adam", "Fromage", TINY_EPS)):
    """Training accuracy against epoch: a panel for each entrant, a line for each seed.

    Args:
        curves: rows of one depth, of `Outcome.curves` or of `recorded.load("depth_race")`.
        order: of the panels; entrants that it does not name come last.

    Returns:
        The matplotlib figure.
    """
    curves = table(curves)
    places = {entrant: place for place, entrant in enumerate(order)}
    entrants = sorted(dict.fromkeys(curves["entrant"]), key=lambda entrant: places.get(entrant, len(places)))
    columns = len(entrants) if len(entrants) < 4 else 2
    rows = -(-len(entrants) // columns)
    with figures.style():
        import matplotlib.pyplot as plt

        fig, axes = plt.subplots(
            rows, columns, sharex=True, sharey=True, squeeze=False, figsize=(5.6, 0.4 + 2.0 * rows)
        )
        for ax in axes.flat[len(entrants) :]:
            ax.set_visible(False)
        for ax, entrant in zip(axes.flat, entrants, strict=False):
            runs = curves[curves["entrant"] == entrant]
            _guessing(ax, curves["epoch"].min(), curves["epoch"].max(), named=entrant == entrants[-1])
            color = line_look(entrant)["color"]
            for _, run in runs.groupby("seed", sort=False):
                ax.plot(run["epoch"], run["accuracy"], color=color, linewidth=1)
            ax.set(ylim=(0, 1.02))
            ax.set_title(entrant, color=color, fontsize="medium")
        fig.supxlabel("epoch", fontsize="medium")
        fig.supylabel("training accuracy", fontsize="medium")
    return fig


def line_look(entrant: str) -> dict:
    """How an entrant's line is drawn; variants keep its color, on a solid line with hollow marks.

    Args:
        entrant: its name.

    Returns:
        Keyword arguments of `Axes.plot`.

    >>> line_look("Adam, tiny eps")["marker"]
    'D'
    """
    family = entrant.split(",")[0]
    role = {"Fromage": "fromage", "Adam": "adam"}.get(family, "sgd")
    look = figures.line(role) | {"marker": "o", "markersize": 4}
    if entrant not in ("Fromage", "Adam", "SGD", "SGD + momentum"):
        look |= {
            "linestyle": "solid",
            "marker": "D",
            "markersize": 5,
            "markerfacecolor": figures.PAGE["light"],
        }
    return look


def _guessing(ax, left: float, right: float, named: bool = True) -> None:
    """The level of one digit in ten; it ends where the data end, so that it strikes no label through."""
    ax.plot([left, right], [0.1, 0.1], linewidth=1, zorder=0, **figures.line("bound"))
    if named:
        ax.annotate("guessing", (left, 0.1), xytext=(0, -10), textcoords="offset points", fontsize="x-small")
