"""A work order: everything a process needs to judge one implementation, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gradcheck_suite import addresses, backends
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.runner import DEFAULT_TIME_LIMIT, Runner, Selection


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
            address=self.address,
            time_limit=self.time_limit,
        )
