"""What the commands share: how an error is said, how a dialect is read, what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from gradcheck_suite import provenance
from gradcheck_suite.errors import BackendUnavailable, UsageError
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.story import visible


def usage(function: Callable[[], Any], options: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Our usage errors become click's: one line and exit code 2, never a traceback of ours.

    ``options`` says how the arguments that a message may begin with are written here.
    """
    try:
        return function()
    except (UsageError, BackendUnavailable) as error:
        argument, colon, rest = str(error).partition(": ")
        raise click.UsageError(visible(options.get(argument, argument) + colon + rest)) from None


def dialect_choices(given: tuple[str, ...]) -> dict[str, str]:
    """``("keras", "mean_index=batch")`` as choices: later ones win."""
    choices: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        choices |= {name: value} if separator else expanded(text)
    return choices


def not_installed(implementation: Implementation) -> tuple[str, ...]:
    """The distributions an implementation needs and that are not installed."""
    return tuple(name for name in implementation.requires if provenance.version(name) == "unknown")
