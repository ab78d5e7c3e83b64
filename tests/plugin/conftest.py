"""What the plugin's tests share: a repository with a right and a wrong loss."""

from __future__ import annotations

import importlib
from contextlib import suppress

import pytest

# A run within this process forgets what it imported; what is here already stays. A framework
# that is forgotten and imported once more crashes the process.
import gradcheck_suite.cli
import gradcheck_suite.engine
import gradcheck_suite.specified  # noqa: F401

for framework in ("numpy.fft", "numpy.random", "scipy.special", "jax", "optax", "torch"):
    with suppress(ImportError):
        importlib.import_module(framework)

LOSSES = """
import numpy as np


def correct(logits, targets):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(targets))
    gradient = np.exp(log_p)
    gradient[rows, targets] -= 1
    with np.errstate(all="ignore"):
        return -log_p[rows, targets].sum() / np.float64(len(rows)), gradient / max(1, len(rows))


def missing_one_over_m(logits, targets):
    loss, gradient = correct(logits, targets)
    return loss, gradient * len(targets)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A repository with a correct and a wrong loss in ``losses.py``."""
    pytester.makepyfile(losses=LOSSES)
    return pytester
