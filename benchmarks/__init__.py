"""Speed and memory, measured and kept: `python -m benchmarks.NAME` from the project's root.

Each prints a table and writes `benchmarks/results/NAME.json` with the machine and the versions named. A
time means little on another day or machine, so what is compared is measured in turns within one run and
reported as a ratio.
"""
