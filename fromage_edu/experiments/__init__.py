"""The experiments of the book: one file per figure or table of the papers.

Every experiment has the same parts, so that one learns to read them once:

- `Config`, frozen, and `PRESETS` of it: `quick` for tests, `default` for the page, `paper` for the figure as
  fully as we have it; `recordings` names those that pages quote;
- `points(config)`: the independent pieces of work;
- `run_point(point) -> Outcome`: one piece, from seeds to numbers that JSON can hold;
- `summarise(outcomes)`: a table with one row per thing compared, also of a recorded table of such rows;
- `figure(summary)`: the picture of that table;
- `recordings()`: what is kept for the page;
- `CHAPTER`, where one tells of it: the notebook that `fromage-edu report` runs on stored results, which it
  takes from `sweep.stored`.

`store.run(experiment, config, folder=…)` runs the points and keeps what is finished, whatever happens to the
process; `sweep.sweep` does so for long ones, in processes or on a cluster, and goes on where a point raises;
`python -m fromage_edu.experiments.record NAME` writes `fromage_edu/recorded/`.
"""
