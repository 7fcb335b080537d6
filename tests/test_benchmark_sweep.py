"""The benchmark of sweeps, on tiny networks, and the book's table of its result."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book")]

from _theme import benchmarks as tables  # noqa: E402

from benchmarks import results, sweep  # noqa: E402

NARROW = sweep.Case(width=4, depth=3, batch=5, inputs=6, steps=2, target=8.0)
WIDE = sweep.Case(width=70, depth=2, batch=5, inputs=6, steps=2, target=1.0)
COLUMNS = ["width", "depth", "batch", "runs", "loop", "way", "loop ms", "ms", "ratio"]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where results go instead."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "benchmarks" / "results")
    (tmp_path / "benchmarks").mkdir()
    return results.FOLDER


@pytest.fixture
def here(monkeypatch):
    """A worker process finds the benchmark by its name."""
    monkeypatch.syspath_prepend(ROOT)


def test_both_ways_train_the_same_networks():
    alone, stack = sweep.build(NARROW)
    for _ in range(2):
        sweep.one_by_one(alone, NARROW)
        sweep.train(stack, NARROW, sweep.SEEDS)
    losses, _ = stack.step(*(torch.cat(parts) for parts in zip(*map(of_seed, sweep.SEEDS), strict=True)))
    for loss, run, (_, seed) in zip(losses, alone, sweep.RUNS, strict=True):
        assert loss.item() == pytest.approx(run.step(*of_seed(seed))[0].item(), rel=1e-4)


def of_seed(seed):
    return sweep.batch(NARROW, seed)


def test_narrow_networks_give_a_row():
    (row,) = sweep.measure(NARROW, rounds=2)
    assert (row["width"], row["runs"], row["loop"], row["way"]) == (4, 9, "plain loop", "stack")
    assert row["ratio"] > 0 and row["ms"] > 0 and row["loop ms"] > 0
    assert row["MB"] > row["loop MB"] > 0, "all activations at once, or one network's"
    assert torch.get_num_threads() == 1


def test_wide_ones_run_in_the_sweep_s_processes(here):
    rows = sweep.measure(WIDE, rounds=2)
    assert [row["loop"] for row in rows] == ["plain loop", "plain loop, 2 threads"]
    assert {row["way"] for row in rows} == {"2 processes"} and rows[0]["ms"] == rows[1]["ms"] > 0
    assert list(rows[0])[:9] == COLUMNS and torch.get_num_threads() == 1


def test_a_run_over_all_is_kept_with_its_machine(folder, here, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "CASES", (NARROW,))
    sweep.main(["--rounds", "2"])
    kept = json.loads((folder / "sweep.json").read_text())
    assert {"processor", "torch", "date"} <= set(kept["machine"])
    assert (kept["machine"]["threads"], kept["machine"]["processes"], kept["machine"]["rounds"]) == (1, 2, 2)
    assert len(kept["rows"]) == 1 and "kept in benchmarks/results/sweep.json" in capsys.readouterr().out


def test_a_run_over_some_is_not_kept(folder, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "CASES", (NARROW, WIDE))
    sweep.main(["--rounds", "2", "--widths", "4"])
    assert "not kept" in capsys.readouterr().out and not folder.exists()


@pytest.mark.parametrize("bad", [["--rounds", "1"], ["--widths", "5"], ["--rounds", "x"]])
def test_options_out_of_range_are_refused(bad):
    with pytest.raises(SystemExit):
        sweep.main(bad)


def test_the_kept_result_is_whole():
    result = tables.Result(**json.loads((results.FOLDER / "sweep.json").read_text(encoding="utf-8")))
    assert [(row["width"], row["target"]) for row in result.rows] == [
        (32, 8.0),
        (64, 1.5),
        (784, 1.0),
        (784, 1.0),
    ]
    assert all(row["lower quartile"] <= row["ratio"] <= row["upper quartile"] for row in result.rows)
    (table,) = tables.sweep(result)
    assert {len(row) for row in table.rows} == {len(table.header)} and len(table.rows) == 4


@pytest.mark.parametrize(
    ("ratio", "times", "verdict"),
    [(8.0, "8.00 × (7.00–9.00)", "8 ×, met"), (7.9, "7.90 × (7.00–9.00)", "8 ×, not met")],
)
def test_the_table_says_whether_targets_are_met(ratio, times, verdict):
    machine = {"processor": "Abacus", "threads": 1, "date": "2026-02-01", "torch": "9.9", "rounds": 9}
    row = dict.fromkeys(COLUMNS, 1.0) | {"ratio": ratio, "width": 32, "way": "stack", "loop": "plain loop"}
    row |= {"loop ms": 123.4, "MB": 1.23, "loop MB": 0.123}
    row |= {"lower quartile": 7.0, "upper quartile": 9.0, "target": 8.0, "runs": 9, "depth": 20}
    (table,) = tables.sweep(tables.Result(machine, [row]))
    assert table.rows == [
        ["width 32, 20 layers", "stack", "plain loop", "1 : 123", times, verdict, "1.2 : 0.12"],
    ]
    (table,) = tables.sweep(tables.Result(machine, [row | {"MB": None, "loop MB": None}]))
    assert table.rows[0][-1] == "–"
    caption = table.caption.replace("\N{NO-BREAK SPACE}", " ")
    assert caption.endswith("what optimizers keep. Abacus, 1 thread; torch 9.9; 9 rounds; 1 February 2026.")
