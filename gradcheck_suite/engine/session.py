"""One run's memory: the problem, its seed, and the gradient that several checks look at."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from gradcheck_suite.engine import line
from gradcheck_suite.engine.evidence import Probe
from gradcheck_suite.engine.line import Tangent
from gradcheck_suite.engine.problem import Gradients, Problem
from gradcheck_suite.engine.result import Outcome
from gradcheck_suite.numerics.directions import generator, spacing
from gradcheck_suite.numerics.finite_difference import promised_resolution
from gradcheck_suite.numerics.pairing import perturbed, rounding_spread
from gradcheck_suite.protocols import Arrays

SMALLEST_NORMAL = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "bfloat16": 2.0**-126,
    "float16": 2.0**-14,
}
MOST_TO_LOCALISE = 1500
LONGEST_TO_LOCALISE = 20.0
"""Evaluations, or seconds' worth of them, that a localisation may take …"""
LEAST_TO_LOCALISE = 64
"""… and so many it may in any case."""
KEPT = 1 << 22
"""Elements up to which all directions are kept; of larger ones the latest is."""


@dataclass(eq=False)
class Session:
    """What the checks of one run share; each thing is computed when it is first wanted.

    Attributes:
        problem: what is checked.
        seed: seed of every random draw; streams are numbered from it.
        directions: how many directions at least.
        localise: whether a failure is narrowed down, or in how many evaluations at most.
        memory: MiB that second order may take; None for what is free.
        evaluations: how many values of the function were used so far.
        seconds: what they took.
        localising_since: the evaluations that had been used when localisation began.
        tangents: the directions drawn so far.
        reverse_probes: the probes of the reverse check, for the self-test.
    """

    problem: Problem
    seed: int
    directions: int = 1
    localise: bool | int = True
    memory: float | None = None
    evaluations: int = 0
    seconds: float = 0.0
    localising_since: int = 0
    reverse_probes: list[Probe] = field(default_factory=list)
    tangents: dict[int, Tangent] = field(default_factory=dict)

    @property
    def promised(self) -> float:
        return promised_resolution(self.problem.dtype)

    @cached_property
    def cotangents(self) -> Arrays:
        return line.cotangents(self.problem, self.seed, 1)

    @cached_property
    def gradients(self) -> Gradients:
        """Jᵀu for every leaf."""
        return self.problem.recorded(self.cotangents)

    @cached_property
    def gradient_norms(self) -> tuple[float, ...]:
        """‖g‖ per leaf; NaN where one is not finite, 0 where there is none."""
        return tuple(line.norm(self.problem.backend, one) for one in self.gradients)

    def scaled_norm(self, tangent: Tangent) -> float:
        """‖S g‖ over the leaves that move: the standard deviation of ⟨g, v⟩ over directions."""
        parts = [
            scale * size
            for scale, size, v in zip(
                tangent.scales, self.gradient_norms, tangent.arrays, strict=True
            )
            if v is not None
        ]
        return math.hypot(*parts)

    @cached_property
    def magnitude(self) -> float:
        """Size of the terms of ⟨u, f⟩, never below where the dtype loses its digits."""
        terms = line.magnitude(self.problem, self.cotangents, self.problem.values)
        return max(terms, 8.0 * SMALLEST_NORMAL[self.problem.dtype])

    @cached_property
    def value(self) -> float:
        """φ(0), from the values that the function was first seen with."""
        pairs = zip(self.cotangents, self.problem.values, strict=True)
        return sum(
            line.inner(self.problem.backend, self.problem.backend.asnumpy(u), value)
            for u, value in pairs
        )

    @cached_property
    def value_again(self) -> float:
        """φ(0) once more, as every other φ(h) is computed: with no graph being recorded."""
        self.value = self.phi(self.problem.copies(self.problem.primals))
        return self.value

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """How far directions reach in each leaf."""
        return line.scales(self.problem)

    @cached_property
    def reach(self) -> float:
        """How far a direction reaches per unit step, relative to the primals; at most 1."""
        pairs = zip(self.scales, self.problem.leaves, strict=True)
        return min([1.0, *(scale / leaf.rms for scale, leaf in pairs if leaf.rms > 0.0)])

    def pull(self, primals: Arrays, cotangents: Arrays) -> Gradients:
        """Jᵀu; what is known is not computed again (that it repeats is a check of its own)."""
        if primals is self.problem.primals and cotangents is self.cotangents:
            return self.gradients
        return self.pullback(primals, cotangents)[1]

    def pullback(self, primals: Arrays, cotangents: Arrays) -> tuple[Arrays, Gradients]:
        """Value and Jᵀu; a handwritten gradient gets copies of the user's arrays."""
        if primals is self.problem.primals and self.problem.handwritten:
            primals = self.problem.copies(primals)
        return self.problem.pullback(primals, cotangents)

    def tangent(self, number: int) -> Tangent:
        """Direction number k: all are kept where they are small, else the latest one."""
        if number not in self.tangents:
            if sum(leaf.size for leaf in self.problem.leaves) > KEPT:
                self.tangents.clear()
            self.tangents[number] = line.draw(self.problem, self.seed, 2, number)
        return self.tangents[number]

    def phi(self, primals: Arrays) -> float:
        """⟨u, f(primals)⟩."""
        self.evaluations += 1
        started = time.perf_counter()
        values = self.problem.evaluate(primals)
        found = line.contract(self.problem.backend, self.cotangents, values)
        self.seconds += time.perf_counter() - started
        return found

    def start_localising(self) -> None:
        self.localising_since = self.evaluations

    @property
    def localisation_limit(self) -> int:
        """Evaluations that a localisation may take."""
        if self.localise is not True:
            return int(self.localise)
        each = max(self.seconds / max(self.evaluations, 1), 1e-6)
        return max(LEAST_TO_LOCALISE, min(MOST_TO_LOCALISE, int(LONGEST_TO_LOCALISE / each)))

    def affords(self, evaluations: int) -> bool:
        """Whether the localisation may take so many more."""
        spent = self.evaluations - self.localising_since
        return spent + evaluations <= self.localisation_limit

    @property
    def spent_words(self) -> str:
        spent = self.evaluations - self.localising_since
        return f"{spent} evaluations of {self.localisation_limit} spent, localise= allows more"

    def underflow(self, tangent: Tangent) -> float:
        """The smallest normal number in every element, as a direction weighs it."""
        tiny = SMALLEST_NORMAL[self.problem.dtype]
        parts = [
            scale * math.sqrt(leaf.size)
            for scale, leaf in zip(tangent.scales, self.problem.leaves, strict=True)
        ]
        return tiny * math.hypot(*parts)

    def grain(self, tangent: Tangent) -> float:
        """The step at which a typical element of v moves the largest primal by one unit.

        Finer steps reach no primal of that size as they were meant.
        """
        return max(
            spacing(leaf.largest, leaf.real_dtype) / scale
            for scale, leaf, v in zip(
                tangent.scales, self.problem.leaves, tangent.arrays, strict=True
            )
            if v is not None
        )

    def slice(self, tangent: Tangent) -> Callable[[float], float]:
        """h ↦ ⟨u, f(x + h·v)⟩, evaluated once per h: steps of one ladder meet."""
        return cache(lambda h: self.phi(line.moved(self.problem, tangent, h)))

    def perturbed_primals(self, number: int) -> Arrays:
        """The primals with every element moved by a unit in the last place or two."""
        problem, moved = self.problem, []
        for index, (array, leaf) in enumerate(zip(problem.primals, problem.leaves, strict=True)):
            rng, described = generator(self.seed, 3, number, index), leaf.described
            values = perturbed(problem.backend.view(array), rng, problem.machine_epsilon)
            moved.append(problem.backend.adopt(values, described.dtype, described.device))
        return tuple(moved)

    def spread(self, measure: Callable[[Arrays], Any], base: float) -> float:
        """How far a number moves when the primals are perturbed at rounding level."""
        return rounding_spread([base, *(measure(self.perturbed_primals(i)) for i in range(2))])


CheckOfProblem = Callable[[Session], Outcome]
