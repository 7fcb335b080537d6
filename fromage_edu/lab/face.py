"""The widgets of the lab: what can be chosen, what is shown. They know nothing of training.

Only what ipywidgets 7.7 (in Colab) and 8 have in common is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from fromage_edu.experiments.settings import OPTIMIZERS
from fromage_edu.lab.pictures import STYLE, accuracy_picture, gradient_picture, message, runs_table
from fromage_edu.lab.session import (
    DEPTHS,
    EPOCHS,
    EPS,
    LEARNING_RATES,
    SEEDS,
    STARTS,
    USUAL,
    WIDTHS,
    Record,
    Setting,
)

__all__ = ["Face"]


def _ipywidgets():
    try:
        import ipywidgets
    except ImportError as error:
        raise ImportError(
            "the lab needs ipywidgets, which is not installed: pip install 'fromage-edu[explorers]'"
        ) from error
    return ipywidgets


class Face:
    """Controls, buttons, a progress bar, two pictures and a table, in one box.

    Args:
        setting: where the controls stand at first.

    Raises:
        ImportError: without ipywidgets, with the command that installs it.

    >>> face = Face(Setting(depth=20, optimizer="Adam"))
    >>> face.setting == Setting(depth=20, optimizer="Adam")
    True
    """

    def __init__(self, setting: Setting):
        """Make the widgets; nothing is shown yet."""
        widgets = _ipywidgets()
        self._rates = {**USUAL, setting.optimizer: setting.lr}
        self.controls = _controls(widgets, setting)
        self.controls["optimizer"].observe(self._change_optimizer, "value")
        self._allow_eps()
        small = {"width": "auto"}
        self.train = widgets.Button(description="Train", button_style="primary", layout=small)
        self.stop = widgets.Button(description="Stop", disabled=True, layout=small)
        self.clear = widgets.Button(description="Clear", layout=small)
        self.progress = widgets.FloatProgress(value=0, min=0, max=1, layout={"width": "12em"})
        self.epoch, self.message, self.table = widgets.Label(), widgets.HTML(), widgets.HTML()
        half = {"flex": "1 1 300px", "min_width": "0", "max_width": "560px"}
        self.pictures = [widgets.HTML(layout=half), widgets.HTML(layout=half)]

        # A front end answers every pulse with an echo of its number: this is how it asks for a slice.
        self.pulse, self.echo = widgets.IntText(value=1), widgets.IntText(value=0)
        self._link = widgets.jsdlink((self.pulse, "value"), (self.echo, "value"))

        row = {"display": "flex", "flex_flow": "row wrap", "width": "100%", "overflow": "visible"}
        self.box = widgets.VBox(
            [
                widgets.HTML(STYLE, layout={"display": "none"}),
                widgets.Box(list(self.controls.values()), layout=row),
                widgets.Box([self.train, self.stop, self.clear, self.progress, self.epoch], layout=row),
                self.message,
                widgets.Box(self.pictures, layout=row),
                self.table,
            ]
        )
        self.show([])

    @property
    def setting(self) -> Setting:
        """What is chosen now."""
        values = {name: control.value for name, control in self.controls.items()}
        # A logarithmic slider gives 0.0010000000000000002 for 0.001.
        rounded = {name: float(f"{values[name]:.12g}") for name in ("lr", "eps")}
        return Setting(**{**values, **rounded})

    def _change_optimizer(self, change) -> None:
        """Every optimizer has a learning rate of its own, which it finds again."""
        self._rates[change["old"]] = self.controls["lr"].value
        self.controls["lr"].value = self._rates[change["new"]]
        self._allow_eps()

    def _allow_eps(self) -> None:
        self.controls["eps"].disabled = self.controls["optimizer"].value != "Adam"

    def show(self, records: Sequence[Record], text: str = "", trouble: str = "") -> None:
        """Draw the runs, the newest last, and say how it stands.

        Args:
            records: of the runs.
            text: a sentence instead of the newest run's own.
            trouble: a traceback, or nothing.
        """
        newest = records[-1] if records else None
        training = newest is not None and newest.state == "training"
        self.stop.disabled = not training
        self.progress.value = newest.steps / max(1, newest.all_steps) if newest else 0
        self.epoch.value = f"epoch {newest.epoch} of {newest.setting.epochs}" if newest else ""
        self.message.value = message(text or (newest.sentence if newest else ""), trouble)
        self.pictures[0].value, self.pictures[1].value = accuracy_picture(records), gradient_picture(records)
        self.table.value = runs_table(records)


def _controls(widgets, setting: Setting) -> dict:
    """A widget for each field of a setting, that can hold nothing but what a setting takes."""
    common = {
        "style": {"description_width": "7em"},
        "layout": {"flex": "1 1 300px", "width": "auto", "min_width": "0", "max_width": "460px"},
    }
    slide = {**common, "continuous_update": False}
    decades = {"base": 10, "readout_format": ".2g", **slide}
    return {
        "optimizer": widgets.Dropdown(
            description="optimizer", options=OPTIMIZERS, value=setting.optimizer, **common
        ),
        "depth": widgets.IntSlider(
            description="depth", min=DEPTHS[0], max=DEPTHS[1], value=setting.depth, **slide
        ),
        "lr": widgets.FloatLogSlider(
            description="learning rate", value=setting.lr, step=0.25, **_exponents(LEARNING_RATES), **decades
        ),
        "width": widgets.SelectionSlider(description="width", options=WIDTHS, value=setting.width, **slide),
        "eps": widgets.FloatLogSlider(
            description="Adam's eps", value=setting.eps, step=1, **_exponents(EPS), **decades
        ),
        "init": widgets.Dropdown(
            description="start",
            options=[(STARTS[init], init) for init in STARTS],
            value=setting.init,
            **common,
        ),
        "epochs": widgets.IntSlider(
            description="epochs", min=EPOCHS[0], max=EPOCHS[1], value=setting.epochs, **slide
        ),
        "seed": widgets.BoundedIntText(
            description="seed", min=SEEDS[0], max=SEEDS[1], value=setting.seed, **common
        ),
    }


def _exponents(ends: tuple[float, float]) -> dict:
    return {"min": round(log10(ends[0])), "max": round(log10(ends[1]))}
