"""Peak memory of this process: from the operating system, from the allocators, and what there is of it.

`ru_maxrss` is inherited through fork and exec, so a child of a large parent reports the parent's
peak; VmHWM is the process's own and can be reset.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

PROC = Path("/proc")
# What a control group may hold, what it holds, and the part of that, in the memory.stat beside it, which is
# files that were read and not used since: the system takes it back where memory is short. By the name that
# /proc/self/cgroup and the folder below the root have for the hierarchy: version 2, then 1.
CONTROL = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
CONTROL_ROOT = Path("/sys/fs/cgroup")
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def field(name: str, file: str = "self/status") -> int | None:
    """A field of a file below /proc in bytes, or None where there is none."""
    with contextlib.suppress(OSError):
        for line in (PROC / file).read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return None


def available() -> int | None:
    """Bytes that processes can still take without swapping; None where the system does not say."""
    found = [field("MemAvailable", "meminfo")]
    for hierarchy, (limit, used, cached) in CONTROL.items():
        for group in _groups(hierarchy):
            with contextlib.suppress(OSError, ValueError):  # "max" is no number
                most, now = (int((group / file).read_text()) for file in (limit, used))
                found.append(most - now + _told(group / "memory.stat", cached))
    return min((value for value in found if value is not None), default=None)


def _groups(hierarchy: str) -> list[Path]:
    """Folders of this process's control group and of all that it lies in: what limits one limits it.

    The root is always among them: in a container it is the container's own, whatever the path says.
    """
    parts: list[str] = []
    with contextlib.suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if hierarchy in controllers.split(","):
                parts = path.strip("/").split("/")
    return [CONTROL_ROOT.joinpath(hierarchy, *parts[:depth]) for depth in range(len(parts) + 1)]


def _told(file: Path, name: str) -> int:
    """A number of a control group's statistics; 0 where they do not tell it."""
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
    return 0


class PeakMemory:
    """Peak bytes above the baseline at the moment this was made.

    >>> peak = PeakMemory("cpu")
    >>> ...
    >>> peak.bytes()

    method says where they are from. Without /proc the peak is that of the process's whole life, and what
    stays below an earlier one reads 0.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.baseline = torch.cuda.memory_allocated(self.device)
            self.method = "cuda allocator"
            return
        try:
            (PROC / "self/clear_refs").write_text("5")  # resets VmHWM to the present resident size
            self.method = "VmHWM"
        except OSError:
            self.method = "ru_maxrss"
        self.baseline = (self.method == "VmHWM" and field("VmRSS")) or self._highest()

    def _highest(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        own = field("VmHWM") if self.method == "VmHWM" else None
        return own or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT

    def bytes(self) -> int:
        return max(0, self._highest() - self.baseline)


class Allocated:
    """What tensors took of CPU memory while `watched`: peak bytes above the start, and operators that ran.

    Every allocation counts, inside operators too, to the byte and the same in every run. None where this
    build of PyTorch cannot tell.
    """

    peak: int | None = None
    operators: frozenset[str] = frozenset()


@contextlib.contextmanager
def watched() -> Iterator[Allocated]:
    """Count allocations of PyTorch's CPU allocator in the block; the result is complete after it."""
    found = Allocated()
    if not torch.profiler.kineto_available():
        yield found
        return
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        yield found
    events: list[Any] = seen.profiler.kineto_results.events() if seen.profiler else []
    changes = sorted((e for e in events if e.name() == "[memory]"), key=lambda event: event.start_ns())
    found.peak = max(accumulate((event.nbytes() for event in changes), initial=0))
    found.operators = frozenset(e.name() for e in events if e.name().startswith("aten::"))
