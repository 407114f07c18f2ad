"""What the C library of a point's processes does with memory that was freed (GNU's, on Linux).

By itself it gives large blocks back, and the system fills fresh pages for the next ones: in T5's training
step at 8,192 tokens half of the time, and in others a share that depends on the process's luck.

    baseline  as it comes
    memory    every tensor from 64 KiB on in a mapping of its own, which the system gets back when freed: its
              count then follows the allocator's
    times     all of it is kept, as by PyTorch's allocator on a GPU: a repetition finds the pages of the one
              before. Small pieces are not set apart: there they keep what lies between them from becoming
              one block again. A token takes 2 to 3% longer to decode for it, at 1M parameters.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

TUNABLES = "GLIBC_TUNABLES"
OURS = "glibc.malloc."
HEAP: Mapping[str, Mapping[str, int]] = {
    "baseline": {},
    "memory": {"mmap_threshold": 65536},
    "times": {"mmap_max": 0, "trim_threshold": -1, "tcache_count": 0, "mxfast": 0},
}


def allocating(what: str, before: Mapping[str, str]) -> dict[str, str]:
    """The environment `before` with how such a process allocates; tunables of anything else stay."""
    kept = [own for own in before.get(TUNABLES, "").split(":") if own and not own.startswith(OURS)]
    tunables = ":".join([*kept, *(f"{OURS}{name}={value}" for name, value in HEAP[what].items())])
    others = {name: value for name, value in before.items() if not name.startswith("MALLOC_")}
    return {**others, TUNABLES: tunables}


def freed() -> str | None:
    """What this process does with freed memory, for whoever reads its times; None where it is not known."""
    if platform.libc_ver()[0] != "glibc":
        return None
    kept = f"{OURS}trim_threshold=-1" in os.environ.get(TUNABLES, "").split(":")
    return "kept" if kept else "given back"
