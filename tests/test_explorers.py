"""The Python side of the explorers: validated traits, both ways, and what a page needs."""

import gzip
import json
import re

import numpy
import pytest
import torch
import traitlets

from fromage_edu import explorers, figures
from fromage_edu.explorers import (
    DeepTrust,
    DepthRace,
    ScalarNetwork,
    StepGeometry,
    SurrogateDerivation,
    TrustRegions,
    WideLayer,
)
from fromage_edu.explorers.base import HOST, SHARED, STYLE, page_data, standalone_page

CLASSES = [getattr(explorers, name) for name in explorers.__all__]


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (TrustRegions, {"depth": 0}, "TrustRegions: depth must be a whole number from 1 to 1000, not 0"),
        (TrustRegions, {"depth": 2.5}, "TrustRegions: depth must be a whole number from 1 to 1000, not 2.5"),
        (
            TrustRegions,
            {"depth": True},
            "TrustRegions: depth must be a whole number from 1 to 1000, not True",
        ),
        (TrustRegions, {"depth": "ten"}, "TrustRegions: depth must be a whole number .*, not 'ten'"),
        (TrustRegions, {"step": -0.1}, "TrustRegions: step must be a number from 0 to 1, not -0.1"),
        (TrustRegions, {"step": float("nan")}, "TrustRegions: step must be a number from 0 to 1, not nan"),
        (TrustRegions, {"step": None}, "TrustRegions: step must be a number from 0 to 1, not None"),
        (ScalarNetwork, {"a": 0}, "ScalarNetwork: a must be .* and at least 0.001 away from 0, not 0"),
        (ScalarNetwork, {"b": 1e-9}, "ScalarNetwork: b must be .* at least 0.001 away from 0, not 1e-09"),
        (
            ScalarNetwork,
            {"db": float("inf")},
            "ScalarNetwork: db must be a number from -1000 to 1000, not inf",
        ),
        (ScalarNetwork, {"db": 10**400}, "ScalarNetwork: db must be a number from -1000 to 1000, not 1000"),
        (DeepTrust, {"depth": 51}, "DeepTrust: depth must be a whole number from 1 to 50, not 51"),
        (DeepTrust, {"sizes": []}, r"DeepTrust: sizes must be 1 to 50 numbers from 0 to 1, not \[\]"),
        (DeepTrust, {"sizes": [0.1] * 51}, r"sizes must be 1 to 50 numbers from 0 to 1, not \[0.1, 0.1"),
        (DeepTrust, {"sizes": [0.1, -1]}, r"must be 1 to 50 numbers from 0 to 1, not \[0.1, -1\]"),
        (DeepTrust, {"sizes": [True]}, r"must be 1 to 50 numbers from 0 to 1, not \[True\]"),
        (DeepTrust, {"sizes": "0.1"}, "must be 1 to 50 numbers from 0 to 1, not '0.1'"),
        (DeepTrust, {"sizes": [float("nan")]}, r"must be 1 to 50 numbers from 0 to 1, not \[nan\]"),
        (DeepTrust, {"sizes": None}, "must be 1 to 50 numbers from 0 to 1, not None"),
        (StepGeometry, {"view": 4}, "StepGeometry: view must be a whole number from 1 to 3, not 4"),
        (StepGeometry, {"lr": 0}, "StepGeometry: lr must be a number from 0.001 to 1, not 0"),
        (StepGeometry, {"angle": 181}, "StepGeometry: angle must be a number from -180 to 180, not 181"),
        (StepGeometry, {"matrix": 1.5}, "StepGeometry: matrix must be a whole number from 1 to 4, not 1.5"),
        (WideLayer, {"angle": 90}, "WideLayer: angle must be a number from 0 to 89.9, not 90"),
        (SurrogateDerivation, {"depth": 21}, "Derivation: depth must be a whole number from 1 to 20, not 21"),
        (SurrogateDerivation, {"moving": 1.5}, "moving must be a whole number from 1 to 20, not 1.5"),
        (SurrogateDerivation, {"size": 0}, "size must be a number from 0.01 to 100, not 0"),
        (SurrogateDerivation, {"slope": 11}, "slope must be a number from 0.001 to 10, not 11"),
        (WideLayer, {"direction": -5}, "WideLayer: direction must be a number from 0 to 180, not -5"),
        (DepthRace, {"depth": 25}, "DepthRace: depth must be one of 2, 10, 20, 30, 40, not 25"),
        (DepthRace, {"depth": float("nan")}, "depth must be one of 2, 10, 20, 30, 40, not nan"),
        (DepthRace, {"eps": 1e-20}, "eps must be one of 1e-30, 1e-16, 1e-08, not 1e-20"),
        (DepthRace, {"init": True}, "init must be one of 'default', 'He', not True"),
        (DepthRace, {"optimizer": 0}, "optimizer must be one of 'SGD', 'Adam', 'Fromage', 'Norm.*', not 0"),
        (DepthRace, {"optimizer": "adam"}, "one of 'SGD', 'Adam', 'Fromage', 'Norm.*', not 'adam'"),
        (DepthRace, {"epoch": [40]}, r"epoch must be one of 0, 1, 2, 4, 8, 14, 22, 31, 40, not \[40\]"),
    ],
)
def test_a_bad_value_is_named_with_its_range(cls, values, message):
    with pytest.raises(traitlets.TraitError, match=message):
        cls(**values)


def test_an_unknown_trait_is_named_with_the_known_ones():
    with pytest.raises(TypeError, match="TrustRegions has no trait 'dept': it takes depth, step"):
        TrustRegions(dept=3)


def test_numpy_numbers_become_plain_ones():
    widget = TrustRegions(depth=numpy.int64(7), step=numpy.float32(0.5))
    assert repr(widget) == "TrustRegions(depth=7, step=0.5)"
    assert type(widget.depth) is int and type(widget.step) is float


@pytest.mark.parametrize("sizes", [0.5, [0.5], (0.5,), numpy.full(1, 0.5), torch.tensor([0.5])])
def test_sizes_are_read_from_what_holds_numbers(sizes):
    widget = DeepTrust(sizes=sizes)
    assert widget.sizes == (0.5,) and type(widget.sizes[0]) is float
    widget.set_state({"sizes": [0.1, 1]})  # what a bar in the page sends
    assert widget.sizes == (0.1, 1.0)


def test_a_choice_is_a_number_or_a_name():
    widget = DepthRace(optimizer="Fromage", init="He", depth=numpy.int64(40), eps=numpy.float64(1e-16))
    assert (widget.optimizer, widget.init, widget.depth, widget.eps) == (3, 2, 40, 1e-16)
    assert type(widget.depth) is int
    assert repr(widget) == (
        "DepthRace(depth=40, optimizer='Fromage', rate=2, eps=1e-16, init='He', epoch=40)"
    )
    widget.set_state({"optimizer": 1})  # what a slider in the page sends
    assert widget.optimizer == 1


def test_what_is_given_is_read_only_and_reaches_the_page_once():
    widget = DepthRace()
    with pytest.raises(traitlets.TraitError, match='"races" trait is read-only'):
        DepthRace(races={})
    assert widget.get_state()["races"] is DepthRace.given()["races"]
    data = page_data(state_of(widget, DepthRace(depth=2), TrustRegions()))
    assert data["given"] == {"DepthRace": DepthRace.given()}
    assert all("races" not in model["traits"] for model in data["models"].values())
    text = json.dumps(data["given"], separators=(",", ":"))
    assert len(text) <= 100_000 and not re.search(r"[<\\]", text)


def test_the_page_moves_python_and_python_moves_the_page(monkeypatch):
    widget, heard, sent = TrustRegions(), [], []
    widget.observe(lambda change: heard.append((change.name, change.new)), names=["depth", "step"])
    widget.set_state({"depth": 5, "step": 1})  # what a slider in the page sends
    assert (widget.depth, widget.step) == (5, 1.0)
    assert heard == [("depth", 5), ("step", 1.0)]
    monkeypatch.setattr(widget, "send_state", lambda key: sent.append(key))
    widget.depth = 9
    assert sent == ["depth"]


def test_the_page_cannot_send_python_out_of_range():
    widget = TrustRegions()
    with pytest.raises(traitlets.TraitError, match="depth must be a whole number from 1 to 1000, not 5000"):
        widget.set_state({"depth": 5000})
    assert widget.depth == 30


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_is_complete(cls):
    widget = cls()
    assert cls._esm == SHARED + "\n" + cls.source
    assert widget.get_state()["_esm"] == cls._esm and widget.get_state()["_css"] == STYLE
    assert eval(repr(widget), {cls.__name__: cls}).get_state(cls.quantities()) == widget.get_state(
        cls.quantities()
    )
    assert len(cls.still_alt) > 15
    assert not re.search(r"^\s*import\b", SHARED + cls.source, re.MULTILINE)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_explorer_is_light(cls):
    """At most 30 kB gzipped with everything it needs."""
    assert len(gzip.compress((SHARED + cls.source + STYLE + HOST).encode())) <= 30_000


def state_of(*widgets):
    """The state as Jupyter embeds it."""
    states = [widget.get_state() for widget in widgets]
    entries = {f"m{i}": {"model_module": "anywidget", "state": state} for i, state in enumerate(states)}
    return json.loads(json.dumps({"state": entries}, default=str))


def test_page_data_holds_each_text_once_and_every_model():
    state = state_of(TrustRegions(depth=3), TrustRegions(), ScalarNetwork(a=2.5))
    state["state"]["layout"] = {"model_module": "@jupyter-widgets/base", "state": {}}
    state["state"]["other"] = {"model_module": "anywidget", "state": {"_anywidget_id": "elsewhere.Widget"}}
    data = page_data(state)
    assert data["shared"] == SHARED and data["style"] == STYLE
    assert set(data["modules"]) == {"TrustRegions", "ScalarNetwork"}
    assert data["modules"]["TrustRegions"] == TrustRegions.source
    assert data["models"] == {
        "m0": {"class": "TrustRegions", "traits": {"depth": 3, "step": 0.1}},
        "m1": {"class": "TrustRegions", "traits": {"depth": 30, "step": 0.1}},
        "m2": {"class": "ScalarNetwork", "traits": {"a": 2.5, "b": 1.0, "da": 1.0, "db": 0.2}},
    }


def test_page_data_of_a_page_without_explorers_is_empty():
    assert page_data({})["models"] == page_data({"state": {}})["modules"] == {}


def test_the_style_sheet_repeats_the_palette():
    light, dark = (dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", rule)) for rule in STYLE.split("}")[:2])
    for role, colors in figures.COLORS.items():
        assert (light[role], dark[role]) == (colors["light"], colors["dark"]), role
    assert (light["paper"], dark["paper"]) == (figures.PAGE["light"], figures.PAGE["dark"])


def test_a_standalone_page_stands_alone():
    page = standalone_page(TrustRegions(depth=3), ScalarNetwork(), theme="dark")
    assert page.count('class="explorer explorer-') == 2 and 'data-theme="dark"' in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    data = re.search(r'id="explorers">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["models"]["explorer-0"]["traits"]["depth"] == 3


def test_a_standalone_page_knows_two_themes():
    with pytest.raises(ValueError, match='theme must be "light" or "dark", not \'"><script>\''):
        standalone_page(TrustRegions(), theme='"><script>')
