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


def keep(name: str, rows: list[dict]) -> None:
    """Print `rows` as a table and write them to `results/NAME.json`, whole or not at all."""
    columns = list(rows[0])
    table = [columns] + [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
    print(f"kept in {path.relative_to(FOLDER.parent.parent)}")


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
