"""Deliberately wrong implementations: each is convicted by the clause that it names.

One module per framework, ``<backend>_mutants.py``, each exporting ``MUTANTS``. A module imports
its framework, so it is loaded only where that is installed: ``import mutants`` needs none.
"""

from __future__ import annotations

import importlib
import pkgutil

from mutants.mutant import Mutant, Registry

_SUFFIX = "_mutants"


def backends() -> tuple[str, ...]:
    """The backends that have mutants, from the files beside this one; imports none of them."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def of(backend: str) -> tuple[Mutant, ...]:
    """The mutants of one backend, in the order of the file.

    Raises:
        ImportError: the framework is not installed.
    """
    return tuple(importlib.import_module(f"mutants.{backend}{_SUFFIX}").MUTANTS)


__all__ = ["Mutant", "Registry", "backends", "of"]
