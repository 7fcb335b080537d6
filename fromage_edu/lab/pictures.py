"""What the lab shows of its runs, as HTML text: two curves in SVG, a table, and one look in both themes.

Written by hand instead of drawn by matplotlib: it is redrawn a few times a second, must follow the theme of
the page around it, and carries its own words for those who cannot see it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from fromage_edu.figures import COLORS, DASHES, PAGE
from fromage_edu.lab.session import STARTS, Record

__all__ = ["STYLE", "accuracy_picture", "apart", "gradient_picture", "message", "runs_table"]

#: Optimizer -> concept of the palette. The normalized step has the color of SGD and a dash of its own.
ROLES = {"Fromage": "fromage", "Adam": "adam", "SGD": "sgd", "Normalized SGD": "sgd"}
_PATTERNS = {"solid": "none", "dashed": "7 4", "dotted": "2 3", "dashdot": "8 3 2 3"}
STROKES = {name: _PATTERNS[DASHES[role]] for name, role in ROLES.items()} | {"Normalized SGD": "7 3 2 3"}

# The units of the drawings, which a browser stretches to the place there is.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 226, 46, 36, 14, 36
LETTER = 13

DARK = (
    'body[data-jp-theme-light="false"] .depth-lab, html[theme="dark"] .depth-lab, '
    'html[data-theme="dark"] .depth-lab, .vscode-dark .depth-lab'
)
_LOOK = """<style>
.depth-lab { --quiet: #565e68; --rule: #8a929c; --grid: #e4e7eb; LIGHT
  color: var(--measured); background: var(--paper); padding: 6px 8px; margin: 0; line-height: 1.45;
  font-size: 13px; font-variant-numeric: tabular-nums; }
DARKER { --quiet: #b0b7c0; --rule: #7d8590; --grid: #2b3138; NIGHT }
.depth-lab figure { margin: 0; } .depth-lab figcaption { font-weight: 600; }
.depth-lab figcaption span, .depth-lab .quiet { font-weight: 400; color: var(--quiet); }
.depth-lab svg { display: block; width: 100%; height: auto; max-width: 440px; }
.depth-lab text { font-size: 12px; fill: var(--quiet); }
.depth-lab text.run { font-size: 13px; font-weight: 600; }
.depth-lab .line { fill: none; stroke-width: 1.25; stroke-opacity: 0.55; stroke-linejoin: round; }
.depth-lab .now .line { stroke-width: 2.5; stroke-opacity: 1; }
.depth-lab .now .start { stroke-width: 1.25; }
.depth-lab .scroll { overflow-x: auto; }
.depth-lab table { border-collapse: collapse; color: inherit; font-size: 12px; margin: 0; border: 0; }
.depth-lab caption { text-align: left; font-weight: 600; font-size: 13px; padding: 0; color: inherit;
  caption-side: top; }
.depth-lab th, .depth-lab td { text-align: right; padding: 2px 8px 2px 0; white-space: nowrap;
  background: none; color: inherit; border: 0; border-bottom: 1px solid var(--grid); font-weight: 400; }
.depth-lab thead th { color: var(--quiet); } .depth-lab .word { text-align: left; }
.depth-lab tr.now th, .depth-lab tr.now td { font-weight: 600; }
.depth-lab td svg { display: inline-block; width: 30px; height: 8px; vertical-align: middle; }
.depth-lab .whole { white-space: nowrap; }
.depth-lab pre { white-space: pre-wrap; font-size: 12px; color: inherit; background: none; }
</style>"""


def _colors(theme: str) -> str:
    names = {"measured", "bound", *ROLES.values()}
    return (
        " ".join(f"--{name}: {COLORS[name][theme]};" for name in sorted(names)) + f" --paper: {PAGE[theme]};"
    )


#: Written once beside everything else; a `<style>` reaches the whole page or frame that it stands in.
STYLE = _LOOK.replace("LIGHT", _colors("light")).replace("NIGHT", _colors("dark")).replace("DARKER", DARK)


def _box(content: str, **attributes: str) -> str:
    words = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
    return f'<div class="depth-lab"{words}>{content}</div>'


class _Panel:
    """A place to draw in: maps what is measured to where it stands."""

    def __init__(self, right: float, low: float, high: float, left: float = 1):
        """Give the ends of the axes; the horizontal one starts at `left`."""
        self.left, self.right, self.low, self.high = left, max(right, left + 1), low, high
        self.parts: list[str] = []
        self.labels: list[tuple[float, float, str, str]] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point stands."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def ticks_up(self, ticks: Sequence[tuple[float, str]]) -> None:
        """Write the vertical axis, with a faint line at each tick."""
        for y, text in ticks:
            _, place = self.at(self.left, y)
            self.parts.append(
                f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" stroke="var(--grid)"/>'
                f'<text x="{LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{text}</text>'
            )

    def ticks_across(self, title: str) -> None:
        """Write the horizontal axis: whole numbers."""
        base = HEIGHT - BOTTOM
        self.parts.append(f'<path d="M{LEFT} {base}H{WIDTH - RIGHT}" stroke="var(--rule)"/>')
        for x in _whole_ticks(self.left, self.right):
            place, _ = self.at(x, self.low)
            self.parts.append(f'<text x="{place:.1f}" y="{base + 16}" text-anchor="middle">{x}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        self.parts.append(f'<text x="{middle}" y="{base + 31}" text-anchor="middle">{title}</text>')

    def level(self, y: float, text: str, below: bool = False) -> None:
        """Draw a level to compare with, in the dash of bounds, and name it."""
        _, place = self.at(self.left, y)
        under = place + 14 if below or place < TOP + 18 else place - 4
        look = f'stroke="var(--bound)" stroke-width="1.5" stroke-dasharray="{_PATTERNS["dashdot"]}"'
        self.parts.append(
            f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" {look}/>'
            f'<text x="{LEFT + 4}" y="{under:.1f}">{text}</text>'
        )

    def curve(self, points: Sequence[tuple[float, float]], optimizer: str, kind: str = "line") -> None:
        """Draw a line through the points; where a value is missing, a gap."""
        color, gap, path = f"var(--{ROLES[optimizer]})", True, []
        for x, y in points:
            if math.isfinite(y):
                across, down = self.at(x, y)
                path.append(f"{'M' if gap else 'L'}{across:.1f} {down:.1f}")
            gap = not math.isfinite(y)
        if len(path) == 1:  # a line of one point would not be seen
            path.append("h2")
        dash = f' stroke-dasharray="{STROKES[optimizer]}"' if kind == "line" else ' stroke-dasharray="1 3"'
        self.parts.append(f'<path class="line {kind}" d="{"".join(path)}" stroke="{color}"{dash}/>')

    def label(self, points: Sequence[tuple[float, float]], text: str, optimizer: str) -> None:
        """Name a line at its right end; labels that would overlap are pushed apart."""
        there = [point for point in points if math.isfinite(point[1])]
        if there:
            self.labels.append((*self.at(*there[-1]), text, ROLES[optimizer]))

    def svg(self, words: str) -> str:
        """The whole drawing, with the sentence that stands for it."""
        for group in _neighbors(self.labels):
            places = apart([down for _, down, _, _ in group], LETTER, TOP, HEIGHT - BOTTOM)
            for (across, _, text, role), down in zip(group, places, strict=True):
                place = f'x="{across + 6:.1f}" y="{down + 4:.1f}" style="fill:var(--{role})"'
                self.parts.append(f'<text class="run" {place}>{text}</text>')
        view = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
        return f'<svg {view} role="img" aria-label="{html.escape(words)}">{"".join(self.parts)}</svg>'


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Push sorted places apart, and keep them between two ends if they fit.

    Args:
        places: in order.
        gap: least distance between neighbors.
        low: the first end.
        high: the last end.

    Returns:
        The new places, in the same order.

    >>> apart([10, 11, 40], gap=5, low=0, high=42)
    [10, 15, 40]
    >>> apart([40, 41, 41], gap=5, low=0, high=42)
    [32, 37, 42]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap if moved else low))
    ceiling = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return moved


def _neighbors(labels: Sequence[tuple]) -> list[list[tuple]]:
    """Labels that could meet, because lines end at about the same place; each group from top to bottom."""
    groups: list[list[tuple]] = []
    for label in sorted(labels):
        if not groups or label[0] - groups[-1][-1][0] > 2 * LETTER:
            groups.append([])
        groups[-1].append(label)
    return [sorted(group, key=lambda label: label[1]) for group in groups]


def _whole_ticks(left: float, right: float) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (right - left) / step <= 6)
    ticks = [x for x in range(math.ceil(left), math.floor(right) + 1) if x % step == 0]
    return ticks if ticks[0] - left <= step / 2 else [math.ceil(left), *ticks]


def _newest_last(records: Sequence[Record], draw) -> None:
    """Draw past runs faintly, and the newest one over them."""
    for record in records:
        draw(record, record is records[-1])


def accuracy_picture(records: Sequence[Record]) -> str:
    """The accuracy of every run by epoch, the newest run on top.

    Args:
        records: of the runs, the newest last.

    Returns:
        HTML.

    >>> 'role="img"' in accuracy_picture([])
    True
    """
    panel = _Panel(max((record.setting.epochs for record in records), default=30), 0, 1)
    panel.ticks_up([(0, "0 %"), (0.5, "50 %"), (1, "100 %")])
    panel.level(0.1, "guessing", below=True)
    panel.ticks_across("epoch")

    def draw(record: Record, newest: bool) -> None:
        points, optimizer = list(enumerate(record.curve, start=1)), record.setting.optimizer
        panel.parts.append('<g class="now">' if newest else "<g>")
        panel.curve(points, optimizer)
        panel.parts.append("</g>")
        panel.label(points, str(record.number), optimizer)

    _newest_last(records, draw)
    told = "; ".join(
        f"run {record.number}, {record.setting.label}, depth {record.setting.depth}: {record.curve[-1]:.0%} "
        f"after {len(record.curve)} epochs"
        for record in records
        if record.curve
    )
    words = f"Training accuracy by epoch. {told or 'No run has finished an epoch yet.'}"
    caption = "<figcaption>Training accuracy <span>by epoch</span></figcaption>"
    return _box(f"<figure>{caption}{panel.svg(words)}</figure>")


def _decade(size: float) -> float:
    return math.log10(size) if size > 0 and math.isfinite(size) else math.nan


def gradient_picture(records: Sequence[Record]) -> str:
    """The size of the gradient's entries in every layer, and Adam's eps, with a logarithmic axis.

    Args:
        records: of the runs, the newest last; of that one also the start is drawn.

    Returns:
        HTML.

    >>> "No run yet" in gradient_picture([])
    True
    """
    newest = records[-1] if records else None
    eps = newest.setting.eps if newest and newest.setting.optimizer == "Adam" else None
    sizes = [_decade(size) for record in records for size in record.last]
    sizes += [_decade(size) for size in (newest.first if newest else [])] + ([_decade(eps)] if eps else [])
    sizes = [size for size in sizes if math.isfinite(size)] or [-4.0, 0.0]
    low = math.floor(min(sizes) - 0.3)  # eps, or a line, at the very bottom would hide in the axis
    high = max(math.ceil(max(sizes)), low + 2)
    panel = _Panel(max((record.setting.depth + 1 for record in records), default=31), low, high)
    step = next(step for step in (1, 2, 5, 10, 20) if (high - low) / step <= 6)
    panel.ticks_up([(y, _power(y)) for y in range(low, high + 1) if y % step == 0])
    panel.ticks_across("layer")
    if eps:
        panel.level(_decade(eps), f"eps = {eps:.0e}")

    def draw(record: Record, is_newest: bool) -> None:
        layers, optimizer = range(1, len(record.last) + 1), record.setting.optimizer
        panel.parts.append('<g class="now">' if is_newest else "<g>")
        if is_newest:
            panel.curve(list(zip(layers, map(_decade, record.first), strict=True)), optimizer, "start")
        points = list(zip(layers, map(_decade, record.last), strict=True))
        panel.curve(points, optimizer)
        panel.parts.append("</g>")
        panel.label(points, str(record.number), optimizer)

    _newest_last(records, draw)
    caption = "Gradient, typical entry <span>by layer; thin dots: before training</span>"
    svg = panel.svg(_gradient_words(newest, eps))
    return _box(f"<figure><figcaption>{caption}</figcaption>{svg}</figure>")


def _power(exponent: int) -> str:
    """A power of ten, with raised digits."""
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}"


def _gradient_words(record: Record | None, eps: float | None) -> str:
    head = "Typical size of the gradient's entries in each layer."
    if record is None or not record.first:
        return f"{head} No run yet."
    level = f" Adam's eps is {eps:.0e}." if eps else ""
    return (
        f"{head} Run {record.number}: before training {record.first[0]:.0e} in the first layer and "
        f"{record.first[-1]:.0e} in the last; now {record.last[0]:.0e} and {record.last[-1]:.0e}.{level}"
    )


def runs_table(records: Sequence[Record]) -> str:
    """All runs with their settings and results, the newest first.

    Args:
        records: of the runs, the newest last.

    Returns:
        HTML.

    >>> "No run yet" in runs_table([])
    True
    """
    if not records:
        return _box('<p class="quiet" style="margin:0">No run yet. Choose, then press Train.</p>')
    heads = [*"run line optimizer lr eps depth width start seed epochs training".split(), "new images"]
    words = ("line", "optimizer", "start")
    row = "".join(f'<th scope="col"{_word(head in words)}>{head}</th>' for head in heads)
    rows = "".join(_row(record, record is records[-1]) for record in reversed(records))
    table = f"<table><caption>Runs</caption><thead><tr>{row}</tr></thead><tbody>{rows}</tbody></table>"
    return _box(f'<div class="scroll" tabindex="0" role="region" aria-label="Runs">{table}</div>')


def _word(is_word: bool) -> str:
    return ' class="word"' if is_word else ""


def _row(record: Record, newest: bool) -> str:
    setting = record.setting
    swatch = (
        f'<svg viewBox="0 0 30 8" aria-hidden="true"><path d="M1 4H29" stroke-width="2.5" stroke="var(--'
        f'{ROLES[setting.optimizer]})" stroke-dasharray="{STROKES[setting.optimizer]}"/></svg>'
    )
    eps = f"{setting.eps:.0e}" if setting.optimizer == "Adam" else "–"
    epochs = f"{len(record.curve)} of {setting.epochs}" if record.state != "done" else str(setting.epochs)
    train, test = (f"{share:.0%}" for share in record.accuracies) if record.accuracies else ("…", "…")
    if record.state == "diverged":
        train = test = "NaN"
    cells = [
        (swatch, True),
        (setting.optimizer, True),
        (f"{setting.lr:.3g}", False),
        (eps, False),
        (setting.depth, False),
        (setting.width, False),
        (STARTS[setting.init], True),
        (setting.seed, False),
        (epochs, False),
        (train, False),
        (test, False),
    ]
    row = "".join(f"<td{_word(is_word)}>{cell}</td>" for cell, is_word in cells)
    return f'<tr{" class=now" if newest else ""}><th scope="row">{record.number}</th>{row}</tr>'


def message(text: str, trouble: str = "") -> str:
    """One sentence that is also spoken, and below it what went wrong, folded.

    Args:
        text: the sentence.
        trouble: a traceback, or nothing.

    Returns:
        HTML.

    >>> "a &lt; b" in message("a < b")
    True
    """
    folded = (
        f"<details><summary>Details</summary><pre>{html.escape(trouble)}</pre></details>" if trouble else ""
    )
    # A number such as 1e-08 is not broken at its sign.
    spoken = re.sub(r"\d+e-\d+", r'<span class="whole">\g<0></span>', html.escape(text))
    return _box(spoken + folded, role="alert" if trouble else "status")
