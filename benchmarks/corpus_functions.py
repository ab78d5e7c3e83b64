"""Right functions of many kinds, each with primals drawn for a shape, a dtype and a seed.

``Draw`` makes arrays of one framework in one dtype. An entry takes a ``Draw`` and a shape
(rows, columns) and returns the function and its arguments. NumPy's return (value, gradient).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

F = torch.nn.functional
Shape = tuple[int, int]
Made = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Draw:
    """Standard normal arrays of a framework, and integers below a bound."""

    rng: np.random.Generator
    dtype: str
    made: Callable[[np.ndarray, str], Any]

    def __call__(self, *shape: int, scale: float = 1.0) -> Any:
        return self.made(scale * self.rng.standard_normal(shape), self.dtype)

    def positive(self, *shape: int) -> Any:
        return self.made(self.rng.uniform(0.5, 2.0, shape), self.dtype)

    def apart(self, *shape: int) -> Any:
        """Numbers no two of which are near: no ties in sight."""
        count = int(np.prod(shape))
        steps = self.rng.permutation(count) + self.rng.uniform(-0.2, 0.2, count)
        return self.made((4.0 * steps / count - 2.0).reshape(shape), self.dtype)

    def below(self, bound: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, bound, shape)


def in_torch(values: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.tensor(values).to(getattr(torch, dtype))


def in_jax(values: np.ndarray, dtype: str) -> Any:
    return jnp.asarray(values, dtype=dtype)


def in_numpy(values: np.ndarray, dtype: str) -> np.ndarray:
    return np.asarray(values, dtype=dtype)


def _nll(reduction: str) -> Callable[[Draw, Shape], Made]:
    def entry(draw: Draw, shape: Shape) -> Made:
        targets = torch.from_numpy(draw.below(shape[1], shape[0]))
        return lambda x, t: F.cross_entropy(x, t, reduction=reduction), (draw(*shape), targets)

    return entry


def _unary(function: Callable[..., Any], domain: str = "any") -> Callable[[Draw, Shape], Made]:
    def entry(draw: Draw, shape: Shape) -> Made:
        kind = {"any": draw, "positive": draw.positive, "apart": draw.apart}[domain]
        return function, (kind(*shape),)

    return entry


def _attention(draw: Draw, shape: Shape) -> Made:
    n, d = shape
    return F.scaled_dot_product_attention, tuple(draw(1, n, d, scale=0.5) for _ in range(3))


def _convolution(draw: Draw, shape: Shape) -> Made:
    x, kernel, bias = draw(2, 2, shape[0] + 2, 6), draw(3, 2, 3, 3, scale=0.3), draw(3)
    return lambda x, k, b: F.conv2d(x, k, b).tanh().mean(), (x, kernel, bias)


def _chain(draw: Draw, shape: Shape) -> Made:
    n, d = shape
    a, b, c = draw(n, d), draw(d, n, scale=d**-0.5), draw(n, n, scale=n**-0.5)
    return lambda a, b, c: (a @ b @ c).tanh().sum(), (a, b, c)


def _spd(x: Any) -> Any:
    return x @ x.mT + 0.5 * torch.eye(len(x), dtype=x.dtype)


def _solve(draw: Draw, shape: Shape) -> Made:
    n = shape[0]
    return (
        lambda x, b: torch.linalg.solve(_spd(x), b).sum(),
        (draw(n, n, scale=n**-0.5), draw(n)),
    )


def _gather(draw: Draw, shape: Shape) -> Made:
    index = torch.from_numpy(draw.below(shape[1], *shape))
    return lambda x, i: (x.gather(1, i) ** 2).sum(1), (draw(*shape), index)


def _scatter(draw: Draw, shape: Shape) -> Made:
    index = torch.from_numpy(draw.below(4, shape[0]))
    return (
        lambda x, i: x.new_zeros(4, shape[1]).index_add(0, i, x.exp()).log1p().sum(),
        (draw(*shape), index),
    )


def _complex(draw: Draw, shape: Shape) -> Made:
    z = torch.complex(draw(*shape), draw(*shape)) / 2.0
    return lambda z: (z * z.conj()).real.log1p().sum() + (z**2).exp().imag.mean(), (z,)


def _tree(draw: Draw, shape: Shape) -> Made:
    n, d = shape
    parameters = {"layers": [(draw(d, 5, scale=d**-0.5), draw(5)), (draw(5, 2), None)], "on": True}

    def function(parameters: Any, x: Any, power: int) -> Any:
        (w, b), (v, _) = parameters["layers"]
        hidden = torch.tanh(x @ w + b)
        return {"out": (hidden @ v) ** power, "mean": hidden.mean()}

    return function, (parameters, draw(n, d), 2)


def _module(draw: Draw, shape: Shape) -> Made:
    torch.manual_seed(int(draw.below(1000, 1)[0]))
    layers = (torch.nn.Linear(shape[1], 4), torch.nn.SiLU(), torch.nn.LayerNorm(4))
    dtype = getattr(torch, draw.dtype)
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, 2)).to(dtype), (draw(*shape),)


def _embedding(draw: Draw, shape: Shape) -> Made:
    index = torch.from_numpy(draw.below(shape[0], 7))
    return lambda w, i: F.embedding(i, w).sin().sum(0), (draw(*shape), index)


def _masked(draw: Draw, shape: Shape) -> Made:
    mask = torch.from_numpy(draw.below(2, *shape).astype(bool))
    mask[:, 0] = False
    return lambda x, m: torch.softmax(x.masked_fill(m, float("-inf")), -1), (draw(*shape), mask)


def _recurrence(draw: Draw, shape: Shape) -> Made:
    w, xs = draw(4, 4, scale=0.5), draw(shape[0], 4)

    def function(w: Any, xs: Any) -> Any:
        state = xs[0]
        for x in xs:
            state = torch.tanh(w @ state + x)
        return (state**2).mean()

    return function, (w, xs)


def _pooled(x: Any) -> Any:
    return F.max_pool1d(x[None], 2).sum()


def _layer_norm(x: Any) -> Any:
    return (F.layer_norm(x, x.shape[-1:]) ** 3).sum()


TORCH: dict[str, Callable[[Draw, Shape], Made]] = {
    "nll, mean": _nll("mean"),
    "nll, sum": _nll("sum"),
    "nll, none": _nll("none"),
    "softmax": _unary(lambda x: torch.softmax(x, -1)),
    "log softmax": _unary(lambda x: (torch.log_softmax(x, -1) ** 2).mean()),
    "logsumexp": _unary(lambda x: torch.logsumexp(x, -1)),
    "layer norm": _unary(_layer_norm),
    "rms norm": _unary(lambda x: (x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-3)).sin()),
    "attention": _attention,
    "convolution": _convolution,
    "matrix chain": _chain,
    "logdet": _unary(lambda x: torch.linalg.slogdet(_spd(x @ x.mT / len(x)))[1]),
    "cholesky": _unary(lambda x: torch.linalg.cholesky(_spd(x @ x.mT / len(x))).sum()),
    "solve": _solve,
    "cumsum": _unary(lambda x: x.cumsum(-1).sin().sum()),
    "cumprod": _unary(lambda x: x.cumprod(-1).sum(), "positive"),
    "gelu": _unary(lambda x: F.gelu(x).sum()),
    "softplus": _unary(lambda x: F.softplus(x).mean()),
    "sort": _unary(lambda x: (x.sort(-1).values * torch.arange(x.shape[-1])).sum(), "apart"),
    "max pool": _unary(_pooled, "apart"),
    "quantile": _unary(lambda x: x.median(-1).values, "apart"),
    "gather": _gather,
    "scatter": _scatter,
    "embedding": _embedding,
    "masked softmax": _masked,
    "complex": _complex,
    "tree": _tree,
    "module": _module,
    "recurrence": _recurrence,
    "power": _unary(lambda x: (x**2.5).sum() + x.log().mean(), "positive"),
    "norm": _unary(lambda x: x.norm()),
    "variance": _unary(lambda x: x.var(0).sum()),
    "product": _unary(lambda x: x.prod(-1).sum(), "positive"),
    "interpolated": _unary(lambda x: F.interpolate(x[None], scale_factor=2, mode="linear").sin()),
    "bilinear loss": _unary(lambda x: torch.einsum("ij,ik->jk", x, x).tanh().sum()),
    "einsum of outputs": _unary(lambda x: (x.exp(), {"rows": x.sum(1)})),
    "quadratic": _unary(lambda x: 0.5 * (x**2).sum()),
    "constant": _unary(lambda x: (x * 0.0).sum() + 3.0),
    "linear": _unary(lambda x: 3.0 * x.sum() - x[0].sum()),
}
HALF_UNSUPPORTED = ("logdet", "cholesky", "solve", "complex")
"""What PyTorch's CPU build does not compute in half precision."""


def _jax_nll(draw: Draw, shape: Shape) -> Made:
    targets = jnp.asarray(draw.below(shape[1], shape[0]))

    def function(x: Any, t: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(len(x)), t])

    return function, (draw(*shape), targets)


def _jax_scan(draw: Draw, shape: Shape) -> Made:
    w, xs = draw(4, 4, scale=0.5), draw(shape[0], 4)

    def function(w: Any, xs: Any) -> Any:
        return jax.lax.scan(lambda s, x: (jnp.tanh(w @ s + x), s.sum()), xs[0], xs)

    return function, (w, xs)


def _jax_tree(draw: Draw, shape: Shape) -> Made:
    parameters = {"w": draw(shape[1], 3, scale=0.5), "b": (draw(3), None)}

    def function(parameters: Any, x: Any) -> Any:
        return {"out": jax.nn.silu(x @ parameters["w"] + parameters["b"][0])}

    return function, (parameters, draw(*shape))


def _jax_convolution(draw: Draw, shape: Shape) -> Made:
    x, kernel = draw(1, 2, shape[0] + 2, 6), draw(3, 2, 3, 3, scale=0.3)
    return lambda x, k: jnp.mean(jnp.tanh(jax.lax.conv(x, k, (1, 1), "VALID"))), (x, kernel)


def _jax_complex(draw: Draw, shape: Shape) -> Made:
    z = draw(*shape) / 2.0 + 0.5j * draw(*shape)
    return lambda z: jnp.sum(jnp.log1p(jnp.abs(z) ** 2)) + jnp.mean(jnp.exp(z**2).imag), (z,)


def _jax_gather(draw: Draw, shape: Shape) -> Made:
    index = jnp.asarray(draw.below(shape[0], 5))
    return lambda x, i: jnp.zeros(9).at[i].add(jnp.sin(x[i, 0])) ** 2, (draw(*shape), index)


JAX: dict[str, Callable[[Draw, Shape], Made]] = {
    "nll": _jax_nll,
    "softmax": _unary(lambda x: jax.nn.softmax(x, -1)),
    "logsumexp": _unary(lambda x: jax.nn.logsumexp(x, -1)),
    "scan": _jax_scan,
    "tree": _jax_tree,
    "convolution": _jax_convolution,
    "complex": _jax_complex,
    "gather and add": _jax_gather,
    "gelu": _unary(lambda x: jnp.sum(jax.nn.gelu(x))),
    "sort": _unary(lambda x: jnp.sum(jnp.sort(x, -1) * jnp.arange(x.shape[-1])), "apart"),
    "cumulative": _unary(lambda x: jnp.log(jnp.cumsum(jnp.exp(x), -1)).sum()),
    "logdet": _unary(lambda x: jnp.linalg.slogdet(x @ x.T / 9.0 + jnp.eye(len(x)))[1]),
}
JAX_HALF_UNSUPPORTED = ("logdet", "complex")


def _numpy_nll(draw: Draw, shape: Shape) -> Made:
    targets = draw.below(shape[1], shape[0])

    def function(x: Any, t: Any) -> Any:
        shifted = x - x.max(1, keepdims=True)
        e = np.exp(shifted)
        rows, p = np.arange(len(x)), e / e.sum(1, keepdims=True)
        value = np.mean(np.log(e.sum(1)) - shifted[rows, t], dtype=x.dtype)
        p[rows, t] -= 1
        return value, p / x.dtype.type(len(x))

    return function, (draw(*shape), targets)


def _numpy_two(draw: Draw, shape: Shape) -> Made:
    def function(a: Any, b: Any) -> Any:
        return np.sum(np.tanh(a) * b), ((1 - np.tanh(a) ** 2) * b, np.tanh(a))

    return function, (draw(*shape), draw(*shape))


def _softmax_jacobian(x: Any) -> Any:
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    n, c = p.shape
    jacobian = np.zeros((n, c, n, c), x.dtype)
    for row in range(n):
        jacobian[row, :, row] = np.diag(p[row]) - np.outer(p[row], p[row])
    return p, jacobian


NUMPY: dict[str, Callable[[Draw, Shape], Made]] = {
    "nll": _numpy_nll,
    "two arguments": _numpy_two,
    "jacobian": _unary(_softmax_jacobian),
    "rows": _unary(lambda x: (np.sum(np.exp(x), 1), np.exp(x))),
    "cubes": _unary(lambda x: (np.mean(x**3), 3 * x**2 / x.dtype.type(x.size))),
    "logs": _unary(lambda x: (np.sum(np.log(x)), 1 / x), "positive"),
}
