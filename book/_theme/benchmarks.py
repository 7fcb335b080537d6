"""The tables of `benchmarks/results/`, made while the book is built: page and file agree.

`{optimizer-benchmark} NAME` stands for one of `TABLES`, of `optimizer*.json`. The file of the CPU has to be
there; each GPU has one of its own, and where there is none, its rows say "not measured".
`{sweep-benchmark}` is the table of `sweep.json`.
"""

import datetime
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
BASE, OURS, ADAM = "torch SGD (foreach)", "Fromage", "torch Adam (fused)"
PEERS = ("pytorch-optimizer Fromage", "pytorch-optimizer Fromage (foreach=False)")
SMALL, BERT = "400 of 64×64", "BERT-base"
NOT_MEASURED = "not measured"


class Result(NamedTuple):
    """What one file holds."""

    machine: dict
    rows: list[dict]

    @property
    def models(self):
        """Names of the models, in order."""
        return list(dict.fromkeys(row["shapes"] for row in self.rows))

    @property
    def optimizers(self):
        """Names of the optimizers and of the traffic they are compared with, in order."""
        return list(dict.fromkeys(row["optimizer"] for row in self.rows))

    def row(self, model, optimizer):
        """The one row of a model and an optimizer."""
        return next(r for r in self.rows if r["shapes"] == model and r["optimizer"] == optimizer)


class Table(NamedTuple):
    """What a table says; the first cell of each row is its head."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def load(folder):
    """Return the results in `folder`, the CPU's first."""
    paths = [folder / "optimizer.json", *sorted(folder.glob("optimizer-*.json"))]
    return [Result(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]


def place(machine):
    """Where and when it was measured, in one line."""
    if "threads" in machine:
        threads = machine["threads"]
        device = f"{machine['processor']}, {threads} thread{'s' if threads > 1 else ''}"
    else:
        device = machine["device"]
    versions = f"torch {machine['torch']}"
    if "pytorch-optimizer" in machine:
        versions += f", pytorch-optimizer {machine['pytorch-optimizer']}"
    date = datetime.date.fromisoformat(machine["date"])
    day = f"{date.day}\N{NO-BREAK SPACE}{date:%B}\N{NO-BREAK SPACE}{date.year}"
    return f"{device}; {versions}; {machine['rounds']} rounds; {day}."


def ratios(results):
    """Time of a step beside SGD's; a table for each device."""
    tables = []
    for result in results:
        rows = [
            [name, *(ratio(result.row(model, name)) for model in result.models)] for name in result.optimizers
        ]
        what = f"Time of a step over that of {BASE}: medians."
        tables.append(Table(f"{what} {place(result.machine)}", ["optimizer", *result.models], rows))
    if len(results) == 1:
        tables[0].rows.append(["all of them on a GPU", *[NOT_MEASURED] * len(results[0].models)])
    return tables


def ratio(row):
    """A cell: the median, or why there is none."""
    return f"{row['ratio to SGD']:.2f}" if row["status"] == "measured" else row["status"]


def memory(results):
    """What an optimizer keeps and what a step takes for a moment, in units of the model."""
    tables = []
    for result in results:
        rows = []
        for name in result.optimizers:
            cells = [result.row(model, name) for model in result.models]
            if cells[0]["status"] == "measured" and cells[0]["extra MB"] is None:
                continue  # plain memory traffic
            rows.append([name, share(cells[-1], "state MB"), *(share(cell, "extra MB") for cell in cells)])
        what = "Memory in units of the parameters': state kept between steps, most beyond it during one."
        header = ["optimizer", "state", *(f"step, {model}" for model in result.models)]
        tables.append(Table(f"{what} {place(result.machine)}", header, rows))
    return tables


def share(row, column):
    """A cell of `memory`: float32 parameters take four bytes each."""
    if row["status"] != "measured":
        return row["status"]
    part = row[column] * 1e6 / (4 * row["parameters"])
    return f"{part:.2f}" if part >= 0.01 else "< 0.01" if part else "0"


def targets(results):
    """What we set out to reach, and whether it was reached; one table over all devices."""
    cpu, models = results[0], results[0].models

    def line(title, result, quantity, limit, unit, among=None):
        cells = (
            verdict(quantity(result, model), limit, unit) if among is None or model in among else "–"
            for model in models
        )
        return [title, *cells]

    def compared(*others):
        return lambda result, model: beside(result, model, others)

    large = [model for model in models if model != SMALL]
    rows = [
        line(f"CPU: at most 2.0 × {BASE}", cpu, plain("ratio to SGD"), 2.0, "×", large),
        line("CPU: at most 2.5 µs a small tensor", cpu, plain("us per tensor"), 2.5, "µs", [SMALL]),
        line("CPU: never slower than pytorch-optimizer", cpu, compared(*PEERS), 1.0, "×"),
        line(f"CPU: faster than {ADAM}", cpu, compared(ADAM), 1.0, "×"),
    ]
    for result in results[1:] or [None]:
        device = result.machine["device"] if result else "GPU"
        traffic = f"{device}: at most 1.25 × the memory traffic of 5 floats a parameter"
        rows += [
            line(traffic, result, plain("ratio to 5N traffic"), 1.25, "×", [BERT]),
            line(f"{device}: faster than {ADAM}", result, compared(ADAM), 1.0, "×"),
        ]
    what = f"Targets of {OURS}, and whether they are met."
    return [
        Table(f"{what} {' '.join(place(result.machine) for result in results)}", ["target", *models], rows)
    ]


def plain(column):
    """Our own value in a column."""
    return lambda result, model: result and result.row(model, OURS)[column]


def beside(result, model, others):
    """Our time over the best of the others', or None where none was measured."""
    times = [result.row(model, name)["ratio to SGD"] for name in others] if result else []
    times = [time for time in times if time is not None]
    return result.row(model, OURS)["ratio to SGD"] / min(times) if times else None


def verdict(value, limit, unit):
    """A cell of `targets`: the value and what it means."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.2f} {unit}, {'met' if value <= limit else 'not met'}"


def everything(results):
    """All times; a table for each device and model."""
    header = ["optimizer", "ms", "× SGD", "quartiles", "µs a tensor", "× traffic of 5 floats", "extra MB"]
    tables = []
    for result in results:
        for model in result.models:
            rows = [times(result.row(model, name)) for name in result.optimizers]
            first = result.row(model, BASE)
            size = f"{first['tensors']} tensors, {first['parameters']:,} parameters"
            tables.append(Table(f"{model}: {size}. {place(result.machine)}", header, rows))
    return tables


def times(row):
    """A row of `everything`."""
    if row["status"] != "measured":
        return [row["optimizer"], *[row["status"]] * 6]
    return [
        row["optimizer"],
        f"{row['ms']:.3g}",
        f"{row['ratio to SGD']:.2f}",
        f"{row['lower quartile']:.2f}–{row['upper quartile']:.2f}",
        f"{row['us per tensor']:.3g}",
        f"{row['ratio to 5N traffic']:.2f}",
        "–" if row["extra MB"] is None else f"{row['extra MB']:.2f}",
    ]


def sweep(result):
    """How many times faster than a plain loop a sweep trains, and what it takes for that."""
    header = ["networks", "trained as", "beside", "ms a step", "faster by", "target", "MB a step"]
    rows = [
        [
            f"width {row['width']}, {row['depth']} layers",
            row["way"],
            row["loop"],
            f"{three(row['ms'])} : {three(row['loop ms'])}",
            f"{row['ratio']:.2f} × ({row['lower quartile']:.2f}–{row['upper quartile']:.2f})",
            f"{row['target']:g} ×, {'met' if row['ratio'] >= row['target'] else 'not met'}",
            "–" if row["MB"] is None else f"{row['MB']:.2g} : {row['loop MB']:.2g}",
        ]
        for row in result.rows
    ]
    runs = result.rows[0]["runs"]
    what = (
        f"A step of one of {runs} runs: medians, quartiles in brackets. Memory is what a step takes at most "
        "beyond weights, gradients and what optimizers keep."
    )
    return [Table(f"{what} {place(result.machine)}", header, rows)]


def three(value):
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


TABLES = {"ratios": ratios, "memory": memory, "targets": targets, "everything": everything}


class Benchmark(Directive):
    """`{optimizer-benchmark} NAME`: the tables of that name."""

    required_arguments = 1

    def run(self):
        """Return one node for each table."""
        name = self.arguments[0]
        if name not in TABLES:
            raise self.error(f"no table {name!r}: choose from {', '.join(TABLES)}")
        return placed(self, TABLES[name](load(RESULTS)))


class SweepBenchmark(Directive):
    """`{sweep-benchmark}`: the table of `sweep.json`."""

    def run(self):
        """Return its node."""
        text = (RESULTS / "sweep.json").read_text(encoding="utf-8")
        return placed(self, sweep(Result(**json.loads(text))))


def placed(directive, tables):
    """Return one node for each table, and note that the page has them."""
    env = directive.state.document.settings.env
    env.__dict__.setdefault("benchmark_pages", {})[env.docname] = digest()
    return [as_node(table) for table in tables]


def as_node(table):
    """Return a docutils table with a caption, a head row, and a head cell in each row."""
    group = nodes.tgroup(cols=len(table.header))
    for index in range(len(table.header)):
        group += nodes.colspec(colwidth=1, stub=int(index == 0))
    group += nodes.thead("", as_row(table.header))
    group += nodes.tbody("", *map(as_row, table.rows))
    return nodes.table("", nodes.title("", table.caption), group, classes=["benchmark"])


def as_row(cells):
    """Return one row."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def digest():
    """Change whenever a result does, or comes, or goes."""
    paths = sorted([*RESULTS.glob("optimizer*.json"), *RESULTS.glob("sweep.json")])
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in paths)).hexdigest()


def outdated(app, env, added, changed, removed):
    """Return the pages whose tables were made from other results."""
    pages, now = getattr(env, "benchmark_pages", {}), digest()
    return [name for name, then in pages.items() if name in env.found_docs and then != now]


def setup(app):
    """Register the directive; Sphinx asks `outdated` at each build."""
    app.add_directive("optimizer-benchmark", Benchmark)
    app.add_directive("sweep-benchmark", SweepBenchmark)
    app.connect("env-get-outdated", outdated)
