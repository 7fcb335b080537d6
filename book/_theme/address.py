"""What depends on where the book and its repository live; both may be unknown.

The repository's address is the one setting `[project.urls] Repository` in `pyproject.toml`: with it, pages
grow a repository button and a Colab button. The book's own address comes from the environment variable
`BOOK_URL`, which the workflow that publishes the pages sets: with it, pages name their canonical address
and open graph URL.
"""

import os
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def repository():
    """Return the repository's address, or an empty string."""
    urls = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"].get("urls", {})
    return urls.get("Repository", "").rstrip("/")


def theme_options(repository_url):
    """Return the theme's options for a repository at this address."""
    if not repository_url:
        return {}
    return {
        "repository_url": repository_url,
        "repository_branch": "main",
        "path_to_docs": "book",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def choose(app, config):
    """Set the options that the addresses allow."""
    config.html_theme_options = {**config.html_theme_options, **theme_options(repository())}
    book = os.environ.get("BOOK_URL", "")
    if book:
        config.html_baseurl = config.ogp_site_url = book.rstrip("/") + "/"


def setup(app):
    """Choose before the theme reads its options."""
    app.connect("config-inited", choose, priority=100)
