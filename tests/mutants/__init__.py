"""Deliberately wrong implementations: each is convicted by the clause that it names.

One module per framework and family, ``<backend>_<family>_mutants.py`` or ``<backend>_mutants.py``,
each exporting ``MUTANTS``. A module imports its framework, so it is loaded only where that is
installed: ``import mutants`` needs none.
"""

from __future__ import annotations

import importlib
import pkgutil

from mutants.mutant import Mutant, Registry

_SUFFIX = "_mutants"


def backends() -> tuple[str, ...]:
    """The backends that have mutants, from the files beside this one; imports none of them."""
    return tuple(sorted({name.partition("_")[0] for name in _modules()}))


def of(backend: str) -> tuple[Mutant, ...]:
    """The mutants of one backend, file by file, in the order of each.

    Raises:
        ImportError: the framework is not installed.
    """
    modules = [name for name in _modules() if name.startswith(f"{backend}_")]
    found = (importlib.import_module(f"mutants.{name}").MUTANTS for name in modules)
    return tuple(mutant for mutants in found for mutant in mutants)


def _modules() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name.endswith(_SUFFIX))


__all__ = ["Mutant", "Registry", "backends", "of"]
