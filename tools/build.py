"""Build the book into `_build/html`: `python tools/build.py [FOLDER]`. Warnings are errors.

The extension in `book/_theme` runs the stale notebooks first and writes the light pages at the end; what
has not changed since the last build is not done again. After a build that failed or was interrupted the
pages are made anew: Sphinx does not repeat a warning about a page that it has read before.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Not the script `jupyter-book`: its first line holds a path, which may have spaces.
START = "from jupyter_book.cli.main import main; main()"
ARGUMENTS = "build book --config _config.yml --path-output . -n -W --keep-going".split()
COLOR = re.compile(r"\x1b\[[0-9;]*m")
# Lines that name what happens; the rest of the build's talk helps only when it fails.
TELLING = ("executing", "  [", "building [html]", "book.css:", "fonts:", "WARNING", "ERROR")


def main(folder=ROOT):
    """Build the book in `folder`; show progress, and everything when it fails."""
    start = time.perf_counter()
    built = Path(folder) / "_build"
    complete = built / "complete"
    if not complete.exists():
        for stale in ("html", ".doctrees"):
            shutil.rmtree(built / stale, ignore_errors=True)
    complete.unlink(missing_ok=True)
    print("book: building (warnings are errors)", flush=True)
    command = [sys.executable, "-c", START, *ARGUMENTS]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}  # lines are read here as they come
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    lines = []
    for line in process.stdout:
        line = COLOR.sub("", line)
        lines.append(line)
        if any(word in line for word in TELLING):
            print("  " + line.strip().removeprefix("updating environment: "), flush=True)
    if process.wait():
        print("".join(lines[-60:]), file=sys.stderr)
        print("book: not built; the reason stands above", file=sys.stderr)
        return 1
    complete.touch()
    print(f"book: built in {time.perf_counter() - start:.0f} s: _build/html/index.html", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
