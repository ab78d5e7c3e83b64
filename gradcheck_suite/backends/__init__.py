"""Backends: one file per framework, each found if it is installed.

``available()`` imports what is installed; a framework that is absent or does not import is
reported by ``status()`` and harms no other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util

from gradcheck_suite import discovery
from gradcheck_suite.errors import BackendUnavailable, UsageError
from gradcheck_suite.protocols import Backend, BackendFactory


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What ``doctor`` says of a backend: ``reason`` is empty if it works."""

    name: str
    installed: bool
    version: str
    devices: tuple[str, ...] = ()
    reason: str = ""


def factories() -> tuple[BackendFactory, ...]:
    """The factories of every backend, installed or not."""
    return discovery.members("backends")


def names() -> tuple[str, ...]:
    """Names of every backend, installed or not."""
    return tuple(factory.name for factory in factories())


def installed() -> tuple[str, ...]:
    """Names of the backends whose framework is installed; imports none of them."""
    return tuple(factory.name for factory in factories() if _is_installed(factory))


@cache
def load(name: str) -> Backend:
    """The backend of that name, its framework imported.

    Raises:
        UsageError: there is no backend of that name.
        BackendUnavailable: its framework is not installed or does not import.
    """
    for factory in factories():
        if factory.name == name:
            break
    else:
        raise UsageError(f"backend: {name!r} is unknown; known backends: {', '.join(names())}")
    if not _is_installed(factory):
        raise BackendUnavailable(
            f"backend {name!r}: {factory.distribution} is not installed; "
            f"try: pip install {factory.distribution}"
        )
    try:
        return factory.load()
    except (Exception, SystemExit) as error:  # a broken framework may raise anything
        raise BackendUnavailable(
            f"backend {name!r}: {factory.distribution} is installed and does not import: "
            f"{type(error).__name__}: {error}"
        ) from error


def available() -> tuple[Backend, ...]:
    """Every backend that is installed and imports."""
    found = []
    for name in installed():
        try:
            found.append(load(name))
        except BackendUnavailable:
            continue
    return tuple(found)


def status(name: str) -> BackendStatus:
    """What is known of a backend, found by loading it."""
    factory = next(factory for factory in factories() if factory.name == name)
    if not _is_installed(factory):
        return BackendStatus(name, installed=False, version="", reason="not installed")
    version = _version(factory)
    try:
        backend = load(name)
        return BackendStatus(name, True, version, backend.devices())
    except Exception as error:
        return BackendStatus(name, True, version, reason=str(error))


def owner_of(values: Iterable[object]) -> Backend:
    """The backend whose arrays are among ``values``; looks only at what is already imported.

    A framework's array wins over NumPy's, because frameworks accept NumPy arrays beside
    their own and not the other way round.

    Raises:
        UsageError: the arrays belong to two frameworks, or to none that is known.
    """
    values = tuple(values)
    owners = []
    for factory in factories():
        if factory.module in sys.modules and factory.name != "numpy":
            try:
                backend = load(factory.name)
            except BackendUnavailable:
                continue
            if any(backend.owns(value) for value in values):
                owners.append(backend)
    if len(owners) > 1:
        mixed = " and ".join(backend.name for backend in owners)
        raise UsageError(
            f"primals: arrays of {mixed} are mixed; give arrays of one framework, or name the "
            "backend and convert the others"
        )
    if owners:
        return owners[0]
    numpy = load("numpy")
    if any(numpy.owns(value) for value in values):
        return numpy
    kinds = ", ".join(sorted({type(value).__name__ for value in values})) or "nothing"
    raise UsageError(
        f"primals: no array among them (got {kinds}); give at least one floating array of "
        f"{', '.join(names())}"
    )


def _is_installed(factory: BackendFactory) -> bool:
    try:
        return factory.module in sys.modules or util.find_spec(factory.module) is not None
    except (ImportError, ValueError):
        return False


def _version(factory: BackendFactory) -> str:
    try:
        return metadata.version(factory.distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
