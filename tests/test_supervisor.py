"""What kills a process kills a worker: one errored outcome, and the run goes on. Real processes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradcheck_suite.errors import UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.outcome import Errored, Record, Run, Status
from gradcheck_suite.runner import Selection
from gradcheck_suite.suite import conformance
from gradcheck_suite.supervisor import LOST_AT_MOST, Supervisor

LOSS = """
import ctypes, faulthandler, os, signal, sys, time
from gradcheck_suite.implementations.numpy_reference import softmax_nll as correct

def mistake():
    {mistake}

def loss(logits, targets, **options):
    if {where}:
        mistake()
    return correct(logits, targets, **options)
"""
LARGE, SEED = "len(logits) == 32", "logits.shape == (1, 4)"
DEAF = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}); time.sleep(600)"

Module = Callable[..., str]


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """Writes a loss that is correct but for one mistake; returns its address."""

    def write(mistake: str, where: str = LARGE, text: str = LOSS) -> str:
        path = tmp_path / "mine.py"
        path.write_text(text.replace("{mistake}", mistake).replace("{where}", where), "utf-8")
        return f"{path}:loss"

    return write


def judged(address: str, clauses: Any = "value.definition", **options: Any) -> Run:
    defaults: dict[str, Any] = {
        "backend": "numpy",
        "dtypes": "float64",
        "time_limit": 20.0,
        "isolate": True,
    }
    return conformance(address, clauses=clauses, **{**defaults, **options})


def the_one_errored(run: Run) -> Record:
    """The errored outcome of a run in which everything else passed."""
    (bad,) = (record for record in run.outcomes if record.status is Status.ERRORED)
    assert {r.status for r in run.outcomes if r is not bad} == {Status.PASSED}
    assert len(run.outcomes) > 1
    assert not run.passed
    return bad


def test_a_worker_gives_the_records_that_this_process_gives(module: Module) -> None:
    address = module("pass")

    def numbers(run: Run) -> list[Any]:
        return [(r.id, r.verdict, r.replay, r.statement) for r in run.outcomes]

    apart = judged(address, ["value.*", "gradient.*"])
    here = judged(address, ["value.*", "gradient.*"], isolate=False)
    shared = judged(address, ["value.*", "gradient.*"], jobs=2)
    assert apart.passed
    assert numbers(apart) == numbers(here)
    assert numbers(shared) == numbers(apart)


@pytest.mark.parametrize(
    ("mistake", "reason", "last_words"),
    [
        ("os._exit(3)", "killed its process (exit code 3)", ""),
        ("faulthandler._sigsegv()", "killed its process (SIGSEGV)", "in mistake"),
        ("ctypes.string_at(0)", "killed its process (SIGSEGV)", "in mistake"),
        ("os.abort()", "killed its process (SIGABRT)", "in mistake"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed its process (SIGKILL)", ""),
        (
            "os.write(2, b'CUDA error: device-side assert\\n'); os._exit(1)",
            "killed its process (exit code 1)",
            "CUDA error: device-side assert",
        ),
    ],
    ids=["_exit", "segfault", "null pointer", "abort", "kill", "words before the end"],
)
def test_a_killed_process_costs_one_outcome(
    module: Module, mistake: str, reason: str, last_words: str
) -> None:
    bad = the_one_errored(judged(module(mistake)))
    assert bad.id == "value.definition/rows32-classes100-none@float64"
    assert bad.reason == reason
    assert isinstance(bad.verdict, Errored)
    assert last_words in bad.verdict.traceback


def test_a_call_that_never_returns_to_python_is_killed(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcheck_suite.supervisor.GRACE", 0.5)
    bad = the_one_errored(judged(module(DEAF), time_limit=1.0))
    assert bad.reason == "did not return within 1 s and was killed"


def test_a_loop_in_python_is_interrupted_and_its_worker_lives(module: Module) -> None:
    bad = the_one_errored(judged(module("while True: time.sleep(0.01)"), time_limit=0.5))
    assert bad.reason == "ran past the time limit of 0.5 s for one case"
    assert isinstance(bad.verdict, Errored)
    assert "in mistake" in bad.verdict.traceback


@pytest.mark.parametrize(
    "noise",
    [
        "os.write(1, b'{\"record\": 1}\\nnoise\\n')",
        "os.system('echo noise from a child')",
        "ctypes.CDLL(None).puts(b'noise'); ctypes.CDLL(None).fflush(None)",
        "sys.stdout.write('{\"finished\": true}\\n'); sys.stdout.flush()",
        "sys.__stdout__.write('noise'); sys.__stdout__.flush()",
        "os.close(1)",
    ],
    ids=["write", "child", "C", "print", "__stdout__", "closed descriptor"],
)
def test_noise_on_standard_output_does_not_disturb(module: Module, noise: str) -> None:
    run = judged(module(noise, SEED), cases=["seed-example", "rows4-classes5-none"])
    assert run.counts() == {Status.PASSED: 2}


def test_reading_standard_input_finds_its_end_and_does_not_wait(module: Module) -> None:
    bad = the_one_errored(judged(module("input('password: ')")))
    assert bad.reason.startswith("raises EOFError")


def test_after_some_lost_workers_the_rest_is_not_tried(module: Module) -> None:
    run = judged(module("os._exit(3)"), "*", cases="rows32-*")
    lost = [n for n, each in enumerate(run.outcomes) if each.status is Status.ERRORED]
    assert len(lost) == LOST_AT_MOST
    rest = run.outcomes[lost[-1] + 1 :]
    assert rest
    assert {(record.status, record.reason) for record in rest} == {
        (Status.SKIPPED, f"not run: {LOST_AT_MOST} cases before it lost their process")
    }
    assert run.exit_code == 1


def test_lost_workers_of_two_lanes_leave_no_case_without_an_outcome(module: Module) -> None:
    run = judged(module("os._exit(3)"), "*", cases="rows32-*", jobs=2)
    alone = judged(module("pass"), "*", cases="rows32-*")
    assert [record.id for record in run.outcomes] == [record.id for record in alone.outcomes]
    assert run.counts()[Status.ERRORED] >= LOST_AT_MOST


def test_the_outcome_of_a_lost_worker_is_replayed_like_any_other(module: Module) -> None:
    options: dict[str, Any] = {"dialect": {"mean_index": "valid"}, "seed": 5}
    whole = ["rows32-classes100-none", "seed-example"]
    bad, good = judged(module("os._exit(3)"), cases=whole, **options).outcomes[::-1]
    assert (bad.status, good.status) == (Status.ERRORED, Status.PASSED)
    assert (bad.dialect, bad.seed, bad.device) == (good.dialect, good.seed, good.device)
    assert (bad.implementation, bad.backend) == (good.implementation, good.backend)
    assert shlex.split(bad.replay.replace(bad.case, good.case)) == shlex.split(good.replay)


# --- what goes wrong before the first case -------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0\n", "importing it raises ZeroDivisionError: division by zero"),
        ("import no_such_module\n", "importing it raises ModuleNotFoundError: No module named"),
        ("def loss(:\n", "importing it raises SyntaxError"),
        ("import sys\nsys.exit('no GPU')\n", "importing it called sys.exit('no GPU')"),
        ("import os\nos._exit(4)\n", "worker ended at its start (exit code 4)"),
    ],
    ids=["raises", "missing module", "syntax", "exit", "_exit"],
)
def test_a_module_that_does_not_import_is_one_errored_outcome(
    module: Module, text: str, reason: str
) -> None:
    run = judged(module("", text=text))
    (bad,) = run.outcomes
    assert bad.status is Status.ERRORED
    assert bad.reason.startswith(reason)
    assert run.exit_code == 1
    if "exit" not in text:
        assert isinstance(bad.verdict, Errored)
        assert "mine.py" in bad.verdict.traceback or "no_such_module" in bad.verdict.traceback


def test_a_worker_that_does_not_start_in_time_is_given_up(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradcheck_suite.supervisor.STARTUP", 1.5)
    run = judged(module("", text="import time\ntime.sleep(600)\n"))
    assert [record.reason for record in run.outcomes] == ["worker did not start in time"]


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (":los", "has no attribute 'los'; did you mean loss"),
        (":LARGE", "has no attribute 'LARGE'"),
        (":numbe", "has no attribute 'numbe'$"),  # number is none that could be meant
        (":number", "is a int; expected a function"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_usage_error(
    module: Module, suffix: str, message: str
) -> None:
    address = module("pass", text=LOSS + "number = 3\n").removesuffix(":loss")
    with pytest.raises(UsageError, match=message):
        judged(address + suffix)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*absent\.py"):
        judged(f"{tmp_path}/absent.py:loss")


# --- the workers end -----------------------------------------------------------------------------


def test_a_child_that_outlives_its_worker_holds_nobody_up(module: Module) -> None:
    """A forked child keeps the worker's pipe open after the worker has been killed."""
    code = (
        "import sys\n"
        "from gradcheck_suite import conformance, supervisor\n"
        "supervisor.GRACE = 0.5\n"
        "options = {'backend': 'numpy', 'dtypes': 'float64', 'time_limit': 1.0}\n"
        "print(conformance(sys.argv[1], clauses='value.definition', **options))\n"
    )
    address = module("os._exit(3) if os.fork() else time.sleep(15)")
    command = [sys.executable, "-c", code, address]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    assert result.stdout.startswith("NOT passed: 16 passed, 1 errored")


@pytest.mark.parametrize("jobs", [1, 2])
def test_closing_the_stream_ends_the_workers(module: Module, jobs: int) -> None:
    order = Order(module("pass"), "numpy", selection=Selection(dtypes=("float64",)))
    supervisor = Supervisor(order, jobs=jobs)
    planned: list[int] = []
    stream = supervisor.run(planned.append)
    index, record = next(stream)
    processes = [lane.process for lane in supervisor.lanes]
    assert planned == [len(supervisor.greeting["jobs"])]
    assert record.id == supervisor.greeting["jobs"][index]
    stream.close()  # type: ignore[attr-defined]
    assert all(process is not None and process.poll() is not None for process in processes)


def test_nothing_is_left_open(module: Module) -> None:
    code = (
        "import gc, sys\n"
        "from gradcheck_suite import conformance\n"
        "options = {'clauses': 'value.definition', 'cases': 'seed-example'}\n"
        "run = conformance(sys.argv[1], backend='numpy', **options)\n"
        "gc.collect()\n"
        "print(run)\n"
    )
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code, module("pass")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "passed: 2 passed\n", "")


def test_the_first_failure_stops_a_fail_fast_run(module: Module) -> None:
    run = judged(module("raise ValueError", SEED), "*", fail_fast=True)
    assert run.outcomes[-1].status is Status.ERRORED
    assert len(run.failures) == 1


def test_an_order_survives_being_written_as_json() -> None:
    selection = Selection(("value.*",), ("value.likelihood",), ("*",), ("float32",), True, 5)
    order = Order("mine.py:loss", "numpy", "cpu", {"mean_index": "valid"}, selection, 2.5)
    assert Order.decode(json.loads(json.dumps(order.encode()))) == order
