"""How the threads of several libraries share the cores: what they are told before they are loaded.

PyTorch's threads stay awake for about 15 ms after an operator, on the cores that numba's threads then compute
a scan on:

    PyTorch   |product|.....awake.....|product|         |product|.|asleep
    numba              |  scan, on what is left|                  |  scan  |

Half a millisecond of it is enough for the next operator of PyTorch to find them awake. On two cores a
training step of a Mamba takes a fifth less then, and one of a GPT as long as before.
"""

from __future__ import annotations

import os

COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# Rounds of GNU's OpenMP, by default 300,000. The wheels of PyTorch for Linux have it; others wait as they do.
WAITING = {"GOMP_SPINCOUNT": "10000"}


def share_cores() -> None:
    """Let PyTorch's threads fall asleep soon, unless the user says how OpenMP waits: an environment variable,
    for this process, where PyTorch is not imported yet, and for those that it starts."""
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


def pinned(threads: int) -> dict[str, str]:
    """The environment of a process that is measured: so many threads, in libraries that choose before PyTorch
    is told, too, which wait the same everywhere."""
    return {**dict.fromkeys(COUNTS, str(threads)), "OMP_DYNAMIC": "FALSE", "MKL_DYNAMIC": "FALSE", **WAITING}
