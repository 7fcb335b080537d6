"""The ledger: every claim is kept, the files are what the tool writes, and the tool sees what is there."""

import csv
import importlib.util
import io
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITE = "run: python tools/ledger.py"


def load_tool():
    place = importlib.util.spec_from_file_location("ledger", ROOT / "tools" / "ledger.py")
    tool = importlib.util.module_from_spec(place)
    place.loader.exec_module(tool)
    return tool


tool = load_tool()


def test_every_result_of_the_documents_is_named_once_and_in_order():
    counts = {"F": range(1, 40), "W": range(1, 36), "R": range(18), "X": range(1, 9)}
    expected = [f"{letter}{number}" for letter, numbers in counts.items() for number in numbers]
    assert list(tool.statements()) == expected


def test_statements_are_short_sentences_with_a_source():
    for name, result in tool.statements().items():
        assert 20 <= len(result["statement"]) <= 260 and result["statement"].endswith("."), name
        assert "|" not in result["statement"] and "\n" not in result["statement"], name
        assert re.match(r"(Fromage paper|\w+ supplement|this book), ", result["source"]), name
        assert set(result) <= {"statement", "source", "status", "needs", "record"}, name
        assert set(result.get("needs", [])) <= {"defined", "tested", "shown"}, name


def test_every_claim_is_kept_and_everything_there_is_claimed():
    assert list(tool.problems()) == []


def test_nothing_names_a_result_that_is_not_there():
    assert list(tool.strangers()) == []


@pytest.mark.parametrize("name", ["ledger.csv", "results.md"])
def test_the_written_files_are_up_to_date(name):
    path = ROOT / "book" / "reference" / name
    assert path.read_text(encoding="utf-8") == tool.files()[path], WRITE


def test_the_ledger_has_the_columns_that_readers_know():
    rows = list(csv.DictReader(io.StringIO(tool.csv_text(tool.ledger()))))
    assert list(rows[0]) == ["id", "statement", "source", "defined", "tested", "shown", "status"]
    done = [row for row in rows if row["status"] == "done"]
    assert all(row["tested"] and row["shown"] for row in done)


# --- What the tool sees, in a small project -----------------------------------------------------------

LIBRARY = '''
def one():
    """One.

    Source: Fromage paper, Definition 1
        (F1).
    """


def _two():
    """Two.

    Source: Fromage paper, Definition 2 (F2).
    """
'''
TESTS = """
import pytest

pytestmark = pytest.mark.result("F3")


@pytest.mark.result("F1", "F2")
def test_one(): ...


@pytest.mark.result("F1")
class TestAll:
    @pytest.mark.result("X1")
    def test_two(self): ...

    def helper(self): ...
"""
CHAPTER = """
:::{prf:theorem} F1
:label: thm-F1-chain
$$
x
$$ (eq-F1)
:::

$$
y
$$ (eq-F2)

(place-F4)=
# Here
"""
CODE = "%matplotlib inline\nfrom fromage_edu.explorers import Picture\n\nPicture()"
RESULTS = {name: "not yet" for name in ("F1", "F2", "F3", "F4", "F9")}


@pytest.fixture
def project(tmp_path):
    """A project of one function, one explorer, two tests and one chapter."""

    def write(statuses, **extra):
        row = '[{}]\nstatement = "x."\nsource = "y"\nstatus = "{}"'
        lines = [row.format(*item) for item in statuses.items()]
        lines += [f"[{name}]\n{more}" for name, more in extra.items()]
        (tmp_path / "book" / "reference" / "results.toml").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    cells = [{"cell_type": "markdown", "source": [CHAPTER]}, {"cell_type": "code", "source": [CODE]}]
    picture = 'class Picture:\n    """A picture.\n\n    Source: Fromage paper, Figure 9 (F9).\n    """\n'
    texts = {
        "fromage_edu/__init__.py": "",
        "fromage_edu/room/__init__.py": "from fromage_edu.room.inner import one",
        "fromage_edu/room/inner.py": LIBRARY,
        "fromage_edu/explorers/__init__.py": "from fromage_edu.explorers.picture import Picture",
        "fromage_edu/explorers/picture.py": picture,
        "fromage_edu/recorded/run.csv": "",
        "tests/test_all.py": TESTS,
        "book/part/07_page.ipynb": json.dumps({"cells": cells}),
        "book/reference/close.ipynb": json.dumps({"cells": [cells[0] | {"source": "(at-F3)="}]}),
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return write


def test_it_finds_public_names_marked_tests_and_labels(project):
    root = project(RESULTS)
    names = tool.defined(root)
    assert names == {"F1": ["fromage_edu.room.one"], "F9": ["fromage_edu.explorers.Picture"]}
    one, two = "tests/test_all.py::test_one", "tests/test_all.py::TestAll::test_two"
    assert tool.tested(root) == {"F1": [one, two], "F2": [one], "F3": [one, two], "X1": [two]}
    assert tool.shown(names, root) == {
        "F1": ["part/07_page#thm-F1-chain"],
        "F2": ["part/07_page#equation-eq-f2"],
        "F4": ["part/07_page#place-f4"],
        "F9": ["part/07_page"],
    }
    assert list(tool.strangers(root)) == [f"X1 is no id of results.toml: {two}"]


def test_a_result_that_is_there_is_to_be_claimed(project):
    claim = 'F1 is there: claim it with status = "done" in results.toml.'
    assert list(tool.problems(project(RESULTS))) == [claim]
    assert list(tool.problems(project(RESULTS | {"F1": "done"}))) == []


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("F2", "done", "F2 is claimed done, but nothing public in fromage_edu has a docstring with"),
        ("F9", "done", 'F9 is claimed done, but no test is marked with @pytest.mark.result("F9").'),
        ("F3", "done", "F3 is claimed done, but no chapter has a label with F3, such as thm-F3"),
        ("F3", "recorded", "F3 is claimed recorded, but fromage_edu/recorded has no ''."),
        ("F3", "finished", "F3 has the status 'finished': write done, recorded, not yet, or not done: why."),
        ("F3", "not done:", "F3 has the status 'not done:': write done"),
    ],
)
def test_a_claim_that_is_not_kept_is_named(project, name, status, message):
    root = project(RESULTS | {"F1": "done", name: status})
    assert any(line.startswith(message) for line in tool.problems(root))


def test_a_recorded_result_is_quoted_by_a_chapter(project):
    row = 'statement = "x."\nsource = "y"\nstatus = "recorded"\nrecord = "run"'
    statuses = {name: status for name, status in RESULTS.items() if name not in ("F1", "F4")}
    root = project(statuses | {"F1": "done"}, F4=row)
    assert list(tool.problems(root)) == ["F4 is claimed recorded, but no chapter quotes 'run'."]
    page = root / "book" / "part" / "07_page.ipynb"
    page.write_text(page.read_text().replace("Picture()", 'Picture()\\nload(\\"run\\")'), encoding="utf-8")
    assert list(tool.problems(root)) == []


def test_the_page_links_to_library_and_chapters(project):
    root = project(RESULTS | {"F1": "done"})
    (root / "book" / "reference" / "api.md").write_text(".. automodule:: fromage_edu.room", encoding="utf-8")
    text = tool.page_text(tool.ledger(root), root)
    assert "(result-F1)=\n    **F1**\n\n    done\n" in text
    assert "{py:obj}`room.one <fromage_edu.room.one>`" in text and "`explorers.Picture`" in text
    assert "[chapter 07](../part/07_page.ipynb#thm-F1-chain) · 2 tests" in text
    assert "| Fromage paper | 1 | 0 | 4 | 5 |" in text
