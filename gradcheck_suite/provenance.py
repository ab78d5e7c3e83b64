"""Where a run happened: versions, platform, devices. From metadata only; imports no framework."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from gradcheck_suite import discovery
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Record

#: Reported beside what the implementations that ship need.
_REPORTED = ("numpy", "torch", "jax", "jaxlib", "array-api-compat", "pytest")
_SECONDS_AT_MOST = 10  # for a command that says something of the place


class SpecificationIdentity(TypedDict, total=False):
    """Which questions there were: two reports with the same digest were asked the same.

    Attributes:
        digest: of every clause's id, level, sentence, check and cases.
        clauses: how many clauses the specification has.
        cases: how many cases they have.
    """

    digest: str
    clauses: int
    cases: int


class GitState(TypedDict, total=False):
    """The state of the project whose folder the run was started in.

    Attributes:
        commit: the full hash; empty before the first commit.
        dirty: tracked files differ from that commit.
    """

    commit: str
    dirty: bool


class Part(TypedDict, total=False):
    """One of the reports that were merged.

    Attributes:
        name: what ``part`` says in its records.
        outcomes: how many it had.
        truncated: it had no footer.
        provenance: its own header's.
    """

    name: str
    outcomes: int
    truncated: bool
    provenance: Provenance


class Provenance(TypedDict, total=False):
    """What a report says of where it comes from. Whoever runs may add more under other names.

    Attributes:
        suite: version of gradcheck-suite.
        specification: which questions there were.
        python: version of Python.
        platform: operating system, its version, the machine.
        processor: model of the CPU.
        processors: how many of them.
        libraries: distribution → version, of those that matter here.
        blas: library → the BLAS that it was built with.
        devices: backend → the devices that were judged on.
        gpus: model and driver of the NVIDIA GPUs that were there.
        flags: the words of the command line.
        seed: seed of every case.
        quick: only the most telling cases were asked.
        strict: SHOULD clauses counted.
        clauses: patterns of the clauses that were asked, where not all were.
        exclude: patterns of clauses that were left out.
        cases: patterns of the cases that were asked, where not all were.
        dtypes: those that were asked for, where an implementation has others of its own.
        runner: what ran it: ``gradcheck-suite``, ``pytest`` or, for a call in Python, ``python``.
        git: state of the tested project; absent outside a repository.
        started: when, ISO 8601, UTC.
        seconds: how long it took.
        parts: the reports that this one was merged from.
    """

    suite: str
    specification: SpecificationIdentity
    python: str
    platform: str
    processor: str
    processors: int
    libraries: Mapping[str, str]
    blas: Mapping[str, str]
    devices: Mapping[str, tuple[str, ...]]
    gpus: tuple[str, ...]
    flags: tuple[str, ...]
    seed: int
    quick: bool
    strict: bool
    clauses: tuple[str, ...]
    exclude: tuple[str, ...]
    cases: tuple[str, ...]
    dtypes: tuple[str, ...]
    runner: str
    git: GitState
    started: str
    seconds: float
    parts: tuple[Part, ...]


def version(distribution: str = "gradcheck-suite") -> str:
    """The installed version of a distribution; ``unknown`` if it is not installed.

    Another that provides the package of that name stands for it: ``tensorflow-cpu`` is TensorFlow.
    """
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):  # ValueError: an empty name
        providers = _providers().get(distribution, ())
    return metadata.version(providers[0]) if providers else "unknown"


@cache
def _providers() -> Mapping[str, list[str]]:
    """Import package → the distributions that provide it."""
    return metadata.packages_distributions()


def collect(**settings: Any) -> dict[str, Any]:
    """Versions and platform, with the run's own settings."""
    needed = (name for each in discovery.members("implementations") for name in each.requires)
    versions = {name: version(name) for name in dict.fromkeys((*_REPORTED, *needed))}
    return {
        "suite": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 1,
        "libraries": {name: found for name, found in versions.items() if found != "unknown"},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **settings,
    }


def of_run(**settings: Any) -> dict[str, Any]:
    """What ``collect`` says, and what takes longer: the processor, the BLAS, the GPUs, git."""
    known: dict[str, Any] = {"flags": (), "runner": "python", **settings}
    found = collect(processor=_processor(), blas=_blas(), gpus=_gpus(), **known)
    state = git_state(os.getcwd())
    return {**found, "git": state} if state else found


def devices(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """Backend → devices, of everything in which something was judged."""
    found: dict[str, set[str]] = {}
    for record in records:
        found.setdefault(record.backend, set()).add(record.device)
    return {backend: tuple(sorted(names)) for backend, names in sorted(found.items())}


@cache
def git_state(folder: str) -> GitState | None:
    """Commit of the repository around a folder; None outside of one, or without git.

    Asked once in a process: the code under test is what was imported then.
    """
    git = ("git", "-C", folder)
    head = _said(*git, "rev-parse", "--verify", "--quiet", "HEAD")
    changes = _said(*git, "status", "--porcelain", "--untracked-files=no")
    if changes is None:
        return None
    return GitState(commit=head or "", dirty=bool(changes))


def _said(*command: str) -> str | None:
    """What a command prints; None where it fails, is not there, or takes too long."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS_AT_MOST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def _blas() -> dict[str, str]:
    """NumPy's, from how it was built; NumPy is imported here at the latest."""
    import numpy as np

    built: Mapping[str, Any] = np.show_config(mode="dicts")
    found = built.get("Build Dependencies", {}).get("blas", {})
    words = " ".join(str(found[key]) for key in ("name", "version") if found.get(key))
    return {"numpy": words} if words else {}


@cache
def _gpus() -> tuple[str, ...]:
    """``NVIDIA H100 80GB HBM3, driver 550.54.15``, of each that the driver shows."""
    query = "--query-gpu=name,driver_version"
    said = _said("nvidia-smi", query, "--format=csv,noheader") or ""
    return tuple(", driver ".join(line.rsplit(", ", 1)) for line in said.splitlines())


@cache
def _processor() -> str:
    """The model of the CPU where Linux says it, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    models = (line.partition(":")[2] for line in text.splitlines() if "model name" in line)
    return next(models, "").strip() or platform.processor() or platform.machine()


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
