"""Named dialects: the choices of well-known libraries, each defined here and nowhere else.

A name stands wherever choices are declared: ``gs.Implementation(dialect="keras")``,
``gs.conformance(loss, dialect="keras")``, ``gradcheck-suite run … --dialect keras``. It says
where a library differs from PyTorch, whose choices are the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from gradcheck_suite.errors import UsageError
from gradcheck_suite.specification.dialect import CHOICES


@dataclass(frozen=True, slots=True)
class Preset:
    """A dialect with a name.

    Attributes:
        description: whose it is, in a line.
        choices: what it declares; choices that are not named are PyTorch's.
    """

    description: str
    choices: Mapping[str, str]


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "pytorch": Preset(
            "torch.nn.functional.cross_entropy: the defaults, and an index that is no class raises",
            {"out_of_range": "raise"},
        ),
        "optax": Preset(
            "optax's losses, which return rows; the mean is the caller's jnp.mean",
            {"mean_index": "batch", "out_of_range": "nan"},
        ),
        "keras": Preset(
            "Keras 3 from logits: a mean over valid rows that is 0 where there are none",
            {
                "mean_index": "valid",
                "empty_mean": "zero",
                "all_ignored_mean": "zero",
                "unnormalised_targets": "assumes-one",
            },
        ),
        "jax": Preset(
            "a composition of jax.nn: a masked mean over valid rows",
            {"mean_index": "valid"},
        ),
        "numpy-homework": Preset(
            "a loss that returns (loss, p − t): the mean over rows, targets that are constants",
            {
                "mean_index": "batch",
                "target_gradient": "absent",
                "unnormalised_targets": "assumes-one",
            },
        ),
    }
)


def expanded(declared: Mapping[str, str] | str | None) -> dict[str, str]:
    """The choices that a declaration stands for: a mapping as it is, a name by its preset.

    Raises:
        UsageError: there is no dialect of that name; the message lists the known ones.
    """
    if declared is None:
        return {}
    if not isinstance(declared, str):
        return dict(declared)
    if declared in PRESETS:
        return dict(PRESETS[declared].choices)
    near = get_close_matches(declared, [*PRESETS, *CHOICES], n=1)
    if near and near[0] in CHOICES:
        hint = f"; {near[0]} is a choice: give it a value, {near[0]}={next(iter(CHOICES[near[0]]))}"
    else:
        hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"dialect: {declared!r} is no dialect; known are {', '.join(PRESETS)}, or name choices "
        f"(gradcheck-suite list dialects){hint}"
    )
