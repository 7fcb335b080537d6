"""Create or refresh `.venv` from `requirements.lock`: `python3 tools/environment.py` (standard library only).

A stamp inside `.venv` says for which lock, project file and Python it was completed. With an old stamp the
environment is brought up to date; without one (the last run was interrupted) it is made again from scratch.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "complete"
PYTHON = VENV / "bin" / "python"
PINS = ("requirements.lock", "pyproject.toml")


def home():
    """Return what an environment cannot outlive: the Python that made it, and its place."""
    return f"{sys.version}\n{ROOT}\n"


def key():
    """Return the stamp of a complete environment."""
    digest = hashlib.sha256()
    for name in PINS:
        digest.update((ROOT / name).read_bytes())
    return home() + digest.hexdigest()


def run(*command):
    """Run a command with its output shown; end here if it fails."""
    if subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode:
        sys.exit(f"environment: this failed: {' '.join(map(str, command))}")


def refresh():
    """Make the environment, or bring it up to date, and stamp it."""
    start = time.perf_counter()
    stamp = STAMP.read_text(encoding="utf-8") if STAMP.exists() else ""
    STAMP.unlink(missing_ok=True)
    quiet = []
    if stamp.startswith(home()) and PYTHON.exists():
        print("environment: bringing .venv up to date", flush=True)
        quiet = ["--quiet"]
    else:
        print(f"environment: creating .venv with Python {sys.version.split()[0]}, 1 to 5 minutes", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        run(sys.executable, "-m", "venv", VENV)
    # PYTHONPATH would let pip take packages of another environment for installed.
    os.environ.pop("PYTHONPATH", None)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install"]
    run(*pip, *quiet, "--requirement", "requirements.lock")
    run(*pip, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")
    STAMP.write_text(key(), encoding="utf-8")
    print(f"environment: ready after {time.perf_counter() - start:.0f} s", flush=True)


def main():
    """Refresh the environment unless its stamp fits."""
    if STAMP.exists() and PYTHON.exists() and STAMP.read_text(encoding="utf-8") == key():
        return
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit("environment: this Python lacks venv; on Debian and Ubuntu: apt install python3-venv")
    refresh()


if __name__ == "__main__":
    main()
