"""Axes of lengths and of what they cost, both logarithmic, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..counts import format_length


def length_axis(axes: Axes, lengths: Sequence[int], reach: float | None = None) -> None:
    """A logarithmic axis with ticks at the lengths there are; it ends at `reach`."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(lengths[0] / 1.25, reach or 1.25 * lengths[-1])
    step = -(-len(lengths) // 10)
    at = lengths[::-1][::step]
    axes.xaxis.set_major_locator(FixedLocator(at))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_length(value)))
    axes.set_xlabel("sequence length (tokens)")


def ticks(low: float, high: float, *, binary: bool, most: int = 7) -> list[float]:
    """Round numbers between two positive ones, as many as there are but no more than `most`: powers of two or
    of ten, with 2 and 5 times those of ten, and evenly spaced ones where the two are near each other."""
    base = 2.0 if binary else 10.0
    if high < 4 * low:
        unit = 1024.0 ** math.floor(math.log(low, 1024)) if binary else 1.0
        even = MaxNLocator(most - 2).tick_values(low / unit, high / unit)
        return [float(unit * value) for value in even if low <= unit * value <= high]
    powers = np.arange(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1)
    between = ([1.0],) if binary else ([1.0, 2.0, 5.0], [1.0])
    choices = [[base**power * step for power in powers for step in steps] for steps in between]
    choices += [[base**power for power in powers if power % every == 0] for every in range(2, 40)]
    inside = ([float(value) for value in choice if low <= value <= high] for choice in choices)
    return next(found for found in inside if len(found) <= most)


def trimmed(text: str) -> str:
    """ "2.00 MiB" as "2 MiB"."""
    number, _, unit = text.partition(" ")
    return f"{float(number):g} {unit}" if unit else text
