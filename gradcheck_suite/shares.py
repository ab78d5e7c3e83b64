"""An order carried out in parts by any executor: a pool of processes, or of other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from typing import Any

from gradcheck_suite import record_json
from gradcheck_suite.errors import UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Errored, Record
from gradcheck_suite.supervisor import Supervisor
from gradcheck_suite.teeth import Teeth


def carry_out(order: Mapping[str, Any], share: tuple[int, int]) -> dict[str, Any]:
    """One part of an order, in a worker process on the machine where this is called.

    Args:
        order: ``Order.encode``.
        share: (k, n): jobs k, k + n, k + 2n …

    Returns:
        The worker's ``greeting``, ``records`` as (index, record), and ``teeth``: JSON values.
    """
    supervisor = Supervisor(Order.decode(order), share=share)
    records = [(index, record_json.encode(record)) for index, record in supervisor.run()]
    teeth = [record_json.encode_teeth(each) for each in supervisor.teeth]
    return {"greeting": supervisor.greeting, "records": records, "teeth": teeth}


class Shares:
    """Iterates over the records of an order whose parts are elsewhere; see ``run``.

    Attributes:
        greeting: what the first part that came back said of itself; see ``Supervisor``.
        teeth: the planted errors that were caught, once the records are through.
    """

    def __init__(self, order: Order, executor: Executor, parts: int) -> None:
        self.order = order
        self.executor = executor
        self.parts = parts
        self.greeting: dict[str, Any] = {}
        self.teeth: list[Teeth] = []

    def run(self, on_plan: Callable[[int], None] | None = None) -> Iterator[tuple[int, Record]]:
        """(index, record) of every job, part by part as they finish.

        Closing the iterator cancels the parts that have not begun. What an executor loses (its
        process died, it cannot import the suite) is errored, job by job.

        Raises:
            UsageError: the order cannot be carried out (a misspelt name, a missing backend).
        """
        parts = {self._begun(part): part for part in range(self.parts)}
        seen: set[int] = set()  # what befalls every part alike is reported once
        lost: dict[int, BaseException] = {}
        try:
            for future in as_completed(parts):
                error = future.exception()
                if isinstance(error, UsageError):
                    raise error
                if error is not None:
                    lost[parts[future]] = error
                    continue
                found = future.result()
                if not self.greeting and found["greeting"]:
                    self.greeting = found["greeting"]
                    if on_plan is not None:
                        on_plan(len(self.greeting["jobs"]))
                self.teeth += (record_json.decode_teeth(each) for each in found["teeth"])
                for index, record in found["records"]:
                    if index not in seen:
                        seen.add(index)
                        yield index, record_json.decode(record)
            for part, error in lost.items():
                yield from self._lost(part, error)
        finally:
            for future in parts:
                future.cancel()

    def _begun(self, part: int) -> Future[dict[str, Any]]:
        try:
            return self.executor.submit(carry_out, self.order.encode(), (part, self.parts))
        except BrokenExecutor as error:  # as if it had broken a moment later
            broken: Future[dict[str, Any]] = Future()
            broken.set_exception(error)
            return broken
        except RuntimeError as error:
            raise UsageError(f"executor: it takes no more work ({error}); give a new one") from None

    def _lost(self, part: int, error: BaseException) -> Iterator[tuple[int, Record]]:
        witness = Supervisor(self.order)
        witness.greeting = self.greeting
        verdict = Errored(f"the executor lost it: {type(error).__name__}: {error}")
        jobs = self.greeting.get("jobs")
        if jobs is None:
            yield part, witness.record("value.definition/start@float64", verdict)
            return
        for index in range(part, len(jobs), self.parts):
            yield index, witness.record(jobs[index], verdict)
