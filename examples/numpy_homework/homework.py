"""Exercise 3: the softmax cross-entropy and its gradient, in NumPy."""

import numpy as np


def loss(logits, targets):
    """Mean loss over the rows, and its gradient in the logits."""
    exponentials = np.exp(logits)
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(targets))
    gradient = p.copy()
    gradient[rows, targets] -= 1
    return -np.log(p[rows, targets]).mean(), gradient / len(targets)
