"""What the perturbed gradients gave: medians along the slices, how much they grew, and the pictures."""

from __future__ import annotations

from fromage_edu import figures
from fromage_edu.experiments.tables import rows_of, table

__all__ = ["figure", "growth", "slices_figure", "summarise"]

#: Columns that tell kinds of networks apart, and slices. The authors' table has no width and no seed.
KIND, SLICE = ("layers", "residual", "width"), ("seed", "checkpoint")


def summarise(outcomes):
    """Medians and quartiles of the slices, one row for each kind of network and η.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table.

    Returns:
        A pandas table: layers, residual, width, eta, slices (how many), then for the relative change of the
        first layer's gradient and for the loss the median, the lower and the upper quartile: change,
        change_low, change_high, loss, loss_low, loss_high.

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.

    >>> from fromage_edu.experiments.perturbation import PRESETS, points, run_point
    >>> summary = summarise([run_point(points(PRESETS["quick"])[0])])
    >>> summary[["eta", "slices"]].values.tolist()
    [[0.0, 6.0], [0.01, 6.0], [0.1, 6.0]]
    """
    rows = rows_of(outcomes)
    slices = rows.groupby([*_columns(rows, KIND), "eta"], sort=False)
    columns = {"slices": slices.size()}
    for name in ("change", "loss"):
        columns |= {name: slices[name].median()}
        columns |= {f"{name}_low": slices[name].quantile(0.25), f"{name}_high": slices[name].quantile(0.75)}
    return table(columns).reset_index()


def growth(outcomes, first: float = 0.01):
    """How much the change of the gradient grows from a small step to the largest, one row a kind of network.

    Ten times the step is ten times the change as long as the gradient is nearly linear in it.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table.
        first: the small step's η, one of those measured.

    Returns:
        A pandas table: layers, residual, width, slices (how many), change (median at `first`), growth
        (median over the slices of the change at the largest η over that at `first`), growth_low and
        growth_high (quartiles), growth_least and growth_most; loss (median at the largest η), loss_least and
        loss_most.

    Raises:
        ImportError: without pandas, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table, or if `first` was not measured or is the largest η.

    >>> from fromage_edu.experiments.perturbation import PRESETS, points, run_point
    >>> growth([run_point(points(PRESETS["quick"])[0])])["slices"].tolist()
    [6]
    """
    rows = rows_of(outcomes)
    etas = sorted(rows["eta"].unique().tolist())
    if first not in etas[1:-1]:
        raise ValueError(f"first is {first!r}: give an eta between 0 and the largest, one of {etas[1:-1]}")
    last = max(etas)
    keys = _columns(rows, (*KIND, *SLICE))
    before, after = (rows[rows["eta"] == eta].set_index(keys) for eta in (first, last))
    return (
        after.assign(change_first=before["change"], growth=after["change"] / before["change"])
        .groupby(_columns(rows, KIND), sort=False)
        .agg(
            slices=("growth", "size"),
            change=("change_first", "median"),
            growth=("growth", "median"),
            growth_low=("growth", lambda column: column.quantile(0.25)),
            growth_high=("growth", lambda column: column.quantile(0.75)),
            growth_least=("growth", "min"),
            growth_most=("growth", "max"),
            loss=("loss", "median"),
            loss_least=("loss", "min"),
            loss_most=("loss", "max"),
        )
        .reset_index()
    )


def _columns(rows, names) -> list[str]:
    return [name for name in names if name in rows]


def figure(summary):
    """Change of the first gradient, and loss, against η: medians with quartiles, logarithmic as in the paper.

    Args:
        summary: what `summarise` returned.

    Returns:
        The matplotlib figure: two panels, in each a line for each kind of network, a band between quartiles.
    """
    with figures.style():
        import matplotlib.pyplot as plt

        fig, axes = plt.subplots(2, 1, sharex=True, figsize=(5.6, 5.4))
        for ax, name in zip(axes, ("change", "loss"), strict=True):
            for kind, rows in _kinds(summary):
                look = _look(*kind)
                rows = rows[rows[name] > 0]  # At η = 0 nothing has changed, which has no logarithm.
                ax.plot(rows["eta"], rows[name], label=_name(kind, summary), **look)
                low, high = rows[f"{name}_low"], rows[f"{name}_high"]
                ax.fill_between(rows["eta"], low, high, color=look["color"], alpha=0.12, linewidth=0)
            ax.set(yscale="log")
            figures.label_lines(ax)
        axes[0].set(ylabel="change of the first gradient")
        axes[1].set(ylabel="loss", xlabel="relative size of the perturbation")
    return fig


def slices_figure(outcomes):
    """Every slice, as the paper's Figure 2 draws them: a thin line for each seed and checkpoint.

    Args:
        outcomes: a list of what `run_point` returned, or a recorded table.

    Returns:
        The matplotlib figure: a column for each kind of network, above the change of the first layer's
        gradient, below the loss, both logarithmic; checkpoints before training are dash-dotted gray.

    Raises:
        ImportError: without pandas or matplotlib, with the command that installs it.
        TypeError: for a list of anything else.
        ValueError: for an empty list or table.
    """
    rows = rows_of(outcomes)
    with figures.style():
        import matplotlib.pyplot as plt

        kinds = list(_kinds(rows))
        fig, axes = plt.subplots(
            2, len(kinds), sharex=True, sharey="row", squeeze=False, figsize=(1.2 + 1.9 * len(kinds), 4.6)
        )
        for (kind, own), column in zip(kinds, axes.T, strict=True):
            column[0].set_title(_name(kind, rows).replace(", ", "\n"), fontsize="medium")
            keys = [name for name in ("seed", "checkpoint") if name in own]
            for _, slice_ in own.groupby(keys, sort=False):
                untrained = slice_["checkpoint"].iloc[0] == 0
                look = figures.line("bound" if untrained else "measured") | {"linewidth": 0.8}
                column[0].plot(slice_["eta"][1:], slice_["change"][1:], **look)
                column[1].plot(slice_["eta"], slice_["loss"], **look)
        for ax in axes.flat:
            ax.set(yscale="log")
        axes[0, 0].set(ylabel="change of the first gradient")
        axes[1, 0].set(ylabel="loss")
        fig.supxlabel("relative size of the perturbation", fontsize="medium")
    return fig


def _kinds(rows):
    return rows.groupby(_columns(rows, KIND), sort=False)


def _name(kind, rows) -> str:
    layers, residual, *width = kind
    wide = f", width {width[0]}" if width and rows["width"].nunique() > 1 else ""
    return f"{layers} layers{', residual' * bool(residual)}{wide}"


def _look(layers, residual, *width) -> dict:
    """All is measured, so all lines have the color of what is measured; dashes tell the networks apart."""
    dash = "dashed" if residual else "dotted" if layers < 4 else "solid"
    return figures.line("measured") | {"linestyle": dash}
