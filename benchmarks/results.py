"""Print the rows of a benchmark and keep them with the machine they were measured on."""

import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


def machine() -> dict:
    """What the numbers depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "date": datetime.date.today().isoformat(),
    }


def show(rows: list[dict]) -> None:
    """Print `rows` as a table."""
    columns = list(rows[0])
    table = [columns] + [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def keep(name: str, rows: list[dict], **settings) -> None:
    """Print `rows` and write them to `results/NAME.json`, whole or not at all.

    `settings` are kept with the machine: what else the numbers depend on.
    """
    show(rows)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    new = path.with_suffix(".new")
    kept = {"machine": machine() | settings, "rows": rows}
    new.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)
    print(f"kept in {path.relative_to(FOLDER.parent.parent)}")


def _text(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
