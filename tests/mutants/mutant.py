"""A mutant: a wrong implementation, what is wrong with it, and the clause that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gradcheck_suite.implementation import Implementation

Loss = TypeVar("Loss", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberately wrong implementation.

    Attributes:
        name: name of the function.
        clause: id of the clause that convicts it.
        implementation: the loss, and what it declares.
        backend: ``numpy``, ``torch`` or ``jax``.
        mechanism: what is wrong, in one sentence.
        origin: where this was shipped, if it was.
        missed: why no clause convicts it yet (an expected failure); empty where one does.
        environment: variables that must be set before its framework is loaded; such a mutant is
            judged in a process of its own, by its address.
    """

    name: str
    clause: str
    implementation: Implementation
    backend: str
    mechanism: str
    origin: str = ""
    missed: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registry:
    """The mutants of one backend; calling it makes the decorator that adds one."""

    backend: str
    mutants: list[Mutant] = field(default_factory=list)

    def __call__(
        self,
        clause: str,
        mechanism: str,
        *,
        origin: str = "",
        missed: str = "",
        environment: Mapping[str, str] | None = None,
        **declared: Any,
    ) -> Callable[[Loss], Loss]:
        """The decorated loss is a mutant; ``declared`` goes to its ``Implementation``."""

        def add(loss: Loss) -> Loss:
            name = loss.__name__
            implementation = Implementation(
                f"{self.backend}-{name}", loss, backend=self.backend, **declared
            )
            self.mutants.append(
                Mutant(
                    name,
                    clause,
                    implementation,
                    self.backend,
                    mechanism,
                    origin,
                    missed,
                    environment or {},
                )
            )
            return loss

        return add
