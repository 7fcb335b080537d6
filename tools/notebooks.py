"""Execute the book's notebooks and write them back slim and byte-stable: `python tools/notebooks.py [PATH…]`.

Text outputs and execution counts stay: readers on the web see them and the tests compare them. Images,
widget state and timestamps go: the book's build makes them anew, and in a diff they would only be noise.
"""

import argparse
import functools
import json
import re
import sys
import tomllib
from pathlib import Path

import execution

BOOK = execution.ROOT / "book"
IMAGES = ("image/png", "image/jpeg", "image/svg+xml", "application/pdf")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
INSTALL_TAG = "remove-cell"
INSTALL_HEAD = """\
# In Colab this cell installs the book's package; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
"""
INSTALL_FROM_ADDRESS = '    %pip install -q "fromage-edu[notebooks] @ git+{address}"'
INSTALL_FROM_CLONE = """\
    print("Clone the repository of this book into /content/fromage-edu, then run in a cell of its own:")
    print('%pip install "/content/fromage-edu[notebooks]"')"""


def all_notebooks(book=BOOK):
    """Every notebook of the book, in a fixed order."""
    return sorted(path for path in book.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def repository(pyproject=execution.ROOT / "pyproject.toml"):
    """Return the address in `[project.urls] Repository`; empty while it is not known."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/")


def install_source(address):
    """Return the source of the first code cell."""
    return INSTALL_HEAD + (INSTALL_FROM_ADDRESS.format(address=address) if address else INSTALL_FROM_CLONE)


def put_install_cell(notebook, address):
    """Write the install cell anew, or put it below the title where there is none yet."""
    cells = notebook["cells"]
    first = next((cell for cell in cells if cell["cell_type"] == "code"), None)
    if first is None or "google.colab" not in "".join(first["source"]):
        first = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": ""}
        cells.insert(1 if cells and cells[0]["cell_type"] == "markdown" else 0, first)
    first["source"] = install_source(address)
    first["metadata"] = {"tags": [INSTALL_TAG]}


def fix_ids(notebook, stem):
    """Give each cell an id like `depth-007`: a cell keeps its id when others are put in before it."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:40]
    known = re.compile(re.escape(stem) + r"-(\d{3})")
    taken = set()
    for cell in notebook["cells"]:
        if not known.fullmatch(cell.get("id", "")) or cell["id"] in taken:
            cell["id"] = ""
        taken.add(cell["id"])
    number = max((int(known.fullmatch(name)[1]) for name in taken if name), default=-1)
    for cell in notebook["cells"]:
        if not cell["id"]:
            number += 1
            cell["id"] = f"{stem}-{number:03d}"


def slim(notebook):
    """Drop what changes from run to run."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        for name in ("execution", "ExecuteTime", "collapsed", "scrolled"):
            cell["metadata"].pop(name, None)
        for output in cell.get("outputs", []):
            for kind in (*IMAGES, WIDGET_VIEW):
                output.get("data", {}).pop(kind, None)
            if output["output_type"] in ("display_data", "execute_result"):
                output["metadata"] = {}
    notebook["metadata"] = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5


def text_of(notebook):
    """Return the notebook as it stands in its file: sorted keys, lists of lines, one newline at the end."""
    import nbformat

    return nbformat.writes(nbformat.from_dict(notebook), version=nbformat.NO_CONVERT) + "\n"


def prepare(path, address):
    """Write the install cell and the ids into the file, so that what runs is what will be committed."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    # An empty code cell is never executed: it would stay without a count.
    notebook["cells"] = [
        cell for cell in notebook["cells"] if cell["cell_type"] != "code" or "".join(cell["source"]).strip()
    ]
    put_install_cell(notebook, address)
    fix_ids(notebook, path.stem)
    slim(notebook)
    execution.write(path, text_of(notebook))


def stderr_of(notebook):
    """Cells that wrote to stderr, as `cell id: first line`."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                yield f"{cell['id']}: {''.join(output['text']).strip().splitlines()[0]}"


def main(arguments=None):
    """Execute and slim the notebooks named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all of the book)")
    parser.add_argument("--jobs", type=int, help="how many run at a time (default: one per core, 2 to 4)")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.paths] or all_notebooks()
    for path in paths:
        prepare(path, repository())
    keys = execution.keys_of(paths)
    try:
        execution.run(keys, force=True, jobs=options.jobs, say=functools.partial(print, flush=True))
    except execution.NotebookFailed as error:
        print(error, file=sys.stderr)
        return 1
    noisy = []
    for path in paths:
        notebook = execution.fill(path, execution.load(keys[path]))
        slim(notebook)
        execution.write(path, text_of(notebook))
        noisy += [f"{path.name}, cell {line}" for line in stderr_of(notebook)]
    for line in noisy:
        print(f"a cell wrote to stderr, which the tests refuse: {line}", file=sys.stderr)
    return 1 if noisy else 0


if __name__ == "__main__":
    sys.exit(main())
