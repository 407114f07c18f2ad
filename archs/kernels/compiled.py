"""How CPU kernels are compiled with numba and spread over threads.

A kernel works on slices first..last of its problem, one slice being (sequence, BLOCK channels), and
releases the GIL; `spread` hands ranges of slices to a few threads of one small pool, as many as
torch computes with. (numba's own `parallel=True` would bring a second thread pool beside torch's,
which aborts when entered from two threads at once or after a fork.)

numba's disk cache looks only at the file that a kernel stands in: after a change here, touch the kernels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

BLOCK = 64  # channels per slice: rows of 64 floats vectorise whole, and a slice's state stays in L1
SMALL = 1 << 16  # inner steps below which waking a thread costs more than it saves


def compiled(function: Callable, *, exact: bool = False) -> Callable:
    """Compile `function` at its first call, cached on disk where some place for it is writable.

    Products may be reordered unless `exact`, but NaN and infinity are always honoured.
    """
    fastmath = {"contract"} if exact else {"contract", "reassoc", "nsz", "arcp"}
    compile_ = partial(numba.njit, nogil=True, error_model="numpy", fastmath=fastmath)
    try:
        return compile_(function, cache=True)
    except RuntimeError:  # numba found neither __pycache__ nor a home directory to write to
        return compile_(function)


def _two_to(typing_context: Any, biased: Any) -> Any:
    """2^n for float32 `biased` = n + 1.5 * 2^23, whose lowest mantissa bits are the integer n."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        exponent = builder.shl(bits, ir.Constant(bits.type, 23))
        one = ir.Constant(bits.type, 127 << 23)
        return builder.bitcast(builder.add(exponent, one), ir.FloatType())

    return types.float32(types.float32), generate


_power_of_two: Any = intrinsic(_two_to)

ZERO, ONE = np.float32(0), np.float32(1)
LOG2_E, LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
_ROUND = np.float32(1.5 * 2**23)  # adding it leaves no bits for a fraction
_LEAST, _MOST = np.float32(-126), np.float32(128)
# Chebyshev interpolation of (2^r - 1) / r on [-1/2, 1/2]: 2^r within 5e-9, and exactly 1 at r = 0
_Q = tuple(
    np.float32(c)
    for c in (0.693147188, 0.240226508, 0.0555035711, 9.61808256e-3, 1.33908634e-3, 1.54531629e-4)
)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5 = _Q


def _exp2(x: np.float32) -> np.float32:
    """2^x in float32 operations that LLVM vectorises; 0 below 2^-126, infinite from 2^128, NaN at NaN."""
    clipped = _MOST if x > _MOST else x
    biased = clipped + _ROUND
    r = clipped - (biased - _ROUND)
    q = _Q0 + r * (_Q1 + r * (_Q2 + r * (_Q3 + r * (_Q4 + r * _Q5))))
    return ZERO if x < _LEAST else (ONE + r * q) * _power_of_two(biased)


exp2 = compiled(_exp2, exact=True)  # reordering would cancel the rounding constant


def _widen(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # as `add` would, which refuses attributes that llvmlite has no name for
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


# In a kernel: use vectors as wide as the machine has, which LLVM avoids since they once slowed the clock.
widest_vectors: Any = intrinsic(_widen)

_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):  # a forked child inherits the pools' book-keeping but not their threads
    os.register_at_fork(after_in_child=_pools.clear)


def blocks(channels: int) -> int:
    """How many slices the channels of one sequence make."""
    return -(-channels // BLOCK)


def spread(kernel: Callable, slices: int, steps: int, scratch_rows: int, *tensors: Tensor) -> None:
    """Run kernel(*arrays, scratch, first, last) over all slices and wait.

    steps: inner steps of the whole problem, which decide whether threads pay.
    scratch_rows: float32 rows of BLOCK channels that each thread needs for itself.
    """
    threads = max(1, min(torch.get_num_threads(), slices, steps // SMALL))
    scratch = torch.empty(threads, scratch_rows, BLOCK).numpy()
    arrays = [tensor.detach().numpy() for tensor in tensors]
    cuts = [slices * i // threads for i in range(threads + 1)]
    if threads > 1 and threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="archs-kernel")
    others = [
        _pools[threads].submit(kernel, *arrays, scratch[i], cuts[i], cuts[i + 1]) for i in range(1, threads)
    ]
    kernel(*arrays, scratch[0], cuts[0], cuts[1])
    for other in others:
        other.result()
