"""The command line: each file here holds a few commands and exports them as ``COMMANDS``."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

from gradcheck_suite import provenance


class _Group(click.Group):
    """A group that keeps the words of the command line, as a report shows them."""

    def make_context(
        self, info_name: str | None, args: list[str], *rest: Any, **extra: Any
    ) -> click.Context:
        words = tuple(args)  # reading them consumes them
        context = super().make_context(info_name, args, *rest, **extra)
        context.obj = words
        return context


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(provenance.version(), prog_name="gradcheck-suite")
def cli() -> None:
    """Checks derivatives, and judges softmax cross-entropy losses clause by clause.

    \b
    gradcheck-suite run                               what ships and is installed
    gradcheck-suite run my_package.losses:loss        a function of yours
    gradcheck-suite run torch.nn.functional:cross_entropy --backend torch
    gradcheck-suite search my_package.losses:loss     beyond the curated cases
    gradcheck-suite explain gradient.analytic         what a clause asks, and why
    """


def _add_commands() -> None:
    """A new command is a function in one of these files, or a new file: there is no other list."""
    for file in pkgutil.iter_modules(__path__, f"{__name__}."):
        for command in getattr(importlib.import_module(file.name), "COMMANDS", ()):
            cli.add_command(command)


_add_commands()


def main() -> None:
    """The entry point of the console script."""
    cli.main(prog_name="gradcheck-suite")
