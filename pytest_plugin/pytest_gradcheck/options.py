"""The plugin's options: each is a command-line flag and an ini key of the same name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

#: The root of node ids of questions that no test file asks: ``softmax-nll::LOSS::CLAUSE::CASE``.
ROOT = "softmax-nll"
#: ``…::gradient.analytic::rows4-classes5-mean[float32]``, ``…[gradient.analytic::…-float32]``:
#: the clause, the case and the dtype in a node id.
OWN_ID = re.compile(r"([a-z]+\.[a-z-]+)::([^\[\]]+?)[\[-](b?float\d+)(?:-[\w:]+)?\]$")


def _key(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Option:
    """One option, on the command line and in the configuration file.

    Attributes:
        flag: on the command line; the ini key is the same in words with underscores.
        kind: ``string``, ``bool`` or ``linelist`` (repeatable), as pytest names them.
        help: one sentence.
        metavar: of the value.
        default: where neither says anything.
    """

    flag: str
    kind: Literal["string", "bool", "linelist"]
    help: str
    metavar: str = ""
    default: Any = None

    @property
    def key(self) -> str:
        return _key(self.flag)


OPTIONS = (
    Option(
        "--softmax-nll",
        "linelist",
        "judge this softmax cross-entropy against its specification, one item per clause and case",
        "PACKAGE.MODULE:LOSS",
    ),
    Option(
        "--gradcheck-backend",
        "string",
        "backend of the losses, and the backends that gradcheck_backend runs over (a,b)",
        "NAME[,NAME]",
    ),
    Option("--gradcheck-device", "string", "device to judge on, such as cuda:0", "DEVICE"),
    Option("--gradcheck-clauses", "string", "patterns of clause ids, such as gradient.*", "GLOB,…"),
    Option("--gradcheck-dtypes", "string", "dtypes, such as float64,bfloat16", "DTYPE,…"),
    Option("--gradcheck-seed", "string", "seed of every case", "N"),
    Option("--gradcheck-quick", "bool", "the most telling cases of each clause, in one dtype"),
    Option("--gradcheck-strict", "bool", "advice (SHOULD clauses) counts"),
    Option(
        "--gradcheck-expectations",
        "string",
        "TOML file of known deviations; an entry that no longer holds is an error",
        "FILE",
    ),
    Option(
        "--gradcheck-baseline",
        "string",
        "earlier report (.json); what fails as it did there is expected, what is new is told",
        "FILE",
    ),
    Option(
        "--gradcheck-require",
        "string",
        "backends that must be exercised, such as jax,torch-cuda: a skip becomes a failure",
        "NAME,…",
    ),
    Option("--gradcheck-no-skips", "bool", "a clause that is skipped fails"),
    Option(
        "--gradcheck-report",
        "linelist",
        "write the outcomes to this file, in the format of its suffix (.json, .md, …)",
        "PATH",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this run was asked for, from the command line over the configuration file.

    Attributes:
        only: node ids of this plugin's own items given on the command line.
    """

    losses: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    device: str = ""
    clauses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    seed: int | None = None
    quick: bool = False
    strict: bool = False
    expectations: str = ""
    baseline: str = ""
    require: tuple[str, ...] = ()
    no_skips: bool = False
    reports: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether anything was asked for at all."""
        return self != _NOTHING


_NOTHING = Settings()


def add(parser: pytest.Parser) -> None:
    """Makes the options known, in a group of their own in ``pytest --help``."""
    group = parser.getgroup("gradcheck", "gradient checks and softmax-NLL conformance")
    for option in OPTIONS:
        takes: dict[str, Any] = {"metavar": option.metavar}
        if option.kind == "bool":
            takes = {"action": "store_true"}
        elif option.kind == "linelist":
            takes = {"action": "append", "metavar": option.metavar}
        group.addoption(option.flag, dest=option.key, default=None, help=option.help, **takes)
        parser.addini(option.key, f"{option.help} ({option.flag})", option.kind, default=None)


def read(config: pytest.Config, only: tuple[str, ...] = ()) -> Settings:
    """The settings of this run; ``only``: node ids of this plugin's own items.

    Raises:
        pytest.UsageError: a value does not make sense.
    """
    given = {option.key: _given(config, option) for option in OPTIONS}
    seed = given["gradcheck_seed"]
    if seed and not str(seed).isdecimal():
        raise pytest.UsageError(f"--gradcheck-seed: {seed!r} is no seed; use an integer ≥ 0")
    settings = Settings(
        losses=tuple(given["softmax_nll"] or ()),
        backends=_listed(given["gradcheck_backend"]),
        device=given["gradcheck_device"] or "",
        clauses=_listed(given["gradcheck_clauses"]),
        dtypes=_listed(given["gradcheck_dtypes"]),
        seed=int(seed) if seed else None,
        quick=bool(given["gradcheck_quick"]),
        strict=bool(given["gradcheck_strict"]),
        expectations=given["gradcheck_expectations"] or "",
        baseline=given["gradcheck_baseline"] or "",
        require=_listed(given["gradcheck_require"]),
        no_skips=bool(given["gradcheck_no_skips"]),
        reports=tuple(given["gradcheck_report"] or ()),
        only=only,
    )
    _refuse_contradictions(settings)
    return settings


def _refuse_contradictions(settings: Settings) -> None:
    for required in settings.require:
        name = required.partition("-")[0]
        if settings.backends and name not in settings.backends:
            raise pytest.UsageError(
                f"--gradcheck-require {required} and --gradcheck-backend "
                f"{','.join(settings.backends)} contradict each other: nothing would run on {name}"
            )


def take_own_ids(config: pytest.Config) -> tuple[str, ...]:
    """Takes this plugin's node ids out of the arguments: pytest would look for a file.

    A worker of xdist is started with the same arguments and does the same.
    """
    own = tuple(argument for argument in config.args if _is_own(argument))
    if own:
        config.args = [argument for argument in config.args if argument not in own]
    return own


def _is_own(argument: str) -> bool:
    return argument == ROOT or argument.startswith(f"{ROOT}::")


def folder(config: pytest.Config, flag: str) -> Path:
    """Where a relative path starts: where pytest was called, or where its configuration lies."""
    if config.getoption(_key(flag)) is not None or config.inipath is None:
        return config.invocation_params.dir
    return config.inipath.parent


def readable(config: pytest.Config, flag: str, path: str) -> Path:
    """A file to be read, as the option gives it; else (``addopts``) as the root folder has it."""
    found = folder(config, flag) / path
    below_root = config.rootpath / path
    return below_root if below_root.exists() and not found.exists() else found


def refused(flag: str, error: ValueError) -> pytest.UsageError:
    """An error of the suite's that names the option in the place of the suite's own argument."""
    reason = re.sub(r"^(path|report|expectations): ", "", str(error))
    return pytest.UsageError(f"{flag}: {reason}")


def _given(config: pytest.Config, option: Option) -> Any:
    value = config.getoption(option.key)
    return config.getini(option.key) if value is None else value


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
