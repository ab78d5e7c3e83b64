"""Triton's interpreter, in which kernels run where there is no GPU, and what it lacks.

Compiled, a kernel's float argument is a scalar of float32, and libdevice has ``tanh`` and
``log1p``. The interpreter of triton 3.7 hands over Python's float and has neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np


def interprets() -> bool:
    """Whether kernels are interpreted here; asked before triton is imported, which reads it."""
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")
    return os.environ.get("TRITON_INTERPRET") == "1"


def take_floats() -> None:
    """Lets a kernel's float arguments be scalars of float32, as they are when it is compiled."""
    import triton.language as tl
    from triton.runtime import interpreter

    converted = interpreter._implicit_cvt

    def with_floats(argument: Any) -> Any:
        if not isinstance(argument, float):
            return converted(argument)
        handle = interpreter.TensorHandle(np.array([argument], np.float32), tl.float32)
        return tl.tensor(handle, tl.float32)

    interpreter._implicit_cvt = with_floats


def elementwise(function: np.ufunc) -> Callable[[Any], Any]:
    """A function of kernels that applies NumPy's, in place of one of libdevice."""
    import triton.language as tl
    from triton.runtime import interpreter

    def applied(x: Any) -> Any:
        return tl.tensor(interpreter.interpreter_builder.unary_op(x.handle, function), x.type)

    return applied
