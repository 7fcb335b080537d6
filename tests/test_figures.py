"""The palette is legible, told apart without color vision, and the same as in the explorers' style sheet."""

import itertools
import re
from pathlib import Path

import numpy
import pytest

import fromage_edu
from fromage_edu import figures

STYLE = Path(fromage_edu.__file__).parent / "explorers" / "style.css"
TOGETHER = [("deep", "surrogate", "euclidean"), ("sgd", "adam", "fromage", "polar")]
# Equation (4) has the color of Fromage, from which it differs by a factor, and a dash of its own.
DASHED = [*TOGETHER, ("sgd", "adam", "fromage", "uncorrected", "polar")]

# Machado, Oliveira and Fernandes (2009), severity 1.0; they act on linear RGB.
VISION = {
    "normal": numpy.eye(3),
    "protan": numpy.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": numpy.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": numpy.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(color):
    rgb = numpy.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return numpy.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(color):
    return linear(color) @ [0.2126, 0.7152, 0.0722]


def contrast(one, two):
    low, high = sorted([luminance(one), luminance(two)])
    return (high + 0.05) / (low + 0.05)


def lab(color, vision):
    rgb = numpy.clip(VISION[vision] @ linear(color), 0, 1)
    xyz = rgb @ numpy.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = numpy.cbrt(xyz / [0.9505, 1.0, 1.089])
    return numpy.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("role", figures.COLORS)
def test_every_color_is_legible_as_text(role, theme):
    assert contrast(figures.COLORS[role][theme], figures.PAGE[theme]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("roles", TOGETHER)
def test_colors_shown_together_are_told_apart(roles, vision, theme):
    for one, two in itertools.combinations(roles, 2):
        apart = numpy.linalg.norm(
            lab(figures.COLORS[one][theme], vision) - lab(figures.COLORS[two][theme], vision)
        )
        assert apart >= 20, f"{one} and {two} are {apart:.1f} apart"


@pytest.mark.parametrize("roles", DASHED)
def test_lines_shown_together_differ_in_dash_too(roles):
    assert len({figures.DASHES[role] for role in roles}) == len(roles)


def test_every_role_has_a_color_and_a_dash():
    assert figures.COLORS.keys() == figures.DASHES.keys()


@pytest.mark.parametrize("role", figures.COLORS)
def test_the_explorers_use_the_same_colors(role):
    css = STYLE.read_text(encoding="utf-8").lower()
    for theme in figures.PAGE:
        assert figures.COLORS[role][theme] in css, f"{role} ({theme}) is not in {STYLE.name}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.line("pink"), "unknown role 'pink': choose one of deep, surrogate"),
        (lambda: figures.line("deep", "sepia"), "unknown theme 'sepia': choose 'light' or 'dark'"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.fixture
def axes():
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with figures.style():
        figure, axes = pyplot.subplots()
        yield axes
        pyplot.close(figure)


def test_labels_keep_their_distance(axes):
    for index in range(4):
        axes.plot([0, 1], [0, 0.001 * index], label=f"line {index}", **figures.line("deep"))
    labels = figures.label_lines(axes)
    axes.figure.canvas.draw()
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
    assert [label.get_text() for label in labels] == [f"line {index}" for index in range(4)]
    assert all(low.y1 <= high.y0 + 1 for low, high in itertools.pairwise(boxes))


def test_labels_of_lines_that_end_in_nan_sit_at_the_last_number(axes):
    axes.plot([0, 1, 2], [0.0, 1.0, numpy.nan], label="stops", **figures.line("sgd"))
    axes.plot([0, 1], [numpy.nan, numpy.nan], label="never", **figures.line("adam"))
    axes.plot([0, 1], [0, 1], label="_hidden")
    (label,) = figures.label_lines(axes)
    assert label.xy[0] == 1.0


def test_style_is_undone_outside(axes):
    import matplotlib

    size = matplotlib.rcParams["savefig.dpi"]
    with figures.style("dark"):
        assert matplotlib.rcParams["figure.facecolor"] == figures.PAGE["dark"]
    assert matplotlib.rcParams["savefig.dpi"] == size
