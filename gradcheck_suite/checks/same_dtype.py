"""Error by error: a loss in half precision beside a stable evaluation in the same dtype.

The forward-error bound of a half precision adds up worst cases and grants a gradient some
tens of per cent. A stable evaluation errs by one. Whoever errs by many times that, over a whole
batch, is not stable, though no single element is beyond its bound.
"""

from __future__ import annotations

import numpy as np

from gradcheck_suite.case import Case
from gradcheck_suite.checks.judgement import judge_scalar
from gradcheck_suite.checks.noisy_difference import CERTAIN, DTYPES
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.numerics.same_dtype import TOLERATED
from gradcheck_suite.outcome import Passed, Verdict
from gradcheck_suite.protocols import Subject


def value_like_a_stable_one(subject: Subject, case: Case) -> Verdict:
    """‖value − specified‖ ≤ 2k·(root mean square error of a stable evaluation), over the rows."""
    yardstick = Yardstick.of(subject, case)
    if case.dtype not in DTYPES or case.options.reduction != "none":
        return Passed(note="")
    error = subject.value(case) - yardstick.reference.rows
    return _judged("value", error, yardstick.same_dtype_error.value)


def gradient_like_a_stable_one(subject: Subject, case: Case) -> Verdict:
    """‖gradient − specified‖ ≤ 2k·(root mean square error of a stable evaluation)."""
    yardstick = Yardstick.of(subject, case)
    if case.dtype not in DTYPES:
        return Passed(note="")
    error = subject.gradients(case).logits - yardstick.reference.gradient
    return _judged("gradient", error, yardstick.same_dtype_error.gradient)


def _judged(what: str, error: object, reference: object) -> Verdict:
    found = float(np.linalg.norm(np.asarray(error, np.float64)))
    stable = float(np.linalg.norm(np.asarray(reference, np.float64)))
    return judge_scalar(
        f"‖{what} − specified‖, {CERTAIN * TOLERATED:g} × a stable evaluation's in the same dtype",
        found,
        CERTAIN * TOLERATED * stable,
        sides=(("error", f"{found:.2g}"), ("of a stable evaluation", f"{stable:.2g}")),
    )
