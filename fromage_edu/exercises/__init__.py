"""The exercises' checks: `from fromage_edu.exercises import check_01_1`, one module for each chapter."""

import importlib
import pkgutil
import re

from fromage_edu.exercises.form import close, exercise

__all__ = ["close", "exercise"]


def __getattr__(name):
    # Chapters are imported when one of their checks is asked for: a new chapter needs no line here.
    if match := re.fullmatch(r"check_([a-z0-9]+)_\d+", name):
        try:
            return getattr(importlib.import_module(f"{__name__}.chapter_{match[1]}"), name)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.chapter_{match[1]}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    chapters = [
        module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("chapter_")
    ]
    checks = (vars(importlib.import_module(f"{__name__}.{chapter}")) for chapter in chapters)
    return sorted({*__all__, *(name for module in checks for name in module if name.startswith("check_"))})
