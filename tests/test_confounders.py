"""What else differs in the depth race: each variant changes one thing, and its rows say which."""

import re
import sys
from dataclasses import fields, replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from torch.nn.functional import cross_entropy

from fromage_edu.experiments import confounders, depth, depth_results, record, tables
from fromage_edu.experiments.confounders import PRESETS, VARIANTS, Config
from fromage_edu.experiments.trainers import images, network

QUICK = PRESETS["quick"]
TINY = Config(depths=(2, 3), variants=tuple(VARIANTS), seeds=(1, 2), width=4, epochs=1)


@pytest.fixture(scope="module")
def quick_outcomes():
    return [confounders.run_point(point) for point in confounders.points(QUICK)]


@pytest.fixture(scope="module")
def tiny_outcomes():
    """Every variant, in three steps."""
    with pytest.MonkeyPatch.context() as patched:
        few = replace(depth.PRESETS["miniature"], batch_size=400)
        patched.setitem(depth.PRESETS, "miniature", few)
        return [confounders.run_point(point) for point in confounders.points(TINY)]


# ---- what is changed ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_the_race_but_for_its_own_settings(name):
    config, usual = TINY.race(name), depth.PRESETS["miniature"]
    own = {"entrants", "dtype", "init", "bias"}
    asked = {"depths", "seeds", "width", "epochs"}
    for field in fields(config):
        source = VARIANTS[name] if field.name in own else TINY if field.name in asked else usual
        assert getattr(config, field.name) == getattr(source, field.name), field.name


def test_each_variant_changes_one_thing():
    def changes(variant):
        usual = confounders.Variant(())
        return {name for name in ("dtype", "init", "bias") if getattr(variant, name) != getattr(usual, name)}

    assert {name: changes(variant) for name, variant in VARIANTS.items() if changes(variant)} == {
        "eps, float64": {"dtype"},
        "He start": {"init"},
        "orthogonal start": {"init"},
        "no biases": {"bias"},
    }


def test_the_scan_of_eps_is_the_one_that_was_asked_for():
    def eps(name):
        entrants = VARIANTS[name].entrants
        return {entrant.eps / entrant.loss_scale for entrant in entrants if entrant.optimizer == "Adam"}

    assert eps("as it comes") | eps("eps") == {1e-8, 1e-16, 1e-30}
    assert eps("eps, float64") == {1e-8, 1e-16, 1e-30, 1e-60}
    assert eps("eps, loss scaled") == {1e-42}


def test_every_rival_gets_as_many_learning_rates():
    for name, variant in VARIANTS.items():
        counts = [entrant.name for entrant in variant.entrants]
        expected = {4} if name == "normalized steps" else {3}
        assert {counts.count(each) for each in counts} == expected, name


def test_points_are_a_variant_at_a_depth():
    found = [(point.depth, point.variant) for point in confounders.points(TINY)]
    assert found == [(layers, variant) for layers in (2, 3) for variant in VARIANTS]
    assert len(confounders.points(PRESETS["paper"])) == 6 * len(VARIANTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": (1,)}, "a depth is 1: give a whole number >= 2"),
        ({"depths": 5}, "depths is 5: give a list such as (2, 10)"),
        ({"variants": ("lunch",)}, "a variant is 'lunch': use 'as it comes' or 'eps' or"),
        ({"variants": "eps"}, "variants is 'eps': give a list such as ('eps',)"),
        ({"variants": ()}, "variants is empty: give at least one, such as ('eps',)"),
        ({"variants": ("eps", "eps")}, "variants hold 'eps' twice"),
        ({"seeds": (1, 1)}, "seeds hold 1 twice"),
        ({"seeds": (-1,)}, "a seed is -1: give a whole number >= 0"),
        ({"width": 0}, "width is 0: give a whole number >= 1"),
        ({"width": 65}, "width is 65: variants run side by side, at most 64 wide"),
        ({"epochs": 0}, "epochs is 0: give a whole number >= 1"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Config(**options)


# ---- what comes out ----------------------------------------------------------------------------


def test_rows_say_what_ran(quick_outcomes):
    columns = ["variant", "dtype", "depth", "entrant", "lr", "seed", "train_accuracy", "test_accuracy"]
    for point, outcome in zip(confounders.points(QUICK), quick_outcomes, strict=True):
        entrants = VARIANTS[point.variant].entrants
        assert [(row["entrant"], row["lr"]) for row in outcome.rows] == [(e.name, e.lr) for e in entrants]
        for row in outcome.rows:
            assert list(row) == [*columns, "diverged", "gradient"]
            assert (row["variant"], row["depth"], row["seed"]) == (point.variant, 2, 501)
        assert outcome.seconds > 0


def test_the_runs_are_those_of_the_race(quick_outcomes):
    config = QUICK.race("normalized steps")
    race = depth.run_point(depth.Point(config, 2))
    shown = [{name: row[name] for name in race.finals[0]} for row in quick_outcomes[1].rows]
    assert shown == race.finals


def test_beside_every_run_stands_its_own_first_gradient_in_float64(tiny_outcomes):
    data = images("digits", "float64")
    for point, outcome in zip(confounders.points(TINY), tiny_outcomes, strict=True):
        variant = VARIANTS[point.variant]
        for seed in TINY.seeds:
            net = network(point.depth, width=4, seed=seed, init=variant.init, bias=variant.bias).double()
            cross_entropy(net(data.x_train), data.y_train).backward()
            expected = net.weights[0].grad.square().mean().sqrt().item()
            found = {row["gradient"] for row in outcome.rows if row["seed"] == seed}
            assert len(found) == 1 and found.pop() == pytest.approx(expected, rel=1e-12), point.variant
        assert {row["dtype"] for row in outcome.rows} == {variant.dtype}


def test_the_same_point_gives_the_same_rows(quick_outcomes):
    again = confounders.run_point(confounders.points(QUICK)[0])
    assert again.rows == quick_outcomes[0].rows


def test_a_summary_has_a_row_for_each_thing_compared(tiny_outcomes):
    summary = confounders.summarise(tiny_outcomes)
    assert len(summary) == 2 * sum(len(variant.entrants) for variant in VARIANTS.values())
    assert (summary["runs"] == 2).all() and summary["gradient"].gt(0).all()
    assert (summary["lowest"] <= summary["median"]).all() and (summary["median"] <= summary["highest"]).all()
    table = tables.rows_of(tiny_outcomes)
    assert confounders.summarise(table).equals(summary), "a recorded table gives the same"


def test_best_keeps_one_learning_rate_each(tiny_outcomes):
    rows = [
        {"variant": variant, "dtype": "float32", "depth": 2, "entrant": "Adam", "lr": lr, "median": median}
        for variant, medians in {"eps": (0.2, 0.9, 0.5), "no biases": (0.3, 0.1, 0.3)}.items()
        for lr, median in zip((0.1, 0.01, 0.001), medians, strict=True)
    ]
    found = depth_results.best_learning_rates(pd.DataFrame(rows))
    assert found[["variant", "lr"]].values.tolist() == [["eps", 0.01], ["no biases", 0.1]]
    best = depth_results.best_learning_rates(confounders.summarise(tiny_outcomes))
    names = {(name, entrant.name) for name, variant in VARIANTS.items() for entrant in variant.entrants}
    assert len(best) == 2 * len(names) and list(best.index) == list(range(len(best)))


def test_the_figure_draws_every_entrant_of_every_variant(tiny_outcomes):
    fig = confounders.figure(confounders.summarise(tiny_outcomes))
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in shown] == list(VARIANTS)
    for ax, variant in zip(shown, VARIANTS.values(), strict=True):
        names = {entrant.name for entrant in variant.entrants}
        assert names <= {text.get_text() for text in ax.texts}
        assert all(list(line.get_xdata()) == [2, 3] for line in ax.lines[: len(names)])
    plt.close(fig)


def test_a_figure_of_one_variant_is_one_panel(quick_outcomes):
    fig = confounders.figure(confounders.summarise(quick_outcomes[:1]))
    assert len(fig.axes) == 1
    plt.close(fig)


def test_a_summary_needs_runs(quick_outcomes):
    for empty in ([], tables.table([])):
        with pytest.raises(ValueError, match="no runs to sum up: give what run_point returned"):
            confounders.summarise(empty)
    with pytest.raises(TypeError, match="give a list of what run_point returned"):
        confounders.summarise(quick_outcomes[0])


# ---- recording ---------------------------------------------------------------------------------


def test_recording_writes_a_table_and_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "paper", replace(QUICK, seeds=(502,)))
    keep = ["--keep", str(tmp_path / "keep")]
    record.main(["confounders", "--folder", str(tmp_path / "one"), *keep])
    assert "paper: 1 of 2: depth 2, variant eps, " in capsys.readouterr().out
    monkeypatch.setattr(confounders, "run_point", None)  # Nothing is left to run.
    record.main(["confounders", "--folder", str(tmp_path / "two"), *keep])
    for folder in ("one", "two"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {
            "confounders.csv",
            "confounders.json",
        }
    one, two = (pd.read_csv(tmp_path / folder / "confounders.csv") for folder in ("one", "two"))
    assert one.equals(two) and len(one) == 6 + 4 and set(one["seed"]) == {502}


def test_recordings_say_what_they_cannot_record():
    with pytest.raises(ValueError, match="no preset is named 'quik'; there are 'quick', 'default'"):
        confounders.recordings(presets=("quik",))


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        confounders.recordings()
