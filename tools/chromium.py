"""Where Chromium is, and how it is started: for the browser tests, the stills and the benchmarks."""

import os
import shutil
from pathlib import Path

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
MISSING = (
    "no Chromium found: install the package chromium (Debian: apt-get install chromium), "
    "or set CHROME_PATH, or run: .venv/bin/python -m playwright install chromium"
)


def find_chromium(playwright):
    """Return the path of a Chromium, or None: $CHROME_PATH, chromium, google-chrome, playwright's own."""
    for name in (os.environ.get("CHROME_PATH"), "chromium", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    own = playwright.chromium.executable_path
    return own if own and Path(own).exists() else None
