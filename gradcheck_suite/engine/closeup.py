"""How the function moves as near to the primals as rounding lets one see: its fine structure.

Stencils see a slope from afar. A function of steps, a sawtooth or a fast oscillation has
one there that is not its derivative, and a kink has two. Before a number is accused, the
function is looked at on the finest steps at which the accused number and the witness's
could still be told apart.
"""

from __future__ import annotations

import numpy as np

from gradcheck_suite.engine.evidence import Question
from gradcheck_suite.engine.ladder import Rung
from gradcheck_suite.numerics.finite_difference import Slopes, one_sided_slopes

KINK_STEPS = {"float64": (0, -12), "float32": (2, 0), "float16": (0,), "bfloat16": (0,)}
"""Steps at which one-sided slopes are compared: other kinks may be near, noise too."""
SEEN = 4.0
"""Units of rounding by which the two slopes differ over one step of the closest look."""
NODES = np.arange(-4, 5)
SCALES = (1.0, 4.0)
PLATEAUS = 3
"""Of eight neighbours, so many that are equal tell of steps: ``SEEN`` units lie between them."""
JUMPS = {"float64": np.inf, "float32": 16.0, "float16": 16.0, "bfloat16": 16.0}
"""Units of rounding beyond which neighbouring values jump, and do not just round. In float64
steps that are dense enough to show no plateau between them would be as small as rounding."""
FOURTH = 70.0**0.5
"""Fourth differences of independent values are so many times as large as the values."""


def fine_structure(question: Question, witness: Rung, dtype: str, machine_epsilon: float) -> str:
    """Why the witness's slope may not be the derivative; empty if nothing speaks for that.

    Args:
        question: the question, with the number that is accused.
        witness: the rung whose slope contradicts it.
        dtype: the dtype whose rounding counts.
        machine_epsilon: its spacing at 1.
    """
    # A sum may cancel in the value, and not in the slope along a direction of the primals' size.
    size = max(abs(question.value), question.magnitude, abs(witness.derivative))
    level = machine_epsilon * size
    accused, gap = question.analytic, witness.gap(question.analytic)
    finest = max(SEEN * level / gap, SEEN * question.grain)
    for scale in SCALES:
        step = finest * scale
        if not 2.0 * step <= witness.estimate.step:
            break
        values = [question.value if k == 0 else question.slice(float(k) * step) for k in NODES]
        slopes = np.diff(np.asarray(values, dtype=np.float64)) / step
        if not np.isfinite(slopes).all():
            return "the function is not finite close to the primals"
        middle = float(np.median(slopes))
        if abs(accused) <= 0.5 * gap and np.count_nonzero(slopes == 0.0) >= PLATEAUS:
            middle = 0.0
        if abs(middle - accused) <= 0.5 * gap:
            return (
                f"fine structure: over steps of {witness.estimate.step:.0e} the slope is "
                f"{witness.derivative:.6g}, over steps of {step:.0e} it is {middle:.6g}, "
                "nearer to the derivative given (steps, a sawtooth, or an oscillation)"
            )
        # Fourth differences, because a smooth function's slope may change over nine values.
        jump = float(np.sqrt(np.mean(np.diff(values, 4) ** 2))) / FOURTH
        if jump > JUMPS[dtype] * level:
            return (
                f"jumps: over steps of {step:.0e} neighbouring values differ by {jump:.0e}, "
                f"where rounding explains {level:.0e} (steps, noise, or a lower precision inside)"
            )
    return ""


def bent(question: Question, machine_epsilon: float) -> bool:
    """Whether there is a kink at the primals, seen at the first step and an eighth of it."""
    slopes = one_sided_slopes(
        question.slice,
        question.value,
        question.step,
        machine_epsilon=machine_epsilon,
        finer=8.0,
    )
    return bool(np.all(slopes.kink))


def kinked(
    question: Question, dtype: str, machine_epsilon: float, noise: float
) -> tuple[Slopes | None, int]:
    """One-sided slopes that disagree at the primals, if they do; and the evaluations."""
    spent = 0
    for power in KINK_STEPS[dtype]:
        slopes = one_sided_slopes(
            question.slice,
            question.value,
            question.step * 2.0**power,
            machine_epsilon=machine_epsilon,
        )
        spent += slopes.evaluations
        jump = abs(float(slopes.right) - float(slopes.left))
        # Noise makes slopes that differ too; a kink's difference stands out of it.
        jitter = 40.0 * noise / slopes.step
        if bool(np.all(slopes.kink)) and jump > jitter:
            return slopes, spent
    return None, spent
