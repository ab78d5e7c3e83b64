"""Binding: from a declaration to a subject that knows what it was not told."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gradcheck_suite.case import OPTIONS, REDUCTIONS, TARGET_KINDS, Case
from gradcheck_suite.errors import UsageError, WrongShape
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.protocols import Backend
from gradcheck_suite.specification.dialect import BACKEND_DEFAULTS, Dialect
from gradcheck_suite.specification.presets import expanded
from gradcheck_suite.specification.recipe import Recipe
from gradcheck_suite.subject import capabilities, returned
from gradcheck_suite.subject.bound import BoundSubject


def bind(
    implementation: Implementation, backend: Backend, *, device: str = "", dtype: str = "float64"
) -> BoundSubject:
    """An implementation ready to be judged.

    Raises:
        UsageError: the declaration names an unknown option, reduction, kind or choice.
        Exception: whatever the implementation raises on the least question there is (one
            reduction, one kind of target): it cannot be judged at all.
    """
    dialect = validate(implementation, backend)
    loss = implementation.loss if callable(implementation.loss) else None
    target = implementation.factory or loss
    assert target is not None
    keywords = _keywords(target)
    for name, keyword in implementation.rename.items():
        in_call = name == "linear_bias" and implementation.factory is not None
        if keywords is not None and keyword not in keywords and not in_call:
            raise UsageError(
                f"Implementation(rename=): {name} is renamed to {keyword!r}, which is no keyword "
                f"of {implementation.name}; it has {', '.join(sorted(keywords))}"
            )
    subject = BoundSubject(
        implementation=implementation,
        backend=backend,
        device=device or backend.devices()[0],
        dtype=dtype,
        dialect=dialect,
        loss=loss,
        keywords=keywords,
        switched_off=_switched_on(target, implementation.rename),
        headed=implementation.head == "linear"
        or (implementation.factory is None and _names_a_head(target, keywords)),
    )
    _learn(subject)
    return subject


def _learn(subject: BoundSubject) -> None:
    """Finds what the declaration left open from the least question: one reduction, one kind."""
    declared = subject.implementation
    kinds = declared.targets or TARGET_KINDS
    reductions = declared.reductions or (("mean",) if subject.takes("reduction") else REDUCTIONS)
    answered: list[tuple[Case, Any]] = []
    failure: Exception | None = None
    for kind in kinds:
        recipe = Recipe(reduction="mean", targets=kind)  # type: ignore[arg-type]
        probe = recipe.build(0, subject.dtype)
        if subject.takes("reduction"):
            probe = probe.with_(reduction=reductions[0])
        try:
            answered.append((probe, subject.answer(probe)))
            if len(kinds) == 1 or capabilities.reads_targets(subject, probe):
                break
        except Exception as error:
            failure = failure or error
    else:
        if not answered:
            assert failure is not None
            raise failure
        answered = answered[:1]
    probe, result = answered[-1]
    shape = probe.logits.shape
    subject.gradient_kind = _gradient_kind(subject, result, shape)
    own = subject.own_reduction = _own_reduction(subject, result, reductions, shape)
    subject.least = probe.with_(reduction=own or reductions[0])
    with contextlib.suppress(WrongShape):  # a wrong shape is judged; no array at all fails here
        subject.held(subject.least, result)


def _gradient_kind(subject: BoundSubject, result: Any, shape: tuple[int, ...]) -> str:
    declared = subject.implementation.gradient
    if callable(declared):
        return "function"
    if declared is None:
        return "none"
    if declared != "infer":
        return declared
    pair = isinstance(result, tuple | list) and len(result) == 2
    if pair and subject.implementation.value is None:
        found = returned.gradients(result[1])[0] if subject.headed else result[1]
        if _shape(found) == shape:
            return "returned"
    return "autodiff" if "reverse" in subject.backend.modes else "none"


def _own_reduction(
    subject: BoundSubject, result: Any, reductions: tuple[str, ...], shape: tuple[int, ...]
) -> str:
    """Without a keyword the shape tells rows from a scalar, and a scalar is the mean."""
    if subject.takes("reduction"):
        return ""
    if len(reductions) == 1:
        return reductions[0]
    named = getattr(subject.loss, "reduction", None)
    if named in REDUCTIONS:  # a module whose options were given at construction
        return str(named)
    if subject.implementation.value is not None:
        result = subject.implementation.value(result)
    elif subject.gradient_kind == "returned":
        result = result[0]
    if result is None or isinstance(result, str):
        return "mean"
    scalar = next(
        (name for name in subject.implementation.reductions or () if name != "none"), "mean"
    )
    return "none" if _shape(result) == shape[:1] else scalar


def _switched_on(function: Callable[..., Any], rename: Mapping[str, str]) -> dict[str, float]:
    """Extensions that the signature has on by default, ``z_loss=1e-4``, and what turns each off.

    Where a case has no such option the plain loss is meant, and it is given so.
    """
    function = function if inspect.isclass(function) else getattr(function, "forward", function)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    found = {}
    for option, off in (("z_loss", 0.0), ("logit_scale", 1.0)):
        parameter = parameters.get(rename.get(option, option))
        default = None if parameter is None else parameter.default
        if isinstance(default, int | float) and default != off:
            found[option] = off
    return found


def _keywords(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names of the option keywords of a signature; None if it takes any keyword.

    A module of a framework is called through ``*args, **kwargs``: its signature is ``forward``'s.
    A class of modules is called to construct one: its signature is its own.
    """
    if not inspect.isclass(function):
        function = getattr(function, "forward", function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature takes no options
        return frozenset()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in kinds)


def _names_a_head(target: Callable[..., Any], keywords: frozenset[str] | None) -> bool:
    """Whether its signature says that it takes W: a function's, or that of a module's forward."""
    return not inspect.isclass(target) and "linear_weight" in (keywords or ())


def validate(implementation: Implementation, backend: Backend) -> Dialect:
    """The dialect of a declaration that makes sense.

    Raises:
        UsageError: it names an unknown option, reduction, kind, dtype or choice, or has no
            loss; the message names the argument and the remedy.
    """
    if implementation.factory is None and not callable(implementation.loss):
        raise UsageError(
            f"implementation {implementation.name!r}: loss is {implementation.loss!r}; give a "
            "function, or factory="
        )
    for argument in ("reductions", "options", "targets", "orders", "dtypes", "deviations"):
        if isinstance(getattr(implementation, argument), str):
            raise UsageError(f"Implementation({argument}=): got a string; give a tuple of names")
    gradient = implementation.gradient
    if isinstance(gradient, str) and gradient not in ("infer", "autodiff", "returned"):
        raise UsageError(
            f"Implementation(gradient=): {gradient!r} is unknown; use 'autodiff', 'returned', a "
            "function, or None for a value only"
        )
    if implementation.head not in ("", "linear"):
        raise UsageError(f"Implementation(head=): {implementation.head!r} is unknown; use 'linear'")
    options = (*OPTIONS, "linear_bias")
    for name in implementation.rename:
        if name not in (*options, "reduction"):
            raise UsageError(
                f"Implementation(rename=): {name!r} is no option of ours; use reduction, "
                f"{', '.join(options)}"
            )
    known = {
        "reductions": REDUCTIONS,
        "options": options,
        "targets": TARGET_KINDS,
        "orders": ("reverse", "forward", "second"),
        "dtypes": ("float64", "float32", "float16", "bfloat16"),
    }
    for argument, values in known.items():
        for given in getattr(implementation, argument) or ():
            if given not in values:
                raise UsageError(
                    f"Implementation({argument}=): {given!r} is unknown; use {', '.join(values)}"
                )
    _validate_ranks(implementation)
    return Dialect.of(expanded(implementation.dialect), BACKEND_DEFAULTS.get(backend.name))


def _validate_ranks(implementation: Implementation) -> None:
    ranks, axis = implementation.ranks, implementation.class_axis
    if 2 not in ranks or min(ranks) < 1:
        raise UsageError(
            f"Implementation(ranks=): {ranks!r}; give ranks of 1 and above, with 2 among them, "
            "such as (1, 2, 3)"
        )
    deep = [rank for rank in ranks if rank > 2]
    if any(not -rank <= axis < rank for rank in deep):
        raise UsageError(
            f"Implementation(class_axis=): {axis} is no axis of logits of rank {min(deep)}; "
            "use 1 for (N, C, d…) or -1 for (N, d…, C)"
        )


def _shape(value: object) -> tuple[int, ...]:
    """The shape of an array of any framework; () for whatever has none."""
    return tuple(getattr(value, "shape", ()))
