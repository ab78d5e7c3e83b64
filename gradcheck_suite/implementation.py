"""Implementation: the declaration of a loss that is to be judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Head = Literal["", "linear"]
Gradient = Literal["autodiff", "returned"] | Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class Deviation:
    """A known, reproduced deviation of one implementation from one clause.

    It excuses nothing in silence: every report prints it, and a run notes one that is no
    longer seen.

    Attributes:
        clause: id of the clause (``fnmatch`` pattern).
        case: id of the case (``fnmatch`` pattern).
        dtype: dtype (``fnmatch`` pattern).
        reason: what the implementation does instead, in a sentence.
        link: the thread or documentation where this is known, if any.
        when: version condition ``distribution<=1.2`` (PEP 508 style), empty for always.
    """

    clause: str
    reason: str
    case: str = "*"
    dtype: str = "*"
    link: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Implementation:
    """A softmax negative log-likelihood to be judged, and what it declares about itself.

    Whatever is left ``None`` is found from the signature and by trying (with N ≠ C): what
    raises is not supported, what returns is judged.

    Attributes:
        name: name in reports.
        loss: ``loss(logits, targets, *, weight, ignore_index, label_smoothing, reduction)``
            or any subset of those keywords. Logits have shape (N, C); targets are class
            indices (N,) or probabilities (N, C); the result has shape (N,) under
            ``reduction="none"``, else (). Or an address ``"package.module:attribute"``, which
            is loaded when it is used.
        backend: ``numpy``, ``torch``, ``jax`` or the name of a third party's backend.
        gradient: ``"autodiff"`` (the backend differentiates), ``"returned"`` (loss returns
            ``(value, gradient)``; under ``none`` the gradient is N×C with row i
            ∂L_i/∂f_i), a function of the same arguments that returns the gradient, or
            ``None`` (value only). Default: ``"autodiff"`` where the backend can, else seen
            from the result.
        head: ``"linear"`` for a loss that computes its logits itself, f = X Wᵀ + b:
            ``loss(hidden, linear_weight, targets, *, linear_bias=None, …)`` with hidden
            features X (N, H), W (C, H), b (C,) and the options above. Clauses about logits
            are asked through the identity, X = f and W = I; ``head.*`` about the layer. A
            returned gradient is ∂/∂X, or (∂/∂X, ∂/∂W) or (∂/∂X, ∂/∂W, ∂/∂b): under ``none``
            with row i of ∂/∂X that of L_i, the others those of Σ L_i. Not needed where a
            parameter of the signature is named ``linear_weight``.
        reductions: the reductions it offers, e.g. ``("mean",)``.
        options: names of the options it takes: of ``weight``, ``ignore_index``,
            ``label_smoothing`` and the extensions ``softcap``, ``logit_scale``, ``z_loss``,
            ``class_mask``; a linear head's bias is one, ``linear_bias``. Asked only where they
            are declared here: ``axis``, and an extension that goes through ``**options``.
        targets: kinds of targets it takes: ``"index"``, ``"probabilities"``.
        dtypes: dtypes it is judged in by default; ``None`` means float64 and float32.
        orders: derivatives it offers: any of ``"reverse"``, ``"forward"``, ``"second"``.
        ranks: ranks of logits it takes, e.g. ``(1, 2, 3)``: (C,), (N, C), (N, C, d). Never found
            by trying: a 2-D function answers K-D logits with a wrong number.
        class_axis: axis of the classes in logits of rank 3 and above: 1 for (N, C, d…), −1
            for (N, d…, C).
        dialect: choices where honest libraries differ, ``{"mean_index": "valid"}``, or the name
            of a dialect, ``"keras"`` (see ``gradcheck-suite list dialects``).
        factory: called with the options, returns the callable that takes (logits,
            targets), or (hidden, linear_weight, targets) and ``linear_bias``: for losses whose
            options are given at construction.
        rename: our option name → its keyword, e.g. ``{"label_smoothing": "smoothing"}``.
        value: picks the loss out of what the function returns.
        accumulation: how it computes for float16 and bfloat16 inputs. ``"float32"``: in float32,
            rounding results (a fused kernel). The dtype itself: sums are accumulated in it, too.
            Not declared: operations may round to the dtype, sums accumulate in float32.
        deviations: known deviations, printed with every result.
        compiler: what ``mode.transformed`` compiles with: a backend of ``torch.compile`` such as
            ``inductor``. Default the cheap ``aot_eager``, which generates no code; JAX has XLA.
        requires: distributions that must be installed, e.g. ``("optax",)``.
        description: one line for ``gradcheck-suite list``.
    """

    name: str
    loss: Callable[..., Any] | str | None = None
    backend: str = ""
    gradient: Gradient | Literal["infer"] = "infer"
    head: Head = ""
    reductions: tuple[str, ...] | None = None
    options: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    orders: tuple[str, ...] | None = None
    ranks: tuple[int, ...] = (2,)
    class_axis: int = -1
    dialect: Mapping[str, str] | str = field(default_factory=dict)
    factory: Callable[..., Callable[..., Any]] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    value: Callable[[Any], Any] | None = None
    accumulation: str | None = None
    deviations: tuple[Deviation, ...] = ()
    compiler: str = ""
    requires: tuple[str, ...] = ()
    description: str = ""
