"""The supervisor: runs an order in worker processes and survives whatever happens to them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from gradcheck_suite import record_json
from gradcheck_suite.errors import UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Errored, Record, Skipped, Verdict
from gradcheck_suite.specification.clause import clauses
from gradcheck_suite.teeth import Teeth

#: Seconds beyond the case's own limit before a worker that does not answer is killed.
GRACE = 5.0
#: Seconds a worker has for importing the framework and the user's module.
STARTUP = 180.0
#: After so many lost workers the remaining cases are not tried.
LOST_AT_MOST = 3
_TAIL = 4000


@dataclass
class _Lane:
    """One worker process at a time, and its share of the jobs."""

    number: int
    done: set[int] = field(default_factory=set)
    process: subprocess.Popen[str] | None = None
    noise: IO[bytes] | None = None
    listener: threading.Thread | None = None
    current: int | None = None
    deadline: float = 0.0
    finished: bool = False


_Event = tuple[_Lane, "subprocess.Popen[str]", dict[str, Any] | None]


class Supervisor:
    """Iterates over the records of an order, or of its part; see ``run``.

    Args:
        order: what is to be judged.
        jobs: worker processes at a time.
        share: (k, n): of the order's jobs k, k + n, k + 2n …; the rest is done elsewhere.

    Attributes:
        greeting: what the first worker said of itself: jobs, implementation, dtypes, deviations.
        teeth: the planted errors that were caught, once the records are through.
    """

    def __init__(self, order: Order, *, jobs: int = 1, share: tuple[int, int] = (0, 1)) -> None:
        self.order = order
        first, shares = share
        self.shares = shares * jobs
        self.lanes = [_Lane(first + shares * number) for number in range(jobs)]
        self.greeting: dict[str, Any] = {}
        self.teeth: list[Teeth] = []
        self._events: queue.Queue[_Event] = queue.Queue()
        self._lost = 0

    def run(self, on_plan: Callable[[int], None] | None = None) -> Iterator[tuple[int, Record]]:
        """(index, record) of every job as it finishes. Closing the iterator ends the workers.

        Raises:
            UsageError: the order cannot be carried out (a misspelt name, a missing backend).
        """
        try:
            for lane in self.lanes:
                self._start(lane)
            while not all(lane.finished for lane in self.lanes):
                yield from self._next(on_plan)
        finally:
            for lane in self.lanes:
                self._end(lane)

    def _next(self, on_plan: Callable[[int], None] | None) -> Iterator[tuple[int, Record]]:
        """Handles one event, or the worker whose time is up."""
        waiting = [lane for lane in self.lanes if not lane.finished]
        patience = min(lane.deadline for lane in waiting) - time.monotonic()
        try:
            lane, process, message = self._events.get(timeout=max(0.05, patience))
        except queue.Empty:
            for lane in waiting:
                if time.monotonic() >= lane.deadline:
                    yield from self._gone(lane, overran=True)
            return
        if lane.finished or lane.process is not process:
            return  # the last words of a worker that was replaced
        if message is None:
            yield from self._gone(lane, overran=False)
        elif "refused" in message:
            raise UsageError(message["refused"])
        elif "broken" in message:
            self._finish_all()
            verdict = Errored(f"importing it {message['broken']}", message["traceback"])
            yield 0, self.record("value.definition/import@float64", verdict)
        elif "jobs" in message:
            first = not self.greeting
            self.greeting = message
            if first and on_plan is not None:
                on_plan(len(message["jobs"]))
            lane.deadline = time.monotonic() + STARTUP
        elif "start" in message:
            lane.current = message["start"]
            lane.deadline = time.monotonic() + self.order.time_limit + GRACE
        elif "record" in message:
            index = message["index"]
            lane.done.add(index)
            lane.current = None
            lane.deadline = time.monotonic() + STARTUP
            yield index, record_json.decode(message["record"])
        elif "teeth" in message:
            lane.deadline = time.monotonic() + STARTUP
            self.teeth.append(record_json.decode_teeth(message["teeth"]))
        elif "spent" in message:
            self._end(lane)
            self._start(lane)
        else:
            lane.finished = True

    def _gone(self, lane: _Lane, *, overran: bool) -> Iterator[tuple[int, Record]]:
        """A worker died or is killed: its case is errored, and another takes the rest."""
        process = lane.process
        assert process is not None
        if overran:
            process.kill()
        code = process.wait()
        words = self._noise(lane)
        if lane.current is None and self.greeting:
            lane.current = self._following(lane)  # it died between two cases
            if lane.current is None:
                lane.finished = True  # or after the last, over the planted errors
                return
        if lane.current is None:
            self._finish_all()
            how = "did not start in time" if overran else f"ended at its start ({_exit(code)})"
            yield 0, self.record("value.definition/start@float64", Errored(f"worker {how}", words))
            return
        index, lane.current = lane.current, None
        lane.done.add(index)
        self._lost += 1
        if overran:
            reason = f"did not return within {self.order.time_limit:g} s and was killed"
        else:
            reason = f"killed its process ({_exit(code)})"
        yield index, self.record(self.greeting["jobs"][index], Errored(reason, words))
        if self._lost < LOST_AT_MOST:
            self._end(lane)
            self._start(lane)
            return
        self._finish_all()
        skipped = Skipped(f"not run: {self._lost} cases before it lost their process")
        for each in self.lanes:
            for rest in self._left(each):
                yield rest, self.record(self.greeting["jobs"][rest], skipped)

    def _following(self, lane: _Lane) -> int | None:
        """The next job of a lane that is not done."""
        return next(self._left(lane), None)

    def _left(self, lane: _Lane) -> Iterator[int]:
        """The jobs of a lane that are not done."""
        share = range(lane.number, len(self.greeting["jobs"]), self.shares)
        return (index for index in share if index not in lane.done)

    def _start(self, lane: _Lane) -> None:
        # What the code under test prints past Python, and faulthandler's last words.
        noise = lane.noise = tempfile.TemporaryFile()  # noqa: SIM115, closed in _end
        process = lane.process = subprocess.Popen(
            [sys.executable, "-m", "gradcheck_suite.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        lane.deadline = time.monotonic() + STARTUP
        request = {
            "order": self.order.encode(),
            "share": [lane.number, self.shares],
            "done": sorted(lane.done),
        }
        assert process.stdin is not None
        try:
            with process.stdin as channel:
                channel.write(json.dumps(request))
        except BrokenPipeError:
            pass  # it has died already; its silence says so
        lane.listener = threading.Thread(target=self._listen, args=(lane, process), daemon=True)
        lane.listener.start()

    def _listen(self, lane: _Lane, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as channel:
            for line in channel:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # cut off in the middle: the worker is dying
                self._events.put((lane, process, message))
        self._events.put((lane, process, None))

    def _end(self, lane: _Lane) -> None:
        process, lane.process = lane.process, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()
        if lane.listener is not None:
            # Its pipe ends with the process, unless a child that was forked holds it open.
            lane.listener.join(timeout=1.0)
            lane.listener = None
        if lane.noise is not None:
            lane.noise.close()
            lane.noise = None

    def _finish_all(self) -> None:
        for lane in self.lanes:
            lane.finished = True

    def _noise(self, lane: _Lane) -> str:
        """The end of what the worker wrote to its standard error."""
        assert lane.noise is not None
        lane.noise.seek(0, os.SEEK_END)
        lane.noise.seek(max(0, lane.noise.tell() - _TAIL))
        return lane.noise.read().decode(errors="replace").strip()

    def record(self, job: str, verdict: Verdict) -> Record:
        """A record for a job (``clause/case@dtype``) whose worker can no longer write it."""
        clause_id, _, rest = job.partition("/")
        case, _, dtype = rest.rpartition("@")
        clause = next(each for each in clauses() if each.id == clause_id)
        greeting, order = self.greeting, self.order
        return Record(
            clause=clause.id,
            level=clause.level_for(greeting.get("dialect", order.dialect)),
            statement=clause.statement,
            case=case,
            check=clause.check,
            implementation=greeting.get("implementation", order.address),
            backend=greeting.get("backend", order.backend or "?"),
            device=greeting.get("device", order.device or "?"),
            dtype=dtype,
            seed=order.selection.seed,
            verdict=verdict,
            dialect=greeting.get("dialect", dict(order.dialect)),
            replay=order.replay(job, greeting.get("backend", "")),
        )


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
