"""From a number of parameters to widths: what `size=1M` means for an architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

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
    fine_multiple: int = 1,
) -> dict[str, int]:
    """The keys that give factory(**keys) target non-embedding parameters, within 2%.

    width     the key that is chosen first, among multiples of `multiple`, the rest following it.
    fine      the key that then makes up the difference (the inner width of an MLP, say), in multiples of
              `fine_multiple` (the heads that divide it, say). Where it has no effect (its part was
              swapped for one without it) or is None, the width must do alone.
    depth     {size: layers}: the entry nearest to the target (in ratio) is taken.

    Counts on the meta device; parameters are taken to be affine in `fine`. Raises ValueError naming
    the nearest size that can be reached.
    """
    if target < 1:
        raise ValueError(f"size={target} must be a positive number of parameters")
    if fine_multiple < 1:
        raise ValueError(f"sizing: fine_multiple={fine_multiple} must be at least 1")
    layers = depth[min(depth, key=lambda size: abs(math.log(size / target)))]

    @cache
    def count(wide: int, value: int | None = None) -> int:
        keys = {width: wide} if value is None else {width: wide, str(fine): value}
        with torch.device("meta"):
            return parameter_counts(factory(depth=layers, **keys))["non_embedding"]

    below = _largest_below(target, lambda n: count(n * multiple)) * multiple
    found: list[tuple[int, dict[str, int]]] = []
    # The nearer width first: there, the fine knob has least to make up for.
    for wide in sorted((below, below + multiple), key=lambda w: abs(count(w) - target)):
        keys = {width: wide, "depth": layers}
        found.append((abs(count(wide) - target), keys))
        base = -(-wide // fine_multiple) * fine_multiple
        if fine is not None and count(wide, 2 * base) != count(wide, base):
            per_multiple = (count(wide, 2 * base) - count(wide, base)) / (base // fine_multiple)
            value = base + round((target - count(wide, base)) / per_multiple) * fine_multiple
            if value >= 1:
                found.append((abs(count(wide, value) - target), keys | {fine: value}))
        if found[-1][0] <= TOLERANCE * target:
            return found[-1][1]
    off, keys = min(found, key=lambda item: item[0])
    if off <= TOLERANCE * target:
        return keys
    nearest = count(keys[width], keys.get(str(fine)))
    raise ValueError(f"size={target:,} cannot be reached within 2%: the nearest is {nearest:,} ({keys})")


def _largest_below(target: int, count: Callable[[int], int]) -> int:
    """The largest n >= 1 with count(n) <= target (1 if there is none), for a count that grows with n.

    Parameters are close to a n^2 + b n: two counts give the curve, a few more the place on it.
    """
    two, four = count(2), count(4)
    a, b = (four - 2 * two) / 8, (4 * two - four) / 4
    n = max(1, int((math.sqrt(b * b + 4 * a * target) - b) / (2 * a)) if a > 0 else 1)
    while n > 1 and count(n) > target:
        n -= 1
    while count(n + 1) <= target:
        n += 1
    return n
