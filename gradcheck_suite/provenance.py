"""Where a run happened: versions, platform, devices. From metadata only; imports no framework."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

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
