"""Dialects: the choices in which honest libraries differ, each with a name.

Undeclared means PyTorch's documented choice. A report prints the choices that differ: a
declaration is visible, never a silent excuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from gradcheck_suite.errors import UsageError
from gradcheck_suite.protocols import machine_epsilon

#: Choice → its values (the default first) and what they mean.
CHOICES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "mean_index": {
            "weights": "Σ of the class weights at the targets of the valid rows",
            "valid": "number of rows that are not ignored",
            "batch": "number of rows",
        },
        "mean_probabilities": {
            "batch": "number of rows, class weights or not",
            "weights": "Σ_ij w_j t_ij",
        },
        "z_loss_mean": {
            "denominator": "a z-loss is divided as the rows are: by the mean's denominator",
            "valid": "a z-loss is divided by the number of valid rows, weighted or not",
        },
        "empty_mean": {
            "nan": "the mean of no rows is NaN",
            "zero": "the mean of no rows is 0",
            "raise": "the mean of no rows raises",
        },
        "all_ignored_mean": {
            "nan": "the mean is NaN where every row is ignored, or its denominator is 0",
            "zero": "the mean is 0 where every row is ignored, or its denominator is 0",
            "raise": "raises where every row is ignored",
        },
        "smoothing_mass": {
            "over-all": "t' = (1−ε)t + ε/C",
            "over-others": "t' = (1−ε)t + ε(1−t)/(C−1)",
        },
        "target_gradient": {
            "differentiable": "probability targets have their gradient −(1−ε)w log p",
            "absent": "targets are constants: no gradient, and none is claimed",
        },
        "unnormalised_targets": {
            "scaled": "Σt ≠ 1 is taken as it stands: value T·lse − Σ τf, gradient T·p − τ",
            "assumes-one": "Σt = 1 is a precondition; other targets are outside the contract",
        },
        "class_weights": {
            "constant": "class weights are constants: no gradient is asked of them",
            "differentiable": "class weights have their gradient, through the denominator too",
        },
        "minus_inf_target": {
            "limit": "a target at a logit of −inf: value +inf, gradient p − t, which is −1 there",
            "nan": "a target at a logit of −inf: value +inf or NaN, NaN in its row's gradient",
            "zero": "a target at a logit of −inf: value +inf, gradient 0 in its row",
        },
        "gradient_filter": {
            "none": "no element of the gradient is dropped, however small it is",
            "eps/32": "elements below machine epsilon/32 (times u/den) may be returned as 0",
        },
        "inputs": {
            "preserved": "logits, targets, weights and upstream are after a call as they were",
            "destroyed": "the logits may be overwritten; targets, weights and upstream are not",
        },
        "repeat_backward": {
            "allowed": "a second backward through one graph gives the right gradient",
            "raises": "a second backward through one graph raises",
        },
        "determinism": {
            "bitwise": "the same inputs give the same bits",
            "rounding": "the same inputs give results that differ within the bound of rounding",
        },
        "out_of_range": {
            "raise": "a class index outside [0, C) raises",
            "nan": "a class index outside [0, C) gives NaN in the value and in its row's gradient",
            "declared-clip": "a class index outside [0, C) is answered as the nearest class: a "
            "limitation, shown as declared and never as passed",
            "undefined": "a class index outside [0, C) breaks a precondition and may touch any "
            "memory: it is not asked, and shown as declared",
        },
        "result_dtype": {
            "logits": "value and gradient have the dtype of the logits",
            "promoted": "value and gradient have the dtype of the logits or a wider one",
        },
    }
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One value per choice; see ``CHOICES`` for what they mean.

    Raises:
        UsageError: a value is not one of its choice's.
    """

    mean_index: str = "weights"
    mean_probabilities: str = "batch"
    empty_mean: str = "nan"
    all_ignored_mean: str = "nan"
    smoothing_mass: str = "over-all"
    target_gradient: str = "differentiable"
    unnormalised_targets: str = "scaled"
    class_weights: str = "constant"
    minus_inf_target: str = "limit"
    gradient_filter: str = "none"
    inputs: str = "preserved"
    repeat_backward: str = "allowed"
    determinism: str = "bitwise"
    out_of_range: str = "raise"
    result_dtype: str = "logits"
    z_loss_mean: str = "denominator"

    def __post_init__(self) -> None:
        for choice in fields(self):
            value = getattr(self, choice.name)
            if value not in CHOICES[choice.name]:
                raise UsageError(
                    f"dialect: {choice.name}={value!r} is no choice; "
                    f"use one of {', '.join(CHOICES[choice.name])}"
                )

    @classmethod
    def of(cls, declared: Mapping[str, str], defaults: Mapping[str, str] | None = None) -> Dialect:
        """The dialect that declares these choices over a backend's defaults.

        Raises:
            UsageError: an unknown choice or value; the message lists the known ones.
        """
        unknown = sorted(set(declared) - set(CHOICES))
        if unknown:
            raise UsageError(
                f"dialect: unknown choice {unknown[0]!r}; known choices: {', '.join(CHOICES)}"
            )
        return cls(**{**(defaults or {}), **declared})

    def declared(self) -> dict[str, str]:
        """The choices that differ from PyTorch's."""
        return {
            choice.name: getattr(self, choice.name)
            for choice in fields(self)
            if getattr(self, choice.name) != choice.default
        }


def gradient_filter(dialect: Dialect, dtype: str) -> float:
    """The declared threshold below which an element of the gradient may be 0, in units of u/den.

    ``eps/32`` is the default of Apple's cut-cross-entropy, whose filter it is.
    """
    return machine_epsilon(dtype) / 32.0 if dialect.gradient_filter == "eps/32" else 0.0


#: What a backend cannot follow of PyTorch's choices: traced code cannot raise on a value, and
#: NumPy promotes to float64 whatever meets np.eye(C), a mean's np.float64 or a list.
BACKEND_DEFAULTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"jax": {"out_of_range": "nan"}, "numpy": {"result_dtype": "promoted"}}
)
