"""What `import fromage_edu` adds to `import torch`, in fresh processes: `python -m benchmarks.imports`."""

import statistics
import subprocess
import sys
import time

from benchmarks.results import keep

ROUNDS = 9


def seconds(statement: str) -> float:
    """Wall-clock time of a fresh interpreter that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and keep."""
    statements = ["import torch", "import fromage_edu"]
    for statement in statements:
        seconds(statement)  # once for the disk cache
    rounds = [[seconds(statement) for statement in statements] for _ in range(ROUNDS)]
    base = [times[0] for times in rounds]
    rows = []
    for index, statement in enumerate(statements):
        ratios = [times[index] / first for times, first in zip(rounds, base, strict=True)]
        rows.append(
            {
                "statement": statement,
                "median s": statistics.median(times[index] for times in rounds),
                "ratio to torch, median": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
            }
        )
    keep("imports", rows)


if __name__ == "__main__":
    main()
