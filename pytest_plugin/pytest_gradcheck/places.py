"""Backends and devices as parameters of a test."""

from __future__ import annotations

from typing import Any

import pytest

from gradcheck_suite import backends
from gradcheck_suite.errors import BackendUnavailable, UsageError
from gradcheck_suite.protocols import Backend
from pytest_gradcheck.options import Settings
from pytest_gradcheck.stash import SETTINGS, USES


def parametrise(metafunc: pytest.Metafunc) -> None:
    """One test per backend, per device, or per pair of them.

    Raises:
        pytest.Collector.CollectError: a backend that was asked for is not known.
    """
    settings = metafunc.config.stash[SETTINGS]
    try:
        names = _names(settings)
        if "gradcheck_device" not in metafunc.fixturenames:
            metafunc.parametrize("gradcheck_backend", names, indirect=True)
            return
        if "gradcheck_backend" not in metafunc.fixturenames:
            name = settings.backends[0] if settings.backends else "numpy"
            devices = _devices(name, settings)
            metafunc.parametrize("gradcheck_device", devices, indirect=True)
            return
        pairs = [(name, device) for name in names for device in _devices(name, settings)]
    except UsageError as error:
        raise pytest.Collector.CollectError(f"gradcheck: {error}") from None
    metafunc.parametrize(
        ("gradcheck_backend", "gradcheck_device"),
        pairs,
        ids=[f"{name}-{device}" for name, device in pairs],
        indirect=True,
    )


def backend(item: pytest.Item, name: str) -> Backend:
    """The backend; one that is missing skips the test, or fails it where it is required."""
    settings = item.config.stash[SETTINGS]
    try:
        found = backends.load(name)
    except BackendUnavailable as error:
        if any(each.partition("-")[0] == name for each in settings.require):
            pytest.fail(f"required by --gradcheck-require: {error}", pytrace=False)
        pytest.skip(str(error))
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    device = parameters.get("gradcheck_device", found.devices()[0])
    item.stash.setdefault(USES, []).append(f"{name}-{device}")
    return found


def _names(settings: Settings) -> list[str]:
    """The backends to run over: those asked for, else all installed; required ones always."""
    known = backends.names()
    required = [each.partition("-")[0] for each in settings.require]
    for name in (*settings.backends, *required):
        if name not in known:
            raise UsageError(f"backend {name!r} is unknown; known backends: {', '.join(known)}")
    return list(dict.fromkeys((*(settings.backends or backends.installed()), *required)))


def _devices(name: str, settings: Settings) -> tuple[str, ...]:
    if settings.device:
        return (settings.device,)
    try:
        return backends.load(name).devices()
    except BackendUnavailable:
        return ("cpu",)  # the test skips, or fails, by its backend
