"""Recorded runs: what a page quotes but is too slow to compute while it is read.

A record is two files: `NAME.csv`, a tidy table, and `NAME.json`, where it comes from: config, versions,
commit, device, date and the command that makes it again; or the source, where others measured it.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

__all__ = ["load", "names", "provenance", "save"]

FOLDER = Path(__file__).parent
#: Pages carry records in their weight and the wheel carries them all.
MAX_BYTES = 300_000


def names() -> list[str]:
    """The records that exist.

    Returns:
        Their names, sorted.

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
        ImportError: without pandas, with the command that installs it.
        ValueError: if there is no such record; the message lists those there are.

    >>> table, provenance = load("depth_race")
    >>> provenance["command"]
    'python -m fromage_edu.experiments.record depth'
    """
    if name not in names():
        raise ValueError(f"no record is named {name!r}; there are {', '.join(names())}")
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "recorded tables need pandas, which is not installed: pip install 'fromage-edu[notebooks]'"
        ) from error
    about = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return pandas.read_csv(FOLDER / f"{name}.csv"), about


def save(
    name: str,
    table,
    *,
    config: dict,
    command: str,
    device: torch.device | str | None = None,
    folder: Path | str | None = None,
) -> Path:
    """Write a table and its provenance, both or neither.

    Args:
        name: the file name without ending: small letters, digits and underscores.
        table: a pandas table; floats are kept to five significant digits.
        config: everything needed to compute it again.
        command: what to type to do so.
        device: where it was computed; None is CUDA if this process has used it, else the CPU.
        folder: where to write; None is the package's own records.

    Returns:
        The path of the table; the provenance lies beside it.

    Raises:
        ValueError: for another name, a config that JSON cannot hold (NaN and infinity are such), or if the
            two files together are larger than a record may be.

    >>> import pandas, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save("tiny", pandas.DataFrame({"seed": [1]}), config={}, command="make", folder=folder)
    ...     path.read_text()
    'seed\\n1\\n'
    """
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(f"name is {name!r}: use small letters, digits and underscores, such as 'depth_race'")
    made = {"command": command, "config": config, "columns": list(table.columns), "rows": len(table)}
    try:
        about = json.dumps(made | provenance(device), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the config of {name} is not JSON ({error}): use finite numbers, text, lists and dictionaries"
        ) from error
    texts = {"csv": table.to_csv(index=False, float_format="%.5g", lineterminator="\n"), "json": about}
    size = sum(len(text.encode()) for text in texts.values())
    if size > MAX_BYTES:
        raise ValueError(f"{name} takes {size} bytes; a record may take {MAX_BYTES}: keep fewer rows")

    folder = FOLDER if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and moved: a full disk leaves the old record as it was.
    with TemporaryDirectory(dir=folder) as aside:
        for ending, text in texts.items():
            (Path(aside) / ending).write_text(text, encoding="utf-8")
        for ending in texts:
            (Path(aside) / ending).replace(folder / f"{name}.{ending}")
    return folder / f"{name}.csv"


def provenance(device: torch.device | str | None = None) -> dict:
    """Where a number comes from that this process computes now.

    Args:
        device: where it is computed; None is CUDA if this process has used it, else the CPU.

    Returns:
        versions (of Python and of the packages that are there), commit (of the code, marked where the files
        differ from it; "unknown" outside a repository), device and date (UTC).

    >>> sorted(provenance())
    ['commit', 'date', 'device', 'versions']
    """
    return {
        "versions": _versions(),
        "commit": _commit(),
        "device": _device(device),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("fromage-edu", "torch", "numpy", "pandas", "scikit-learn"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    """The commit of the code that ran, marked where the files differ from it."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-edited"]
        return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _device(device: torch.device | str | None) -> str:
    if device is None:
        device = "cuda" if torch.cuda.is_initialized() else "cpu"
    device = torch.device(device)
    if device.type == "cuda":
        return f"CUDA {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return str(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"CPU {model}, {torch.get_num_threads()} thread(s)"
