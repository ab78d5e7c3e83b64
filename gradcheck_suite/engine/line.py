"""A function along a line: random directions, contractions, and the number they lead to.

``φ(h) = ⟨u, f(x + h·v)⟩`` is what finite differences see. Its analytic derivative is
⟨Jᵀu, v⟩ in reverse mode and ⟨u, Jv⟩ in forward mode. For complex arrays ⟨a, b⟩ is
Re Σ ā b, PyTorch's convention (the gradient is the conjugate Wirtinger derivative); JAX
leaves the conjugation out, Re Σ a b, on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcheck_suite.engine.pieces import norm, pieces
from gradcheck_suite.engine.problem import Leaf, Problem
from gradcheck_suite.numerics.directions import (
    dot,
    gaussian,
    gaussian_on_lattice,
    generator,
    largest_magnitude,
    representable,
    root_mean_square,
    scale_of,
    spacing,
)
from gradcheck_suite.numerics.finite_difference import natural_step
from gradcheck_suite.protocols import Array, Arrays, Backend


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """A direction in all leaves at once.

    Attributes:
        arrays: v per leaf, in the framework; None where the leaf is held.
        scales: how far v reaches per leaf: v is ``scale`` times a Gaussian.
        step: the first step h to try along it.
    """

    arrays: tuple[Array | None, ...]
    scales: tuple[float, ...]
    step: float


def scales(problem: Problem) -> tuple[float, ...]:
    """How far a direction reaches in each leaf."""
    step = natural_step(problem.machine_epsilon)
    return tuple(scale_of(leaf.largest, leaf.rms, step, leaf.real_dtype) for leaf in problem.leaves)


def draw(problem: Problem, seed: int, *stream: int, only: int | None = None) -> Tangent:
    """A Gaussian direction in every leaf (or in one), exact in the leaves' dtypes."""
    step = natural_step(problem.machine_epsilon)
    arrays: list[Array | None] = []
    reaches = scales(problem)
    for number, (leaf, scale) in enumerate(zip(problem.leaves, reaches, strict=True)):
        if only is not None and number != only:
            arrays.append(None)
            continue
        rng, dtype = generator(seed, *stream, number), leaf.real_dtype
        shape = leaf.described.shape + ((2,) if leaf.is_complex else ())
        quick = gaussian_on_lattice(
            rng, math.prod(shape), dtype, scale=scale, largest=leaf.largest, step=step
        )
        if quick is None:
            drawn = gaussian(rng, shape, narrow=dtype != "float64")
            drawn *= scale
            arrays.append(tangent_array(problem, number, drawn, step))
        else:
            arrays.append(_handed(problem, number, quick.reshape(shape)))
    return Tangent(tuple(arrays), reaches, step)


def tangent_array(
    problem: Problem, number: int, values: npt.NDArray[np.floating], step: float
) -> Array:
    """``values``, which are given up, made exact for a leaf and handed to the framework.

    Complex leaves take the real and imaginary part in a last axis of length 2.
    """
    leaf, backend = problem.leaves[number], problem.backend
    longest, typical = largest_magnitude(values), root_mean_square(values)
    unit = spacing(leaf.largest + 8.0 * step * longest, leaf.real_dtype)
    primal: Any = np.float64(leaf.largest)
    if unit > step * typical / 64.0:
        # A lattice per element, which needs the elements.
        primal = backend.asnumpy(problem.primals[number])
        if leaf.is_complex:
            primal = np.stack([primal.real, primal.imag], axis=-1)
    exact = representable(
        primal, values, step, leaf.real_dtype, overwrite=True, known=(longest, typical)
    ).values
    return _handed(problem, number, exact)


def _handed(problem: Problem, number: int, exact: npt.NDArray[Any]) -> Array:
    """Exact values, with any imaginary part in the last axis, in the framework."""
    described = problem.leaves[number].described
    if problem.leaves[number].is_complex:
        exact = exact[..., 0] + 1j * exact[..., 1]
    return problem.backend.adopt(exact, described.dtype, described.device)


def cotangents(problem: Problem, seed: int, *stream: int) -> Arrays:
    """Random u for every output: Gaussian, or for a scalar a number away from 0 and ±1."""
    backend, rng = problem.backend, generator(seed, *stream)
    drawn = []
    for described in problem.outputs:
        values: Any = rng.standard_normal(described.shape)
        if described.dtype.startswith("complex"):
            values = values + 1j * rng.standard_normal(described.shape)
        if not described.shape:
            values = values / abs(values) * rng.uniform(1.25, 1.75)
        drawn.append(backend.asarray(values, described.dtype, described.device))
    return tuple(drawn)


def moved(problem: Problem, tangent: Tangent, h: float) -> Arrays:
    """``x + h·v`` in the framework's own arithmetic and dtype; all of it the function's own."""
    backend = problem.backend
    held = tuple(x for x, v in zip(problem.primals, tangent.arrays, strict=True) if v is None)
    copied = iter(problem.copies(held) if held else ())
    return tuple(
        next(copied) if v is None else backend.moved(x, v, h)
        for x, v in zip(problem.primals, tangent.arrays, strict=True)
    )


def contract(
    backend: Backend, left: Sequence[Array | None], right: Sequence[Array | None]
) -> float:
    """⟨left, right⟩ over all arrays, accumulated in float64; None stands for zero."""
    total = 0.0
    for a, b in zip(left, right, strict=True):
        if a is None or b is None:
            continue
        whole = _side_by_side(backend, a, b)
        if whole is not None:
            total += dot(*whole)
            continue
        total += sum(inner(backend, one, other) for one, other in pieces(backend, a, b))
    return total


def inner(backend: Backend, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """⟨one, other⟩ of two NumPy arrays, by the framework's convention for complex ones."""
    if np.iscomplexobj(one) or np.iscomplexobj(other):
        one = np.conj(one) if backend.conjugates else one
        return float(np.sum(one * other).real)
    return dot(one.reshape(-1), other.reshape(-1))


def _side_by_side(
    backend: Backend, a: Array, b: Array
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Both as flat float64 arrays, if they lie in memory as such; large arrays mostly do."""
    one, other = backend.view(a), backend.view(b)
    for values in (one, other):
        if values.dtype != np.float64 or not values.flags.c_contiguous:
            return None
    return one.reshape(-1), other.reshape(-1)


def scaled_norm(problem: Problem, tangent: Tangent, gradients: Sequence[Array | None]) -> float:
    """‖S g‖ over the leaves that move: the standard deviation of ⟨g, v⟩ over directions."""
    parts = [
        scale * norm(problem.backend, gradient)
        for scale, gradient, v in zip(tangent.scales, gradients, tangent.arrays, strict=True)
        if v is not None
    ]
    return math.hypot(*parts) if parts else 0.0


def magnitude(problem: Problem, left: Sequence[Array], values: Sequence[npt.NDArray[Any]]) -> float:
    """√Σ|u f|²: the size at which ⟨u, f⟩ rounds if its terms round independently."""
    squares = 0.0
    for u, value in zip(left, values, strict=True):
        terms = np.abs(problem.backend.asnumpy(u) * value)
        squares += float(np.sum(terms * terms))
    return math.sqrt(squares)


def named(leaf: Leaf, index: Sequence[int]) -> str:
    """The address of an element: ``w[2, 4]``."""
    return leaf.name + ("[" + ", ".join(map(str, index)) + "]" if index else "")


__all__ = [
    "Tangent",
    "contract",
    "cotangents",
    "draw",
    "inner",
    "magnitude",
    "moved",
    "named",
    "norm",
    "scaled_norm",
    "scales",
    "tangent_array",
]
