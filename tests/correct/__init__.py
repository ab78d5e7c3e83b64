"""Correct implementations as users write them: none of them may be accused.

One module per framework, ``<backend>_correct.py``, each exporting ``IMPLEMENTATIONS``. A module
imports its framework, so it is loaded only where that is installed: ``import correct`` needs none.
"""

from __future__ import annotations

import importlib
import pkgutil

from gradcheck_suite.implementation import Implementation

_SUFFIX = "_correct"


def backends() -> tuple[str, ...]:
    """The backends that have implementations here; imports none of them."""
    return tuple(sorted({name.partition("_")[0] for name in _modules()}))


def of(backend: str) -> tuple[Implementation, ...]:
    """The implementations of one backend, file by file.

    Raises:
        ImportError: the framework is not installed.
    """
    modules = [name for name in _modules() if name.startswith(f"{backend}_")]
    found = (importlib.import_module(f"correct.{name}").IMPLEMENTATIONS for name in modules)
    return tuple(each for implementations in found for each in implementations)


def _modules() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name.endswith(_SUFFIX))
