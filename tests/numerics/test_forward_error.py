"""The bounds accuse no correct implementation, and catch planted errors.

The reference is NumPy's longdouble (64-bit significand here), so a float64 evaluation is judged
by numbers 2000 times finer than itself. ``PROBLEMS`` × ``evaluations`` is small enough for
every run; ``sweep`` is the same over more seeds and shapes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from gradcheck_suite.numerics.forward_error import (
    denominator_error,
    gradient_bound,
    hvp_bound,
    jvp_bound,
    reduced_value_bound,
    row_value_bound,
    target_gradient_bound,
)
from gradcheck_suite.numerics.tolerance import Arithmetic, Bound

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
scipy_special = pytest.importorskip("scipy.special")

EXACT = np.longdouble
pytestmark = pytest.mark.skipif(
    np.finfo(EXACT).nmant < 63, reason="the reference needs a longdouble wider than float64"
)

IGNORED = -100
_TORCH = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


# ------------------------------------------------------------------ problems


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values of the dtype, as float64."""
    tensor = torch.from_numpy(np.array(values, np.float64, ndmin=1)).to(_TORCH[dtype])
    return tensor.to(torch.float64).numpy().reshape(np.shape(values))


@dataclass(frozen=True)
class Problem:
    """A batch with options; arrays are float64 with values of ``dtype``."""

    dtype: str
    logits: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None
    smoothing: float
    reduction: str
    upstream: np.ndarray
    tangent: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        if self.targets.ndim == 2:
            return np.ones(len(self.targets), bool)
        return self.targets != IGNORED

    @property
    def weights(self) -> np.ndarray:
        return np.ones(self.logits.shape[1]) if self.weight is None else self.weight

    @property
    def coefficient(self) -> np.ndarray:
        """(1 − ε) w_j, with which log p_j enters through t_j."""
        return ((1.0 - EXACT(self.smoothing)) * self.weights).astype(np.float64)

    @property
    def tau(self) -> np.ndarray:
        rows, classes = self.logits.shape
        if self.targets.ndim == 2:
            given = self.targets.astype(EXACT)
        else:
            given = np.zeros((rows, classes), EXACT)
            given[np.arange(rows), np.where(self.valid, self.targets, 0)] = 1.0
        smooth = EXACT(self.smoothing)
        mixed = (1 - smooth) * given + smooth / classes
        return np.where(self.valid[:, None], self.weights * mixed, EXACT(0))

    @property
    def row_weights(self) -> np.ndarray:
        """What each row contributes to the mean's denominator."""
        if self.targets.ndim == 2:
            return np.ones(len(self.targets))
        return np.where(self.valid, self.weights[np.where(self.valid, self.targets, 0)], 0.0)

    @property
    def denominator(self) -> float:
        return float(np.sum(self.row_weights.astype(EXACT))) if self.reduction == "mean" else 1.0

    @property
    def scale(self) -> np.ndarray:
        return np.broadcast_to(self.upstream, (len(self.logits),)) / self.denominator


FAMILIES = (
    "normal",
    "normal-10",
    "normal-100",
    "offset",
    "large-offset",
    "gap",
    "ties",
    "equal",
    "saturated",
    "rare",
    "just-below-u",
    "masked",
)


def logits_of(
    family: str, dtype: str, rows: int, classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Logits (N, C); the interesting class, where there is one, is column 0."""
    normal = rng.normal(size=(rows, classes))
    if family == "normal":
        return normal
    if family == "normal-10":
        return 10.0 * normal
    if family == "normal-100":
        return 100.0 * normal
    if family in ("offset", "large-offset"):
        size = 1e3 if family == "offset" else 1e6
        return normal + size * rng.choice([-1.0, 1.0, 0.5], size=(rows, 1))
    if family == "gap":
        normal[:, 0] -= 1000.0
        return normal
    if family == "ties":
        return rng.integers(0, 3, size=(rows, classes)).astype(float)
    if family == "equal":
        return np.full((rows, classes), 1.0) * rng.normal(size=(rows, 1))
    if family == "saturated":
        normal -= rng.uniform(5.0, 40.0, size=(rows, 1))
        normal[:, 0] = 0.0
        return normal
    if family == "rare":
        normal[:, 0] -= 68.0
        return normal
    if family == "just-below-u":
        normal = np.log(Arithmetic.of(dtype, dtype).unit_roundoff) - 0.06 + 0.01 * normal
        normal[:, 0] = 0.0
        return normal
    masked = 3.0 * normal
    masked[rng.uniform(size=(rows, classes)) < 0.4] = -np.inf
    masked[:, 0] = normal[:, 0]
    return masked


OPTIONS = ("plain", "weight", "ignored", "smoothing", "all", "probabilities", "unnormalised")


def problem(
    dtype: str,
    family: str,
    options: str,
    reduction: str,
    *,
    rows: int = 6,
    classes: int = 5,
    seed: int = 0,
) -> Problem:
    rng = np.random.default_rng([seed, rows, classes])
    logits = rounded(logits_of(family, dtype, rows, classes, rng), dtype)
    targets: np.ndarray = rng.integers(0, classes, size=rows)
    targets[: rows // 2] = 0  # the interesting class
    if family == "masked":
        targets[:] = 0
    weight = None
    if options in ("weight", "all", "unnormalised"):
        weight = rng.uniform(0.2, 3.0, size=classes)
        weight[-1] = 0.0
        weight = rounded(weight, dtype)
    if options in ("ignored", "all"):
        targets[1] = IGNORED
    if options in ("probabilities", "unnormalised"):
        given = rng.dirichlet(np.full(classes, 0.5), size=rows)
        given *= rng.uniform(0.3, 3.0, size=(rows, 1)) if options == "unnormalised" else 1.0
        given[0] = np.eye(classes)[0]
        targets = rounded(given, dtype)
    per_row = rng.normal(size=rows) * 3.0
    return Problem(
        dtype=dtype,
        logits=logits,
        targets=targets,
        weight=weight,
        smoothing=0.1 if options in ("smoothing", "all", "unnormalised") else 0.0,
        reduction=reduction,
        upstream=rounded(per_row if reduction == "none" else np.asarray(-1.7), dtype),
        tangent=rounded(rng.normal(size=(rows, classes)), dtype),
    )


# ----------------------------------------------------------------- reference


@dataclass(frozen=True)
class Results:
    """What an evaluation gives, or its exact value, or its bound; None where not offered."""

    value: np.ndarray | None = None
    gradient: np.ndarray | None = None
    target_gradient: np.ndarray | None = None
    jvp: np.ndarray | None = None
    hvp: np.ndarray | None = None


QUANTITIES = ("value", "gradient", "target_gradient", "jvp", "hvp")


def finite_product(factor: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.where(factor == 0, EXACT(0), factor * np.where(factor == 0, EXACT(0), value))


def exact_rows(given: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p, −log p and T·p − τ in longdouble, the last without cancellation for a single target."""
    f = given.logits.astype(EXACT)
    shifted = f - np.max(f, axis=1, keepdims=True)
    power = np.exp(shifted)
    others = power.copy()
    others[np.arange(len(f)), np.argmax(f, axis=1)] = 0
    p = power / (1 + np.sum(others, axis=1, keepdims=True))
    loss = np.log1p(np.sum(others, axis=1, keepdims=True)) - shifted
    tau = given.tau
    gradient = np.sum(tau, axis=1, keepdims=True) * p - tau
    for row in np.flatnonzero(np.count_nonzero(tau, axis=1) == 1):
        c = int(np.flatnonzero(tau[row])[0])
        gradient[row, c] = -tau[row, c] * np.sum(np.delete(p[row], c))
    return p, loss, gradient


def reduced(given: Problem, rows: np.ndarray) -> np.ndarray:
    if given.reduction == "none":
        return rows
    return np.sum(rows) / EXACT(given.denominator)


def exact_results(given: Problem) -> Results:
    p, loss, gradient = exact_rows(given)
    tau, v = given.tau, given.tangent.astype(EXACT)
    scale = given.scale.astype(EXACT)[:, None]
    curvature = np.sum(tau, axis=1, keepdims=True) * p * (v - np.sum(p * v, axis=1, keepdims=True))
    coefficient = np.where(given.valid[:, None], given.coefficient.astype(EXACT), EXACT(0))
    return Results(
        value=reduced(given, np.sum(finite_product(tau, loss), axis=1)),
        gradient=scale * gradient,
        target_gradient=scale * finite_product(coefficient, loss),
        jvp=reduced(given, np.sum(gradient * v, axis=1)),
        hvp=scale * curvature,
    )


def bounds(given: Problem, arithmetic: Arithmetic, *, explicit_lse: bool = True) -> Results:
    """The bound of each quantity, called as a check would."""
    tau = given.tau.astype(np.float64)
    exact = exact_results(replace(given, reduction="none"))
    denominators = denominator_error(given.row_weights, arithmetic)
    scale_error = denominators if given.reduction == "mean" else 0.0
    options = {"scale_error": scale_error, "explicit_lse": explicit_lse}

    def total(rows: np.ndarray, bound: Bound) -> np.ndarray:
        if given.reduction == "none":
            return bound.total
        values = rows.astype(np.float64)
        return reduced_value_bound(
            values, bound, given.denominator, arithmetic, scale_error=scale_error
        ).total

    row_bound = row_value_bound(given.logits, tau, arithmetic, explicit_lse=explicit_lse)
    along = jvp_bound(given.logits, tau, given.tangent, arithmetic, explicit_lse=explicit_lse)
    coefficient = np.where(given.valid[:, None], given.coefficient, 0.0)
    return Results(
        value=total(exact.value, row_bound),
        gradient=gradient_bound(given.logits, tau, arithmetic, given.scale, **options).total,
        target_gradient=target_gradient_bound(
            given.logits, coefficient, arithmetic, given.scale, **options
        ).total,
        jvp=total(exact.jvp, along),
        hvp=hvp_bound(given.logits, tau, given.tangent, arithmetic, given.scale, **options).total,
    )


def ratios(computed: Results, exact: Results, bound: Results) -> dict[str, float]:
    """max error / bound by quantity; infinite where a finite number was due and none came."""
    found = {}
    for name in QUANTITIES:
        got, want, allowed = (getattr(part, name) for part in (computed, exact, bound))
        if got is None or np.size(got) == 0:
            continue
        got = np.asarray(got, EXACT)
        assert got.shape == want.shape, (name, got.shape, want.shape)
        wanted = np.isfinite(want)
        error = np.where(np.isfinite(got), np.abs(got - np.where(wanted, want, 0)), np.inf)
        error = np.where(wanted, error, 0)
        found[name] = float(np.max(error / allowed))
    return found


# ------------------------------------------------------- evaluations: PyTorch

Evaluation = Callable[[Problem], Results]
Loss = Callable[[Problem, Any, Any], Any]


def torch_reduce(given: Problem, rows: Any) -> Any:
    if given.reduction == "none":
        return rows
    if given.reduction == "sum":
        return rows.sum()
    weights = torch.from_numpy(given.row_weights).to(rows.dtype)
    return rows.sum() / weights.sum()


def torch_tau(given: Problem, targets: Any) -> Any:
    """The effective targets, formed in the working dtype."""
    classes = given.logits.shape[1]
    if targets.is_floating_point():
        dense, valid = targets, torch.ones(len(targets), dtype=torch.bool)
    else:
        valid = targets != IGNORED
        dense = torch.nn.functional.one_hot(torch.where(valid, targets, 0), classes)
        dense = dense.to(_TORCH[given.dtype])
    mixed = dense
    if given.smoothing:
        mixed = (1.0 - given.smoothing) * dense + given.smoothing / classes
    if given.weight is not None:
        mixed = mixed * torch.from_numpy(given.weight).to(dense.dtype)
    return torch.where(valid[:, None], mixed, 0.0)


def torch_cross_entropy(given: Problem, f: Any, targets: Any) -> Any:
    weight = None if given.weight is None else torch.from_numpy(given.weight).to(f.dtype)
    return torch.nn.functional.cross_entropy(
        f, targets, weight=weight, reduction=given.reduction, label_smoothing=given.smoothing
    )


def torch_nll(given: Problem, f: Any, targets: Any) -> Any:
    weight = None if given.weight is None else torch.from_numpy(given.weight).to(f.dtype)
    return torch.nn.functional.nll_loss(
        torch.log_softmax(f, -1), targets, weight=weight, reduction=given.reduction
    )


def torch_log_softmax(given: Problem, f: Any, targets: Any) -> Any:
    return torch_reduce(given, -(torch_tau(given, targets) * torch.log_softmax(f, -1)).sum(-1))


def torch_gathered(given: Problem, f: Any, targets: Any) -> Any:
    valid = targets != IGNORED
    index = torch.where(valid, targets, 0)
    rows = torch.logsumexp(f, -1) - f.gather(-1, index[:, None])[:, 0]
    if given.weight is not None:
        rows = rows * torch.from_numpy(given.weight).to(f.dtype)[index]
    return torch_reduce(given, torch.where(valid, rows, 0.0))


def torch_explicit(given: Problem, f: Any, targets: Any) -> Any:
    tau = torch_tau(given, targets)
    return torch_reduce(given, tau.sum(-1) * torch.logsumexp(f, -1) - (tau * f).sum(-1))


def torch_shifted(given: Problem, f: Any, targets: Any) -> Any:
    """Shifted by hand, and differentiated through the maximum."""
    z = f - f.max(-1, keepdim=True).values
    log_p = z - z.exp().sum(-1, keepdim=True).log()
    return torch_reduce(given, -(torch_tau(given, targets) * log_p).sum(-1))


def torch_amax(given: Problem, f: Any, targets: Any) -> Any:
    z = f - f.amax(-1, keepdim=True)
    log_p = torch.log_softmax(z, -1)
    return torch_reduce(given, -(torch_tau(given, targets) * log_p).sum(-1))


def torch_evaluation(loss: Loss, *, wide: bool = False) -> Evaluation:
    """Autograd, double backward and forward mode of a composition; ``wide`` computes in float32."""

    def evaluate(given: Problem) -> Results:
        dtype = _TORCH[given.dtype]
        f = torch.from_numpy(given.logits).to(dtype).requires_grad_()
        floating = given.targets.ndim == 2
        targets = torch.from_numpy(given.targets)
        if floating:
            targets = targets.to(dtype).requires_grad_()
        upstream = torch.from_numpy(np.asarray(given.upstream)).to(dtype)
        tangent = torch.from_numpy(given.tangent).to(dtype)

        def call(f: Any, targets: Any) -> Any:
            if not wide:
                return loss(given, f, targets)
            middle = replace(given, dtype="float32")
            inside = targets.float() if floating else targets
            return loss(middle, f.float(), inside).to(dtype)

        value = call(f, targets)
        inputs = (f, targets) if floating else (f,)
        first = torch.autograd.grad(value, inputs, upstream, create_graph=True)
        (second,) = torch.autograd.grad(first[0], f, tangent)
        _, along = torch.func.jvp(lambda f: call(f, targets.detach()), (f.detach(),), (tangent,))
        plain = [part.detach().double().numpy() for part in (value, *first, second, along)]
        return Results(
            value=plain[0],
            gradient=plain[1],
            target_gradient=plain[2] if floating else None,
            hvp=plain[-2],
            jvp=plain[-1],
        )

    return evaluate


# ----------------------------------------------------------- evaluations: JAX


def jax_tau(given: Problem, targets: Any) -> Any:
    np_ = jax.numpy
    classes = given.logits.shape[1]
    if targets.ndim == 2:
        dense, valid = targets, np_.ones(len(targets), bool)
    else:
        valid = targets != IGNORED
        dense = jax.nn.one_hot(np_.where(valid, targets, 0), classes, dtype=given.dtype)
    mixed = dense
    if given.smoothing:
        mixed = (1.0 - given.smoothing) * dense + given.smoothing / classes
    if given.weight is not None:
        mixed = mixed * np_.asarray(given.weight, given.dtype)
    return np_.where(valid[:, None], mixed, 0)


def jax_reduce(given: Problem, rows: Any) -> Any:
    if given.reduction == "none":
        return rows
    if given.reduction == "sum":
        return rows.sum()
    return rows.sum() / jax.numpy.asarray(given.row_weights, rows.dtype).sum()


def jax_log_softmax(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, -(jax_tau(given, targets) * jax.nn.log_softmax(f)).sum(-1))


def jax_shifted(given: Problem, f: Any, targets: Any) -> Any:
    np_ = jax.numpy
    z = f - np_.max(f, axis=-1, keepdims=True)
    log_p = z - np_.log(np_.sum(np_.exp(z), axis=-1, keepdims=True))
    return jax_reduce(given, -(jax_tau(given, targets) * log_p).sum(-1))


def jax_explicit(given: Problem, f: Any, targets: Any) -> Any:
    tau = jax_tau(given, targets)
    lse = jax.nn.logsumexp(f, axis=-1)
    return jax_reduce(given, tau.sum(-1) * lse - (tau * f).sum(-1))


def optax_dense(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, optax.softmax_cross_entropy(f, jax_tau(given, targets)))


def optax_safe(given: Problem, f: Any, targets: Any) -> Any:
    return jax_reduce(given, optax.safe_softmax_cross_entropy(f, jax_tau(given, targets)))


def optax_index(given: Problem, f: Any, targets: Any) -> Any:
    np_ = jax.numpy
    valid = targets != IGNORED
    index = np_.where(valid, targets, 0)
    rows = optax.softmax_cross_entropy_with_integer_labels(f, index)
    if given.weight is not None:
        rows = rows * np_.asarray(given.weight, given.dtype)[index]
    return jax_reduce(given, np_.where(valid, rows, 0))


def jax_evaluation(loss: Loss, *, jit: bool = False) -> Evaluation:
    def evaluate(given: Problem) -> Results:
        with jax.enable_x64(given.dtype == "float64"):
            f, u, v = (
                jax.numpy.asarray(part, given.dtype)
                for part in (given.logits, given.upstream, given.tangent)
            )
            floating = given.targets.ndim == 2
            targets = jax.numpy.asarray(given.targets, given.dtype if floating else "int32")

            def gradient(f: Any) -> Any:
                return jax.vjp(lambda f: loss(given, f, targets), f)[1](u)[0]

            def everything(f: Any, targets: Any) -> Any:
                value, along = jax.jvp(lambda f: loss(given, f, targets), (f,), (v,))
                first, second = jax.jvp(gradient, (f,), (v,))
                pull = jax.vjp(lambda t: loss(given, f, t), targets)[1] if floating else None
                return value, first, second, along, pull(u)[0] if pull else ()

            parts = (jax.jit(everything) if jit else everything)(f, targets)
            value, first, second, along = (np.asarray(part, np.float64) for part in parts[:4])
            last = np.asarray(parts[4], np.float64) if floating else None
        return Results(value=value, gradient=first, target_gradient=last, jvp=along, hvp=second)

    return evaluate


# --------------------------------------------------------- evaluations: NumPy


def sequential(terms: np.ndarray) -> np.ndarray:
    """Row sums, one addition after the other in the array's own dtype."""
    return np.add.accumulate(terms, axis=-1, dtype=terms.dtype)[..., -1:]


def pairwise(terms: np.ndarray) -> np.ndarray:
    return np.sum(terms, axis=-1, keepdims=True)


def backwards(terms: np.ndarray) -> np.ndarray:
    return sequential(terms[..., ::-1])


def closed_form(summed: Callable[[np.ndarray], np.ndarray], probabilities: str) -> Evaluation:
    """T·p − τ by hand; p by ``division``, ``reciprocal`` or ``exponential`` of log p."""

    def evaluate(given: Problem) -> Results:
        dtype = np.dtype(given.dtype)
        f, v = given.logits.astype(dtype), given.tangent.astype(dtype)
        kind = _TORCH[given.dtype] if given.targets.ndim == 2 else torch.int64
        tau = torch_tau(given, torch.tensor(given.targets, dtype=kind)).numpy()
        z = f - np.max(f, axis=1, keepdims=True)
        e = np.exp(z)
        s = summed(e)
        log_p = z - np.log(s)
        p = {
            "division": lambda: e / s,
            "reciprocal": lambda: e * (1 / s),
            "exponential": lambda: np.exp(log_p),
        }[probabilities]()
        rows = -summed(tau * np.where(tau == 0, 0, log_p))[:, 0]
        denominator = dtype.type(1)
        if given.reduction == "mean":
            denominator = summed(given.row_weights.astype(dtype)[None])[0, 0]
        value = rows
        if given.reduction != "none":
            value = summed(rows[None])[0, 0] / denominator
        scale = given.upstream.astype(dtype).reshape(-1, 1) / denominator
        mass = summed(tau)
        mean = summed(p * v)
        gradient = mass * p - tau
        if given.targets.ndim == 1 and not given.smoothing:
            for row, c in enumerate(given.targets):
                if c != IGNORED:  # the accurate form: −Σ of the others
                    gradient[row, c] = -tau[row, c] * summed(np.delete(p[row], c)[None])[0, 0]
        along = summed(gradient * v)[:, 0]
        if given.reduction != "none":
            along = summed(along[None])[0, 0] / denominator
        return Results(
            value=value,
            gradient=scale * gradient,
            jvp=along,
            hvp=scale * (mass * (p * (v - mean))),
        )

    return evaluate


def scipy_forms(given: Problem) -> Results:
    if given.reduction != "none":
        return Results()
    f, tau = given.logits.astype(given.dtype), given.tau.astype(given.dtype)
    log_p = np.where(tau == 0, 0, scipy_special.log_softmax(f, axis=1))
    p = scipy_special.softmax(f, axis=1)
    gradient = given.upstream.astype(given.dtype)[:, None] * (
        np.sum(tau, axis=1, keepdims=True) * p - tau
    )
    return Results(value=-np.sum(tau * log_p, axis=1), gradient=gradient)


def stored_log_probabilities(given: Problem) -> Results:
    """Computed in float32, with log p and its cotangent stored in the narrow dtype."""
    dtype = _TORCH[given.dtype]
    f = torch.from_numpy(given.logits).to(dtype)
    tau = torch.from_numpy(given.tau.astype(np.float64)).to(dtype)
    log_p = torch.log_softmax(f.float(), -1).to(dtype)
    rows = -(tau * log_p).to(dtype).float().sum(-1).to(dtype)
    scale = torch.from_numpy(given.scale.copy()).to(dtype)
    cotangent = -(scale[:, None] * tau)
    total = cotangent.float().sum(-1, keepdim=True)
    gradient = (cotangent.float() - log_p.float().exp() * total).to(dtype)
    value = rows.double().numpy() if given.reduction == "none" else None
    return Results(value=value, gradient=gradient.double().numpy())


WIDE = (torch_cross_entropy, torch_log_softmax, torch_explicit, torch_shifted)


def wide_evaluations(given: Problem) -> Iterator[tuple[str, Evaluation]]:
    """Half precision in and out, float32 within."""
    if np.all(np.isfinite(given.logits)):
        yield "stored", stored_log_probabilities
        for loss in WIDE:
            yield f"wide.{loss.__name__}", torch_evaluation(loss, wide=True)


def evaluations(given: Problem, *, compiled: bool = False) -> Iterator[tuple[str, Evaluation]]:
    """The evaluations that are defined for a problem, in its own dtype."""
    index = given.targets.ndim == 1
    masked = not np.all(np.isfinite(given.logits))
    if not masked or (index and not given.smoothing):
        yield "torch.cross_entropy", torch_evaluation(torch_cross_entropy)
    if index and not given.smoothing:
        yield "torch.nll_loss", torch_evaluation(torch_nll)
        yield "torch.gathered", torch_evaluation(torch_gathered)
        yield "optax.index", jax_evaluation(optax_index)
    if given.dtype in ("float64", "float32"):
        yield "numpy.sequential", closed_form(sequential, "division")
        yield "numpy.backwards", closed_form(backwards, "reciprocal")
        yield "numpy.pairwise", closed_form(pairwise, "exponential")
        yield "scipy", scipy_forms
    if masked:
        return
    yield "torch.log_softmax", torch_evaluation(torch_log_softmax)
    yield "torch.explicit", torch_evaluation(torch_explicit)
    yield "torch.shifted", torch_evaluation(torch_shifted)
    yield "torch.amax", torch_evaluation(torch_amax)
    yield "jax.log_softmax", jax_evaluation(jax_log_softmax)
    yield "jax.shifted", jax_evaluation(jax_shifted)
    yield "jax.explicit", jax_evaluation(jax_explicit)
    yield "optax.dense", jax_evaluation(optax_dense)
    yield "optax.safe", jax_evaluation(optax_safe)
    if compiled:
        yield "jax.log_softmax.jit", jax_evaluation(jax_log_softmax, jit=True)
        yield "jax.shifted.jit", jax_evaluation(jax_shifted, jit=True)
        yield "optax.dense.jit", jax_evaluation(optax_dense, jit=True)


@dataclass(frozen=True)
class Scored:
    """One ratio error / bound, and where it was found."""

    ratio: float
    evaluation: str
    quantity: str
    family: str
    options: str
    reduction: str
    shape: tuple[int, ...]
    seed: int


def sweep(
    dtype: str,
    arithmetic: Arithmetic,
    *,
    families: tuple[str, ...] = FAMILIES,
    options: tuple[str, ...] = OPTIONS,
    reductions: tuple[str, ...] = ("none", "mean"),
    shapes: tuple[tuple[int, int], ...] = ((6, 5),),
    seeds: Iterable[int] = (0,),
    chosen: str = "",
    compiled: bool = False,
) -> list[Scored]:
    """error / bound of the evaluations whose name begins with ``chosen``, over a product."""
    scored = []
    for family, option, reduction, shape, seed in product(
        families, options, reductions, shapes, seeds
    ):
        if family == "masked" and option in ("smoothing", "all", "unnormalised"):
            continue  # −inf × a positive target is +inf
        if family == "large-offset" and dtype == "float16":
            continue  # beyond its range
        given = problem(
            dtype, family, option, reduction, rows=shape[0], classes=shape[1], seed=seed
        )
        exact, allowed = exact_results(given), bounds(given, arithmetic)
        forms = (
            wide_evaluations(given)
            if arithmetic.storage_roundoff
            else evaluations(given, compiled=compiled)
        )
        for name, evaluate in forms:
            if name.startswith(chosen):
                found = ratios(quietly(evaluate, given), exact, allowed)
                scored += [
                    Scored(ratio, name, quantity, family, option, reduction, shape, seed)
                    for quantity, ratio in found.items()
                ]
    return scored


def quietly(evaluate: Evaluation, given: Problem) -> Results:
    """An evaluation without the warnings that frameworks and underflow give."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return evaluate(given)


# ------------------------------------------------------------- no accusation

CLASSES = (
    ("float64", None),
    ("float32", None),
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
    ("bfloat16", "float32"),
    ("float16", "float32"),
)
EVERYDAY = ("plain", "all", "unnormalised")


@pytest.fixture(scope="module", params=CLASSES, ids=lambda each: f"{each[0]}-in-{each[1]}")
def scored(request: pytest.FixtureRequest) -> list[Scored]:
    dtype, accumulation = request.param
    return sweep(dtype, Arithmetic.of(dtype, accumulation), options=EVERYDAY)


def worst(scored: list[Scored]) -> Scored:
    return max(scored, key=lambda each: each.ratio)


def test_no_correct_evaluation_exceeds_its_bound(scored: list[Scored]) -> None:
    assert worst(scored).ratio <= 1.0, worst(scored)


def test_bounds_are_within_a_factor_of_thirty_of_what_happens(scored: list[Scored]) -> None:
    for family in {each.family for each in scored}:
        found = worst([each for each in scored if each.family == family])
        assert found.ratio >= 1 / 30, found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_long_rows_in_any_order_of_summation(dtype: str, library: str) -> None:
    found = sweep(
        dtype,
        Arithmetic.of(dtype),
        families=("just-below-u", "equal", "normal", "saturated", "rare"),
        options=EVERYDAY,
        reductions=("none",),
        shapes=((3, 4097),),
        chosen=library,
    )
    assert worst(found).ratio <= 1.0, worst(found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_and_means_over_many_rows(dtype: str) -> None:
    found = sweep(
        dtype,
        Arithmetic.of(dtype),
        families=("normal", "equal", "saturated"),
        options=("plain", "weight", "all"),
        reductions=("sum", "mean"),
        shapes=((1025, 3),),
        chosen="numpy",
    )
    assert worst(found).ratio <= 1.0, worst(found)


def test_compiled_compositions() -> None:
    found = sweep(
        "float32",
        Arithmetic.of("float32"),
        families=("rare",),
        options=("all",),
        chosen="jax.log_softmax.jit",
        compiled=True,
    )
    assert found
    assert worst(found).ratio <= 1.0, worst(found)


# --------------------------------------------------------------------- teeth

Mutant = Callable[[Problem, Results], Results]


def scaled(quantity: str, relative: float) -> Mutant:
    """A result that is wrong by a relative amount everywhere, and not rounded again."""

    def mutate(given: Problem, right: Results) -> Results:
        return replace(right, **{quantity: getattr(right, quantity) * (1.0 + relative)})

    return mutate


def through(dtype: str) -> Mutant:
    """Computed in a narrower dtype on the way."""

    def mutate(given: Problem, right: Results) -> Results:
        narrow = {
            name: None if part is None else rounded(np.asarray(part, np.float64), dtype)
            for name in QUANTITIES
            for part in (getattr(right, name),)
        }
        return Results(**narrow)

    return mutate


def softmax(given: Problem) -> np.ndarray:
    f = given.logits.astype(given.dtype)
    e = np.exp(f - np.max(f, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def from_probabilities(change: Callable[[np.ndarray], np.ndarray]) -> Mutant:
    """The loss −log of changed probabilities, and the gradient τ·T formed from them."""

    def mutate(given: Problem, right: Results) -> Results:
        tau = given.tau.astype(given.dtype)
        p = change(softmax(given))
        value = -np.sum(np.where(tau == 0, 0, tau * np.log(p)), axis=1)
        gradient = given.scale[:, None] * (np.sum(tau, axis=1, keepdims=True) * p - tau)
        return Results(value=value, gradient=gradient)

    return mutate


def unshifted(given: Problem, right: Results) -> Results:
    f = given.logits.astype(given.dtype)
    rows = np.log(np.sum(np.exp(f), axis=1)) - f[np.arange(len(f)), given.targets]
    return Results(value=rows)


def caught(
    mutant: Mutant, dtype: str, families: Iterable[str] = FAMILIES, accumulation: str | None = None
) -> dict[str, float]:
    """The largest error / bound of a mutant by quantity, over families of plain problems."""
    arithmetic = Arithmetic.of(dtype, accumulation)
    found: dict[str, float] = dict.fromkeys(QUANTITIES, 0.0)
    right = torch_evaluation(torch_cross_entropy, wide=bool(arithmetic.storage_roundoff))
    for family in families:
        given = problem(dtype, family, "plain", "none")
        wrong = quietly(lambda given: mutant(given, right(given)), given)
        for name, ratio in ratios(wrong, exact_results(given), bounds(given, arithmetic)).items():
            found[name] = max(found[name], ratio)
    return found


@pytest.mark.parametrize("quantity", ["value", "gradient", "jvp", "hvp"])
@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-13), ("float32", 1e-5)])
def test_a_small_relative_error_is_caught(quantity: str, dtype: str, relative: float) -> None:
    assert caught(scaled(quantity, relative), dtype)[quantity] > 1.0


def test_one_part_in_ten_million_is_hopeless_for_a_float64_gradient() -> None:
    assert caught(scaled("gradient", 1e-7), "float64")["gradient"] > 1e6


@pytest.mark.parametrize("quantity", ["value", "gradient", "jvp", "hvp"])
def test_float64_passed_through_float32_is_caught(quantity: str) -> None:
    assert caught(through("float32"), "float64", ("normal",))[quantity] > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_constant_inside_the_logarithm_is_caught(dtype: str) -> None:
    assert caught(from_probabilities(lambda p: p + p.dtype.type(1e-8)), dtype)["value"] > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clipped_probabilities_are_caught(dtype: str) -> None:
    found = caught(from_probabilities(lambda p: np.maximum(p, p.dtype.type(1e-7))), dtype)
    assert min(found["value"], found["gradient"]) > 1e3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_missing_shift_is_caught(dtype: str) -> None:
    assert caught(unshifted, dtype, ("large-offset",))["value"] == np.inf


def test_probabilities_lowered_before_the_subtraction_are_caught() -> None:
    mutant = from_probabilities(lambda p: rounded(p, "bfloat16"))
    assert caught(mutant, "float32")["gradient"] > 1e3


def test_a_per_cent_in_the_value_is_caught_where_bfloat16_accumulates_in_float32() -> None:
    assert caught(scaled("value", 1e-2), "bfloat16")["value"] > 1.0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_class_of_seventy_thousand_that_is_dropped_is_caught(dtype: str) -> None:
    """Equal logits are counted exactly in every order, and the bound knows it."""
    given = problem(dtype, "equal", "plain", "none", rows=2, classes=70_000)
    exact, allowed = exact_results(given), bounds(given, Arithmetic.of(dtype))
    right = quietly(torch_evaluation(torch_cross_entropy), given)
    assert max(ratios(right, exact, allowed).values()) <= 1.0
    dropped = problem(dtype, "equal", "plain", "none", rows=2, classes=69_999)
    wrong = quietly(torch_evaluation(torch_cross_entropy), dropped)
    assert ratios(Results(value=wrong.value), exact, allowed)["value"] > 1.0


def test_a_denominator_off_by_one_is_caught_in_the_gradient_of_many_rows() -> None:
    given = problem("float32", "normal", "plain", "mean", rows=4096)
    right = exact_results(given)
    wrong = replace(right, gradient=right.gradient * (4096 / EXACT(4097)))
    assert ratios(wrong, right, bounds(given, Arithmetic.of("float32")))["gradient"] > 10.0


def test_the_strict_bound_catches_log_sum_exp_at_the_offsets_magnitude() -> None:
    arithmetic = Arithmetic.of("float32")
    given = problem("float32", "large-offset", "plain", "none")
    explicit = quietly(torch_evaluation(torch_explicit), given)
    shifted = quietly(torch_evaluation(torch_shifted), given)
    exact, strict = exact_results(given), bounds(given, arithmetic, explicit_lse=False)
    assert ratios(explicit, exact, strict)["value"] > 1e3
    assert max(ratios(shifted, exact, strict).values()) <= 1.0


# ------------------------------------------------------------ bounds as such


def every_bound(logits: np.ndarray, tau: np.ndarray, arithmetic: Arithmetic) -> list[Bound]:
    tangent, scale = np.ones_like(logits), np.full(len(logits), -2.0)
    return [
        row_value_bound(logits, tau, arithmetic),
        gradient_bound(logits, tau, arithmetic, scale),
        target_gradient_bound(logits, np.ones(logits.shape[1]), arithmetic, scale),
        jvp_bound(logits, tau, tangent, arithmetic, scale),
        hvp_bound(logits, tau, tangent, arithmetic, scale),
    ]


DEGENERATE = {
    "no rows": np.zeros((0, 5)),
    "one class": np.array([[1.0], [-2.0]]),
    "minus infinity": np.array([[1.0, -np.inf, 3.0], [-np.inf, 0.0, -np.inf]]),
    "nothing finite": np.array([[-np.inf, -np.inf], [np.nan, 1.0], [np.inf, 0.0]]),
    "gap": np.array([[0.0, -1e4, -1e30]]),
}


@pytest.mark.parametrize("logits", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize(("dtype", "accumulation"), CLASSES)
def test_bounds_are_finite_where_logits_are_not(
    logits: np.ndarray, dtype: str, accumulation: str | None
) -> None:
    for first in (0.0, 1.0, 0.7):
        tau = np.zeros_like(logits)
        tau[:, 0], tau[:, -1] = first, 1.0 - first
        with np.errstate(all="raise"):
            found = every_bound(logits, tau, Arithmetic.of(dtype, accumulation))
        for bound in found:
            assert np.all(np.isfinite(bound.total))
            assert np.all(bound.total >= 0.0)


@pytest.mark.parametrize(("dtype", "accumulation"), CLASSES)
def test_the_terms_add_up_to_the_bound(dtype: str, accumulation: str | None) -> None:
    given = problem(dtype, "normal-10", "all", "none")
    arithmetic = Arithmetic.of(dtype, accumulation)
    for bound in every_bound(given.logits, given.tau.astype(float), arithmetic):
        np.testing.assert_allclose(sum(part for _, part in bound.terms), bound.total, rtol=1e-14)


def test_an_ignored_row_is_bounded_by_the_smallest_normal_number_alone() -> None:
    logits = np.array([[3.0, np.nan, 1.0], [1.0, 2.0, 3.0]])
    arithmetic = Arithmetic.of("float32")
    for bound in every_bound(logits, np.zeros((2, 3)), arithmetic)[:2]:
        assert np.all(bound.total <= 8.0 * arithmetic.smallest_normal)


def test_bounds_ignore_an_offset_unless_lse_is_explicit() -> None:
    arithmetic, tau = Arithmetic.of("float32"), np.eye(4)
    logits = np.random.default_rng(0).integers(-3, 4, (4, 4)).astype(float)
    for offset, grows in ((0.0, False), (2.0**20, True)):
        strict = row_value_bound(logits + offset, tau, arithmetic, explicit_lse=False).total
        loose = row_value_bound(logits + offset, tau, arithmetic).total
        near = row_value_bound(logits, tau, arithmetic, explicit_lse=False).total
        np.testing.assert_allclose(strict, near, rtol=1e-12)
        assert np.all(loose > 100.0 * strict) == grows


def test_a_gradient_through_the_maximum_is_wider_at_the_maximum_alone() -> None:
    logits, tau = np.array([[3.0, 1.0, 3.0, 0.0]]), np.eye(1, 4)
    arithmetic = Arithmetic.of("float32")
    wide = gradient_bound(logits, tau, arithmetic).total
    narrow = gradient_bound(logits, tau, arithmetic, through_maximum=False).total
    np.testing.assert_array_equal((wide > narrow)[0], [True, False, True, False])
    np.testing.assert_allclose((wide - narrow)[0, 0], 2.0 * (wide - narrow)[0, 2])  # the first


def test_a_sum_that_may_be_lost_altogether_is_vacuous_and_says_so() -> None:
    logits, tau = np.zeros((1, 4096)), np.eye(1, 4096)
    assert row_value_bound(logits, tau, Arithmetic.of("bfloat16", "bfloat16")).vacuous.all()
    assert gradient_bound(logits, tau, Arithmetic.of("bfloat16", "bfloat16")).vacuous.all()
    assert not row_value_bound(logits, tau, Arithmetic.of("bfloat16")).vacuous.any()


def test_a_denominator_that_is_a_count_is_exact() -> None:
    arithmetic = Arithmetic.of("float32")
    assert denominator_error(np.ones(4096), arithmetic) == 0.0
    assert denominator_error(np.zeros(3), arithmetic) == 0.0
    assert 0.0 < denominator_error(np.full(3, 0.1), arithmetic) <= 3.0 * arithmetic.unit_roundoff


def test_a_mean_over_nothing_is_compared_by_kind_and_not_by_a_bound() -> None:
    arithmetic = Arithmetic.of("float32")
    rows = row_value_bound(np.zeros((2, 3)), np.zeros((2, 3)), arithmetic)
    assert np.isfinite(reduced_value_bound(np.zeros(2), rows, 0.0, arithmetic).total)
