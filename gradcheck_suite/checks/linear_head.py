"""A linear head: value, and the gradients in X, W and b, by whoever fuses it with the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck_suite.case import Case, FloatArray, LinearHead
from gradcheck_suite.checks.head_yardstick import HeadYardstick
from gradcheck_suite.checks.judgement import coarse_note, judge, worst_of
from gradcheck_suite.numerics.directions import generator
from gradcheck_suite.outcome import Failed, Passed, Skipped, Verdict
from gradcheck_suite.protocols import Answer, Check, Gradients, Subject
from gradcheck_suite.specification import linear_head
from gradcheck_suite.specification.recipe import representable

#: Gradient → where ``Gradients`` and ``Answer`` have it, its name in words, its formula, its axes.
_GIVEN = {
    "hidden": ("logits", "gradient in the hidden features", "G W", ("row", "feature")),
    "linear_weight": (
        "linear_weight",
        "gradient in the linear weight",
        "Gᵀ X",
        ("class", "feature"),
    ),
    "linear_bias": ("linear_bias", "gradient in the linear bias", "Σ_n G_n", ("class",)),
}


def head_value(subject: Subject, case: Case) -> Verdict:
    """|value − specified| within the bound of the loss at logits that are themselves computed."""
    yardstick = HeadYardstick.of(subject, case)
    return _value(yardstick, subject.value(case))


def head_hidden(subject: Subject, case: Case) -> Verdict:
    """|∂L/∂X − G W| within the bound, element by element; G = u/den·(T·p − τ)."""
    return _one(subject, case, "hidden")


def head_weight(subject: Subject, case: Case) -> Verdict:
    """|∂L/∂W − Gᵀ X| within the bound, element by element; G = u/den·(T·p − τ)."""
    return _one(subject, case, "linear_weight")


def head_bias(subject: Subject, case: Case) -> Verdict:
    """|∂L/∂b − Σ_n G_n| within the bound, class by class; G = u/den·(T·p − τ)."""
    return _one(subject, case, "linear_bias")


def head_whole(subject: Subject, case: Case) -> Verdict:
    """Value and every gradient together, from one evaluation."""
    yardstick, found = HeadYardstick.of(subject, case), subject.gradients(case)
    verdicts = [_value(yardstick, found.value)]
    names = [name for name in yardstick.gradients if not _not_returned(subject, found, name)]
    verdicts += [_gradient(yardstick, found, name) for name in names]
    return worst_of(verdicts)


def head_upstream(subject: Subject, case: Case) -> Verdict:
    """Every gradient at u, and at −2u: linear in u, row by row under ``none``."""
    if subject.gradient_kind in ("returned", "function"):
        return Skipped("the gradient is given, not derived: it takes no upstream")
    verdicts = []
    for factor in (1.0, -2.0):
        scaled = case.with_(upstream=case.upstream * factor)
        yardstick, found = HeadYardstick.of(subject, scaled), subject.gradients(scaled)
        for name in yardstick.gradients:
            verdict = _gradient(yardstick, found, name)
            if isinstance(verdict, Failed):
                got = getattr(found, _GIVEN[name][0])
                looks = "" if got is None else _wrong_upstream(subject, scaled, name, got)
                return replace(verdict, looks=looks or verdict.looks)
            verdicts.append(verdict)
    return worst_of(verdicts)


def head_ignored(subject: Subject, case: Case) -> Verdict:
    """Ignored rows reach neither W nor b, whatever their features: 64 X there changes nothing.

    Against the specification, with the features of ignored rows as they are and 64 times that.
    """
    verdicts = [head_whole(subject, case)]
    ignored = case.targets == case.options.ignore_index
    head = case.head
    assert head is not None
    louder = replace(head, hidden=np.where(ignored[:, None], 64.0 * head.hidden, head.hidden))
    return worst_of([*verdicts, head_whole(subject, linear_head.behind(case, louder))])


def head_jvp(subject: Subject, case: Case) -> Verdict:
    """|jvp(Ẋ, Ẇ, ḃ) − Σ G·(Ẋ Wᵀ + X Ẇᵀ + ḃ)|, along all three together and each by itself."""
    yardstick, verdicts = HeadYardstick.of(subject, case), []
    for words, tangent in _tangents(case).items():
        verdict = judge(
            f"derivative by forward mode along {words}",
            subject.jvp(case, tangent)[1],
            yardstick.jvp(tangent),
            yardstick.head_jvp_bound(tangent),
            reference=yardstick.reference,
        )
        if isinstance(verdict, Failed):
            return verdict
        verdicts.append(verdict)
    return worst_of(verdicts)


def judge_head_answer(subject: Subject, answer: Answer) -> Verdict:
    """Value and gradients of an answer that was given in some setting, as far as they came."""
    yardstick, of, verdicts = HeadYardstick.of(subject, answer.case), f" of {answer.setting}", []
    if answer.value is not None:
        verdicts.append(_value(yardstick, answer.value, of))
    for name in yardstick.gradients:
        if _GIVEN[name][0] in answer.wanted or getattr(answer, _GIVEN[name][0]) is not None:
            verdicts.append(_gradient(yardstick, answer, name, of))
    return worst_of(verdicts) if verdicts else Passed(note=f"{answer.setting}: nothing is asked")


def _one(subject: Subject, case: Case, name: str) -> Verdict:
    found = subject.gradients(case)
    if reason := _not_returned(subject, found, name):
        return Skipped(reason)
    return _gradient(HeadYardstick.of(subject, case), found, name)


def _not_returned(subject: Subject, found: Gradients, name: str) -> str:
    """Why a gradient that did not come is not missed: who returns gradients may leave some out."""
    given = subject.gradient_kind in ("returned", "function")
    if given and getattr(found, _GIVEN[name][0]) is None:
        return f"no {_GIVEN[name][1]} is returned"
    return ""


def _value(yardstick: HeadYardstick, got: FloatArray, of: str = "") -> Verdict:
    reference = yardstick.reference
    return judge(
        f"value{of}", got, reference.value, yardstick.head_value_bound, reference=reference
    )


def _gradient(
    yardstick: HeadYardstick, found: Gradients | Answer, name: str, of: str = ""
) -> Verdict:
    where, words, formula, axes = _GIVEN[name]
    got, specified = getattr(found, where), yardstick.gradients[name]
    if got is None:
        return Failed(
            f"no {words}{of}: None, a cut graph", sides=(("got", "None"), ("specified", formula))
        )
    bound = yardstick.head_gradient_bound(name)
    dtype = yardstick.reference.case.dtype
    return judge(
        f"{words}{of}",
        got,
        specified,
        bound,
        reference=yardstick.reference,
        names=("got", formula),
        axes=axes,
        note=coarse_note(specified, bound, yardstick.unit(name), dtype),
    )


def _wrong_upstream(subject: Subject, case: Case, name: str, got: FloatArray) -> str:
    """Which other upstream the gradient would be right for, in words; empty if none."""
    others = {"the upstream is ignored: the gradient is that of u = 1": np.ones_like(case.upstream)}
    if case.upstream.ndim:
        first = np.full_like(case.upstream, case.upstream[0])
        mean = np.full_like(case.upstream, case.upstream.mean())
        others["the first row's upstream is used for every row"] = first
        others["the mean of the rows' upstreams is used for every row"] = mean
    for words, upstream in others.items():
        other = HeadYardstick.of(subject, case.with_(upstream=upstream))
        off = np.abs(np.asarray(got - other.gradients[name], np.float64))
        if np.all(off <= other.head_gradient_bound(name).total):
            return words
    return ""


def _tangents(case: Case) -> dict[str, LinearHead]:
    """Gaussian tangents in all of X, W and b, and in one of them with the others at rest."""
    head = case.head
    assert head is not None
    parts = (head.hidden, *head.parameters())
    drawn = [
        representable(generator(case.seed, number).standard_normal(each.shape), case.dtype)
        for number, each in enumerate(parts)
    ]
    found = {" and ".join("XWb"[: len(parts)]): LinearHead(*drawn)}
    for number, name in zip(range(len(parts)), "XWb", strict=False):
        alone = [each if at == number else 0.0 * each for at, each in enumerate(drawn)]
        found[f"{name} alone"] = LinearHead(*alone)
    return found


_GRADIENT = ("value", "gradient")
CHECKS = (
    Check("head-value", head_value),
    Check("head-hidden", head_hidden, cost=2, needs=_GRADIENT),
    Check("head-weight", head_weight, cost=2, needs=_GRADIENT),
    Check("head-bias", head_bias, cost=2, needs=_GRADIENT),
    Check("head-whole", head_whole, cost=2, needs=_GRADIENT),
    Check("head-upstream", head_upstream, cost=4, needs=_GRADIENT),
    Check("head-ignored", head_ignored, cost=4, needs=_GRADIENT),
    Check("head-jvp", head_jvp, cost=4, needs=("value", "forward")),
)
