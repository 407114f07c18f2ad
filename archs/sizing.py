"""From a number of parameters to widths: what `size=1M` means for an architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from archs.counting import parameter_counts

TOLERANCE = 0.02  # of the target, that a solution may be off


def solve(
    factory: Callable[..., nn.Module],
    target: int,
    *,
    width: str,
    multiple: int,
    fine: str | None,
    depth: Mapping[int, int],
) -> dict[str, int]:
    """The keys that give factory(**keys) target non-embedding parameters, within 2%.

    width     the key that is chosen first, among multiples of `multiple`, the rest following it.
    fine      the key that then makes up the difference (the inner width of an MLP, say). Where it has
              no effect (its part was swapped for one without it) or is None, the width must do alone.
    depth     {size: layers}: the entry nearest to the target (in ratio) is taken.

    Counts on the meta device; parameters are taken to be affine in `fine`. Raises ValueError naming
    the nearest size that can be reached.
    """
    if target < 1:
        raise ValueError(f"size={target} must be a positive number of parameters")
    layers = depth[min(depth, key=lambda size: abs(math.log(size / target)))]

    def count(**keys: int) -> int:
        with torch.device("meta"):
            return parameter_counts(factory(depth=layers, **keys))["non_embedding"]

    steps = 1
    while count(**{width: 2 * steps * multiple}) < target:
        steps *= 2
    low, high = (steps, 2 * steps) if steps > 1 else (1, 2)  # count(low) < target, unless low is 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(**{width: middle * multiple}) < target else (low, middle)

    found: list[tuple[int, dict[str, int]]] = []
    # Nearest first: there, the fine knob has least to make up for.
    sizes = sorted((abs(count(**{width: n * multiple}) - target), n * multiple) for n in (low, high))
    for off, wide in sizes:
        keys = {width: wide, "depth": layers}
        found.append((off, keys))
        if fine is not None:
            one, two = (count(**{width: wide, fine: n * wide}) for n in (1, 2))
            if two != one:
                value = round(wide + (target - one) * wide / (two - one))
                if value >= 1:
                    exact = count(**{width: wide, fine: value})
                    found.append((abs(exact - target), keys | {fine: value}))
        if found[-1][0] <= TOLERANCE * target:
            return found[-1][1]
    off, keys = min(found, key=lambda item: item[0])
    if off <= TOLERANCE * target:
        return keys
    nearest = count(**{key: value for key, value in keys.items() if key != "depth"})
    raise ValueError(f"size={target:,} cannot be reached within 2%: the nearest is {nearest:,} ({keys})")
