"""The page of explorers names each one, with its picture and the chapters that use it."""

import json
import re
from pathlib import Path

import notebooks
import pytest

from fromage_edu import explorers

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE = (BOOK / "reference" / "explorers.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def chapters_with(name):
    """Pages whose code places the explorer."""
    for path in notebooks.all_notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        if re.search(rf"^{name}\(", code, re.MULTILINE):
            yield "../" + path.relative_to(BOOK).as_posix()


def test_every_explorer_has_a_section_and_no_other_has():
    assert sorted(SECTIONS) == sorted(explorers.__all__)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_shows_the_still_and_links_the_chapters(name):
    assert f":::{{still}} {name}\n" in SECTIONS[name]
    assert sorted(re.findall(r"\]\(([^)]*)\)", SECTIONS[name])) == sorted(chapters_with(name))
