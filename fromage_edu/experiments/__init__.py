"""The experiments of the book: one file per figure or table of the papers.

Every experiment has the same five parts, so that one learns to read them once:

- `PRESETS`: named, frozen configurations (`quick` for tests, `default` for the page);
- `points(config)`: the independent pieces of work;
- `run_point(point) -> outcome`: one piece, from seeds to numbers;
- `summarise(outcomes)`: a table with one row per thing compared;
- `figure(summary)`: the picture of that table.

An experiment that also keeps its runs for the page has `recordings()`; the command
`python -m fromage_edu.experiments.record NAME` runs it and writes `fromage_edu/recorded/`.
"""
