"""Write `requirements.lock` anew: `python tools/lock.py` (needs `uv` on the path; only this file uses it).

One list of exact pins serves every extra, on every platform from Python 3.11 up. The GPU libraries that torch
asks for on Linux are left out: torch's own metadata fetches them where they are needed. Triton stays, because
tests run the GPU kernels in its interpreter also where torch is built for a CPU.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"  # the release the book is built and checked with
HEADER = "# Exact pins of everything the project uses; made by tools/lock.py.\n"
COMPILE = (
    "uv pip compile --universal --python-version 3.11 --all-extras --prerelease disallow "
    "--quiet --no-header --no-annotate"
).split()
GPU = re.compile(r"^((?:nvidia|cuda)-[a-z0-9-]+)==", re.M)


def resolve(leave_out=()):
    """Return the resolved pins as text, without the packages named in `leave_out`."""
    command = [*COMPILE, "--no-emit-index-url", "--no-emit-find-links"]
    for name in leave_out:
        command += ["--no-emit-package", name]
    command += ["--constraints", "-", "pyproject.toml"]
    run = subprocess.run(command, cwd=ROOT, input=TORCH, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"uv could not resolve the project's requirements:\n{run.stderr}")
    return run.stdout


def main():
    """Resolve once to learn the names to leave out, and once more without them."""
    names = GPU.findall(resolve())
    pins = resolve(names)
    new = ROOT / "requirements.lock.new"
    new.write_text(HEADER + pins, encoding="utf-8")
    new.replace(ROOT / "requirements.lock")
    print(f"requirements.lock: {len(pins.splitlines())} pins, {len(names)} GPU libraries left to torch")


if __name__ == "__main__":
    main()
