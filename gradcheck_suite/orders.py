"""A work order: everything a process needs to judge one implementation, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from gradcheck_suite import addresses, backends
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.runner import DEFAULT_TIME_LIMIT, Runner, Selection
from gradcheck_suite.story import replay_command


@dataclass(frozen=True, slots=True)
class Order:
    """Which implementation is judged, where, and by which questions.

    Attributes:
        address: shipped name or ``package.module:attribute``.
        backend: name of the backend; empty for what the implementation says.
        device: empty for the backend's default.
        dialect: declared choices over the implementation's own.
        selection: which questions.
        time_limit: seconds for one case.
    """

    address: str
    backend: str = ""
    device: str = ""
    dialect: Mapping[str, str] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    time_limit: float = DEFAULT_TIME_LIMIT

    def encode(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def decode(cls, encoded: Mapping[str, Any]) -> Order:
        values = dict(encoded)
        chosen: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.pop("selection").items()
        }
        return cls(**values, selection=Selection(**chosen))

    def replay(self, job: str, backend: str = "") -> str:
        """The command that shows the outcome of a job again.

        Args:
            job: id of the job, ``clause/case@dtype``.
            backend: the backend that was seen, where the order names none.
        """
        return replay_command(
            job,
            self.address,
            backend=self.backend or backend,
            device=self.device,
            dialect=self.dialect,
            seed=self.selection.seed,
        )

    def resolve(self) -> Implementation:
        """The implementation, its module imported."""
        return addresses.resolve(self.address, backend=self.backend, dialect=self.dialect)

    def runner(self) -> Runner:
        """A runner in this process: imports the user's module and the framework."""
        implementation = self.resolve()
        return Runner(
            implementation,
            backends.load(implementation.backend),
            device=self.device,
            selection=self.selection,
            replay=partial(self.replay, backend=implementation.backend),
            address=self.address,
            time_limit=self.time_limit,
        )
