"""Configurations, points and outcomes as JSON holds them, and back."""

from __future__ import annotations

import dataclasses
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

__all__ = ["plain", "rebuild", "settings"]


def plain(thing):
    """The same as lists, dictionaries, text and numbers, as it comes back from JSON.

    Args:
        thing: a dataclass, a NamedTuple, or what JSON can hold.

    Returns:
        What `json.dumps` takes.

    Raises:
        TypeError: for a thing that holds something else.

    >>> plain({"sizes": (1, 2)})
    {'sizes': [1, 2]}
    """
    if dataclasses.is_dataclass(thing):
        return {field.name: plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
    if hasattr(thing, "_asdict"):
        return {name: plain(value) for name, value in thing._asdict().items()}
    if isinstance(thing, dict):
        return {str(name): plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if thing is None or isinstance(thing, str | int | float):
        return thing
    raise TypeError(
        f"{thing!r:.60} is a {type(thing).__name__}: a store holds text, numbers, lists, dictionaries; "
        "of arrays and tensors give .tolist()"
    )


def rebuild(form, data):
    """The opposite of `plain`: settings, from what JSON gave back.

    Args:
        form: a type: a dataclass or NamedTuple with annotated fields, a tuple or list of such, a plain type,
            or several joined by |.
        data: what `plain` made of a thing of that type.

    Returns:
        The thing.

    Raises:
        TypeError: for data that is not of the type, as after its code has changed.

    >>> from fromage_edu.experiments.depth import PRESETS, Config
    >>> rebuild(Config, plain(PRESETS["quick"])) == PRESETS["quick"]
    True
    """
    origin, inner = get_origin(form), get_args(form)
    if origin in (Union, UnionType):
        fitting = [each for each in inner if _fits(each, data)]
        return rebuild(fitting[0], data) if fitting else _refuse(form, data)
    if not _fits(form, data):
        _refuse(form, data)
    if isinstance(data, dict) and isinstance(form, type):
        kinds = get_type_hints(form)
        if kinds and set(data) <= set(kinds):
            return form(**{name: rebuild(kinds[name], value) for name, value in data.items()})
        return data if form is dict else _refuse(form, data)
    if origin in (tuple, list) and inner:
        kinds = [inner[0]] * len(data) if origin is list or inner[1:] == (...,) else inner
        return origin(rebuild(kind, value) for kind, value in zip(kinds, data, strict=True))
    # A whole number stays one where a float is annotated: the key of a point is made of the text.
    return form(data) if form in (tuple, list) else data


def _fits(form, data) -> bool:
    """Whether data could come from a thing of a type: lists from tuples, dictionaries from dataclasses."""
    kind = get_origin(form) or form
    if data is None or form in (None, NoneType):
        return data is None and form in (None, NoneType)
    if isinstance(data, dict | list):
        fields = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
        return (kind is dict or fields) if isinstance(data, dict) else kind in (tuple, list)
    return isinstance(data, kind) or kind is float and isinstance(data, int)


def _refuse(form, data):
    raise TypeError(f"{data!r:.60} is no {getattr(form, '__name__', form)}")


def settings(point) -> str:
    """A point in words, for a line of progress: its settings but for the configuration.

    Args:
        point: of any experiment.

    Returns:
        Names and values, with commas.

    >>> from fromage_edu.experiments.depth import PRESETS, points
    >>> settings(points(PRESETS["quick"])[0])
    'depth 2'
    """
    fields = point._asdict() if hasattr(point, "_asdict") else vars(point)
    named = [(name, getattr(value, "label", getattr(value, "name", value))) for name, value in fields.items()]
    return ", ".join(f"{name} {value}" for name, value in named if name != "config" and value is not None)
