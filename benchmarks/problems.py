"""What the checkers are given: one scalar function of one array, in PyTorch, JAX and NumPy.

Each can have an error planted in its gradient, so that every checker looks at the same
right value beside the same wrong gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

Values = np.ndarray
SIZES = ((4, 10), (16, 100), (64, 1000), (256, 1000), (64, 4096), (512, 32000))


def without_row(g: Any) -> Any:
    keep = np.ones((len(g),) + (1,) * (g.ndim - 1))
    keep[len(g) // 2] = 0.0
    return g * _like(keep, g)


def without_last(g: Any) -> Any:
    keep = np.ones((1,) * (g.ndim - 1) + (g.shape[-1],))
    keep[..., -1] = 0.0
    return g * _like(keep, g)


def _like(mask: Values, g: Any) -> Any:
    if isinstance(g, torch.Tensor):
        return torch.from_numpy(mask).to(g.dtype)
    return mask.astype(g.dtype)


PLANTED: dict[str, Callable[[Any], Any]] = {
    "zero": lambda g: g * 0.0,
    "negated": lambda g: -g,
    "×1.01": lambda g: g * 1.01,
    "×1.0001": lambda g: g * 1.0001,
    "row dropped": without_row,
    "last class dropped": without_last,
}


@dataclass
class Problem:
    """A function by name in two frameworks, and the points where it is looked at.

    ``counted`` counts evaluations of the value, whoever asks for them and in which mode.
    """

    name: str
    dtype: str
    draw: Callable[[int], Values]
    in_torch: Callable[[torch.Tensor], torch.Tensor]
    in_jax: Callable[[Any], Any]
    evaluations: int = field(default=0)

    @property
    def size(self) -> int:
        return int(np.prod(self.draw(0).shape))

    def point(self, seed: int) -> Values:
        return self.draw(seed).astype(self.dtype)

    def torch_function(self, plant: Callable[[Any], Any] | None = None) -> Callable[..., Any]:
        def counted(x: torch.Tensor) -> torch.Tensor:
            self.evaluations += 1
            return self.in_torch(x)

        if plant is None:
            return counted

        class Planted(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
                ctx.save_for_backward(x)
                return counted(x)

            @staticmethod
            def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
                return upstream * plant(self.torch_gradient(ctx.saved_tensors[0]))

        return Planted.apply

    def torch_gradient(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            return torch.autograd.grad(self.in_torch(leaf), leaf)[0]

    def jax_function(self, plant: Callable[[Any], Any] | None = None) -> Callable[..., Any]:
        def counted(x: Any) -> Any:
            self.evaluations += 1
            return self.in_jax(x)

        if plant is None:
            return counted
        planted = jax.custom_vjp(counted)
        planted.defvjp(
            lambda x: (counted(x), x), lambda x, u: (u * plant(jax.grad(self.in_jax)(x)),)
        )
        return planted

    def numpy_function(self) -> Callable[[Values], float]:
        """The value as a function of a flat float64 array, for scipy and numdifftools."""
        shape, dtype = self.draw(0).shape, getattr(torch, self.dtype)

        def value(flat: Values) -> float:
            self.evaluations += 1
            with torch.no_grad():
                return float(self.in_torch(torch.from_numpy(flat.reshape(shape)).to(dtype)))

        return value

    def numpy_gradient(self, plant: Callable[[Any], Any] | None = None) -> Callable[..., Values]:
        shape, dtype = self.draw(0).shape, getattr(torch, self.dtype)

        def gradient(flat: Values) -> Values:
            right = self.torch_gradient(torch.from_numpy(flat.reshape(shape)).to(dtype))
            wrong = right if plant is None else plant(right)
            return wrong.numpy().astype(np.float64).reshape(-1)

        return gradient

    def error_sizes(self) -> dict[str, float]:
        """‖δg‖/‖g‖ of each planted error at the first point."""
        right = self.torch_gradient(torch.from_numpy(self.point(0))).double()
        return {
            name: float(torch.linalg.norm(plant(right) - right) / torch.linalg.norm(right))
            for name, plant in PLANTED.items()
        }


def mean_nll(rows: int, classes: int, dtype: str) -> Problem:
    """Mean-reduced softmax negative log-likelihood of integer targets."""
    drawn = np.random.default_rng(1).integers(0, classes, rows)
    targets, places = torch.from_numpy(drawn), np.arange(rows)

    def in_jax(x: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(x, axis=1)[places, drawn])

    return Problem(
        f"NLL {rows}×{classes}",
        dtype,
        lambda seed: np.random.default_rng(seed).standard_normal((rows, classes)),
        lambda x: torch.nn.functional.cross_entropy(x, targets),
        in_jax,
    )


def mlp(dtype: str) -> Problem:
    """Two layers with tanh and a mean squared error, in the first layer's weights (16×8)."""
    rng = np.random.default_rng(2)
    x, w, y = (rng.standard_normal(shape).astype(dtype) for shape in ((32, 16), (8, 4), (32, 4)))
    x_t, w_t, y_t = map(torch.from_numpy, (x, w, y))
    return Problem(
        "MLP 16×8",
        dtype,
        lambda seed: np.random.default_rng(seed).standard_normal((16, 8)) / 4.0,
        lambda v: ((torch.tanh(x_t @ v) @ w_t - y_t) ** 2).mean(),
        lambda v: jnp.mean((jnp.tanh(x @ v) @ w - y) ** 2),
    )


def convolution(dtype: str) -> Problem:
    """A 3×3 convolution, softplus and mean, in the kernel (4×2×3×3)."""
    x = np.random.default_rng(3).standard_normal((4, 2, 8, 8)).astype(dtype)
    x_t = torch.from_numpy(x)
    return Problem(
        "convolution 4×2×3×3",
        dtype,
        lambda seed: np.random.default_rng(seed).standard_normal((4, 2, 3, 3)) / 3.0,
        lambda k: torch.nn.functional.softplus(torch.nn.functional.conv2d(x_t, k)).mean(),
        lambda k: jnp.mean(jax.nn.softplus(jax.lax.conv(x, k, (1, 1), "VALID"))),
    )


def scan(dtype: str) -> Problem:
    """Twenty steps of a recurrence, a Python loop in PyTorch and ``lax.scan`` in JAX (8×8)."""
    drawn = np.random.default_rng(4).standard_normal((20, 8)).astype(dtype)
    steps = torch.from_numpy(drawn)

    def in_torch(w: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(8, dtype=w.dtype)
        for step in steps:
            state = torch.tanh(w @ state + step)
        return (state**2).mean()

    def in_jax(w: Any) -> Any:
        start = jnp.zeros(8, w.dtype)
        state, _ = jax.lax.scan(lambda s, step: (jnp.tanh(w @ s + step), None), start, drawn)
        return jnp.mean(state**2)

    return Problem(
        "scan 8×8",
        dtype,
        lambda seed: np.random.default_rng(seed).standard_normal((8, 8)) / 3.0,
        in_torch,
        in_jax,
    )
