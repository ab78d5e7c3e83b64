"""TensorFlow's two softmax cross-entropies, differentiated by ``GradientTape``, on the CPU."""

from __future__ import annotations

from typing import Any

from gradcheck_suite.implementation import Deviation, Implementation


def softmax_cross_entropy(logits: Any, targets: Any, *, axis: int = -1) -> tuple[Any, Any]:
    """Rows of ``tf.nn.softmax_cross_entropy_with_logits``, and row i's ∂L_i/∂f_i."""
    import tensorflow as tf

    return _differentiated(tf, tf.nn.softmax_cross_entropy_with_logits, logits, targets, axis=axis)


def sparse_softmax_cross_entropy(logits: Any, targets: Any) -> tuple[Any, Any]:
    """Rows of ``tf.nn.sparse_softmax_cross_entropy_with_logits``, and row i's ∂L_i/∂f_i."""
    import tensorflow as tf

    return _differentiated(tf, tf.nn.sparse_softmax_cross_entropy_with_logits, logits, targets)


def _differentiated(
    tf: Any, loss: Any, logits: Any, targets: Any, **options: Any
) -> tuple[Any, Any]:
    with tf.device("cpu"), tf.GradientTape() as tape:
        primal = tf.constant(logits)
        tape.watch(primal)
        rows = loss(labels=tf.constant(targets), logits=primal, **options)
    return rows.numpy(), tape.gradient(rows, primal).numpy()


IMPLEMENTATIONS = (
    Implementation(
        "tensorflow-softmax-cross-entropy",
        softmax_cross_entropy,
        backend="numpy",
        gradient="returned",
        reductions=("none",),
        targets=("probabilities",),
        options=("axis",),
        ranks=(1, 2, 3),
        # "If they are not, the computation of the gradient will be incorrect", its docstring says.
        dialect={"unnormalised_targets": "assumes-one"},
        deviations=(
            Deviation(
                "value.zero-times-log-zero",
                reason="a target probability of 0 at a logit of −inf gives NaN (0·−inf)",
            ),
            Deviation(
                "reject.shape",
                reason="labels are broadcast against the logits: one row of them serves every row",
            ),
        ),
        requires=("tensorflow",),
        description="tf.nn.softmax_cross_entropy_with_logits",
    ),
    Implementation(
        "tensorflow-sparse-softmax-cross-entropy",
        sparse_softmax_cross_entropy,
        backend="numpy",
        gradient="returned",
        reductions=("none",),
        targets=("index",),
        ranks=(1, 2, 3),
        deviations=(
            Deviation(
                "stability.saturated",
                reason="the target's gradient is p_c − 1 after rounding: 0 where p_c rounds to 1",
            ),
        ),
        requires=("tensorflow",),
        description="tf.nn.sparse_softmax_cross_entropy_with_logits",
    ),
)
