"""The subject: an implementation bound to a backend, a device and a dtype.

Checks talk to it in NumPy float64 and know no framework. It is also the one place where an
implementation's declaration meets its behaviour: what was not declared is found by trying,
with N ≠ C, and what raises is not supported.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite import process_state
from gradcheck_suite.case import REDUCTIONS, TARGET_KINDS, Case, FloatArray
from gradcheck_suite.errors import ImplementationError, Unsupported, UsageError, WrongShape
from gradcheck_suite.implementation import Implementation
from gradcheck_suite.protocols import Array, Arrays, Backend, Function, Gradients
from gradcheck_suite.specification.dialect import BACKEND_DEFAULTS, Dialect
from gradcheck_suite.specification.recipe import Recipe

OPTIONS = ("weight", "ignore_index", "label_smoothing")
_LOW_PRECISION = ("float16", "bfloat16")


@dataclass(eq=False)
class BoundSubject:
    """Implements the ``Subject`` protocol; build it with ``bind``.

    Attributes:
        implementation: the declaration.
        backend: evaluates and differentiates.
        device, dtype: where and in what.
        dialect: the declared choices over the backend's defaults.
        gradient_kind: ``autodiff``, ``returned``, ``function`` or ``none``.
    """

    implementation: Implementation
    backend: Backend
    device: str
    dtype: str
    dialect: Dialect
    loss: Callable[..., Any] | None
    keywords: frozenset[str] | None  # None: takes any keyword
    gradient_kind: str = ""
    _least: Case | None = None
    _own_reduction: str = ""
    _reasons: dict[tuple[Any, ...], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.implementation.name

    @property
    def accumulation(self) -> str:
        """The dtype it computes in: torch and JAX on the CPU use the storage dtype."""
        if self.dtype not in _LOW_PRECISION:
            return self.dtype
        return self.implementation.accumulation or self.dtype

    # --- what checks call --------------------------------------------------------------

    def value(self, case: Case) -> FloatArray:
        """The loss at a case: rows (N,) under ``none``, else ().

        Raises:
            ImplementationError: the loss returned something that is no array.
            WrongShape: it returned another shape than the reduction asks for.
        """
        with self.backend.precision(case.dtype):
            function = self._function(case, self._targets(case))
            (value,) = self.backend.evaluate(function, (self._logits(case),))
            return self.backend.asnumpy(value)

    def gradients(self, case: Case, *, targets: bool = False) -> Gradients:
        """Value, and gradient of ⟨upstream, value⟩ in the logits (and in the targets).

        Raises:
            Unsupported: the implementation has no gradient.
            ImplementationError: the gradient in the logits is None or no array.
        """
        if self.gradient_kind == "none":
            raise Unsupported("the implementation returns a value only")
        with self.backend.precision(case.dtype):
            if self.gradient_kind == "autodiff":
                return self._autodiff_gradients(case, targets=targets)
            return self._given_gradients(case)

    def jvp(self, case: Case, tangent: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Value, and its derivative along ``tangent`` in the logits, by forward mode."""
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=False)
            (value,), (pushed,) = self.backend.jvp(function, primals, (self._float(tangent),))
            return self.backend.asnumpy(value), self.backend.asnumpy(pushed)

    def hvp(
        self,
        case: Case,
        tangent: npt.ArrayLike,
        *,
        target_tangent: npt.ArrayLike | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Gradient in the logits, and the derivative of the gradients along the tangents.

        Args:
            case: where.
            tangent: direction v in the logits, (N, C).
            target_tangent: direction s in the target probabilities, (N, C); makes the targets
                differentiable as well.

        Returns:
            ∂/∂f, its derivative along (v, s), and the derivative of ∂/∂t along (v, s) (None
            without ``target_tangent``). A derivative that the graph does not reach is 0: the
            chain through it does not exist.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=target_tangent is not None)
            tangents = [self._float(tangent)]
            if target_tangent is not None:
                tangents.append(self._float(target_tangent))
            gradients, seconds = self.backend.hvp(
                function, primals, (self._float(case.upstream),), tuple(tangents)
            )
            first = self._gradient_array(gradients[0], case.logits.shape, "logits")
            zeros = np.zeros(case.logits.shape)
            arrays = [zeros if s is None else self.backend.asnumpy(s) for s in seconds]
            return first, arrays[0], arrays[1] if target_tangent is not None else None

    def squared_hvp(self, case: Case, tangent: npt.ArrayLike) -> FloatArray:
        """Hessian times v of φ = Σ L²/2, whose upstream u = L depends on the logits.

        φ'' v = (J v)ᵀ-weighted gradients plus Σ L_i H_i v: a loss whose backward treats the
        gradient it stored as a constant loses the second part, or answers with no graph.
        """
        self._require_autodiff()
        with self.backend.precision(case.dtype):
            function, primals = self._differentiable(case, targets=False)

            def squared(*arrays: Array) -> Arrays:
                (value,) = function(*arrays)
                return ((value * value).sum() / 2,)

            one = self._float(1.0)
            _, (second,) = self.backend.hvp(squared, primals, (one,), (self._float(tangent),))
            if second is None:
                raise Unsupported("second order: the gradient has no graph")
            return self.backend.asnumpy(second)

    def state_changes(self, case: Case) -> dict[str, tuple[Any, Any]]:
        """Process-wide settings that forward and backward change: name → (before, after).

        Called once before it counts: a framework may import parts of itself on first use,
        and those may add warnings filters. What the code under test changes, it changes
        again.
        """
        with process_state.preserved(self.backend):
            self._forward_and_backward(case)
        before = process_state.capture(self.backend)
        self._forward_and_backward(case)
        after = process_state.capture(self.backend)
        process_state.restore(before, self.backend)
        return {name: (before[name], after[name]) for name in before if before[name] != after[name]}

    def _forward_and_backward(self, case: Case) -> None:
        self.value(case)
        if not self.supports(case, "gradient"):
            self.gradients(case)

    # --- what is supported -------------------------------------------------------------

    def supports(self, case: Case, mode: str = "value") -> str:
        """Empty if the implementation takes this case in this mode, else why it does not."""
        options = case.options
        signature = (case.target_kind, options.reduction, options.used(), mode)
        if signature not in self._reasons:
            self._reasons[signature] = self._why_not(case, mode)
        return self._reasons[signature]

    def _why_not(self, case: Case, mode: str) -> str:
        declared = self.implementation
        options = case.options
        if declared.targets is not None and case.target_kind not in declared.targets:
            return f"does not take {case.target_kind} targets (declared)"
        if declared.reductions is not None and options.reduction not in declared.reductions:
            return f"does not offer reduction {options.reduction} (declared)"
        for option in options.used():
            if declared.options is not None and option not in declared.options:
                return f"has no option {option} (declared)"
            if not self._takes(option):
                return f"has no option {option} (its signature)"
        if options.reduction != self._own_reduction and not self._takes("reduction"):
            return f"does not offer reduction {options.reduction} (it has no such keyword)"
        if mode != "value":
            reason = self._mode_missing(mode)
            if reason:
                return reason
        return self._tried(case, mode)

    def _mode_missing(self, mode: str) -> str:
        if self.gradient_kind == "none":
            return "value only: no gradient is declared or returned"
        if mode == "gradient":
            return ""
        assert mode in ("autodiff", "forward", "second"), mode
        if self.gradient_kind != "autodiff":
            return f"the gradient is {self.gradient_kind}: nothing to differentiate again"
        orders = self.implementation.orders
        if mode in ("forward", "second"):
            if mode not in self.backend.modes:
                return f"the backend {self.backend.name} has no {mode} mode"
            if orders is not None and mode not in orders:
                return f"does not offer {mode} mode (declared)"
        return ""

    def _tried(self, case: Case, mode: str) -> str:
        """Tries a small case of the same kind: what raises is not supported.

        What is declared is not tried: there a raise is an error and not an answer.
        """
        probe = Recipe(
            reduction=case.options.reduction,
            targets=case.target_kind,
            weight="weight" in case.options.used(),
            ignored=int("ignore_index" in case.options.used()),
            smoothing=case.options.label_smoothing,
        ).build(0, case.dtype)
        try:
            if mode == "forward":
                self.jvp(probe, probe.logits)
            elif mode == "second":
                self.hvp(probe, probe.logits)
            else:
                self.value(probe)
        except Unsupported as error:
            return str(error)
        except WrongShape:
            return ""  # a wrong answer is an answer: the checks judge it
        except Exception as error:
            if self._is_declared(case, mode) or self._is_least(case, mode):
                return ""
            first = (str(error).strip().splitlines() or [""])[0]
            return f"not supported: raises {type(error).__name__}: {first}"[:200]
        return ""

    def _is_declared(self, case: Case, mode: str) -> bool:
        declared = self.implementation
        if mode in ("forward", "second"):
            return declared.orders is not None
        reduction = declared.reductions is not None
        return declared.targets is not None and (reduction or not case.options.used())

    def _is_least(self, case: Case, mode: str) -> bool:
        """One reduction and one kind of target is the least: a raise there is an error."""
        least = self._least
        return (
            least is not None
            and mode not in ("forward", "second")
            and not case.options.used()
            and case.target_kind == least.target_kind
            and case.options.reduction == least.options.reduction
        )

    def _takes(self, keyword: str) -> bool:
        return self.keywords is None or self.implementation.rename.get(keyword, keyword) in (
            self.keywords
        )

    # --- calling the implementation ----------------------------------------------------

    def _options(self, case: Case) -> dict[str, Any]:
        """The keywords for a case: ``reduction`` always, the others where they are used."""
        options = case.options
        given: dict[str, Any] = {}
        if self._takes("reduction"):
            given["reduction"] = options.reduction
        if options.weight is not None:
            given["weight"] = self._float(options.weight)
        if options.ignore_index is not None:
            given["ignore_index"] = options.ignore_index
        if options.label_smoothing:
            given["label_smoothing"] = options.label_smoothing
        rename = self.implementation.rename
        return {rename.get(name, name): value for name, value in given.items()}

    def _call(self, case: Case, logits: Array, targets: Array) -> Any:
        options = self._options(case)
        if self.implementation.factory is not None:
            return self.implementation.factory(**options)(logits, targets)
        assert self.loss is not None  # bind() has seen to it
        return self.loss(logits, targets, **options)

    def _function(self, case: Case, targets: Array) -> Function:
        """The loss as a function of the logits (and of the targets, where given)."""

        def function(logits: Array, varied: Array = targets) -> Arrays:
            return (self._value_of(case, self._call(case, logits, varied)),)

        return function

    def _value_of(self, case: Case, result: Any) -> Array:
        """The loss itself in what came back, with its shape held to the reduction's."""
        if self.implementation.value is not None:
            result = self.implementation.value(result)
        elif self.gradient_kind == "returned":
            result = self._pair(result)[0]
        if isinstance(result, tuple | list) or not self._is_array(result):
            raise ImplementationError(
                f"loss returned {_describe(result)}; expected a {self.backend.name} array"
                + (" (value= picks the loss out of several)" if isinstance(result, tuple) else "")
            )
        expected = (case.rows,) if case.options.reduction == "none" else ()
        shape = tuple(np.shape(result))
        if shape != expected:
            raise WrongShape(
                f"loss returned shape {shape} under reduction={case.options.reduction!r}; "
                f"specified {expected}"
            )
        return result

    def _is_array(self, value: object) -> bool:
        plain = self.backend.name == "numpy" and isinstance(value, float | int)
        return plain or self.backend.owns(value)

    def _pair(self, result: Any) -> tuple[Any, Any]:
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ImplementationError(
                f"loss returned {_describe(result)}; expected (value, gradient)"
            )
        return result[0], result[1]

    def _differentiable(self, case: Case, *, targets: bool) -> tuple[Function, Arrays]:
        logits, given = self._logits(case), self._targets(case)
        return self._function(case, given), (logits, given) if targets else (logits,)

    def _autodiff_gradients(self, case: Case, *, targets: bool) -> Gradients:
        function, primals = self._differentiable(case, targets=targets)
        (value,), pulled = self.backend.vjp(function, primals, (self._float(case.upstream),))
        described = {"value": self.backend.describe(value)}
        if pulled[0] is not None:
            described["logits"] = self.backend.describe(pulled[0])
        in_targets = pulled[1] if targets else None
        return Gradients(
            value=self.backend.asnumpy(value),
            logits=self._gradient_array(pulled[0], case.logits.shape, "logits"),
            targets=None if in_targets is None else self.backend.asnumpy(in_targets),
            described=described,
        )

    def _given_gradients(self, case: Case) -> Gradients:
        """A gradient that is returned or supplied: row i is ∂L_i/∂f_i, scaled by u here."""
        logits, targets = self._logits(case), self._targets(case)
        if self.gradient_kind == "returned":
            result, gradient = self._pair(self._call(case, logits, targets))
            value = self._value_of(case, (result, gradient))
        else:
            value = self._value_of(case, self._call(case, logits, targets))
            supplied = self.implementation.gradient
            assert callable(supplied)
            gradient = supplied(logits, targets, **self._options(case))
        array = self._gradient_array(gradient, case.logits.shape, "logits")
        upstream = case.upstream
        scaled = array * (upstream[:, None] if upstream.ndim else upstream)
        return Gradients(value=self.backend.asnumpy(value), logits=scaled)

    def _gradient_array(
        self, gradient: Any, expected: tuple[int, ...], argument: str
    ) -> FloatArray:
        if gradient is None:
            raise ImplementationError(
                f"no gradient in the {argument}: the result does not depend on them (a cut graph)"
            )
        if not self.backend.owns(gradient):
            raise ImplementationError(
                f"gradient in the {argument} is {_describe(gradient)}; expected an array"
            )
        array = self.backend.asnumpy(gradient)
        if array.shape != expected:
            raise WrongShape(
                f"gradient in the {argument} has shape {array.shape}; specified {expected}"
            )
        return array

    def _require_autodiff(self) -> None:
        if self.gradient_kind != "autodiff":
            raise Unsupported(f"the gradient is {self.gradient_kind}, not differentiable")

    def _float(self, values: npt.ArrayLike) -> Array:
        return self.backend.asarray(values, self.dtype, self.device)

    def _logits(self, case: Case) -> Array:
        return self._float(case.logits)

    def _targets(self, case: Case) -> Array:
        if case.target_kind == "probabilities":
            return self._float(case.targets)
        index = "int64" if self.backend.name != "jax" or self.dtype == "float64" else "int32"
        return self.backend.asarray(case.targets, index, self.device)


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
    subject = BoundSubject(
        implementation=implementation,
        backend=backend,
        device=device or backend.devices()[0],
        dtype=dtype,
        dialect=dialect,
        loss=loss,
        keywords=_keywords(target),
    )
    _learn(subject)
    return subject


def _learn(subject: BoundSubject) -> None:
    """Finds what the declaration left open from one call of the least question."""
    declared = subject.implementation
    kinds = declared.targets or TARGET_KINDS
    reductions = declared.reductions or (("mean",) if subject._takes("reduction") else REDUCTIONS)
    failure: Exception | None = None
    for kind in kinds:
        recipe = Recipe(reduction="mean", targets=kind)  # type: ignore[arg-type]
        probe = recipe.build(0, subject.dtype)
        if subject._takes("reduction"):
            probe = probe.with_(reduction=reductions[0])
        try:
            with subject.backend.precision(subject.dtype):
                result = subject._call(probe, subject._logits(probe), subject._targets(probe))
        except Exception as error:
            failure = failure or error
            continue
        subject.gradient_kind = _gradient_kind(subject, result, probe.logits.shape)
        shape = probe.logits.shape
        subject._own_reduction = _own_reduction(subject, result, reductions, shape)
        _hold_to_an_array(subject, probe, result)
        subject._least = probe.with_(reduction=subject._own_reduction or reductions[0])
        return
    assert failure is not None
    raise failure


def _hold_to_an_array(subject: BoundSubject, probe: Case, result: Any) -> None:
    """A loss that returns no array fails once and everywhere; a wrong shape is judged."""
    own = subject._own_reduction
    with contextlib.suppress(WrongShape):
        subject._value_of(probe.with_(reduction=own) if own else probe, result)


def _gradient_kind(subject: BoundSubject, result: Any, shape: tuple[int, ...]) -> str:
    declared = subject.implementation.gradient
    if callable(declared):
        return "function"
    if declared is None:
        return "none"
    if declared != "infer":
        return declared
    pair = isinstance(result, tuple | list) and len(result) == 2
    if pair and subject.implementation.value is None and tuple(np.shape(result[1])) == shape:
        return "returned"
    return "autodiff" if "reverse" in subject.backend.modes else "none"


def _own_reduction(
    subject: BoundSubject, result: Any, reductions: tuple[str, ...], shape: tuple[int, ...]
) -> str:
    """Without a keyword the shape tells rows from a scalar, and a scalar is the mean."""
    if subject._takes("reduction"):
        return ""
    if len(reductions) == 1:
        return reductions[0]
    if subject.implementation.value is not None:
        result = subject.implementation.value(result)
    elif subject.gradient_kind == "returned":
        result = result[0]
    if result is None or isinstance(result, str):
        return "mean"
    scalar = next(
        (name for name in subject.implementation.reductions or () if name != "none"), "mean"
    )
    return "none" if tuple(np.shape(result)) == shape[:1] else scalar


def _keywords(function: Callable[..., Any]) -> frozenset[str] | None:
    """Names of the option keywords of a signature; None if it takes any keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature takes no options
        return frozenset()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in kinds)


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
    known = {
        "reductions": REDUCTIONS,
        "options": OPTIONS,
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
    return Dialect.of(implementation.dialect, BACKEND_DEFAULTS.get(backend.name))


def _describe(value: object) -> str:
    if value is None or isinstance(value, str | bool | float | int):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


__all__ = ["OPTIONS", "BoundSubject", "bind", "validate"]
