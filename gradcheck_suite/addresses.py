"""From what a user names to an Implementation: a function, a shipped name, an address."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gradcheck_suite import backends, discovery
from gradcheck_suite.errors import UsageError
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.specification.presets import expanded


def shipped() -> tuple[Implementation, ...]:
    """Every implementation that ships with the suite or comes by entry point."""
    return discovery.members("implementations")


def resolve(
    loss: Implementation | Callable[..., Any] | str,
    *,
    backend: str = "",
    dialect: Mapping[str, str] | str | None = None,
) -> Implementation:
    """The implementation that ``loss`` stands for, its function loaded.

    Args:
        loss: an ``Implementation``; a function; a shipped name (``torch-cross-entropy``); or an
            address, ``package.module:attribute`` or ``path/to/file.py:attribute``. An address
            whose library ships with a declaration gets that declaration.
        backend: overrides what the implementation says; seen from the function's module
            where neither says anything.
        dialect: declared choices, or a dialect's name, over the implementation's own.

    Raises:
        UsageError: nothing is found there, or the backend cannot be seen; with the remedy.
    """
    if isinstance(loss, Implementation):
        found = loss
    elif isinstance(loss, str):
        found = named(loss)
    elif callable(loss):
        found = Implementation(name=_function_name(loss), loss=loss)
    else:
        raise UsageError(
            f"loss: got {type(loss).__name__}; expected a function, a gs.Implementation or "
            "'package.module:attribute'"
        )
    found = replace(found, dialect={**expanded(found.dialect), **expanded(dialect)})
    if isinstance(found.loss, str):
        found = replace(found, loss=load(found.loss))
    return replace(found, backend=backend or found.backend or _seen_backend(found))


def load(address: str) -> Any:
    """The object at ``package.module:attribute`` or ``path/to/file.py:attribute``.

    Raises:
        UsageError: the module or the attribute is not there, or is not callable.
        Exception: whatever the module raises while it is imported.
    """
    module_name, separator, attribute = address.rpartition(":")
    if not separator or not module_name or not attribute:
        raise UsageError(
            f"implementation: {address!r} is no address; write package.module:attribute or "
            "path/to/file.py:attribute"
        )
    module = _module(module_name)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, _losses(found), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UsageError(f"implementation: {module_name} has no attribute {part!r}{hint}")
        found = getattr(found, part)
    if not callable(found) and not isinstance(found, Implementation):
        raise UsageError(
            f"implementation: {address} is a {type(found).__name__}; expected a function or a "
            "gs.Implementation"
        )
    return found


def _losses(holder: object) -> list[str]:
    """The public names in a module or class that an address may end in."""
    return [
        name
        for name, value in getattr(holder, "__dict__", {}).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, Implementation))
    ]


def address_of(function: object) -> str:
    """An address under which the function can be loaded again; empty if there is none."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or not name or "<" in name:
        return ""
    loaded = sys.modules.get(module)
    if getattr(loaded, name.partition(".")[0], None) is None:
        return ""
    if module == "__main__":
        path = getattr(loaded, "__file__", None)
        return f"{_relative(path)}:{name}" if path else ""
    return f"{module}:{name}"


def named(name: str) -> Implementation:
    """The implementation of a name that ships, or at an address; its function as it is declared.

    Raises:
        UsageError: nothing of that name ships, or nothing is at that address.
    """
    for implementation in shipped():
        if implementation.name == name or (":" in name and implementation.loss == name):
            return implementation
    if ":" in name:
        found = load(name)
        if isinstance(found, Implementation):
            return found
        return Implementation(name=name, loss=found)
    if name.endswith(".py"):
        raise UsageError(f"implementation: {name!r} names a file; add the function: {name}:loss")
    near = get_close_matches(name, [each.name for each in shipped()], n=3)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise UsageError(
        f"implementation: {name!r} does not ship; {hint}your own is written "
        "package.module:attribute (gradcheck-suite list implementations)"
    )


def _module(name: str) -> Any:
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise UsageError(f"implementation: there is no file {name}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        sys.path.insert(0, str(path.parent))
        spec.loader.exec_module(module)
        return module
    if name in sys.modules:  # a test runner may load a module whose package is nowhere
        return sys.modules[name]
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"implementation: no module {error.name!r}; is it installed, and are you in the "
            "folder it is imported from?"
        ) from None


def _function_name(function: Callable[..., Any]) -> str:
    return address_of(function) or getattr(function, "__qualname__", type(function).__qualname__)


def _seen_backend(implementation: Implementation) -> str:
    """The framework whose modules the function's own module uses."""
    function = implementation.factory or implementation.loss
    while hasattr(function, "func") or hasattr(function, "__wrapped__"):
        function = getattr(function, "func", None) or function.__wrapped__  # type: ignore[union-attr]
    names = {_root(getattr(function, "__module__", "") or type(function).__module__)}
    namespace = getattr(function, "__globals__", {})
    mentioned = getattr(getattr(function, "__code__", None), "co_names", ())
    names |= set(mentioned) & set(backends.names())  # imported inside the function
    used = [namespace[name] for name in mentioned if name in namespace]
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # a cell that is not filled yet
            used.append(cell.cell_contents)
    names |= {_root(_origin(value)) for value in used}
    seen = [name for name in backends.names() if name in names]
    if not seen:
        names |= {_root(_origin(value)) for value in namespace.values()}
        seen = [name for name in backends.names() if name in names]
    frameworks = [name for name in seen if name != "numpy"] or seen
    if len(frameworks) == 1:
        return frameworks[0]
    raise UsageError(
        f"backend: cannot be seen from {implementation.name}"
        + (f" (it uses {' and '.join(frameworks)})" if frameworks else "")
        + f"; name it: backend={backends.names()[0]!r} or another of {', '.join(backends.names())}"
    )


def _origin(value: object) -> str:
    name = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    return name if isinstance(name, str) else ""


def _root(name: str) -> str:
    return name.partition(".")[0]


def _relative(path: str) -> str:
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return path
