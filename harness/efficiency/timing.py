"""Seconds of repeated work, on a processor's clock or by CUDA's events, and the machine's matmul rate."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

REPEATS = (3, 20)  # fewest and most repetitions of a timing
ENOUGH = 1.5  # seconds: between the two bounds, repetitions are as many as take about so long
SIDE = {"cpu": 1024, "cuda": 8192}  # of the square product that stands for the machine's peak
BURST = 5  # products per look at the peak

Work = Callable[[], object]


class OverTime(Exception):
    """What is left of the time does not pay for what is left to do. The message says why, in one line."""


def seconds_of(work: Work, device: torch.device) -> float:
    """Seconds of one call; on a GPU those that the device worked, between two events."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def repeats(step: float) -> int:
    """How often work that takes `step` seconds is measured: 20 times, and fewer the longer, at least 3.

    >>> repeats(0.01), repeats(0.2), repeats(5.0)
    (20, 7, 3)
    """
    fewest, most = REPEATS
    return min(most, max(fewest, int(ENOUGH / max(step, 1e-9))))


@dataclass
class Stopwatch:
    """Times work, keeping an eye on the machine's own speed and on a deadline.

    deadline: of time.monotonic(). rates: of a matrix product, in FLOP/s, measured around all work.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    deadline: float = math.inf
    rates: list[float] = field(default_factory=list)

    def time(self, work: Work, name: str) -> list[float]:
        """Seconds of every repetition. Raises OverTime as soon as it is known that they are too long."""
        self.look()
        first = seconds_of(work, self.device)
        left = (self.deadline - time.monotonic()) / max(first, 1e-9)
        # It fills pages and caches that the others find: it counts where time is short.
        counted = [] if left > REPEATS[0] + 1 else [first]
        wanted = min(repeats(first), len(counted) + left)
        if wanted < REPEATS[0]:
            raise OverTime(f"{name} takes {first:.3g} s, and {REPEATS[0]} times that is more than is left")
        while len(counted) < int(wanted):
            counted.append(seconds_of(work, self.device))
        self.look()
        return counted

    def look(self) -> None:
        """Measure the matmul rate."""
        side = SIDE[self.device.type]
        a, b = (torch.randn(side, side, device=self.device, dtype=self.dtype) for _ in range(2))
        torch.mm(a, b)  # pages, threads
        self.rates += [2 * side**3 / seconds_of(lambda: torch.mm(a, b), self.device) for _ in range(BURST)]

    @property
    def matmul_peak(self) -> float:
        """FLOP/s of a matrix product on this machine, in the precision of the work, as long as it took."""
        if not self.rates:
            self.look()
        return statistics.median(self.rates)


def quartiles(values: list[float]) -> list[float]:
    """The first and the third."""
    return statistics.quantiles(values, n=4, method="inclusive")[::2]
