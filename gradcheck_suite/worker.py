"""The worker: runs an order in a process of its own and streams records as JSON lines.

What can kill a process (a segmentation fault, a device-side assert, a hang inside a kernel)
kills this one; the supervisor learns from the last line which case it was.

Protocol: one JSON object on standard input, ``{"order": …, "share": [k, n], "done": […]}``: the
worker runs the jobs k, k + n, k + 2n … that are not done. On what was standard output, one
object per line: the ``greeting``, then ``{"start": i}`` (again before each case of a search) and
``{"index": i, "record": …}`` for every job, then, from the first worker, ``{"teeth": …}`` for every
dtype, then ``{"finished": true}``; or ``{"spent": true}`` where the device is unusable and another
process must go on; or at the start
``{"refused": message}`` or ``{"broken": …}``.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from dataclasses import asdict
from functools import partial
from typing import Any, TextIO

from gradcheck_suite import record_json
from gradcheck_suite.errors import BackendUnavailable, UsageError
from gradcheck_suite.orders import Order
from gradcheck_suite.runner import Runner, errored, own_dtypes
from gradcheck_suite.specification.presets import expanded


def main() -> int:
    """Reads a request from standard input and answers it; the exit code."""
    request = json.load(sys.stdin)
    channel = _private_channel()
    faulthandler.enable(sys.__stderr__ or sys.stderr)
    try:
        runner = Order.decode(request["order"]).runner()
    except (UsageError, BackendUnavailable) as error:
        _say(channel, {"refused": str(error)})
        return 2
    except BaseException as error:  # the user's module may raise anything while it is imported
        verdict = errored(error)
        _say(channel, {"broken": verdict.reason, "traceback": verdict.traceback})
        return 2
    _say(channel, greeting(runner))
    first, step = request["share"]
    done = set(request["done"])
    for index in range(first, len(runner.jobs), step):
        if index in done:
            continue
        runner.alive = partial(_say, channel, {"start": index})
        runner.alive()
        record = runner.judge(runner.jobs[index])
        _say(channel, {"index": index, "record": record_json.encode(record)})
        if not runner.backend.healthy():
            _say(channel, {"spent": True})
            return 0
    if first == 0:
        for teeth in runner.teeth():
            _say(channel, {"teeth": record_json.encode_teeth(teeth)})
    _say(channel, {"finished": True})
    return 0


def greeting(runner: Runner) -> dict[str, Any]:
    """What the supervisor needs to know before the first record."""
    implementation = runner.implementation
    return {
        "jobs": [job.id for job in runner.jobs],
        "implementation": implementation.name,
        "backend": runner.backend.name,
        "version": runner.backend.version(),
        "device": runner.device,
        "dtypes": own_dtypes(implementation),
        "dialect": expanded(implementation.dialect),
        "deviations": [asdict(deviation) for deviation in runner.deviations],
    }


def _private_channel() -> TextIO:
    """What was standard output; whatever the code under test prints goes to stderr now."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, message: dict[str, Any]) -> None:
    channel.write(json.dumps(message, allow_nan=False) + "\n")
    channel.flush()


if __name__ == "__main__":
    sys.exit(main())
