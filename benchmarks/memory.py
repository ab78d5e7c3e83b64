"""How much memory a check takes beside the function's own inputs, outputs and gradients.

    python -m benchmarks.memory 512 32000 float32 reverse

Runs in a process of its own and prints MiB: the peak of the resident memory during the
check, less what was resident before it, less one gradient. (The input is resident before;
outputs are scalars.) Linux only: ``/proc/self/clear_refs`` sets the peak back.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MIB = float(1 << 20)


def beside_its_own(rows: int, classes: int, dtype: str, check: str) -> float:
    """MiB, measured in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(rows), str(classes), dtype, check],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    )
    return float(answer.stdout.split()[-1])


def measured(rows: int, classes: int, dtype: str, check: str) -> float:
    """MiB, measured here."""
    import torch

    from gradcheck_suite.engine import gradcheck

    torch.set_num_threads(1)
    # Made in place, a row at a time: what NumPy or torch would leave behind is not counted.
    x = torch.empty(rows, classes, dtype=getattr(torch, dtype))
    generator = torch.Generator().manual_seed(0)
    for row in x:
        row.normal_(generator=generator)
    x.requires_grad_(True)
    targets = torch.arange(rows) % classes

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, targets)

    small = torch.randn(4, 10, dtype=x.dtype, generator=generator)
    targets_of_small = torch.arange(4)
    gradcheck(lambda y: torch.nn.functional.cross_entropy(y, targets_of_small), small)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    result = gradcheck(loss, x, checks=(check,))
    peak = _status("VmHWM")
    if not result.passed:
        raise SystemExit(str(result))
    own = x.numel() * x.element_size()
    return (peak - before - own) / MIB


def _status(name: str) -> float:
    for entry in Path("/proc/self/status").read_text().splitlines():
        if entry.startswith(name + ":"):
            return float(entry.split()[1]) * 1024.0
    raise KeyError(name)


if __name__ == "__main__":
    rows, classes, dtype, check = sys.argv[1:5]
    print(f"{measured(int(rows), int(classes), dtype, check):.1f}")
