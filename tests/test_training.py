"""The training loop: what it records, that seeds decide it, and that a run that diverges is a result."""

import json
import math
import re
import sys

import pytest
import torch
from torch import nn

from fromage_edu import Fromage
from fromage_edu.data import digits
from fromage_edu.networks import Perceptron
from fromage_edu.training import Record, accuracy, seeded, train


def network(seed=0, dtype=torch.float32):
    with seeded(seed):
        return Perceptron([64, 16, 10], output_nonlinearity=False).to(dtype)


def run(model=None, **options):
    model = model or network()
    options = {"epochs": 2, **options}
    return train(model, Fromage(model.parameters(), lr=0.02), digits(), **options)


def test_rows_are_tidy_one_for_each_epoch():
    record = run(epochs=3)
    assert [row["epoch"] for row in record.rows] == [1, 2, 3]
    assert [row["step"] for row in record.rows] == [45, 90, 135]
    columns = ["epoch", "step", "lr", "loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert list(record.frame().columns) == columns and len(record.frame()) == 3
    assert record.final == record.rows[-1] and record.final["test_accuracy"] > 0.7
    assert all(0 <= row["train_accuracy"] <= 1 for row in record.rows)


def test_the_recorded_numbers_are_those_of_the_model():
    model, data = network(), digits()
    record = run(model)
    with torch.no_grad():
        outputs = model(data.x_test)
    assert record.final["test_accuracy"] == accuracy(outputs, data.y_test)
    assert record.final["test_loss"] == nn.functional.cross_entropy(outputs, data.y_test).item()


def test_loss_is_the_mean_over_examples_seen():
    model = nn.Linear(2, 1)
    x, y = torch.randn(10, 2), torch.randn(10, 1)
    with torch.no_grad():
        expected = nn.functional.mse_loss(model(x), y).item()
    record = train(
        model, Fromage(model.parameters(), lr=0.0), (x, y), epochs=1, batch_size=4, loss=nn.MSELoss()
    )
    assert record.final["loss"] == pytest.approx(expected, rel=1e-6)
    assert list(record.final) == ["epoch", "step", "lr", "loss"] and record.config["loss"] == "MSELoss"


def test_every_example_is_seen_once_an_epoch_in_a_new_order():
    seen = []

    class Watch(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.extend(x[:, 0].tolist())
            return super().forward(x)

    model = Watch(1, 1)
    x = torch.arange(10.0)[:, None]
    train(model, Fromage(model.parameters()), (x, x), epochs=2, batch_size=3, loss=nn.functional.mse_loss)
    assert sorted(seen[:10]) == sorted(seen[10:]) == x[:, 0].tolist()
    assert seen[:10] != seen[10:]


def test_seeds_decide_everything():
    torch.manual_seed(1)
    one = run(network(seed=4), seed=7)
    torch.manual_seed(2)
    two, other = run(network(seed=4), seed=7), run(network(seed=4), seed=8)
    assert one.rows == two.rows and one.rows != other.rows


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    run()
    assert torch.get_rng_state().equal(state)


def test_steps_end_in_the_middle_of_an_epoch():
    record = run(epochs=None, steps=50)
    assert [row["step"] for row in record.rows] == [45, 50]
    assert run(epochs=None, steps=45).rows == record.rows[:1]


@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": None, "steps": 0}])
def test_no_steps_are_no_rows(options):
    model = network()
    before = [weight.clone() for weight in model.weights]
    record = run(model, **options)
    assert record.rows == [] and record.final == {} and not record.diverged
    assert all(a.equal(b) for a, b in zip(before, model.weights, strict=True))
    assert repr(record) == "Record(epochs=0, seed=0)"


def test_a_schedule_is_stepped_once_an_epoch():
    model = network()
    optimizer = Fromage(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    record = train(model, optimizer, digits(), epochs=3, schedule=schedule)
    assert [row["lr"] for row in record.rows] == [0.1, 0.05, 0.025]
    assert record.config["schedule"] == "ExponentialLR"


@pytest.mark.parametrize("lr", [1e10, float("1e30")])
def test_a_run_that_diverges_ends_early_and_is_recorded(lr):
    model = network()
    record = train(model, torch.optim.SGD(model.parameters(), lr=lr), digits(), epochs=5)
    assert record.diverged and len(record.rows) < 5
    assert not math.isfinite(record.final["loss"]) and "diverged" in repr(record)
    assert record.frame()["epoch"].tolist() == [row["epoch"] for row in record.rows]


def test_the_record_says_where_it_comes_from():
    model = network()
    record = train(model, Fromage(model.parameters(), lr=torch.tensor(0.1)), digits(), steps=1, seed=5)
    assert record.seed == 5 and record.seconds > 0 and record.versions["torch"] == torch.__version__
    assert record.config["model"] == "Perceptron" and record.config["optimizer"] == "Fromage"
    assert record.config["parameters"] == 64 * 16 + 16 * 10 and record.config["batch_size"] == 32
    assert json.loads(json.dumps(record.config)) == record.config


def test_its_text_holds_no_time():
    record = Record([{"epoch": 1, "step": 2, "lr": 0.1, "loss": 0.25}], {}, seed=3, seconds=123.456)
    assert repr(record) == "Record(epochs=1, seed=3, lr=0.1, loss=0.25)"


def test_data_may_be_a_pair_or_without_test_examples():
    data = digits(test_fraction=0.0)
    for tensors in (data, data[:2]):
        model = network()
        record = train(model, Fromage(model.parameters()), tensors, steps=1)
        assert "test_accuracy" not in record.final and record.final["train_accuracy"] >= 0


def test_other_dtypes_and_modules_with_modes():
    model = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10)).double()
    record = train(model, Fromage(model.parameters()), digits(dtype=torch.float64), epochs=2)
    assert record.final["test_accuracy"] > 0.3
    assert model.training


def test_progress_writes_only_where_it_is_asked_to(capfd, monkeypatch):
    run(epochs=1)
    run(epochs=1, progress=False)
    assert capfd.readouterr() == ("", "")
    run(epochs=1, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "0/45" in err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(epochs=1)
    assert "step" in capfd.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    run(epochs=1)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        run(epochs=1, progress=True)


def test_seeded_restores_also_after_an_error():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(5):
        torch.rand(1)
        raise RuntimeError
    assert torch.get_rng_state().equal(state)


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fromage-edu[notebooks]'")):
        Record([], {}, 0).frame()


X, Y = torch.ones(4, 64), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((X, Y), {"epochs": None}, "epochs is None and steps is None: give one of the two"),
        ((X, Y), {"steps": 3}, "epochs is 1 and steps is 3: give one of the two"),
        ((X, Y), {"epochs": -1}, "epochs is -1: give a whole number >= 0"),
        ((X, Y), {"epochs": 1.5}, "epochs is 1.5: give a whole number >= 0"),
        ((X, Y), {"batch_size": 0}, "batch_size is 0: give a whole number >= 1"),
        ((X, Y), {"batch_size": True}, "batch_size is True: give a whole number >= 1"),
        ((X, Y), {"batch_size": None}, "batch_size is None: give a whole number >= 1"),
        ((X, Y), {"seed": None}, "seed is None: give a whole number >= 0"),
        ((X, Y), {"seed": 1.5}, "seed is 1.5: give a whole number >= 0"),
        ((X, Y + 10), {}, "y_train holds the label 10 and the model has 10 outputs: labels are 0…9; widen"),
        ((X, Y - 1), {}, "y_train holds the label -1 and the model has 10 outputs"),
        ((X, Y, X, Y + 12), {}, "y_test holds the label 12 and the model has 10 outputs"),
        (
            (X, Y),
            {"loss": nn.CrossEntropyLoss(reduction="none")},
            "loss returned shape (4,): return one number, the mean over a batch (reduction='mean')",
        ),
        ((X,), {}, "data hold 1 tensors: give (x_train, y_train)"),
        ((X, Y[:2]), {}, "x_train has 4 examples and y_train has 2"),
        ((X, Y, X, Y[:1]), {}, "x_test has 4 examples and y_test has 1"),
        ((X[:0], Y[:0]), {}, "x_train holds no examples"),
        ((X.double(), Y), {}, "x_train is torch.float64 and the model torch.float32: convert one"),
    ],
)
def test_messages(data, options, message):
    model = network()
    with pytest.raises(ValueError, match=re.escape(message)):
        train(model, Fromage(model.parameters()), data, **{"epochs": 1, **options})


def test_class_labels_need_a_score_for_each_class():
    model = nn.Sequential(nn.Linear(64, 1), nn.Flatten(0))
    message = "outputs have shape (4,): class labels need (N, classes)"
    with pytest.raises(ValueError, match=re.escape(message)):
        train(model, Fromage(model.parameters()), (X, Y), epochs=1)


def test_a_model_without_parameters_is_refused():
    optimizer = Fromage(network().parameters())
    with pytest.raises(ValueError, match="ReLU has no parameters: there is nothing to train"):
        train(nn.ReLU(), optimizer, (X, Y), epochs=1)


def test_other_messages():
    model = network()
    optimizer = Fromage(model.parameters())
    for call, error, message in (
        (
            lambda: train(model, optimizer, None, epochs=1),
            TypeError,
            "data is a NoneType: give (x_train, y_train)",
        ),
        (
            lambda: train(model, optimizer, (X, Y), epochs=1, schedule="cosine"),
            TypeError,
            "schedule is 'cosine'",
        ),
        (
            lambda: train(model, optimizer, (X, Y), epochs=1, loss=None),
            TypeError,
            "loss is None: give a function of (outputs, targets), such as nn.MSELoss()",
        ),
        (
            lambda: train(model, optimizer, (X, Y), epochs=1, loss=lambda outputs, targets: 0.5),
            TypeError,
            "loss returned a float: return a tensor, which has a gradient",
        ),
        (
            lambda: train(network(), optimizer, (X, Y), epochs=1),
            ValueError,
            "the optimizer holds no parameter of",
        ),
    ):
        with pytest.raises(error, match=re.escape(message)):
            call()


def test_accuracy():
    assert accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])) == 0.5
    assert math.isnan(accuracy(torch.empty(0, 2), torch.empty(0, dtype=torch.int64)))
