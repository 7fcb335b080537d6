"""The form of every committed notebook: executed, slim, named, described."""

import json
import re
from pathlib import Path

import notebooks
import pytest
import yaml

BOOK = Path(__file__).resolve().parents[2] / "book"
PATHS = notebooks.all_notebooks()
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(BOOK).as_posix())


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def outputs_of(cell, *kinds):
    return [output for output in cell["outputs"] if output["output_type"] in kinds]


def test_every_notebook_of_the_contents_is_there_and_no_other():
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    named = {contents["root"]} | {entry["file"] for part in contents["parts"] for entry in part["chapters"]}
    pages = {path.relative_to(BOOK).with_suffix("").as_posix() for path in [*PATHS, *BOOK.rglob("*.md")]}
    assert named == pages


@each_notebook
def test_every_code_cell_was_executed_in_order(path):
    counts = [cell["execution_count"] for cell in code_cells(read(path))]
    assert counts == list(range(1, len(counts) + 1)), f"run: python tools/notebooks.py {path}"


@each_notebook
def test_no_output_is_an_error_or_stderr(path):
    for cell in code_cells(read(path)):
        assert not outputs_of(cell, "error"), cell["id"]
        assert all(output.get("name") != "stderr" for output in cell["outputs"]), cell["id"]


@each_notebook
def test_it_is_slim(path):
    notebook = read(path)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"] == notebooks.KERNEL
    for cell in code_cells(notebook):
        assert "execution" not in cell["metadata"], cell["id"]
        for output in outputs_of(cell, "display_data", "execute_result"):
            assert not {*notebooks.IMAGES, notebooks.WIDGET_VIEW} & set(output["data"]), cell["id"]


@each_notebook
def test_its_file_is_what_slimming_writes(path):
    notebook = read(path)
    notebooks.put_install_cell(notebook, notebooks.repository())
    notebooks.fix_ids(notebook, path.stem)
    notebooks.slim(notebook)
    assert path.read_text(encoding="utf-8") == notebooks.text_of(notebook)


@each_notebook
def test_ids_are_fixed_and_unique(path):
    ids = [cell["id"] for cell in read(path)["cells"]]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.stem)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(re.escape(stem) + r"-\d{3}", name) for name in ids)


@each_notebook
def test_the_first_code_cell_installs_in_colab_and_does_nothing_here(path):
    first = code_cells(read(path))[0]
    assert source(first) == notebooks.install_source(notebooks.repository())
    assert first["metadata"]["tags"] == [notebooks.INSTALL_TAG]
    assert first["outputs"] == []


@each_notebook
def test_every_figure_has_a_sentence_of_alt_text(path):
    for cell in code_cells(read(path)):
        draws = any("<Figure size" in "".join(output["data"].get("text/plain", ""))
                    for output in outputs_of(cell, "display_data", "execute_result"))
        if draws:
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) >= 15 and " " in alt.strip(), f"{cell['id']}: mystnb.image.alt is {alt!r}"


@each_notebook
def test_no_output_depends_on_the_machine(path):
    text = "".join(
        "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
        for cell in code_cells(read(path))
        for output in cell["outputs"]
    )
    assert not re.search(r"0x[0-9a-f]{8,}|/home/|/root/|/tmp/|site-packages", text)


def make(*sources):
    cells = [{"cell_type": "markdown", "metadata": {}, "source": ["# A title"]}]
    for text in sources:
        cells.append(
            {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": [text]}
        )
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def test_the_install_cell_goes_below_the_title_once():
    notebook = make("1 + 1")
    for _ in range(2):
        notebooks.put_install_cell(notebook, "")
    assert [cell["cell_type"] for cell in notebook["cells"]] == ["markdown", "code", "code"]
    assert "clone" in source(notebook["cells"][1]).lower()


def test_the_install_cell_names_the_address_when_there_is_one():
    text = notebooks.install_source("https://example.org/some/book")
    assert '"fromage-edu[notebooks] @ git+https://example.org/some/book"' in text
    assert "print" not in text


def test_cells_keep_their_ids_when_another_is_put_in_before():
    notebook = make("1", "2")
    notebooks.fix_ids(notebook, "09_depth")
    before = [cell["id"] for cell in notebook["cells"]]
    assert before == ["09-depth-000", "09-depth-001", "09-depth-002"]
    notebook["cells"].insert(1, make("new")["cells"][1])
    notebooks.fix_ids(notebook, "09_depth")
    assert [cell["id"] for cell in notebook["cells"]] == [before[0], "09-depth-003", *before[1:]]


def test_executing_and_slimming_twice_gives_the_same_bytes(tmp_path, monkeypatch):
    import execution

    monkeypatch.setattr(execution, "CACHE", tmp_path / "cache")
    path = tmp_path / "toy.ipynb"
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    widget = "from fromage_edu.explorers import TrustRegions\nTrustRegions(depth=30, step=0.1)"
    sources = ["print('one')\nprint('two')", figure, "", widget]
    path.write_text(json.dumps(make(*sources)), encoding="utf-8")
    texts = []
    for _ in range(2):
        assert notebooks.main([str(path), "--jobs", "1"]) == 0
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    outputs = [cell["outputs"] for cell in code_cells(json.loads(texts[0]))]
    assert outputs[1][0]["text"] == ["one\n", "two\n"]
    assert set(outputs[2][0]["data"]) == set(outputs[3][0]["data"]) == {"text/plain"}


def test_a_failing_cell_is_named_and_the_file_stays_readable(tmp_path, monkeypatch, capsys):
    import execution

    monkeypatch.setattr(execution, "CACHE", tmp_path / "cache")
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps(make("raise ValueError('no such luck')")), encoding="utf-8")
    assert notebooks.main([str(path)]) == 1
    assert "no such luck" in capsys.readouterr().err
    assert len(read(path)["cells"]) == 3


def test_stderr_is_refused(tmp_path, monkeypatch, capsys):
    import execution

    monkeypatch.setattr(execution, "CACHE", tmp_path / "cache")
    path = tmp_path / "toy.ipynb"
    path.write_text(json.dumps(make("import sys\nprint('bar 10 %', file=sys.stderr)")), encoding="utf-8")
    assert notebooks.main([str(path)]) == 1
    assert "bar 10 %" in capsys.readouterr().err


def test_the_key_follows_cells_library_and_tags():
    import execution

    notebook = make("1 + 1")
    key = execution.notebook_key(notebook, "library")
    assert execution.notebook_key(notebook, "another library") != key
    notebook["cells"][0]["source"] = ["# Another title"]
    assert execution.notebook_key(notebook, "library") == key
    notebook["cells"][1]["metadata"]["tags"] = ["raises-exception"]
    assert execution.notebook_key(notebook, "library") != key


def test_a_change_in_the_library_changes_its_key(tmp_path):
    import execution

    (tmp_path / "trust.py").write_text("1")
    (tmp_path / "host.js").write_text("1")
    before = execution.library_key(tmp_path)
    (tmp_path / "host.js").write_text("2")
    assert execution.library_key(tmp_path) == before
    (tmp_path / "trust.py").write_text("2")
    assert execution.library_key(tmp_path) != before
