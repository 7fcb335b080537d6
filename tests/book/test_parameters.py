"""Chapter 09 takes parameters: papermill runs it with tiny ones."""

from pathlib import Path

import nbformat
import pytest

# The smallest run that still is one.
TINY = {"depths": [2, 3], "seeds": [0], "epochs": 1, "width": 8}
CHAPTER = Path(__file__).resolve().parents[2] / "book" / "descent" / "09_depth.ipynb"


def test_one_cell_is_marked_as_parameters():
    cells = nbformat.read(CHAPTER, as_version=4).cells
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1


@pytest.mark.filterwarnings("ignore")  # papermill's own
def test_papermill_runs_the_chapter_with_tiny_parameters(tmp_path):
    import papermill

    target = tmp_path / "tiny.ipynb"
    # A renamed parameter would be put in beside the old one, and the whole race would run.
    assert papermill.inspect_notebook(str(CHAPTER)).keys() >= TINY.keys()
    papermill.execute_notebook(
        str(CHAPTER), str(target), parameters=TINY, cwd=str(tmp_path), progress_bar=False
    )
    cells = nbformat.read(target, as_version=4).cells
    assert sum("injected-parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
