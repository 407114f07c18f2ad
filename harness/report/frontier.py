"""Which of many are worth their cost: nobody is better for less."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def frontier(points: Sequence[tuple[float, float]], *, lower_is_better: bool) -> list[int]:
    """Indices of the (cost, quality) that no other dominates, by rising cost.

    One dominates another if it is no worse in either and better in one; of equals all stay.
    """
    sign = 1 if lower_is_better else -1
    kept: list[int] = []
    best = float("inf")
    order = sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1]))
    for i in order:
        cost, value = points[i][0], sign * points[i][1]
        equal = bool(kept) and points[kept[-1]][0] == cost and sign * points[kept[-1]][1] == value
        if value < best or equal:
            kept.append(i)
            best = value
    return kept


def undominated(costs: Sequence[float], better: Callable[[int, int], bool]) -> list[int]:
    """Indices that no other is better than at no more cost; better(i, j): whether i is shown to be."""
    places = range(len(costs))
    return [j for j in places if not any(costs[i] <= costs[j] and better(i, j) for i in places if i != j)]
