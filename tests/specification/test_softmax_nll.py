"""The closed form against the definition at 50 digits, and the composed form against the closed.

``Exact`` is written from the textbook alone: p = e^f / Σ e^f, L = −Σ τ log p, in mpmath, row by
row, sharing no code and no formula without cancellation with what it judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from gradcheck_suite import backends
from gradcheck_suite.case import REDUCTIONS
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.softmax import Softmax
from gradcheck_suite.specification.softmax_nll import SoftmaxNLL, loss

SEED_LOGITS = [[1.0, 2.0, 0.5, -1.0]]
SEED_CLASS = 2  # the seed's class 3

many = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(autouse=True, scope="module")
def fifty_digits() -> Iterator[None]:
    with mp.workdps(50):
        yield


@dataclass(frozen=True, eq=False)
class Question:
    """Logits, targets and options as float64, exactly what both sides are given."""

    logits: np.ndarray[Any, Any]
    targets: np.ndarray[Any, Any]
    upstream: np.ndarray[Any, Any]
    tangent: np.ndarray[Any, Any]
    weight: Any = None
    ignore_index: int | None = None
    smoothing: float = 0.0
    reduction: str = "mean"
    dialect: Dialect = Dialect()

    def form(self, dtype: Any = np.float64) -> SoftmaxNLL:
        weight = None if self.weight is None else self.weight.astype(dtype)
        return SoftmaxNLL(weight, self.ignore_index, self.smoothing, self.reduction, self.dialect)

    def arrays(self, dtype: Any) -> tuple[Any, Any]:
        index = self.targets.dtype.kind == "i"
        return self.logits.astype(dtype), self.targets if index else self.targets.astype(dtype)


@dataclass(frozen=True, eq=False)
class Exact:
    """The definition, at 50 digits."""

    question: Question

    @cached_property
    def f(self) -> list[list[Any]]:
        return [[_exact(entry) for entry in row] for row in self.question.logits]

    @cached_property
    def p(self) -> list[list[Any]]:
        powers = [[mp.exp(entry) for entry in row] for row in self.f]
        return [[power / sum(row) for power in row] for row in powers]

    @cached_property
    def log_p(self) -> list[list[Any]]:
        totals = [mp.log(sum(mp.exp(entry) for entry in row)) for row in self.f]
        return [[f - lse for f in row] for row, lse in zip(self.f, totals, strict=True)]

    @cached_property
    def valid(self) -> list[bool]:
        targets = self.question.targets
        if targets.ndim == 2:
            return [True] * len(targets)
        return [int(c) != self.question.ignore_index for c in targets]

    @cached_property
    def t(self) -> list[list[Any]]:
        targets, classes = self.question.targets, self.question.logits.shape[1]
        if targets.ndim == 2:
            return [[_exact(entry) for entry in row] for row in targets]
        return [[mpf(int(c) == j) for j in range(classes)] for c in targets]

    @cached_property
    def w(self) -> list[Any]:
        weight = self.question.weight
        return [mpf(1)] * len(self.f[0]) if weight is None else [_exact(w) for w in weight]

    @cached_property
    def slope(self) -> Any:
        """∂t'_j/∂t_j of the smoothing, the same for every class."""
        epsilon, classes = _exact(self.question.smoothing), len(self.w)
        if epsilon and self.question.dialect.smoothing_mass == "over-others":
            return 1 - epsilon - epsilon / (classes - 1)
        return 1 - epsilon

    @cached_property
    def tau(self) -> list[list[Any]]:
        epsilon, classes = _exact(self.question.smoothing), len(self.w)
        over_others = self.question.dialect.smoothing_mass == "over-others"

        def smoothed(t: Any) -> Any:
            if not epsilon:
                return t
            mass = (1 - t) / (classes - 1) if over_others else mpf(1) / classes
            return (1 - epsilon) * t + epsilon * mass

        return [
            [valid * w * smoothed(t) for w, t in zip(self.w, row, strict=True)]
            for row, valid in zip(self.t, self.valid, strict=True)
        ]

    @cached_property
    def denominator(self) -> Any:
        if self.question.reduction != "mean":
            return mpf(1)
        dialect, index = self.question.dialect, self.question.targets.ndim == 1
        choice = dialect.mean_index if index else dialect.mean_probabilities
        if choice == "batch":
            return mpf(len(self.f))
        if choice == "valid":
            return mpf(sum(self.valid))
        return sum(
            w * t
            for row, valid in zip(self.t, self.valid, strict=True)
            for w, t in zip(self.w, row, strict=True)
            if valid
        )

    @cached_property
    def scale(self) -> list[Any]:
        upstream = np.broadcast_to(self.question.upstream, (len(self.f),))
        return [_exact(u) / self.denominator for u in upstream]

    @cached_property
    def rows(self) -> list[Any]:
        return [
            sum((-t * log_p for t, log_p in zip(*pair, strict=True) if t), start=mpf(0))
            for pair in zip(self.tau, self.log_p, strict=True)
        ]

    def reduced(self, rows: list[Any]) -> Any:
        return rows if self.question.reduction == "none" else sum(rows) / self.denominator

    def slopes(self) -> list[list[Any]]:
        """T·p − τ, row by row, without the scale."""
        return [
            [sum(tau) * p_i - tau_i for p_i, tau_i in zip(p, tau, strict=True)]
            for p, tau in zip(self.p, self.tau, strict=True)
        ]

    def scaled(self, rows: list[list[Any]]) -> list[list[Any]]:
        return [[s * x for x in row] for s, row in zip(self.scale, rows, strict=True)]

    @cached_property
    def v(self) -> list[list[Any]]:
        return [[_exact(entry) for entry in row] for row in self.question.tangent]

    def along(self) -> list[Any]:
        """p·v of every row."""
        return [_dot(p, v) for p, v in zip(self.p, self.v, strict=True)]


def _exact(value: Any) -> Any:
    return mp.convert(value if isinstance(value, np.longdouble) else float(value))


def _dot(left: list[Any], right: list[Any]) -> Any:
    return sum((a * b for a, b in zip(left, right, strict=True)), start=mpf(0))


# --- the questions -------------------------------------------------------------------------------


@st.composite
def questions(draw: Any, *, kinds: tuple[str, ...] = ("index", "probabilities")) -> Question:
    """Random cases: plain, wide, saturated, rare, masked with −inf; every option and dialect."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, classes = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    kind = draw(st.sampled_from(kinds))
    reduction = draw(st.sampled_from(REDUCTIONS))
    smoothing = draw(st.sampled_from([0.0, 0.1, 0.25, 1.0]))
    index = rng.integers(0, classes, rows)
    shape = draw(st.sampled_from(["plain", "wide", "tied", "saturated", "rare", "masked"]))
    logits = {"wide": 30.0, "masked": 3.0}.get(shape, 2.0) * rng.standard_normal((rows, classes))
    here = np.arange(rows)
    if shape == "tied":
        logits = np.round(logits)
    elif shape in ("saturated", "rare"):
        logits[here, index] += 45.0 if shape == "saturated" else -50.0
    elif shape == "masked":
        masked = (index + 1 + rng.integers(0, classes - 1, rows)) % classes
        logits[here, masked] = -np.inf
        smoothing = 0.0  # mass at a class of probability 0 has an infinite loss
    ignore_index = None
    if kind == "index":
        targets = index
        if rows > 1 and draw(st.booleans()):
            ignore_index = draw(st.sampled_from([-100, int(index[0]), classes + 3]))
            targets = np.where((here == 0) | (index == ignore_index), ignore_index, index)
            if np.all(targets == ignore_index):
                ignore_index, targets = None, index
    else:
        targets = rng.multinomial(64, np.ones(classes) / classes, rows) / 64
        if draw(st.booleans()):
            targets = targets + rng.integers(0, 9, (rows, classes)) / 64
        if shape == "masked":
            targets[here, masked] = 0.0
    weight = rng.integers(1, 17, classes) / 8 if draw(st.booleans()) else None
    return Question(
        logits,
        targets,
        upstream=rng.choice([-1.25, 0.5, 3.0], rows if reduction == "none" else ()),
        tangent=rng.standard_normal((rows, classes)),
        weight=weight,
        ignore_index=ignore_index,
        smoothing=smoothing,
        reduction=reduction,
        dialect=Dialect(
            mean_index=draw(st.sampled_from(["weights", "valid", "batch"])),
            mean_probabilities=draw(st.sampled_from(["batch", "weights"])),
            smoothing_mass=draw(st.sampled_from(["over-all", "over-others"])),
        ),
    )


def same(got: Any, exact: Any, size: Any, question: Question, dtype: Any) -> None:
    """|got − exact| ≤ k·u·size element by element; NaN nowhere, infinities at the same places.

    k counts roundings: an exponential of d = f − max f has the relative error |d|·u of its
    argument, a sum over C classes C·u, and a dozen operations follow. ``size`` is the sum of the
    magnitudes of the terms, so that nothing is granted for cancellation that need not be.
    """
    finite = question.logits[np.isfinite(question.logits)]
    spread = float(finite.max() - finite.min()) if finite.size else 0.0
    k = 16 + 4 * question.logits.shape[1] + len(question.logits) + 2 * spread
    unit = mpf(float(np.finfo(dtype).eps)) / 2
    smallest = mpf(2) ** np.finfo(dtype).minexp
    judge = mpf(10) ** -47 * (1 + spread)  # what 50 digits leave of 1 − p
    got, exact, size = (np.asarray(each, dtype=object).ravel() for each in (got, exact, size))
    assert got.shape == exact.shape == size.shape
    for left, right, magnitude in zip(got, exact, size, strict=True):
        left = _exact(left)
        if mp.isinf(right):
            assert left == right
            continue
        assert abs(left - right) <= k * (unit * magnitude + smallest) + judge


precisions = pytest.mark.parametrize(
    "dtype", [np.float64, np.longdouble], ids=["float64", "longdouble"]
)


def answer(question: Question, method: str, dtype: Any, *arguments: Any) -> Any:
    """A method of the closed form, evaluated in one precision."""
    form = question.form(dtype)
    with np.errstate(all="ignore"):
        extended = [np.asarray(each, dtype=dtype) for each in arguments]
        return np.asarray(getattr(form, method)(*question.arrays(dtype), *extended)).astype(dtype)


def reduced_size(exact: Exact, rows: list[Any]) -> Any:
    """Magnitudes of what was added up, per element of the value."""
    return rows if exact.question.reduction == "none" else sum(rows) / abs(exact.denominator)


# --- the closed form, every quantity -------------------------------------------------------------


@precisions
@many
@given(questions())
def test_value(dtype: Any, question: Question) -> None:
    exact = Exact(question)
    size = reduced_size(exact, exact.rows)
    same(answer(question, "value", dtype), exact.reduced(exact.rows), size, question, dtype)
    same(answer(question, "rows", dtype), exact.rows, exact.rows, question, dtype)


@precisions
@many
@given(questions())
def test_gradient_without_cancellation(dtype: Any, question: Question) -> None:
    """Relative to p_i Σ_{j≠i} τ_j + τ_i Σ_{j≠i} p_j: a saturated p − 1 keeps its digits."""
    exact = Exact(question)
    size = [
        [
            abs(scale) * (p[i] * (sum(tau) - tau[i]) + tau[i] * (sum(p) - p[i]))
            for i in range(len(p))
        ]
        for scale, p, tau in zip(exact.scale, exact.p, exact.tau, strict=True)
    ]
    got = answer(question, "gradient", dtype, question.upstream)
    same(got, exact.scaled(exact.slopes()), size, question, dtype)


@many
@given(questions())
def test_gradient_is_the_derivative_of_the_definition(question: Question) -> None:
    """The formula T·p − τ itself, against mpmath's numerical derivative of −Σ τ log p."""
    exact = Exact(question)
    row = int(np.argmax(exact.valid))
    f, tau = exact.f[row], exact.tau[row]
    column = int(np.argmax(question.logits[row]))

    def value(entry: Any) -> Any:
        moved = [*f[:column], entry, *f[column + 1 :]]
        lse = mp.log(sum(mp.exp(each) for each in moved))
        return sum((-t * (each - lse) for t, each in zip(tau, moved, strict=True) if t), mpf(0))

    difference = mpmath.diff(value, f[column])
    assert abs(exact.slopes()[row][column] - difference) < mpf(10) ** -15


@precisions
@many
@given(questions())
def test_jvp(dtype: Any, question: Question) -> None:
    exact = Exact(question)
    slopes, v = exact.slopes(), exact.v
    rows = [_dot(slope, tangent) for slope, tangent in zip(slopes, v, strict=True)]
    sizes = [
        sum(abs(v_i) * (sum(tau) * p_i + tau_i) for v_i, p_i, tau_i in zip(*parts, strict=True))
        for tau, parts in ((exact.tau[i], (v[i], exact.p[i], exact.tau[i])) for i in range(len(v)))
    ]
    got = answer(question, "jvp", dtype, question.tangent)
    same(got, exact.reduced(rows), reduced_size(exact, sizes), question, dtype)


@precisions
@many
@given(questions())
def test_hessian_vector_product(dtype: Any, question: Question) -> None:
    exact = Exact(question)
    products, sizes = [], []
    for p, v, tau, mean in zip(exact.p, exact.v, exact.tau, exact.along(), strict=True):
        products.append([sum(tau) * p_i * (v_i - mean) for p_i, v_i in zip(p, v, strict=True)])
        reach = _dot(p, [abs(v_i) for v_i in v])
        sizes.append([sum(tau) * p_i * (abs(v_i) + reach) for p_i, v_i in zip(p, v, strict=True)])
    scale = [abs(s) for s in exact.scale]
    size = [[s * x for x in row] for s, row in zip(scale, sizes, strict=True)]
    got = answer(question, "hvp", dtype, question.tangent, question.upstream)
    same(got, exact.scaled(products), size, question, dtype)


@precisions
@many
@given(questions(kinds=("probabilities",)))
def test_gradient_in_the_targets(dtype: Any, question: Question) -> None:
    exact = Exact(question)
    rows = [
        [-exact.slope * w * log_p for w, log_p in zip(exact.w, row, strict=True)]
        for row in exact.log_p
    ]
    expected = exact.scaled(rows)
    size = [[abs(x) for x in row] for row in expected]
    got = answer(question, "target_gradient", dtype, question.upstream)
    same(got, expected, size, question, dtype)


@precisions
@many
@given(questions(kinds=("probabilities",)))
def test_mixed_derivative_in_both_orders(dtype: Any, question: Question) -> None:
    exact = Exact(question)
    slopes = [exact.slope * w for w in exact.w]
    by_targets, by_logits, first_sizes, second_sizes = [], [], [], []
    for p, v, mean in zip(exact.p, exact.v, exact.along(), strict=True):
        pushed = [slope * v_j for slope, v_j in zip(slopes, v, strict=True)]
        reach = sum(abs(x) for x in pushed)
        by_targets.append([p_i * sum(pushed) - x for p_i, x in zip(p, pushed, strict=True)])
        first_sizes.append([p_i * reach + abs(x) for p_i, x in zip(p, pushed, strict=True)])
        by_logits.append([s * (mean - v_j) for s, v_j in zip(slopes, v, strict=True)])
        moved = _dot(p, [abs(v_j) for v_j in v])
        second_sizes.append([abs(s) * (moved + abs(x)) for s, x in zip(slopes, v, strict=True)])
    scale = [abs(s) for s in exact.scale]
    for method, rows, sizes in (
        ("mixed", by_targets, first_sizes),
        ("mixed_transposed", by_logits, second_sizes),
    ):
        size = [[s * x for x in row] for s, row in zip(scale, sizes, strict=True)]
        got = answer(question, method, dtype, question.tangent, question.upstream)
        same(got, exact.scaled(rows), size, question, dtype)


@many
@given(questions())
def test_denominator_follows_the_dialect(question: Question) -> None:
    exact = Exact(question)
    got = answer(question, "denominator", np.float64)
    same(got, exact.denominator, exact.denominator, question, np.float64)


def test_weights_left_out_are_ones_in_the_denominator_of_probabilities() -> None:
    logits, targets = np.zeros((2, 3)), np.array([[0.5, 0.5, 0.5], [1.0, 0.0, 0.5]])
    dialect = Dialect(mean_probabilities="weights")
    left_out, ones = SoftmaxNLL(dialect=dialect), SoftmaxNLL(np.ones(3), dialect=dialect)
    assert ones.denominator(logits, targets) == 3.0
    assert left_out.denominator(logits, targets) == 3.0


def test_a_class_far_below_the_others_keeps_its_relative_accuracy() -> None:
    """p of e^−600: no threshold, no filter, the gradient is p there and −(1 − p) at the target."""
    logits = np.array([[0.0, -600.0]])
    with mp.workdps(300):
        p = mp.exp(-600) / (1 + mp.exp(-600))
    got = SoftmaxNLL(reduction="none").gradient(logits, np.array([0]))[0]
    assert got == pytest.approx([-float(p), float(p)], rel=1e-13, abs=0.0)


def test_softmax_keeps_one_minus_p_where_p_rounds_to_one() -> None:
    softmax = Softmax.of(np.array([[0.0, 60.0, -3.0]]))
    assert softmax.p[0, 1] == 1.0
    with mp.workdps(50):
        rest = (1 + mp.exp(-3)) / (1 + mp.exp(-3) + mp.exp(60))
    assert math.isclose(softmax.rest[0, 1], float(rest), rel_tol=1e-14)


# --- the seed's example --------------------------------------------------------------------------


def test_seed_example_in_numbers() -> None:
    """Four logits, one observation of class 3: V, p, L = −f_3 + log V, and ∂L/∂f = p − t."""
    logits, target = np.array(SEED_LOGITS), np.array([SEED_CLASS])
    partition = 12.123938639261266  # e + e² + √e + 1/e
    p = [0.224207818048, 0.609460037599, 0.135988915794, 0.0303432285594]
    form = SoftmaxNLL(reduction="none")
    assert np.exp(logits).sum() == pytest.approx(partition, rel=1e-14)
    assert Softmax.of(logits).p[0] == pytest.approx(p, abs=1e-11)
    assert form.value(logits, target) == pytest.approx([-0.5 + math.log(partition)], rel=1e-14)
    assert form.value(logits, target) == pytest.approx([1.9951819], abs=1e-8)
    gradient = form.gradient(logits, target)[0]
    assert gradient == pytest.approx([p[0], p[1], p[2] - 1, p[3]], abs=1e-11)
    assert [entry < 0 for entry in gradient] == [False, False, True, False]
    assert float(loss(logits, target)) == pytest.approx(-0.5 + math.log(partition), rel=1e-14)


def test_mean_of_several_examples_has_the_gradient_p_minus_t_over_m() -> None:
    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    target = np.array([2, 0])
    got = SoftmaxNLL(reduction="mean").gradient(logits, target)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert got == pytest.approx((p - np.eye(3)[target]) / 2, abs=1e-15)


# --- the composed form, on every backend ---------------------------------------------------------


def _eager(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _jitted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return backends.load(name).compiled(function)


forms = pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        pytest.param("numpy", _eager, id="numpy"),
        pytest.param("torch", _eager, id="torch"),
        pytest.param("jax", _eager, id="jax"),
        pytest.param("jax", _jitted, id="jax-jit"),
    ],
)

COMPOSED = [
    pytest.param(kind, smoothing, reduction, id=f"{kind}-{smoothing:g}-{reduction}")
    for kind in ("index", "probabilities")
    for smoothing in (0.0, 0.1)
    for reduction in REDUCTIONS
]


def composed_question(kind: str, smoothing: float, reduction: str) -> Question:
    """Weighted, with an ignored row of class targets; as ``loss`` takes it."""
    rng = np.random.default_rng(5)
    logits = 3 * rng.standard_normal((4, 5))
    logits[1] += 200.0
    index = np.array([4, 0, -100, 2])
    return Question(
        logits,
        index if kind == "index" else rng.multinomial(64, np.ones(5) / 5, 4) / 64,
        upstream=np.array([1.5, -0.5, 2.0, 0.25]) if reduction == "none" else np.array(-0.75),
        tangent=rng.standard_normal((4, 5)),
        weight=np.array([0.5, 1.0, 1.5, 0.25, 2.0]),
        ignore_index=-100,
        smoothing=smoothing,
        reduction=reduction,
    )


@forms
@pytest.mark.parametrize(("kind", "smoothing", "reduction"), COMPOSED)
def test_composed_form_and_its_autodiff_equal_the_closed_form(
    name: str, wrapped: Callable[..., Any], kind: str, smoothing: float, reduction: str
) -> None:
    if name != "numpy":
        pytest.importorskip(name)
    question = composed_question(kind, smoothing, reduction)
    backend = backends.load(name)
    with backend.precision("float64"):
        device = backend.devices()[0]
        logits, upstream, weight = (
            backend.asarray(each, "float64", device)
            for each in (question.logits, question.upstream, question.weight)
        )
        targets = backend.asarray(
            question.targets, "int64" if kind == "index" else "float64", device
        )

        def function(logits: Any) -> Any:
            return loss(
                logits, targets, weight=weight, label_smoothing=smoothing, reduction=reduction
            )

        whole = wrapped(name, function)
        (value,) = backend.evaluate(lambda logits: (whole(logits),), (logits,))
        closed = answer(question, "value", np.float64)
        assert backend.describe(value).dtype == "float64"
        assert backend.asnumpy(value) == pytest.approx(closed, rel=1e-13)
        if name == "numpy":
            return
        _, (gradient,) = backend.vjp(lambda logits: (whole(logits),), (logits,), (upstream,))
        closed = answer(question, "gradient", np.float64, question.upstream)
        assert backend.asnumpy(gradient) == pytest.approx(closed, abs=1e-14)


@forms
def test_masked_classes_and_ignored_rows_leak_nothing(
    name: str, wrapped: Callable[..., Any]
) -> None:
    """−inf away from the target, NaN and inf in an ignored row: finite values and gradients."""
    if name != "numpy":
        pytest.importorskip(name)
    logits = [[-math.inf, 1.0, 2.0], [math.nan, math.inf, 0.0], [0.5, -math.inf, -math.inf]]
    p = 1 / (1 + math.e)
    backend = backends.load(name)
    with backend.precision("float64"):
        device = backend.devices()[0]
        array = backend.asarray(logits, "float64", device)
        targets = backend.asarray([1, -100, 0], "int64", device)
        whole = wrapped(name, lambda logits: loss(logits, targets, reduction="none"))
        (value,) = backend.evaluate(lambda logits: (whole(logits),), (array,))
        assert backend.asnumpy(value) == pytest.approx([-math.log(p), 0.0, 0.0], abs=1e-15)
        if name == "numpy":
            return
        _, (gradient,) = backend.vjp(lambda logits: (whole(logits),), (array,), None)
        expected = np.array([[0.0, p - 1, 1 - p], [0.0] * 3, [0.0] * 3])
        assert backend.asnumpy(gradient) == pytest.approx(expected, abs=1e-15)


@forms
@pytest.mark.parametrize("wrong", [-1, 3, 4])
def test_an_index_that_is_no_class_gives_nan_in_its_own_row(
    name: str, wrapped: Callable[..., Any], wrong: int
) -> None:
    if name != "numpy":
        pytest.importorskip(name)
    backend = backends.load(name)
    with backend.precision("float64"):
        device = backend.devices()[0]
        array = backend.asarray([[0.0, 1.0, 2.0]] * 2, "float64", device)
        targets = backend.asarray([0, wrong], "int64", device)
        whole = wrapped(name, lambda logits: loss(logits, targets, reduction="none"))
        (value,) = backend.evaluate(lambda logits: (whole(logits),), (array,))
        assert np.isnan(backend.asnumpy(value)).tolist() == [False, True]
        if name == "numpy":
            return
        _, (gradient,) = backend.vjp(lambda logits: (whole(logits),), (array,), None)
        assert np.isnan(backend.asnumpy(gradient)).all(axis=1).tolist() == [False, True]


def test_the_mean_of_ignored_rows_alone_is_nan() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(loss(np.zeros((2, 3)), np.array([-100, -100])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_has_the_dtype_of_the_logits(dtype: str) -> None:
    value = loss(np.zeros((2, 3), dtype), np.array([0, 2]), weight=np.ones(3), label_smoothing=0.1)
    assert (value.dtype, value.shape) == (np.dtype(dtype), ())


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "targets", "options", "message"),
    [
        pytest.param(
            np.zeros(3), np.array([0]), {}, r"logits: .*\(N, C\), got float64 of shape \(3,\)",
            id="one axis",
        ),
        pytest.param(
            np.zeros((2, 3), int), np.array([0, 1]), {}, "logits: .*floating.*got int64",
            id="integer logits",
        ),
        pytest.param(
            np.zeros((2, 3)), np.array([0, 1, 2]), {}, r"targets: .*shape \(3,\) for logits",
            id="too many targets",
        ),
        pytest.param(
            np.zeros((2, 3)), np.zeros((3, 2)), {}, r"targets: .*float64 of shape \(3, 2\)",
            id="transposed probabilities",
        ),
        pytest.param(
            np.zeros((2, 3)), np.array([0.0, 1.0]), {}, "targets: .*integer dtype.*got float64",
            id="floating class indices",
        ),
        pytest.param(
            np.zeros((2, 3)), np.zeros((2, 3), int), {}, "targets: .*a floating one, got int64",
            id="integer probabilities",
        ),
        pytest.param(
            np.zeros((2, 3)), np.array([True, False]), {}, "targets: .*got bool", id="booleans"
        ),
        pytest.param(
            np.zeros((2, 3)), np.array([0, 1]), {"reduction": "average"},
            "reduction: 'average' is unknown; use 'none', 'sum' or 'mean'",
            id="unknown reduction",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    logits: Any, targets: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loss(logits, targets, **options)
