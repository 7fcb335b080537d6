"""Say where each result of the papers is: `python tools/ledger.py` writes the ledger and the results page.

`book/reference/results.toml` says what the results are and which of them we claim. This file looks for their
ids in `Source:` lines of the library, in `@pytest.mark.result(…)` of the tests and in labels of the chapters,
and writes what it finds to `ledger.csv` and `results.md` beside it. It only reads texts and imports nothing;
`tests/test_ledger.py` fails when a claim is not kept or the files are stale.
"""

import ast
import csv
import io
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ID = re.compile(r"(?:^|-)([FWRX]\d+)(?=-|$)")
SOURCE = re.compile(r"Source: .+? \(([FWRX]\d+)\)\.")
# A label of a theorem, of any place, of an equation: `:label: thm-F12`, `(place-F12)=`, `$$ (eq-F12)`.
LABELS = (
    (re.compile(r"^:label: ([\w-]+)$", re.MULTILINE), "{}"),
    (re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE), "{}"),
    (re.compile(r"^\$\$ \(([\w-]+)\)$", re.MULTILINE), "equation-{}"),
)
COLUMNS = ["id", "statement", "source", "defined", "tested", "shown", "status"]
MISSING = {
    "defined": 'nothing public in fromage_edu has a docstring with "Source: … ({}).".',
    "tested": 'no test is marked with @pytest.mark.result("{}").',
    "shown": "no chapter has a label with {}, such as thm-{}, or places its explorer.",
}


def statements(root=ROOT):
    """Return the results by id: statement, source, status, needs, record."""
    text = (root / "book" / "reference" / "results.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def add(found, name, place):
    """Note that the result `name` is at `place`, once."""
    places = found.setdefault(name, [])
    if place not in places:
        places.append(place)


# --- The library --------------------------------------------------------------------------------------------


def public_name(path, name, package):
    """Return the dotted name by which readers import `name`, or that of the module at `path` (name None)."""
    parts = list(path.relative_to(package.parent).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    elif name and re.search(rf"\b{name}\b", (path.parent / "__init__.py").read_text(encoding="utf-8")):
        # The package re-exports it; the package of all rooms does so for one name, which has a room too.
        if len(parts) > 2:
            parts.pop()
    return ".".join(parts + [name] * bool(name))


def defined(root=ROOT):
    """Return the public names of the library whose docstrings name a result, by id."""
    found, package = {}, root / "fromage_edu"
    for path in sorted(package.rglob("*.py")):
        if "exercises" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        holders = [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))]
        for node in holders:
            name = getattr(node, "name", None)
            if (name or "").startswith("_"):
                continue
            for result in SOURCE.findall(" ".join((ast.get_docstring(node) or "").split())):
                add(found, result, public_name(path, name, package))
    return found


# --- The tests ----------------------------------------------------------------------------------------------


def results_in(node):
    """Return the ids of every `pytest.mark.result("…")` inside a node of the syntax tree."""
    names = []
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.result":
            names += [argument.value for argument in call.args]
    return names


def tested(root=ROOT):
    """Return the tests that are marked with a result, by id."""
    found = {}

    def visit(body, prefix, inherited):
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                inherited = inherited + results_in(node)
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            own = inherited + [name for mark in node.decorator_list for name in results_in(mark)]
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}::{node.name}", own)
            elif node.name.startswith("test"):
                for name in own:
                    add(found, name, f"{prefix}::{node.name}")

    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        visit(tree.body, path.relative_to(root).as_posix(), [])
    return found


# --- The chapters -------------------------------------------------------------------------------------------


def chapters(root=ROOT):
    """Yield each chapter as `(page, text, code)`; reference pages are no chapters."""
    for path in sorted((root / "book").rglob("*.ipynb")):
        page = path.relative_to(root / "book").with_suffix("").as_posix()
        if page.startswith("reference/") or ".ipynb_checkpoints" in path.parts:
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text, code = (
            "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)
            for kind in ("markdown", "code")
        )
        yield page, text, code


def labels(text):
    """Return `{id: anchor}` of a chapter: its theorem if there is one, or another place, or an equation."""
    anchors = {}
    for pattern, form in LABELS:
        for label in pattern.findall(text):
            # Only theorems keep the capitals of their labels.
            anchor = form.format(label if pattern is LABELS[0][0] else label.lower())
            for name in ID.findall(label):
                anchors.setdefault(name, anchor)
    return anchors


def imported(code):
    """Return the dotted names that a chapter imports from the library."""
    # Lines for IPython, such as `%pip`, are no Python.
    code = re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}


def shown(known, root=ROOT):
    """Return where chapters show a result, by id: at a label, or with an explorer or experiment of it."""
    found = {}
    for page, text, code in chapters(root):
        for name, anchor in labels(text).items():
            add(found, name, f"{page}#{anchor}")
        names = imported(code)
        for result, places in known.items():
            pictures = [place for place in places if place.split(".")[1] in ("explorers", "experiments")]
            here = any(place.startswith(f"{page}#") for place in found.get(result, []))
            if not here and names.intersection(pictures):
                add(found, result, page)
    return found


# --- Joined -------------------------------------------------------------------------------------------------


def ledger(root=ROOT):
    """Return the rows of the ledger, each a dict with the columns; places are lists."""
    names = defined(root)
    columns = {"defined": names, "tested": tested(root), "shown": shown(names, root)}
    return [
        {"id": name, "statement": result["statement"], "source": result["source"]}
        | {column: found.get(name, []) for column, found in columns.items()}
        | {"status": result.get("status", "not yet")}
        for name, result in statements(root).items()
    ]


def strangers(root=ROOT):
    """Yield places that name a result which `results.toml` does not have."""
    known, names = statements(root), defined(root)
    for found in (names, tested(root), shown(names, root)):
        for name, places in found.items():
            if name not in known:
                yield f"{name} is no id of results.toml: {places[0]}"


def problems(root=ROOT):
    """Yield, in words, every claim that is not kept, and every result that is there without a claim."""
    results = statements(root)
    quoted = " ".join(code for _, _, code in chapters(root))
    for row in ledger(root):
        name, status, result = row["id"], row["status"], results[row["id"]]
        needs = result.get("needs", ["defined", "tested", "shown"])
        missing = [column for column in needs if not row[column]]
        if status == "done":
            for column in missing:
                yield f"{name} is claimed done, but " + MISSING[column].replace("{}", name)
        elif status == "recorded":
            record = result.get("record", "")
            if not (root / "fromage_edu" / "recorded" / f"{record}.csv").is_file():
                yield f"{name} is claimed recorded, but fromage_edu/recorded has no {record!r}."
            elif not row["shown"] or f'"{record}"' not in quoted:
                yield f"{name} is claimed recorded, but no chapter quotes {record!r}."
        elif status == "not yet":
            if not missing:
                yield f'{name} is there: claim it with status = "done" in results.toml.'
        elif not re.fullmatch(r"not done: .{5,}", status):
            yield f"{name} has the status {status!r}: write done, recorded, not yet, or not done: why."


def csv_text(rows):
    """Return the ledger as it stands in its file; places are separated by semicolons."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = (row[column] for column in COLUMNS)
        writer.writerow([cell if isinstance(cell, str) else "; ".join(cell) for cell in cells])
    return out.getvalue()


# --- The page -----------------------------------------------------------------------------------------------

INTRO = """\
# Results

Every result of the three documents that this book rests on, in our own words, and where it is: in the
library, in a chapter, in the tests. Where a printed statement needs a repair, the repaired one stands here,
and [Close reading](close_reading.ipynb) says why.

- **done**: a function gives it, a test checks it, a chapter shows it. A statement about things that others
  define needs only the last two.
- **recorded**: a chapter quotes a recorded run of it.
- **not yet**: not all of this is there.

This page is written by `python tools/ledger.py`; the same table is in the file `book/reference/ledger.csv`.

"""
ALONE = "The main paper is not among our sources."
DOCUMENTS = {
    "F": (
        "Fromage paper",
        "*On the distance between two neural networks and the stability of learning*, February 2020.",
    ),
    "W": ("Linearity supplement", f"The appendices on the transition to linearity. {ALONE}"),
    "R": ("Residual supplement", f"*Gradient descent optimizes normalization-free ResNets*. {ALONE}"),
    "X": ("This book", "What joins the documents, or repairs them."),
}


def chapter_name(page):
    """Return how the results page calls a chapter."""
    number = re.match(r"\d\d", page.rpartition("/")[2])
    return f"chapter {number[0]}" if number else "introduction"


def documented(root=ROOT):
    """Return a test for names that the library's page documents."""
    text = (root / "book" / "reference" / "api.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"automodule:: ([\w.]+)", text))
    classes = set(re.findall(r"autoclass:: ([\w.]+)", text))
    return lambda name: name in classes or name.rpartition(".")[0] in modules


def places(row, has_page):
    """Return the line that says where a result is."""
    parts = [row["source"][0].upper() + row["source"][1:]]
    for name in row["defined"]:
        short = name.removeprefix("fromage_edu.")
        parts.append(f"{{py:obj}}`{short} <{name}>`" if has_page(name) else f"`{short}`")
    for place in row["shown"]:
        page, _, anchor = place.partition("#")
        target = f"../{page}.ipynb" + f"#{anchor}" * bool(anchor)
        parts.append(f"[{chapter_name(page)}]({target})")
    if row["tested"]:
        parts.append(f"{len(row['tested'])} test" + "s" * (len(row["tested"]) > 1))
    return " · ".join(parts)


def page_text(rows, root=ROOT):
    """Return the results page."""
    kinds = ["done", "recorded", "not yet"]
    if any(row["status"].startswith("not done") for row in rows):
        kinds.append("not done")
    has_page, parts = documented(root), [INTRO]
    parts.append(f"| document | {' | '.join(kinds)} | all |\n| --- | {'---: | ' * len(kinds)}---: |\n")
    counted = {letter: [row for row in rows if row["id"][0] == letter] for letter in DOCUMENTS}
    for letter, (title, _) in DOCUMENTS.items():
        counts = [sum(row["status"].startswith(kind) for row in counted[letter]) for kind in kinds]
        parts.append(f"| {title} | {' | '.join(map(str, counts))} | {len(counted[letter])} |\n")
    for letter, (title, about) in DOCUMENTS.items():
        parts.append(f"\n## {title}\n\n{about}\n\n")
        parts.append(":::{list-table}\n:header-rows: 1\n:widths: 16 84\n:class: ledger\n\n")
        parts.append("* - id and status\n  - what it says, and where it is\n")
        for row in counted[letter]:
            parts.append(f"* - (result-{row['id']})=\n    **{row['id']}**\n\n    {row['status']}\n")
            parts.append(f"  - {row['statement']}\n\n    {places(row, has_page)}\n")
        parts.append(":::\n")
    return "".join(parts)


def files(root=ROOT):
    """Return the texts of the two files that this tool writes, by path."""
    rows, folder = ledger(root), root / "book" / "reference"
    return {folder / "ledger.csv": csv_text(rows), folder / "results.md": page_text(rows, root)}


def main():
    """Write the two files; say what is claimed and not there, or there and not claimed."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    wrong = [*strangers(), *problems()]
    for line in wrong:
        print(line, file=sys.stderr)
    counts = {}
    for row in ledger():
        kind = row["status"].partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
