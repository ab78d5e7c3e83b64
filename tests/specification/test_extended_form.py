"""The extensions in closed form, against derivatives of the definition at 50 digits.

``Definition`` is the value alone, from the textbook: z = cap·tanh(s f/cap), a sum over the classes
that take part, −Σ τ log p + λ lse². Every derivative is mpmath's numerical one, so no formula is
shared with what is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from gradcheck_suite import backends
from gradcheck_suite.case import REDUCTIONS, Case, Options, frozen
from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.dialect import Dialect
from gradcheck_suite.specification.reference import Reference
from gradcheck_suite.specification.softmax_nll import SoftmaxNLL, loss
from gradcheck_suite.specified import softmax_nll

ROWS, CLASSES = 3, 4
EXTENSIONS: dict[str, dict[str, Any]] = {
    "softcap": {"softcap": 2.0},
    "scale": {"logit_scale": 0.375},
    "softcap-scale": {"softcap": 3.0, "logit_scale": 1.5},
    "z-loss": {"z_loss": 0.25},
    "mask": {"class_mask": np.array([True, False, True, True])},
    "row-mask": {
        "class_mask": np.array([[True, False, True, True], [True] * 4, [False, True, True, False]])
    },
    "everything": {
        "softcap": 2.5,
        "logit_scale": 0.5,
        "z_loss": 0.125,
        "class_mask": np.array([True, False, True, True]),
    },
}


@pytest.fixture(autouse=True, scope="module")
def fifty_digits() -> Iterator[None]:
    with mp.workdps(50):
        yield


def question(extension: str, kind: str, reduction: str, dialect: Dialect, **plain: Any) -> Case:
    """Three rows of four classes, drawn; class 2 takes part in every row."""
    rng = np.random.default_rng([7, len(extension), len(kind), len(reduction)])
    targets: Any = np.array([2, 0, 2])
    if kind == "probabilities":
        targets = rng.multinomial(64, np.ones(CLASSES) / CLASSES, ROWS) / 64
    upstream = np.array([1.25, -0.5, 2.0]) if reduction == "none" else np.array(-0.75)
    options = {**EXTENSIONS[extension], **plain}
    for name, kind_of in (("class_mask", np.bool_), ("weight", np.float64)):
        if name in options:
            options[name] = frozen(options[name], kind_of)
    return Case(
        id="extended",
        logits=frozen(3.0 * rng.standard_normal((ROWS, CLASSES)), np.float64),
        targets=frozen(targets, targets.dtype),
        options=Options(reduction=reduction, **options),  # type: ignore[arg-type]
        upstream=frozen(upstream, np.float64),
    )


@dataclass(frozen=True, eq=False)
class Definition:
    """⟨u, value⟩ at 50 digits, of logits and targets that are moved along given directions."""

    case: Case
    dialect: Dialect

    def rows(self, f: Any, t: Any, w: Any) -> tuple[list[Any], list[Any]]:
        """−Σ τ log p and lse² of every row; 0 where it is ignored."""
        options, costs, squares = self.case.options, [], []
        mask = np.ones((ROWS, CLASSES), bool)
        if options.class_mask is not None:
            mask = np.broadcast_to(options.class_mask, mask.shape)
        for row in range(ROWS):
            if not self.valid[row]:
                costs.append(mpf(0))
                squares.append(mpf(0))
                continue
            part = [j for j in range(CLASSES) if mask[row, j]]
            z = {j: options.logit_scale * f[row][j] for j in part}
            if options.softcap is not None:
                cap = mpf(options.softcap)
                z = {j: cap * mp.tanh(score / cap) for j, score in z.items()}
            lse = mp.log(sum(mp.exp(score) for score in z.values()))
            smooth = mpf(options.label_smoothing)
            tau = {j: w[j] * ((1 - smooth) * t[row][j] + smooth / len(part)) for j in part}
            costs.append(sum(tau[j] * (lse - z[j]) for j in part))
            squares.append(lse**2)
        return costs, squares

    @property
    def valid(self) -> list[bool]:
        if self.case.target_kind == "probabilities":
            return [True] * ROWS
        return [int(c) != self.case.options.ignore_index for c in self.case.targets]

    def values(self, f: Any, t: Any, w: Any) -> list[Any]:
        """The rows, or one number."""
        options = self.case.options
        costs, squares = self.rows(f, t, w)
        z_loss = mpf(options.z_loss or 0)
        if options.reduction == "none":
            return [cost + z_loss * square for cost, square in zip(costs, squares, strict=True)]
        if options.reduction == "sum":
            return [sum(costs) + z_loss * sum(squares)]
        valid = mpf(sum(self.valid))
        denominator = self.denominator(t, w)
        own = valid if self.dialect.z_loss_mean == "valid" else denominator
        return [sum(costs) / denominator + z_loss * sum(squares) / own]

    def denominator(self, t: Any, w: Any) -> Any:
        if self.case.target_kind == "probabilities":
            return mpf(ROWS)
        if self.dialect.mean_index == "batch":
            return mpf(ROWS)
        here = [row for row in range(ROWS) if self.valid[row]]
        if self.dialect.mean_index == "valid":
            return mpf(len(here))
        return sum(w[j] * t[row][j] for row in here for j in range(CLASSES))

    def pulled(self, f: Any, t: Any, w: Any) -> Any:
        upstream = np.atleast_1d(self.case.upstream)
        return sum(
            mpf(float(u)) * value for u, value in zip(upstream, self.values(f, t, w), strict=True)
        )

    @property
    def at(self) -> tuple[Any, Any, Any]:
        case = self.case
        f = [[mpf(float(entry)) for entry in row] for row in case.logits]
        if case.target_kind == "index":
            t = [[mpf(int(c) == j) for j in range(CLASSES)] for c in case.targets]
        else:
            t = [[mpf(float(entry)) for entry in row] for row in case.targets]
        weight = case.options.weight
        return f, t, [mpf(1) if weight is None else mpf(float(weight[j])) for j in range(CLASSES)]


def moved(rows: Any, direction: Any, step: Any) -> Any:
    return [
        [x + step * mpf(float(d)) for x, d in zip(*pair, strict=True)]
        for pair in zip(rows, direction, strict=True)
    ]


def unit(row: int, column: int) -> Any:
    found = np.zeros((ROWS, CLASSES))
    found[row, column] = 1.0
    return found


def near(got: Any, exact: Any) -> None:
    """Within 200 roundings of the precision of what was got."""
    got, exact = np.asarray(got), np.asarray(exact, dtype=object)
    assert got.shape == exact.shape
    unit_roundoff = float(np.finfo(got.dtype).eps) / 2
    size = max(1.0, float(max(abs(entry) for entry in exact.ravel())))
    for left, right in zip(got.ravel(), exact.ravel(), strict=True):
        assert abs(mp.convert(left) - right) <= 200 * unit_roundoff * size


PLAIN: dict[str, dict[str, Any]] = {
    "plain": {},
    "options": {"weight": np.array([0.5, 1.0, 1.5, 0.25]), "ignore_index": 0},
    "smoothed": {"label_smoothing": 0.25, "weight": np.array([0.5, 1.0, 1.5, 0.25])},
}
QUESTIONS = [
    pytest.param(extension, kind, reduction, plain, z_loss_mean, id="-".join(parts))
    for extension in EXTENSIONS
    for kind in ("index", "probabilities")
    for reduction in REDUCTIONS
    for plain in PLAIN
    for z_loss_mean in ("denominator", "valid")
    if (kind, plain) != ("probabilities", "options")
    and (
        z_loss_mean == "denominator" or ("z_loss" in EXTENSIONS[extension] and reduction == "mean")
    )
    for parts in [(extension, kind, reduction, plain, z_loss_mean)]
]


@pytest.mark.parametrize(("extension", "kind", "reduction", "plain", "z_loss_mean"), QUESTIONS)
def test_value_and_derivatives_are_those_of_the_definition(
    extension: str, kind: str, reduction: str, plain: str, z_loss_mean: str
) -> None:
    dialect = Dialect(z_loss_mean=z_loss_mean)
    case = question(extension, kind, reduction, dialect, **PLAIN[plain])
    exact, reference = Definition(case, dialect), Reference(case, dialect)
    f, t, w = exact.at
    v = np.random.default_rng(3).standard_normal((ROWS, CLASSES))
    everywhere = [(row, column) for row in range(ROWS) for column in range(CLASSES)]

    values = exact.values(f, t, w)
    near(reference.value, values if reduction == "none" else values[0])

    gradient = np.empty((ROWS, CLASSES), dtype=object)
    for at in everywhere:
        e = unit(*at)
        gradient[at] = mpmath.diff(lambda h, e=e: exact.pulled(moved(f, e, h), t, w), 0)
    near(reference.gradient, gradient)

    for at in everywhere[::3]:
        e = unit(*at)
        product = mpmath.diff(
            lambda a, b, e=e: exact.pulled(moved(moved(f, e, a), v, b), t, w),
            (0, 0),
            (1, 1),
        )
        near(reference.hvp(v)[at], product)

    along = mpmath.diff(
        lambda h: sum(
            mpf(float(u)) * value
            for u, value in zip(
                np.atleast_1d(case.upstream), exact.values(moved(f, v, h), t, w), strict=True
            )
        ),
        0,
    )
    near(np.sum(case.upstream * reference.jvp(v)), along)

    if kind == "probabilities":
        mask = case.options.class_mask
        taken = np.ones((ROWS, CLASSES), bool) if mask is None else np.broadcast_to(mask, v.shape)
        for at in everywhere[::3]:
            e = unit(*at)
            by_target = mpmath.diff(lambda h, e=e: exact.pulled(f, moved(t, e, h), w), 0)
            near(reference.target_gradient[at], by_target)
            assert taken[at] or by_target == 0
            mixed = mpmath.diff(
                lambda a, b, e=e: exact.pulled(moved(f, e, a), moved(t, v, b), w), (0, 0), (1, 1)
            )
            near(reference.mixed(v)[at], mixed)
            turned = mpmath.diff(
                lambda a, b, e=e: exact.pulled(moved(f, v, a), moved(t, e, b), w), (0, 0), (1, 1)
            )
            near(reference.mixed_transposed(v)[at], turned)


@pytest.mark.parametrize("z_loss_mean", ["denominator", "valid"])
def test_the_gradient_in_the_class_weights_knows_the_denominator(z_loss_mean: str) -> None:
    dialect = Dialect(z_loss_mean=z_loss_mean)
    case = question("everything", "index", "mean", dialect, **PLAIN["options"])
    exact, reference = Definition(case, dialect), Reference(case, dialect)
    f, t, w = exact.at

    def value(h: Any, j: int) -> Any:
        return exact.pulled(f, t, [*w[:j], w[j] + h, *w[j + 1 :]])

    slopes = [mpmath.diff(lambda h, j=j: value(h, j), 0) for j in range(CLASSES)]
    near(reference.weight_gradient, slopes)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_composed_form_and_its_autodiff_equal_the_closed_form(
    name: str, extension: str, reduction: str
) -> None:
    if name != "numpy":
        pytest.importorskip(name)
    case = question(extension, "index", reduction, Dialect(), **PLAIN["options"])
    reference, backend = Reference(case, Dialect()), backends.load(name)
    options = {**case.options.given(), "reduction": reduction}
    with backend.precision("float64"):
        device = backend.devices()[0]
        for option in ("weight", "class_mask"):
            if option in options:
                kind = "bool" if option == "class_mask" else "float64"
                options[option] = backend.asarray(options[option], kind, device)
        logits, upstream = (
            backend.asarray(each, "float64", device) for each in (case.logits, case.upstream)
        )
        targets = backend.asarray(case.targets, "int64", device)

        def function(logits: Any) -> Any:
            return (loss(logits, targets, **options),)

        (value,) = backend.evaluate(function, (logits,))
        assert backend.describe(value).dtype == "float64"
        assert backend.asnumpy(value) == pytest.approx(
            np.asarray(reference.value, np.float64), rel=1e-13
        )
        if name == "numpy":
            return
        _, (gradient,) = backend.vjp(function, (logits,), (upstream,))
        assert backend.asnumpy(gradient) == pytest.approx(
            np.asarray(reference.gradient, np.float64), abs=1e-14
        )


def test_a_class_that_takes_no_part_leaks_nothing_whatever_its_logit_holds() -> None:
    mask = np.array([True, False, True, True])
    for held in (np.nan, np.inf, -np.inf, 1e300):
        logits = np.array([[1.0, held, 0.5, -2.0]])
        for softcap in (None, 2.0):
            form = SoftmaxNLL(reduction="none")
            form = replace(
                form, transform=replace(form.transform, class_mask=mask, softcap=softcap)
            )
            with np.errstate(invalid="ignore"):  # 0·(−inf), in the discarded branch
                rows = form.rows(logits, np.array([2]))
                gradient = form.gradient(logits, np.array([2]))
            assert np.isfinite(rows).all()
            assert gradient[0, 1] == 0.0
            assert np.isfinite(gradient).all()


def test_far_beyond_the_cap_the_slope_underflows_and_is_no_nan() -> None:
    form = SoftmaxNLL(reduction="none")
    form = replace(form, transform=replace(form.transform, softcap=2.0))
    logits = np.array([[1e4, -1e4, 1e300, 0.5]])
    gradient = form.gradient(logits, np.array([1]))
    assert form.rows(logits, np.array([1]))[0] == pytest.approx(
        4.0 + np.log(2 + np.exp(-4.0) + np.exp(2 * np.tanh(0.25) - 2.0))
    )
    assert gradient[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert gradient[0, 3] > 0.0


def test_what_is_specified_of_given_arrays_knows_the_extensions() -> None:
    case = question("everything", "index", "mean", Dialect(), **PLAIN["options"])
    reference = Reference(case, Dialect())
    options = case.options.given()

    found = softmax_nll(case.logits, case.targets, upstream=case.upstream, **options)

    assert found.value == pytest.approx(float(reference.value), rel=1e-15)
    assert found.gradient == pytest.approx(np.asarray(reference.gradient, np.float64), rel=1e-15)
    assert 0.0 < found.value_bound < 1e-13


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"softcap": 0.0}, "softcap: got 0.0; expected a cap above 0, or None"),
        ({"class_mask": [True, False]}, r"class_mask: got shape \(2,\); expected \(4,\) or"),
    ],
    ids=["softcap", "class_mask"],
)
def test_an_extension_that_makes_no_sense_is_refused_by_name(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        softmax_nll(np.zeros((3, 4)), np.array([0, 1, 2]), **options)
