"""Where a run happened: versions, platform, devices. From metadata only; imports no framework."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from gradcheck_suite.errors import UsageError

_REPORTED = ("numpy", "torch", "jax", "jaxlib", "optax", "scipy", "array-api-compat", "pytest")


def version(distribution: str = "gradcheck-suite") -> str:
    """The installed version of a distribution; ``unknown`` if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def collect(**settings: Any) -> dict[str, Any]:
    """Versions and platform, with the run's own settings."""
    versions = {name: version(name) for name in _REPORTED}
    return {
        "suite": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "libraries": {name: found for name, found in versions.items() if found != "unknown"},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **settings,
    }


def holds(condition: str) -> bool:
    """Whether ``distribution<=1.2`` holds here; an empty condition does, an absent library not.

    Raises:
        UsageError: it is no such condition.
    """
    if not condition:
        return True
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(condition)
    except InvalidRequirement as error:
        raise UsageError(
            f"when: {condition!r} is no condition such as 'optax<=0.2.8': {error}"
        ) from None
    installed = version(requirement.name)
    return installed != "unknown" and requirement.specifier.contains(installed, prereleases=True)
