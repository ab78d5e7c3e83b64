"""What an implementation takes: by its declaration, by its signature, by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck_suite.case import DECLARED_ALONE, Case
from gradcheck_suite.errors import Unsupported, WrongShape
from gradcheck_suite.specification.logits import largest
from gradcheck_suite.specification.recipe import Mask, Recipe

if TYPE_CHECKING:
    from gradcheck_suite.subject.bound import BoundSubject

#: Entries of the largest identity that stands for a linear head: 256 MiB in float64.
_LARGEST_IDENTITY = 1 << 25
#: Whatever ε a case has: at ε = 1 a correct loss does not depend on its targets.
_PROBED_SMOOTHING = 0.1
_PROBED_FEATURES = 3


def why_not(subject: BoundSubject, case: Case, mode: str) -> str:
    """Why the implementation does not take a case in a mode; empty if it does.

    Args:
        subject: the implementation.
        case: a case; what counts is its kind of target, its reduction, its options, its rank
            and how its arrays lie in memory.
        mode: ``value``, ``gradient``, ``autodiff`` (a gradient that can be differentiated again),
            ``forward``, ``second`` or ``head`` (a gradient in the parameters of a linear head).
    """
    return (
        _by_layout(subject, case)
        or _by_declaration(subject, case)
        or _by_signature(subject, case)
        or _by_mode(subject, mode)
        or _by_trying(subject, case, mode)
    )


def reads_targets(subject: BoundSubject, case: Case) -> bool:
    """Whether the result changes with the targets, for targets of this kind.

    A function that compares class numbers with its targets, or casts them to integers,
    takes probabilities without raising and without reading them; one that takes the
    argmax of one-hot rows does the same to class indices. That is no support.
    """
    first, second = _two_targets(case)
    case = case.with_(beside="contiguous")  # an expanded layout has one row only
    answers = [number_of(subject, case.with_(targets=targets)) for targets in (first, second)]
    return not np.array_equal(answers[0], answers[1], equal_nan=True)


def by_head(subject: BoundSubject, case: Case) -> str:
    """What a linear head cannot be asked, or can alone.

    A case without one of its own is asked through the identity (see ``arrays``).
    """
    if case.head is not None:
        if not subject.headed:
            return "has no linear head (head= declares one)"
        return _by_bias(subject) if case.head.linear_bias is not None else ""
    if not subject.headed:
        return ""
    if not np.isfinite(case.logits).all():
        return "a linear head makes NaN of a logit that is no number: 0·∞ in every other class"
    if case.classes**2 > _LARGEST_IDENTITY:
        return f"asked through the identity, a linear head would have {case.classes}² weights"
    return ""


def by_range(subject: BoundSubject, case: Case) -> str:
    """What a loss with a z-loss cannot be asked: λ·lse² is 0·∞ where lse² overflows and λ is 0."""
    if not subject.takes("z_loss") or case.options.softcap is not None:
        return ""
    finite = case.logits[np.isfinite(case.logits)]
    reach = float(np.max(np.abs(finite), initial=0.0)) * abs(case.options.logit_scale)
    if reach <= largest(case.dtype) ** 0.5 - np.log(max(case.classes, 1)):
        return ""
    return f"has a z-loss: lse² of these logits is beyond the range of {case.dtype}"


def _by_bias(subject: BoundSubject) -> str:
    declared = subject.implementation
    if declared.options is not None and "linear_bias" not in declared.options:
        return "has no option linear_bias (declared)"
    if declared.factory is None and not subject.takes("linear_bias"):
        return "has no option linear_bias (its signature)"
    return ""


def _by_declaration(subject: BoundSubject, case: Case) -> str:
    declared, options = subject.implementation, case.options
    if declared.targets is not None and case.target_kind not in declared.targets:
        return f"does not take {case.target_kind} targets (declared)"
    if declared.reductions is not None and options.reduction not in declared.reductions:
        return f"does not offer reduction {options.reduction} (declared)"
    for option in options.used():
        if declared.options is not None and option not in declared.options:
            return f"has no option {option} (declared)"
    if case.rank not in declared.ranks:
        return f"does not take logits of rank {case.rank} (ranks= declares {declared.ranks})"
    return ""


def _by_layout(subject: BoundSubject, case: Case) -> str:
    for layout in (case.layout, case.beside):
        if layout not in subject.backend.layouts:
            return f"an array of {subject.backend.name} is never {layout} in memory"
    return ""


def _by_signature(subject: BoundSubject, case: Case) -> str:
    options = case.options
    for option in options.used():
        if not subject.takes(option):
            how = "options= declares it" if option in DECLARED_ALONE else "its signature"
            return f"has no option {option} ({how})"
    if options.reduction != subject.own_reduction and not subject.takes("reduction"):
        return f"does not offer reduction {options.reduction} (it has no such keyword)"
    return ""


def _by_mode(subject: BoundSubject, mode: str) -> str:
    if mode == "value":
        return ""
    if subject.gradient_kind == "none":
        return "value only: no gradient is declared or returned"
    if mode == "gradient":
        return ""
    if subject.gradient_kind != "autodiff":
        return "the gradient is given, not derived: there is nothing to differentiate again"
    orders = subject.implementation.orders
    if mode in ("forward", "second"):
        if mode not in subject.backend.modes:
            return f"the backend {subject.backend.name} has no {mode} mode"
        if orders is not None and mode not in orders:
            return f"does not offer {mode} mode (declared)"
    return ""


def _by_trying(subject: BoundSubject, case: Case, mode: str) -> str:
    """Tries the plainest case of the same kind: what raises is not supported.

    What is declared, and the least there is, is not in question: a raise there is an error
    and not an answer.
    """
    used = case.options.used()
    probe = Recipe(
        reduction=case.options.reduction,
        targets=case.target_kind,
        weight="weight" in used,
        ignored=int("ignore_index" in used),
        smoothing=_PROBED_SMOOTHING if "label_smoothing" in used else 0.0,
        softcap=4.0 if "softcap" in used else None,
        logit_scale=0.5 if "logit_scale" in used else 1.0,
        z_loss=0.125 if "z_loss" in used else None,
        mask=mask_kind(case),
        axis=None if case.options.axis is None else max(-2, min(case.options.axis, 1)),
        layout=case.layout,
        beside=case.beside,
        features=0 if case.head is None else _PROBED_FEATURES,
        linear_bias=case.head is not None and case.head.linear_bias is not None,
    ).build(0, case.dtype)
    least = subject.least
    try:
        if mode == "forward":
            subject.jvp(probe, probe.logits if probe.head is None else probe.head)
        elif mode == "second":
            subject.hvp(probe, probe.logits)
        else:
            kind = case.target_kind
            found = subject.implementation.targets is None and least is not None
            if found and kind != least.target_kind and not reads_targets(subject, probe):  # type: ignore[union-attr]
                return f"not supported: its value does not depend on {kind} targets"
            subject.value(probe)
            if mode in ("gradient", "autodiff") and subject.gradient_kind != "none":
                subject.gradients(probe)
    except Unsupported as error:
        return str(error)
    except WrongShape:
        return ""  # a wrong answer is an answer: the checks judge it
    except Exception as error:
        if _is_promised(subject, case, mode):
            return ""
        first = (str(error).strip().splitlines() or [""])[0]
        return f"not supported: raises {type(error).__name__}: {first}"[:200]
    return ""


def mask_kind(case: Case) -> Mask:
    """Whether it has a mask over classes, and one for all rows, (C,), or one for each, (N, C)."""
    mask = case.options.class_mask
    if mask is None:
        return "none"
    return "shared" if mask.ndim == 1 else "rows"


def _is_promised(subject: BoundSubject, case: Case, mode: str) -> bool:
    """Whether kind and reduction are each declared or the least there is; options declared."""
    declared, least = subject.implementation, subject.least
    if case.layout != "contiguous" or case.beside != "contiguous":
        return False  # what needs contiguous arrays, and says so, refuses and does not err
    if mask_kind(case) == "shared":
        return False  # a loss may take masks of the logits' shape alone
    if mode in ("forward", "second"):
        return declared.orders is not None
    if case.options.used():
        plain = case.without_options()
        return declared.options is not None and not subject.supports(plain, mode)
    kind = declared.targets is not None
    reduction = declared.reductions is not None
    if least is not None:
        kind |= case.target_kind == least.target_kind
        reduction |= case.options.reduction == least.options.reduction
    return kind and reduction


def _two_targets(case: Case) -> tuple[Any, Any]:
    """Two targets of one kind that nothing but reading them tells apart.

    Indices: with the largest in the same place, so that an argmax over the rows agrees.
    Probabilities: strictly between 0 and 1, with their largest entry in different classes.
    """
    rows, classes = case.rows, case.classes
    if case.target_kind == "index":
        first = np.arange(rows) % (classes - 1)
        first[0] = classes - 1
        second = first.copy()
        second[1:] = (first[1:] + 1) % (classes - 1)
        return first, second
    shares = np.full((rows, classes), 1.0) + np.eye(rows, classes)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares, np.roll(shares, 1, axis=1)


def number_of(subject: BoundSubject, case: Case) -> Any:
    """The loss in an answer as NumPy has it, whatever its shape."""
    result = subject.answer(case)
    if subject.implementation.value is not None:
        result = subject.implementation.value(result)
    elif isinstance(result, tuple | list) and result:
        result = result[0]
    if subject.backend.owns(result):
        return subject.backend.asnumpy(result)
    return np.asarray(result, dtype=np.float64 if isinstance(result, float | int) else object)
