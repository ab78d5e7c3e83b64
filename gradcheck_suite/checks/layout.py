"""Layout: the same numbers in another place, another size, another rank; the same dtype back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case, FloatArray
from gradcheck_suite.checks.gradient import reduction, target_gradient
from gradcheck_suite.checks.judgement import judge, worst_of
from gradcheck_suite.checks.offering import offered
from gradcheck_suite.checks.sized import sized
from gradcheck_suite.checks.yardstick import Yardstick
from gradcheck_suite.layout import LAYOUTS, np_expand
from gradcheck_suite.numerics.tolerance import Bound
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import ArrayDescription, Check, Subject

#: Digits of the significand: a dtype holds all that one with fewer does.
_DIGITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53, "float128": 64}
_HALF = ("bfloat16", "float16")


def strided(subject: Subject, case: Case) -> Verdict:
    """Value and gradients at strided arrays against those at contiguous copies, within 2 bounds.

    The strided logits are the leaf that is differentiated, and then a view of a buffer that is:
    what reaches the buffer between the logits must be exactly 0.
    """
    asked = offered(subject, case)
    if isinstance(asked, Skipped):
        return asked
    if asked.layout == "expanded" and subject.dialect.inputs == "destroyed":
        return Skipped("declared: the logits may be overwritten, and these rows are one in memory")
    plain = asked.with_(layout="contiguous", beside="contiguous")
    yardstick = Yardstick.of(subject, plain)
    names = (_words(case), "contiguous")
    got, expected = subject.value(asked), subject.value(plain)
    value = _compared("value", got, expected, yardstick.value_bound, names)
    if isinstance(value, Failed):
        return _explained(value, subject, asked, got)
    if subject.supports(asked, "gradient"):
        return value
    in_targets = asked.target_kind == "probabilities"
    gradients = subject.gradients(asked, targets=in_targets)
    there = subject.gradients(plain, targets=in_targets)
    in_logits = _compared(
        "gradient", gradients.logits, there.logits, yardstick.gradient_bound, names
    )
    if isinstance(in_logits, Failed):
        return _explained(in_logits, subject, asked, gradients.logits)
    tracked = "value while a gradient is asked for"
    verdicts: list[Verdict] = [value, in_logits]
    verdicts.append(_compared(tracked, gradients.value, expected, yardstick.value_bound, names))
    if gradients.targets is not None and there.targets is not None:
        bound = yardstick.target_gradient_bound
        verdicts.append(
            _compared("gradient in the targets", gradients.targets, there.targets, bound, names)
        )
    if subject.gradient_kind == "autodiff" and asked.layout != "contiguous":
        verdicts.append(_in_buffer(subject, asked, there.logits, yardstick))
    return worst_of(verdicts)


def _compared(
    what: str, got: FloatArray, expected: FloatArray, bound: Bound, names: tuple[str, str]
) -> Verdict:
    """Both come from the implementation, so each may be off by the bound."""
    return judge(what, got, expected, bound * 2.0, names=names, against_itself=True)


def _in_buffer(subject: Subject, case: Case, expected: FloatArray, yardstick: Yardstick) -> Verdict:
    """The gradient in the buffer behind the logits: theirs at their places, 0 between them."""
    layout, got = LAYOUTS[case.layout], subject.buffer_gradient(case)
    stray = np.argwhere(layout.between(case.logits.shape) & (got != 0.0))
    if stray.size:
        place = tuple(int(part) for part in stray[0])
        return Failed(
            "a gradient reaches what lies between the logits in their buffer",
            at=f"entry {place} of the buffer {got.shape}",
            sides=(("got", f"{got[place]:.6g}"), ("specified", "0")),
        )
    bound = yardstick.gradient_bound * 2.0
    if case.layout == "expanded":
        # One row received every row's gradient: the framework added N numbers up.
        seen, bound = got, bound.sum(axis=0).take(None) + _summation(expected, yardstick)
        expected = expected.sum(axis=0)[None, :]
    else:
        seen = layout.view(got, case.logits.shape, np_expand)
    names = (f"through the view ({case.layout})", "contiguous")
    return judge("gradient in the buffer", seen, expected, bound, names=names, against_itself=True)


def _summation(addends: FloatArray, yardstick: Yardstick) -> Bound:
    """γ_N Σ|g_i| over the rows, shape (1, C): of any order of addition (Higham, §4.2)."""
    arithmetic = yardstick.arithmetic
    unit = max(arithmetic.unit_roundoff, arithmetic.storage_roundoff)
    growth = len(addends) * unit / (1.0 - len(addends) * unit)
    size = growth * np.abs(addends).sum(axis=0)[None, :] + arithmetic.output_smallest_normal
    return Bound.of(size.shape, [("adding up the rows", size)])


def _explained(verdict: Failed, subject: Subject, case: Case, got: FloatArray) -> Failed:
    """Says what was read in the place of the array, where that can be recognised."""
    looks = verdict.looks
    if np.isnan(got).any():
        looks = "what lies between the entries was read: NaN is planted there"
    elif got.shape == case.logits.shape and _is_logits_times_upstream(subject, case, got):
        looks = "the gradient is the logits themselves, times u: it was not written over them"
    elif case.layout != "contiguous" and _is_read_in_order(subject, case, got):
        looks = "the buffer of the logits is read in order, whatever the strides are"
    return replace(verdict, looks=looks)


def _is_logits_times_upstream(subject: Subject, case: Case, got: FloatArray) -> bool:
    upstream = case.upstream[:, None] if case.upstream.ndim else case.upstream
    scaled = upstream * case.logits
    unit = Yardstick.of(subject, case).arithmetic.unit_roundoff
    return bool(np.all(np.abs(got - scaled) <= 2.0 * unit * np.abs(scaled)))


def _is_read_in_order(subject: Subject, case: Case, got: FloatArray) -> bool:
    """Whether it is the answer to the first N·C entries of the buffer."""
    buffer = LAYOUTS[case.layout].buffer(case.logits).reshape(-1)
    if buffer.size < case.logits.size or np.isnan(buffer[: case.logits.size]).any():
        return False
    logits = buffer[: case.logits.size].reshape(case.logits.shape)
    yardstick = Yardstick.of(subject, case.with_(logits=logits, layout="contiguous"))
    reference = yardstick.reference
    if got.shape == case.logits.shape:
        specified, bound = reference.gradient, yardstick.gradient_bound
    else:
        specified, bound = reference.value, yardstick.value_bound
    return bool(np.all(np.abs(got - specified) <= bound.total))


def _words(case: Case) -> str:
    named = {"logits": case.layout, "the rest": case.beside}
    return ", ".join(f"{what} {how}" for what, how in named.items() if how != "contiguous")


def sizes(subject: Subject, case: Case) -> Verdict:
    """Value and gradient of one evaluation, against the specification, at this size."""
    asked = offered(subject, case)
    if isinstance(asked, Skipped):
        return asked
    yardstick = Yardstick.of(subject, asked)
    reference, once = yardstick.reference, sized(subject, asked)
    value, bound = once.value(asked), yardstick.value_bound
    verdicts = [judge("value", value, reference.value, bound, reference=reference)]
    if not subject.supports(asked, "gradient"):
        gradient, bound = once.gradients(asked).logits, yardstick.gradient_bound
        verdicts.append(judge("gradient", gradient, reference.gradient, bound, reference=reference))
    return worst_of(verdicts)


def rank(subject: Subject, case: Case) -> Verdict:
    """Value and gradients of K-D arrays against the specification of their rows."""
    asked = offered(subject, case)
    if isinstance(asked, Skipped):
        return asked
    verdicts = [reduction(subject, asked)]
    if asked.target_kind == "probabilities" and not subject.supports(asked, "gradient"):
        verdicts.append(target_gradient(subject, asked))
    return worst_of([each for each in verdicts if not isinstance(each, Skipped)])


def dtypes(subject: Subject, case: Case) -> Verdict:
    """dtype and device of the value and of the gradient against those of the logits.

    Their shapes are held wherever they are read: another one fails every clause.
    """
    asked = offered(subject, case)
    if isinstance(asked, Skipped):
        return asked
    described = subject.described(asked)
    for name, found in described.items():
        what = "value" if name == "value" else f"gradient in the {name}"
        wrong = _wrong(what, found, subject, asked)
        if wrong is not None:
            return wrong
    if not described:
        return Passed(note="a number of Python: it has no dtype and no device")
    words = (f"{name}: {each.dtype} on {each.device}" for name, each in described.items())
    return Passed(note="; ".join(words))


def _wrong(what: str, found: ArrayDescription, subject: Subject, case: Case) -> Failed | None:
    if found.device != subject.device:
        return Failed(
            f"the {what} is on another device than the logits",
            sides=(("got", found.device), ("specified", subject.device)),
        )
    accepted = {case.dtype}
    if what == "value" and case.dtype in _HALF:
        accepted.add("float32")  # what half precision is accumulated in
    if subject.dialect.result_dtype == "promoted":
        least = _DIGITS[case.dtype]
        accepted |= {dtype for dtype, digits in _DIGITS.items() if digits > least}
    if found.dtype in accepted:
        return None
    wider = _DIGITS.get(found.dtype, 0) > _DIGITS[case.dtype]
    return Failed(
        f"the {what} has another dtype than the logits",
        sides=(("got", found.dtype), ("specified", " or ".join(sorted(accepted)))),
        looks="declare dialect={'result_dtype': 'promoted'} if it is meant" if wider else "",
    )


CHECKS = (
    # What a loss does not offer is found inside: reduction and targets are the check's to choose.
    Check("strided", strided, cost=5, needs=()),
    Check("sizes", sizes, cost=4, needs=()),
    Check("rank", rank, cost=3, needs=()),
    Check("dtypes", dtypes, cost=2, needs=()),
)
