"""A run may leave this process by any executor, and comes back whole. Real pools, real clusters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import gradcheck_suite as gs
from gradcheck_suite.errors import UsageError
from gradcheck_suite.outcome import Run, Status

LOSS = "numpy-softmax-loss"


def processes(number: int) -> ProcessPoolExecutor:
    """Started anew: JAX, where another test has loaded it, does not survive a fork."""
    return ProcessPoolExecutor(number, mp_context=get_context("spawn"))


def judged(loss: Any = LOSS, **options: Any) -> Run:
    return gs.conformance(loss, backend="numpy", clauses=("value.*", "reject.*"), **options)


def found(run: Run) -> list[tuple[str, str, str]]:
    return [(record.id, record.status.value, record.reason) for record in run.outcomes]


@pytest.fixture(params=["processes", "threads", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "processes":
        with processes(2) as pool:
            yield pool
    elif request.param == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    else:
        distributed = pytest.importorskip("distributed", reason="distributed is not installed")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="tcp"
        )
        with cluster, distributed.Client(cluster) as client:
            yield client.get_executor()


def test_an_executor_finds_what_this_process_finds(executor: Executor) -> None:
    planned: list[int] = []
    heard: list[str] = []

    run = judged(
        executor=executor, on_plan=planned.append, on_record=lambda record: heard.append(record.id)
    )

    here = judged(isolate=False)
    assert found(run) == found(here)
    assert planned == [len(here.outcomes)]
    assert sorted(heard) == sorted(record.id for record in here.outcomes)


def test_a_wrong_loss_is_convicted_elsewhere_too(tmp_path: Path) -> None:
    path = tmp_path / "homework.py"
    path.write_text(
        "import numpy as np\n"
        "def loss(logits, targets):\n"
        "    log_z = np.log(np.exp(logits).sum(axis=1))\n"
        "    return (2 * log_z - logits[np.arange(len(targets)), targets]).mean()\n",
        "utf-8",
    )

    with processes(2) as pool:
        run = judged(f"{path}:loss", executor=pool, jobs=3)

    assert not run.passed
    assert any(record.clause == "value.definition" for record in run.failures)


def test_an_order_that_makes_no_sense_is_refused() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="no_such_module"):
        judged("no_such_module:loss", executor=pool)


def test_a_function_that_nobody_can_import_is_refused() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="imported"):
        judged(lambda logits, targets: logits.sum(), executor=pool)


def test_an_executor_and_this_process_exclude_each_other() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="isolate"):
        judged(executor=pool, isolate=False)


class Losing(ThreadPoolExecutor):
    """Loses the second of its tasks, as a cluster loses a machine."""

    def submit(self, *task: Any, **options: Any) -> Future[Any]:
        self.tasks = getattr(self, "tasks", 0) + 1
        return super().submit(*task, **options) if self.tasks != 2 else super().submit(lost)


def lost() -> None:
    raise ConnectionError("the machine is gone")


def test_what_an_executor_loses_is_errored_and_the_rest_is_judged() -> None:
    with Losing(1) as pool:
        run = judged(executor=pool, jobs=3)

    errored = [record for record in run.outcomes if record.status is Status.ERRORED]
    assert [record.id for record in errored] == [
        record.id for record in judged(isolate=False).outcomes[1::3]
    ]
    assert all("the machine is gone" in record.reason for record in errored)
    assert not run.passed


def test_an_executor_that_is_shut_down_is_refused() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    with pytest.raises(UsageError, match="executor"):
        judged(executor=pool)


@pytest.mark.parametrize("dead_before", [True, False], ids=["before", "meanwhile"])
def test_a_pool_whose_processes_die_leaves_one_outcome_that_says_so(dead_before: bool) -> None:
    pool = processes(1)
    dying = pool.submit(os._exit, 3)
    if dead_before:
        assert dying.exception() is not None

    with pool:
        run = judged(executor=pool, jobs=1)

    (record,) = run.outcomes
    assert record.status is Status.ERRORED
    assert "BrokenProcessPool" in record.reason
