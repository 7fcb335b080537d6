"""Build the book, then check everything, stage by stage: `python tools/check.py [STAGE…]`.

Each stage is a pytest run of its own; a stage that fails does not keep the next from running. The last
lines sum up.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

from chromium import MISSING, find_chromium

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "_build" / "reports"
PYTEST = [sys.executable, "-m", "pytest", "-q"]
TWO = ["-n", "2", "--dist", "loadfile"]
# nbval collects only notebooks, each cell with its own time limit; the suite's options are for Python files.
NBVAL = ["-o", "addopts=", "-o", "filterwarnings=", "--nbval", "--nbval-cell-timeout", "300", *TWO]
STAGES = {
    "unit": (
        "unit tests, doctests, tests of the notebooks' form",
        ["tests", "fromage_edu", "--ignore=tests/browser", "--ignore=tests/test_wheel.py", *TWO],
    ),
    "notebooks": ("every notebook again, its outputs compared with the committed ones", [*NBVAL, "book"]),
    "wheel": ("the wheel in a clean environment", ["tests/test_wheel.py"]),
    "browser": ("the built pages and the explorers in Chromium", ["tests/browser", *TWO]),
}


def headline(text):
    """Print a line that stands out."""
    print(f"\n===== {text} " + "=" * max(0, 100 - len(text)), flush=True)


def run_stage(name, arguments):
    """Run pytest; return `(number of each outcome, names of what failed)`."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    # One thread each: the tests run beside each other, and sums come out in the same order everywhere.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    command = [*PYTEST, *arguments, f"--junit-xml={report}"]
    status = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    if not report.exists():
        return {"failed": 1}, [f"{name}: pytest ended with status {status} and no report"]
    return read_report(report, name, status)


def missing_chromium():
    """Return the line that says how to install Chromium, or None where there is one."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return None if find_chromium(playwright) else MISSING


def read_report(report, name, status):
    """Count the outcomes in a JUnit report; a bad status without a failed test is a failure too."""
    counts, failed = {"passed": 0, "failed": 0, "skipped": 0}, []
    for case in xml.parse(report).getroot().iter("testcase"):
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
            elif child.tag == "skipped":
                outcome = "skipped"
        counts[outcome] += 1
        if outcome == "failed":
            failed.append(f"{name}: {case.get('classname')}::{case.get('name')}")
    if status and not failed:
        counts["failed"] += 1
        failed.append(f"{name}: pytest ended with status {status}")
    return counts, failed


def main(names):
    """Run the stages named, or the build and all of them."""
    start = time.perf_counter()
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        sys.exit(f"no stage {unknown[0]!r}: choose from {', '.join(STAGES)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    totals, failed, times = {}, [], []
    if not names:
        headline("book: the pages that the tests look at")
        if subprocess.run([sys.executable, "tools/build.py"], cwd=ROOT, check=False).returncode:
            totals["failed"] = 1
            failed.append("book: the build failed")
        times.append(f"book {time.perf_counter() - start:.0f} s")
    for name in names or STAGES:
        what, arguments = STAGES[name]
        headline(f"{name}: {what}")
        began = time.perf_counter()
        lack = missing_chromium() if name == "browser" else None
        counts, lost = ({"failed": 1}, [f"browser: {lack}"]) if lack else run_stage(name, arguments)
        times.append(f"{name} {time.perf_counter() - began:.0f} s")
        failed += lost
        for outcome, count in counts.items():
            totals[outcome] = totals.get(outcome, 0) + count
    headline("summary")
    print("; ".join(times))
    for line in failed:
        print(f"FAILED {line}")
    counted = ", ".join(f"{totals[key]} {key}" for key in ("failed", "passed", "skipped") if totals.get(key))
    print(f"===== {counted} in {time.perf_counter() - start:.1f}s =====")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
