"""The look of the book: one concept, one color, one dash, in figures as in explorers.

`COLORS` and `DASHES` are the single source of the palette; the style sheet of the explorers repeats them and
a test compares the two. Matplotlib is imported only when a figure is drawn.
"""

from contextlib import contextmanager

import numpy

__all__ = ["COLORS", "DASHES", "PAGE", "label_lines", "line", "style"]

COLORS = {
    "deep": {"light": "#c2185b", "dark": "#ff6fa8"},
    "surrogate": {"light": "#b35900", "dark": "#ffa64d"},
    "euclidean": {"light": "#1565c0", "dark": "#6db3ff"},
    "measured": {"light": "#1b1f24", "dark": "#e8eaed"},
    "bound": {"light": "#616161", "dark": "#a8a8a8"},
    "sgd": {"light": "#00838f", "dark": "#4dd0d9"},
    "adam": {"light": "#5e35b1", "dark": "#b79bff"},
    "fromage": {"light": "#7a5c00", "dark": "#e6c84f"},
    "uncorrected": {"light": "#7a5c00", "dark": "#e6c84f"},
    "polar": {"light": "#640000", "dark": "#ef5350"},
}
"""Role -> theme -> color: trusts, measured truth, bounds, and optimizers.

`uncorrected` is equation (4), Fromage's step without its factor: the same color with a dash of its own.
`polar` is the step along the polar factor of the gradient, which is Muon's.
"""

DASHES = {
    "deep": "solid",
    "surrogate": "dashed",
    "euclidean": "dotted",
    "measured": "solid",
    "bound": "dashdot",
    "sgd": "dotted",
    "adam": "dashed",
    "fromage": "solid",
    "uncorrected": (0, (6, 2, 1.5, 2, 1.5, 2)),
    "polar": (0, (9, 3)),
}
"""Role -> matplotlib line style: no meaning is carried by color alone."""

PAGE = {"light": "#ffffff", "dark": "#121212"}
"""Theme -> page background."""


def _matplotlib():
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "figures need matplotlib, which is not installed: pip install 'fromage-edu[explorers]'"
        ) from error
    return matplotlib


def _role(role):
    if role not in COLORS:
        raise ValueError(f"unknown role {role!r}: choose one of {', '.join(COLORS)}")
    return role


def line(role: str, theme: str = "light") -> dict:
    """Keyword arguments of `Axes.plot` that give a role its color and dash.

    Args:
        role: a key of `COLORS`, such as `"deep"` or `"fromage"`.
        theme: `"light"` or `"dark"`.

    Returns:
        `color` and `linestyle`.

    Raises:
        ValueError: for an unknown role or theme.

    >>> line("euclidean")
    {'color': '#1565c0', 'linestyle': 'dotted'}
    """
    if theme not in PAGE:
        raise ValueError(f"unknown theme {theme!r}: choose 'light' or 'dark'")
    return {"color": COLORS[_role(role)][theme], "linestyle": DASHES[role]}


@contextmanager
def style(theme: str = "light"):
    """Context in which matplotlib draws in the book's style: quiet axes, no legend frame, sharp text.

    Args:
        theme: `"light"` or `"dark"`.

    Raises:
        ImportError: without matplotlib, with the command that installs it.
        ValueError: for an unknown theme.

    >>> with style():
    ...     import matplotlib
    ...     matplotlib.rcParams["axes.spines.top"]
    False
    """
    ink, page = line("measured", theme)["color"], PAGE[theme]
    settings = {
        "figure.figsize": (5.6, 3.6),
        "figure.facecolor": page,
        "figure.constrained_layout.use": True,
        "savefig.dpi": 144,
        "axes.facecolor": page,
        "axes.edgecolor": COLORS["bound"][theme],
        "axes.labelcolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlecolor": ink,
        "axes.titlelocation": "left",
        "font.size": 11.0,
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with _matplotlib().rc_context(settings):
        yield


def label_lines(ax, gap: float = 1.25) -> list:
    """Write each labeled line's label beside its right end, in its color, instead of a legend.

    Labels that would overlap are pushed apart upwards, in their order. Call it last, with final limits.

    Args:
        ax: a matplotlib `Axes`; lines whose label starts with `_` are left alone.
        gap: least distance between two labels, in heights of a letter.

    Returns:
        The matplotlib annotations, lowest first.

    >>> import matplotlib; matplotlib.use("agg")
    >>> from matplotlib import pyplot
    >>> figure, ax = pyplot.subplots()
    >>> _ = ax.plot([0, 1], [0, 2], label="deep relative trust", **line("deep"))
    >>> [text.get_text() for text in label_lines(ax)]
    ['deep relative trust']
    >>> pyplot.close(figure)
    """
    ends = []
    for drawn in ax.get_lines():
        points = numpy.column_stack([numpy.asarray(data, dtype=float) for data in drawn.get_data()])
        points = points[numpy.isfinite(points).all(axis=1)]
        if not drawn.get_label().startswith("_") and len(points):
            ends.append((ax.transData.transform(points[-1])[1], points[-1], drawn))
    ends.sort(key=lambda end: end[0])

    size = _matplotlib().rcParams["font.size"]
    pixels = ax.figure.dpi / 72  # one typographic point, in pixels of the figure
    labels, floor = [], -float("inf")
    for height, point, drawn in ends:
        place = max(height, floor)
        floor = place + gap * size * pixels
        labels.append(
            ax.annotate(
                drawn.get_label(),
                point,
                xytext=(6, (place - height) / pixels),
                textcoords="offset points",
                color=drawn.get_color(),
                va="center",
                annotation_clip=False,
            )
        )
    return labels
