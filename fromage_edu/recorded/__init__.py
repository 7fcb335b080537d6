"""Recorded runs: what a page quotes but is too slow to compute while it is read.

A record is two files: `NAME.csv`, a tidy table, and `NAME.json`, where it comes from: config, versions,
commit, device, date and the command that makes it again; or the source, where others measured it.
"""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

__all__ = ["load", "names", "save"]

FOLDER = Path(__file__).parent
#: Pages carry records in their weight and the wheel carries them all.
MAX_BYTES = 300_000


def names() -> list[str]:
    """The records that exist.

    Example:
        >>> "depth_race" in names()
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def load(name: str):
    """A recorded table and where it comes from.

    Args:
        name: one of `names()`.

    Returns:
        A pandas table and a dictionary of its provenance.

    Raises:
        ValueError: if there is no such record; the message lists those there are.

    Example:
        >>> table, provenance = load("depth_race")
        >>> provenance["command"]
        'python -m fromage_edu.experiments.record depth'
    """
    if name not in names():
        raise ValueError(f"no record is named {name!r}; there are {', '.join(names())}")
    import pandas as pd

    provenance = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return pd.read_csv(FOLDER / f"{name}.csv"), provenance


def save(name: str, table, *, config: dict, command: str, folder: Path | str = FOLDER) -> Path:
    """Write a table and its provenance; returns the path of the table.

    Args:
        name: the file name without ending.
        table: a pandas table; floats are kept to five significant digits.
        config: everything needed to compute it again.
        command: what to type to do so.
        folder: where to write; the package's own records unless told otherwise.

    Raises:
        ValueError: if the table is larger than a record may be.
    """
    text = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    if len(text) > MAX_BYTES:
        raise ValueError(f"{name} takes {len(text)} bytes; a record may take {MAX_BYTES}: keep fewer rows")
    path = Path(folder) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    provenance = {
        "command": command,
        "config": config,
        "columns": list(table.columns),
        "rows": len(table),
        "versions": _versions(),
        "commit": _commit(),
        "device": _device(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.with_suffix(".json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    return path


def _versions() -> dict[str, str]:
    packages = ("fromage-edu", "torch", "numpy", "pandas", "scikit-learn")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


def _commit() -> str:
    """The commit of the code that ran, marked where the files differ from it."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-edited"]
        return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _device() -> str:
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"CPU {model}, {torch.get_num_threads()} thread(s)"
