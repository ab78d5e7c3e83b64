"""Where p_c → 1, Σ_{j≠c} p_j has digits of its own, and p_c − 1 has lost them."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck_suite.numerics.forward_error import gradient_bound, saturated_bound
from gradcheck_suite.numerics.tolerance import Arithmetic

ROWS, CLASSES = 400, 9
SCALE = np.where(np.arange(ROWS) % 2, -1.75, 0.375)


def saturated(dtype: str, seed: int) -> np.ndarray:
    """Class 0 leads by 0 to 60: from q near 1 to far below u²."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((ROWS, CLASSES))
    logits[:, 0] += rng.uniform(0.0, 60.0, ROWS)
    return logits.astype(dtype)


def exact(logits: np.ndarray) -> np.ndarray:
    f = logits.astype(np.longdouble)
    others = np.exp(f[:, 1:] - f[:, :1])
    return -SCALE * (others.sum(axis=1) / (1 + others.sum(axis=1)))


def sum_of_the_others(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / np.add.accumulate(e, axis=1)[:, -1:]
    return -SCALE.astype(logits.dtype) * np.add.accumulate(p[:, 1:], axis=1)[:, -1]


def through_log_probabilities(logits: np.ndarray) -> np.ndarray:
    z = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    return -SCALE.astype(logits.dtype) * p[:, 1:].sum(axis=1)


def complement_of_the_logarithm(logits: np.ndarray) -> np.ndarray:
    log_p = -np.log1p(np.exp(logits[:, 1:] - logits[:, :1]).sum(axis=1))
    return SCALE.astype(logits.dtype) * np.expm1(log_p)


def cancelled(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return SCALE.astype(logits.dtype) * (e[:, 0] / e.sum(axis=1) - 1)


def margins(form: object, dtype: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """error / bound at the target: of the bound by itself, and of the usual one."""
    logits = saturated(dtype, seed)
    error = np.abs(form(logits) - exact(logits))  # type: ignore[operator]
    tau, arithmetic = np.zeros(logits.shape), Arithmetic.of(dtype)
    tau[:, 0] = 1.0
    wide = logits.astype(np.float64)
    found = (
        bound(wide, tau, arithmetic, SCALE).total[:, 0]
        for bound in (saturated_bound, gradient_bound)
    )
    own, usual = (np.asarray(error / allowed, np.float64) for allowed in found)
    return own, usual


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "form", [sum_of_the_others, through_log_probabilities, complement_of_the_logarithm]
)
def test_forms_without_cancellation_keep_their_digits(form: object, dtype: str) -> None:
    for seed in range(10):
        own, _ = margins(form, dtype, seed)
        assert own.max() <= 1.0
    assert own.max() >= 1 / 30


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_difference_from_one_is_within_the_usual_bound_and_beyond_this_one(dtype: str) -> None:
    own, usual = margins(cancelled, dtype, seed=0)
    assert usual.max() <= 1.0
    assert own.max() > 1e3


def test_elements_beside_the_target_keep_the_usual_bound_but_for_the_maximum() -> None:
    logits, arithmetic = saturated("float64", 0), Arithmetic.of("float64")
    tau = np.eye(ROWS, CLASSES)
    tau[CLASSES:, 2] = 0.25
    tau[CLASSES:, 3] = 0.75  # several targets: nothing cancels to relative accuracy there
    own = saturated_bound(logits, tau, arithmetic, SCALE).total
    usual = gradient_bound(logits, tau, arithmetic, SCALE, through_maximum=False).total
    elsewhere = np.count_nonzero(tau, axis=1, keepdims=True) > 1
    elsewhere = elsewhere | (tau == 0.0)
    np.testing.assert_allclose(own[elsewhere], usual[elsewhere], rtol=1e-12)
