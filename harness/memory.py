"""Peak memory of this process, from the operating system or the CUDA allocator.

`ru_maxrss` is inherited through fork and exec, so a child of a large parent reports the parent's
peak; VmHWM is the process's own and can be reset.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes, or None where there is no /proc."""
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


class PeakMemory:
    """Peak bytes above the baseline at the moment this was made.

    >>> peak = PeakMemory("cpu")
    >>> ...
    >>> peak.bytes()
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.baseline = torch.cuda.memory_allocated(self.device)
            self.method = "cuda allocator"
            return
        try:
            CLEAR_REFS.write_text("5")  # resets VmHWM to the present resident size
            self.method = "VmHWM"
        except OSError:
            self.method = "ru_maxrss"
        self.baseline = _status("VmRSS") or self._highest()

    def _highest(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def bytes(self) -> int:
        return max(0, self._highest() - self.baseline)
