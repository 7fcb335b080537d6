"""The benchmark of the optimizer, on tiny models, and the book's tables of its results."""

import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book")]

from _theme import benchmarks as tables  # noqa: E402

from benchmarks import optimizer, paired, results, shapes  # noqa: E402

TINY = {"400 of 64×64": [(4, 4)] * 3, "BERT-base": [(8, 8), (8,)]}
TITLES = [*optimizer.OPTIMIZERS, *optimizer.TRAFFIC.values()]
PEERS = [title for title in TITLES if title.startswith("pytorch-optimizer")]


@pytest.fixture(autouse=True)
def no_peer(monkeypatch):
    """The peer is for measurements only, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where results go instead."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "benchmarks" / "results")
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(optimizer, "SHAPES", TINY)
    return results.FOLDER


@pytest.fixture
def result(folder):
    """A result file of tiny models, read by the book's extension."""
    optimizer.main(["--device", "cpu", "--rounds", "2"])
    return tables.load(folder)[0]


def numbers(rows):
    columns = [name for name in rows[0] if name not in ("shapes", "optimizer", "status")]
    return {row["optimizer"]: [row[column] for column in columns] for row in rows}


# ---- measuring -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("400 of 64×64", 400, 1_638_400),
        ("MLP 50×784²", 50, 30_732_800),
        ("ResNet-50", 161, 25_557_032),
        ("BERT-base", 199, 109_482_240),
        ("GPT-2", 148, 124_439_808),
    ],
)
def test_the_models_have_the_parameters_that_are_published(name, tensors, parameters):
    model = shapes.SHAPES[name]
    assert (len(model), sum(map(math.prod, model))) == (tensors, parameters)


def test_actions_take_turns_in_an_order_that_rotates():
    calls = []
    actions = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = paired.in_turns(actions, rounds=3, repeats=2, device="cpu")
    assert "".join(calls) == "aabbcc" + "bbccaa" + "ccaabb"
    assert {name: len(rounds) for name, rounds in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_ratios_are_taken_within_each_round():
    assert paired.ratios([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == (2.5, 3.0, 3.5)


def test_extra_memory_is_the_peak_and_not_the_sum():
    entries = torch.ones(1000)

    def action():
        for _ in range(5):
            (entries + 1).mul_(2)

    kept = []
    assert paired.extra_bytes(action, "cpu") == pytest.approx(4000, abs=100)
    assert paired.extra_bytes(lambda: kept.append(entries + 1), "cpu") == pytest.approx(4000, abs=100)
    assert paired.extra_bytes(lambda: entries.mul_(2.0), "cpu") < 100


def test_every_optimizer_gives_a_row_with_every_column():
    rows = optimizer.measure("tiny", [(4, 4)] * 3 + [(5,)], "cpu", rounds=2)
    assert [row["optimizer"] for row in rows] == TITLES
    for title, values in numbers(rows).items():
        if title in PEERS:
            continue
        known = values[:-2] if title in optimizer.TRAFFIC.values() else values
        assert all(math.isfinite(value) and value >= 0 for value in known), title
    assert rows[0]["ratio to SGD"] == 1 and rows[0]["parameters"] == 53
    adam = next(row for row in rows if row["optimizer"] == "torch Adam (fused)")
    assert adam["state MB"] == pytest.approx((2 * 53 * 4 + 4 * 4) / 1e6)


def test_a_missing_peer_is_a_row_that_says_so():
    rows = optimizer.measure("tiny", [(4, 4)], "cpu", rounds=2)
    status = {row["optimizer"]: row["status"] for row in rows}
    assert [title for title, word in status.items() if word != "measured"] == PEERS
    assert {status[title] for title in PEERS} == {"not installed"}
    assert next(row for row in rows if row["optimizer"] == PEERS[0])["ms"] is None


def test_a_measurement_hardly_moves_the_parameters(monkeypatch):
    made = []
    make = optimizer.make_parameters
    monkeypatch.setattr(optimizer, "make_parameters", lambda *given: made.append(make(*given)) or made[0])
    optimizer.measure("tiny", [(64, 64)], "cpu", rounds=2)
    fresh = make([(64, 64)], "cpu")[0]
    assert 0.5 < made[0][0].norm() / fresh.norm() < 2


# ---- keeping ---------------------------------------------------------------------------------


def test_a_run_over_all_models_is_kept_with_its_machine(result):
    assert result.models == list(TINY) and result.optimizers == TITLES
    assert len(result.rows) == len(TINY) * len(TITLES)
    assert {"processor", "torch", "date", "pytorch-optimizer"} <= set(result.machine)
    assert (result.machine["device"], result.machine["threads"], result.machine["rounds"]) == ("cpu", 1, 2)


def test_a_run_over_some_models_is_not_kept(folder, capsys):
    optimizer.main(["--device", "cpu", "--rounds", "2", "--shapes", "BERT-base"])
    assert "not kept" in capsys.readouterr().out and not folder.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_say_not_measured(folder, capsys):
    optimizer.main(["--device", "cuda"])
    out = capsys.readouterr().out
    assert out.count("not measured") == len(TINY) * len(TITLES) and not folder.exists()


@pytest.mark.parametrize("bad", [["--rounds", "1"], ["--threads", "0"], ["--shapes", "GPT-5"]])
def test_options_out_of_range_are_refused(bad):
    with pytest.raises(SystemExit):
        optimizer.main(bad)


def test_the_kept_result_is_whole():
    kept = tables.load(results.FOLDER)[0]
    assert kept.models == list(shapes.SHAPES) and kept.optimizers == TITLES
    assert len(kept.rows) == len(kept.models) * len(TITLES)
    assert {row["status"] for row in kept.rows} == {"measured"}
    assert all(set(row) == set(kept.rows[0]) for row in kept.rows)


def test_neither_the_library_nor_the_tests_use_the_peer():
    pattern = re.compile(r"^\s*(import|from) pytorch_optimizer", re.MULTILINE)
    paths = [*(ROOT / "fromage_edu").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert not [path for path in paths if pattern.search(path.read_text(encoding="utf-8"))]


# ---- the book's tables -----------------------------------------------------------------------


def test_the_tables_hold_the_numbers_of_the_file(result):
    result.row("BERT-base", "Fromage").update({"ratio to SGD": 1.2345, "extra MB": 72 * 4 / 1e6 / 2})
    (ratios,) = tables.ratios([result])
    assert ratios.header == ["optimizer", *TINY]
    row = next(row for row in ratios.rows if row[0] == "Fromage")
    assert row[2] == "1.23"
    (memory,) = tables.memory([result])
    row = next(row for row in memory.rows if row[0] == "Fromage")
    assert row[1] == "0" and row[3] == "0.50"
    everything = tables.everything([result])
    assert len(everything) == len(TINY) and "2 tensors, 72 parameters" in everything[1].caption


def test_every_table_is_as_wide_as_its_head(result):
    for make in tables.TABLES.values():
        for table in make([result]):
            assert {len(row) for row in table.rows} == {len(table.header)}


def test_captions_name_the_machine(result):
    result.machine.update(processor="Abacus", threads=1, date="2026-02-01", torch="9.9", rounds=21)
    result.machine["pytorch-optimizer"] = "4.4"
    caption = tables.ratios([result])[0].caption.replace("\N{NO-BREAK SPACE}", " ")
    assert caption.endswith("Abacus, 1 thread; torch 9.9, pytorch-optimizer 4.4; 21 rounds; 1 February 2026.")


@pytest.mark.parametrize(
    ("ours", "verdicts"),
    [(2.0, ["2.00 ×, met", "1.00 ×, met"]), (2.5, ["2.50 ×, not met", "1.25 ×, not met"])],
)
def test_targets_are_judged_by_the_numbers(result, ours, verdicts):
    result.row("BERT-base", "Fromage")["ratio to SGD"] = ours
    result.row("BERT-base", "torch Adam (fused)")["ratio to SGD"] = 2.0
    (table,) = tables.targets([result])
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["CPU: at most 2.0 × torch SGD (foreach)"] == ["–", verdicts[0]]
    assert rows["CPU: faster than torch Adam (fused)"][1] == verdicts[1]
    assert rows["CPU: never slower than pytorch-optimizer"] == ["not measured"] * 2


def test_without_a_gpu_its_targets_are_not_measured(result):
    (table,) = tables.targets([result])
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["GPU: faster than torch Adam (fused)"] == ["not measured"] * 2
    assert rows["GPU: at most 1.25 × the memory traffic of 5 floats a parameter"] == ["–", "not measured"]
    assert tables.ratios([result])[0].rows[-1] == ["all of them on a GPU", "not measured", "not measured"]


def test_a_gpu_has_a_file_and_tables_of_its_own(result, folder):
    machine = {key: value for key, value in result.machine.items() if key != "threads"} | {"device": "A GPU"}
    data = json.dumps({"machine": machine, "rows": result.rows})
    (folder / "optimizer-a-gpu.json").write_text(data, encoding="utf-8")
    both = tables.load(folder)
    assert [found.machine["device"] for found in both] == ["cpu", "A GPU"]
    assert "A GPU; torch" in tables.ratios(both)[1].caption
    (table,) = tables.targets(both)
    assert any(row[0] == "A GPU: faster than torch Adam (fused)" for row in table.rows)
    assert "not measured" not in {cell for row in table.rows[4:] for cell in row}


def test_a_table_has_a_caption_and_heads_in_both_directions():
    node = tables.as_node(tables.Table("What it says", ["name", "value"], [["a", "1"]]))
    assert node[0].astext() == "What it says"
    group = node[1]
    assert [column.get("stub") for column in group[:2]] == [1, 0]
    assert group[2].tagname == "thead" and group[3].astext().split() == ["a", "1"]
