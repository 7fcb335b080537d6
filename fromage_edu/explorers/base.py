"""What all explorers share: JavaScript, style, validated traits, and a place in a page."""

import html
import json
import numbers
from importlib.resources import files
from typing import Any, ClassVar

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise ImportError('explorers need anywidget: pip install "fromage-edu[explorers]"') from error


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


#: JavaScript that stands before every explorer's own: pure mathematics, drawing as text, and the instrument.
SHARED = "\n".join(map(_text, ("math.js", "geometry.js", "plot.js", "instrument.js")))
#: One look for the page, Jupyter and Colab, light and dark.
STYLE = _text("style.css")
#: The script that draws the explorers of a page without a kernel.
HOST = _text("host.js")

PAGE = """<!doctype html>
<html lang="en" data-theme="{theme}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorers</title><style>{style}
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 0 12px }}
html[data-theme="dark"] body {{ color: #e8eaed; background: #121212 }}
</style></head>
<body><main>{places}</main>
<script type="application/json" id="explorers">{data}</script>
<script>{host}</script></body></html>
"""


class Quantity(traitlets.TraitType):
    """A synchronized number with a range; an error names the explorer, the trait, its range and the value."""

    def __init__(self, default: float, low: float, high: float, *, whole: bool = False, smallest: float = 0):
        """Give the opening value, the range, and how far from zero a value must stay."""
        super().__init__(default_value=default)
        self.low, self.high, self.whole, self.smallest = low, high, whole, smallest
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        """Return the value as an int or a float, or raise a TraitError."""
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        # The range is asked first: it turns down NaN, infinities and whole numbers too large for a float.
        inside = real and self.low <= value <= self.high and abs(value) >= self.smallest
        if inside and (not self.whole or value == int(value)):
            return int(value) if self.whole else float(value)
        kind = "a whole number" if self.whole else "a number"
        gap = f" and at least {self.smallest:g} away from 0" if self.smallest else ""
        form = f"{kind} from {self.low:g} to {self.high:g}{gap}"
        raise traitlets.TraitError(f"{type(obj).__name__}: {self.name} must be {form}, not {value!r}")

    def shown(self, value: float) -> str:
        """How a value is written in Python."""
        return repr(value)


class Quantities(Quantity):
    """A synchronized tuple of 1 to `most` such numbers; one number stands for a tuple of it."""

    def __init__(self, default: tuple[float, ...], low: float, high: float, *, most: int):
        """Give the opening values, the range of each, and how many there may be."""
        super().__init__(default, low, high)
        self.most = most

    def validate(self, obj: Any, value: Any) -> tuple[float, ...]:
        """Return the values as a tuple of floats, or raise a TraitError."""
        given = value.tolist() if hasattr(value, "tolist") else value  # arrays and tensors
        values = (given,) if isinstance(given, numbers.Real) else given
        fits = isinstance(values, list | tuple) and 1 <= len(values) <= self.most
        if fits and all(self._inside(one) for one in values):
            return tuple(map(float, values))
        form = f"1 to {self.most} numbers from {self.low:g} to {self.high:g}"
        raise traitlets.TraitError(f"{type(obj).__name__}: {self.name} must be {form}, not {value!r}")

    def _inside(self, one: Any) -> bool:
        return isinstance(one, numbers.Real) and not isinstance(one, bool) and self.low <= one <= self.high


class Choice(Quantity):
    """A synchronized number of a short list, or a name of a list; names are counted from 1."""

    def __init__(self, default: float, choices: tuple[float, ...] | tuple[str, ...]):
        """Give the opening number, and the numbers or the names to choose from."""
        self.names = choices if isinstance(choices[0], str) else ()
        self.choices = tuple(range(1, len(choices) + 1)) if self.names else choices
        super().__init__(default, min(self.choices), max(self.choices))

    def validate(self, obj: Any, value: Any) -> float:
        """Return the number of the choice, or raise a TraitError."""
        if isinstance(value, str) and value in self.names:
            return self.names.index(value) + 1
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and value in self.choices:
            return self.choices[self.choices.index(value)]
        form = ", ".join(map(repr, self.names or self.choices))
        raise traitlets.TraitError(f"{type(obj).__name__}: {self.name} must be one of {form}, not {value!r}")

    def shown(self, value: float) -> str:
        """The name, where there are names."""
        return repr(self.names[value - 1]) if self.names else repr(value)


class Explorer(anywidget.AnyWidget):
    """A slider with a story; a subclass adds `Quantity` traits and a `.js` file beside its own module."""

    _esm: ClassVar[str] = SHARED
    _css: ClassVar[str] = STYLE
    #: JavaScript of this class alone, from the `.js` beside its module or from several `parts`.
    source: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ()
    #: The sentence that stands for the picture where it cannot be seen.
    still_alt: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read the JavaScript that lies beside the Python module."""
        if "__module__" in vars(cls) and "source" not in vars(cls) and Explorer in cls.__bases__:
            parts = cls.parts or (cls.__module__.rsplit(".", 1)[-1],)
            cls.source = "\n".join(_text(f"{part}.js") for part in parts)
            cls._esm = SHARED + "\n" + cls.source
        super().__init_subclass__(**kwargs)

    def __init__(self, **values: float) -> None:
        """Set the opening state; Reset returns to it."""
        unknown = sorted(values.keys() - set(self.trait_names()))
        if unknown:
            takes = ", ".join(self.quantities())
            raise TypeError(f"{type(self).__name__} has no trait {unknown[0]!r}: it takes {takes}")
        super().__init__(**values)

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """The traits that a reader moves, by name, in the order of definition."""
        return {
            name: trait
            for part in reversed(cls.__mro__)
            for name, trait in vars(part).items()
            if isinstance(trait, Quantity)
        }

    @classmethod
    def given(cls) -> dict[str, Any]:
        """What the page is told besides, and nobody moves: name -> value, the same for every instance."""
        return {}

    def __repr__(self) -> str:
        """The call that makes this explorer in its present state, the same in every run."""
        known = self.quantities().items()
        values = ", ".join(f"{name}={trait.shown(getattr(self, name))}" for name, trait in known)
        return f"{type(self).__name__}({values})"


def page_data(state: dict) -> dict:
    """Turn the widget state that a notebook embeds into what the page host needs, each text once.

    Args:
        state: `{"state": {model_id: {"model_module": …, "state": {…}}}}`, as Jupyter embeds it.

    Returns:
        `{"shared": js, "style": css, "modules": {class: js}, "given": {class: {name: value}}, "models":
        {model_id: model}}` where a model is `{"class": name, "traits": {name: value}}`. Other widgets are
        ignored. Texts and data are the library's present ones, not those of the notebook's run.

    """
    from fromage_edu import explorers

    modules, given, models = {}, {}, {}
    for model_id, entry in state.get("state", {}).items():
        values = entry.get("state", {})
        room, _, name = values.get("_anywidget_id", "").rpartition(".")
        if not room.startswith("fromage_edu.explorers.") or name not in explorers.__all__:
            continue
        cls = getattr(explorers, name)
        modules[name] = cls.source
        if cls.given():
            given[name] = cls.given()
        traits = {key: values.get(key, trait.default_value) for key, trait in cls.quantities().items()}
        models[model_id] = {"class": name, "traits": traits}
    return {"shared": SHARED, "style": STYLE, "modules": modules, "given": given, "models": models}


def standalone_page(*explorers: Explorer, theme: str = "light") -> str:
    """Return an HTML page of explorers that works from disk, with no kernel and no network.

    Args:
        explorers: they open in their present state.
        theme: `"light"` or `"dark"`.

    Raises:
        ValueError: for another theme.

    >>> from fromage_edu.explorers import TrustRegions
    >>> "script" in standalone_page(TrustRegions(depth=100))
    True

    """
    if theme not in ("light", "dark"):
        raise ValueError(f'theme must be "light" or "dark", not {theme!r}')
    entries = {
        f"explorer-{number}": {"model_module": "anywidget", "state": explorer.get_state()}
        for number, explorer in enumerate(explorers)
    }
    data = page_data({"state": entries})
    places = "\n".join(
        f'<div class="explorer explorer-{type(explorer).__name__}" data-model="{model}">'
        f"<noscript><p>{html.escape(explorer.still_alt)}</p></noscript></div>"
        for model, explorer in zip(entries, explorers, strict=True)
    )
    style = data.pop("style")
    data = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    return PAGE.format(theme=theme, style=style, places=places, data=data, host=HOST)
