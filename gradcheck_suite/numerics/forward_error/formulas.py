"""Every bound in one line: what ``gradcheck-suite explain`` shows. docs/bounds.md derives them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Name of a bound, as checks use it → its formula.
FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "row_bound": "row: κ[T(Λ + X) + uΣτ_j(|d_j| + v_j) + Σ′min(uv, τ_j v_j) + 4uv]",
        "value_bound": "value: rows B_n = κ[T(Λ + X) + uΣτ_j(|d_j| + v_j) + Σ′min(uv, τ_j v_j) + "
        "4uv]; reduced [Σ B_n + κ(Σ′min(uS, L_n) + 3uS)]/den with S = Σ L_n",
        "gradient_bound": "gradient: |u_n/den|·[T p_i expm1(κρ_i) + κ(4u|g_i| + p_i(Σ′min(uT, τ_j) "
        "+ 4uT) + 4uτ_i)] + what the target and the maximum receive, ρ_i = u|d_i| + u v_i + Λ + X "
        "+ 6u",
        "saturated_bound": "target of a saturated row: relative to Σ_{j≠c} p_j, however small",
        "target_gradient_bound": "gradient in t (or w): κ|u_n/den| k_j[Λ + u|d_j| + 5u v_j + "
        "3u(|lse| + |f_j|)], k_j = (1−ε)w_j (or t'_j)",
        "jvp_bound": "jvp: Στ_j[error of p·v + 8u(V_j + R)], error of p·v = Σp_j V_j(expm1(κρ_j) + "
        "2κu) + κΣmin(uR, p_j V_j), R = Σp_j V_j",
        "hvp_bound": "Hessian times v: T p_i[(V_i + R)(expm1(κρ_i) + 8κu) + error of p·v]",
        "head_value_bound": "value behind a linear head: that of the loss at f, grown by the "
        "largest e_j, + Σ(|g_j| + T|Δp_j|)δ_j; δ = γ_{H+1}(Σ|x||w| + |b|) bounds f̂ − f, "
        "e_j = exp(δ_j + λ) − 1 with λ = log(1 + Σp_k(exp δ_k − 1)) that of p_j, "
        "|Δp_j| = min(p_j e_j, Σ_{k≠j} p_k e_k)",
        "head_gradient_bound": "gradients in X, W, b: Σ E|w|, Σ E|x|, Σ E, + γ_K Σ(|G| + E)|·| "
        "over K = C, N, N terms; E = that of G at f, grown by the largest e_j, + |u/den|·T|Δp_j|",
        "head_jvp_bound": "jvp in X, W, b: that along ḟ = ẊWᵀ + XẆᵀ + ḃ, grown by the largest e_j, "
        "+ TΣ|Δp_j||ḟ_j − p·ḟ| + Σ(Tp_j + |τ_j|)·γ_{2H+1}(Σ|ẋ||w| + Σ|x||ẇ| + |ḃ|)",
        "truncation_error": "finite difference: truncation (estimated from the stencil) + "
        "noise of the value / step + the gradient's own bound along the direction",
    }
)
#: What extensions add to them; the others hold at z.
EXTENSIONS = (
    "extensions: at z, and for z as computed κΣ|g_j| δz_j in the value, p_i π_i with π_i = "
    "(1−p_i) δz_i + Σ_{j≠i} p_j δz_j in the gradient; δz = 2u|z| of a scale, 6u|z| + "
    "4u|x|·cap(1−t²) of a cap with t = tanh x; a z-loss λ(2|lse|e + κe² + 3u lse²), e = Λ + X + "
    "Σp_j δz_j; then the chain rule, 1 − t² with an absolute error of 2|t| times that of t"
)
#: What the letters are.
LETTERS = (
    "κ = 2; u unit roundoff; d = f − max f; v = −log p (in a reduction over classes Σ τ_j v_j); "
    "Λ error of log Σ e^d; X = min(u|lse|, …) that of forming lse itself; Σ′ without the largest"
)
