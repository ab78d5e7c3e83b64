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
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def of(backend: str) -> tuple[Implementation, ...]:
    """The implementations of one backend.

    Raises:
        ImportError: the framework is not installed.
    """
    module = importlib.import_module(f"correct.{backend}{_SUFFIX}")
    found: tuple[Implementation, ...] = module.IMPLEMENTATIONS
    return found
