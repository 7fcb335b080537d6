"""A small book, built again and again: what a change makes new, and what stays as it is."""

import shutil
import subprocess
import sys

import pytest
import yaml

CONTENTS = "format: jb-book\nroot: intro\nchapters:\n{}"
PAGE = "# {title}\n\nA formula $x^2$ and [a link]({link}).\n\n{more}\n"
SEE_ALSO = ":::{seealso}\nAnother page.\n:::\n"


class Book:
    """Three pages in two folders, with the settings and the extension of the real book."""

    def __init__(self, root, folder):
        self.root, self.folder, self.html = root, folder, folder / "_build" / "html"
        (folder / "book" / "part").mkdir(parents=True)
        config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
        config["sphinx"]["local_extensions"] = {"_theme": str(root / "book")}
        (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (folder / "book" / "_theme").symlink_to(root / "book" / "_theme")
        shutil.copy(root / "book" / "references.bib", folder / "book")
        self.write("intro", title="The start", link="part/one.md")
        self.write("part/one", title="Page one", link="../intro.md")
        self.write("part/two", title="Page two", link="one.md")
        self.contents("part/one", "part/two")

    def write(self, name, more="", **words):
        (self.folder / "book" / f"{name}.md").write_text(PAGE.format(more=more, **words), encoding="utf-8")

    def contents(self, *names):
        text = CONTENTS.format("".join(f"  - file: {name}\n" for name in names))
        (self.folder / "book" / "_toc.yml").write_text(text, encoding="utf-8")

    def build(self):
        command = [sys.executable, self.root / "tools" / "build.py", self.folder]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout[-3000:]
        return self

    def read(self, name):
        return (self.html / name).read_text(encoding="utf-8")

    def times(self):
        files = [*self.html.rglob("*.html"), self.html / "_static" / "book.css"]
        return {path.relative_to(self.html).as_posix(): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def book(root, tmp_path_factory):
    return Book(root, tmp_path_factory.mktemp("small book")).build()


def test_the_pages_are_light(book):
    page = book.read("part/one.html")
    assert '<link rel="stylesheet" href="../_static/book.css"/>' in page
    assert page.count("<script defer") == 1 and "<math" in page
    assert 'url=intro.html"' in book.read("index.html")
    assert "Book Math" in book.read("_static/book.css")


def test_with_nothing_changed_nothing_is_written(book):
    before = book.times()
    assert book.build().times() | {"index.html": 0} == before | {"index.html": 0}


def test_a_changed_page_is_written_and_the_common_style_still_serves_all(book):
    before, style = book.times(), book.read("_static/book.css")
    book.write("part/two", title="Page two", link="one.md", more=SEE_ALSO)
    after = book.build().times()
    assert after["part/two.html"] != before["part/two.html"]
    assert after["part/one.html"] == before["part/one.html"]
    assert ".admonition.seealso" not in style and ".admonition.seealso" in book.read("_static/book.css")
    assert "Book Math" in book.read("_static/book.css")


def test_a_page_that_leaves_the_contents_leaves_the_site(book):
    book.contents("part/one")
    (book.folder / "book" / "part" / "two.md").unlink()
    book.build()
    assert not (book.html / "part" / "two.html").exists()
    assert (book.html / "part" / "one.html").exists()


def test_an_interrupted_build_is_made_good(book):
    (book.folder / "_build" / "complete").unlink()
    (book.html / "_static" / "book.js").unlink()
    book.build()
    assert "explorer" in book.read("_static/book.js")


@pytest.mark.parametrize("time", ["the first time", "the second time"])
def test_a_formula_that_cannot_be_read_fails_the_build(book, time):
    book.write("part/one", title="Page one", link="../intro.md", more=r"$\frac{1}{$")
    with pytest.raises(AssertionError, match="formula"):
        book.build()
