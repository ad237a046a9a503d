"""Judging: the classes of a package that judge, found by themselves."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def judging_classes(package: ModuleType) -> list[type[Any]]:
    """Return every class with ``judge`` that a module of the package defines."""
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, "judge")
    ]
