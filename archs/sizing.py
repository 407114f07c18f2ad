"""From a number to widths: what `size=1M` means for an architecture, or an equal cost, or an equal state."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import torch
from torch import nn

from archs.counting import parameter_counts

TOLERANCE = 0.02  # of the target, that a solution may be off
WIDEST_HEAD = 96  # heads wider than that are doubled in number: large models have heads of 64 to 128
FINER = 2  # how often `multiple` is halved where it is too coarse
DEEPER = 2  # how many layers more or fewer are tried where no width will do
CLOSE = 0.005  # of the target: as good as the nearest, where each measurement is a solution for the widths
TIMES = 16  # how many times `multiple` a width may have to be a multiple of
PROBES = 64  # widths around the one wanted, among which one must divide into heads

Measure = Callable[[nn.Module], float]


def non_embedding(model: nn.Module) -> float:
    """Parameters without tables: what `size=` asks for."""
    return parameter_counts(model)["non_embedding"]


def solve(
    factory: Callable[..., nn.Module],
    target: float,
    measure: Measure = non_embedding,
    size: int | None = None,
    tolerance: float = TOLERANCE,
    asked: str = "size",
    *,
    width: str,
    multiple: int,
    fine: str | None,
    depth: Mapping[int, int],
    fine_multiple: int = 1,
    heads: str | None = None,
) -> dict[str, int]:
    """The keys that give factory(**keys) the measure asked for: within 2%, or as near as its knobs come.

    measure   of a model on the meta device: a number that grows with its widths; by default its parameters.
    size      what `depth` is looked up by; None: the target.
    tolerance how far off, in parts of the target, the nearest solution may be.
    asked     what the target is called when it cannot be met.
    width     the key that is chosen first, among multiples of `multiple`, the rest following it.
    fine      the key that then makes up the difference (the inner width of an MLP, say), in multiples of
              `fine_multiple`. Where it has no effect (its part was swapped for one without it) or is None,
              the width must do alone, in finer multiples or with a layer more or less where it has to.
    depth     {size: layers}: the entry nearest to the size (in ratio) is taken.
    heads     the key for the number of heads, doubled until none is wider than 96; None: it stays.

    A width that the factory refuses with a ValueError (heads do not divide it) gives way to the nearest one
    it takes. The measure is taken to be affine in `fine`. Raises ValueError naming the nearest that can be
    reached, or the factory's own error where it takes no width at all.
    """
    if not target >= 1:
        raise ValueError(f"{asked}={target} must be a positive number")
    if fine_multiple < 1:
        raise ValueError(f"sizing: fine_multiple={fine_multiple} must be at least 1")
    at = target if size is None else size
    layers = depth[min(depth, key=lambda entry: abs(math.log(entry / at)))]

    def solved(fixed: Mapping[str, int]) -> dict[str, int]:
        search = _Search(factory, target, measure, fixed, width, fine, fine_multiple)
        return search.run(layers, multiple, tolerance, asked)

    keys = solved({})
    while heads is not None:
        widest, number = _widest_head(factory, keys)
        if widest <= WIDEST_HEAD:
            break
        try:
            more = solved({heads: 2 * number})
        except ValueError:
            break
        if _widest_head(factory, more)[0] >= widest:  # their width is written down
            break
        keys = more
    return keys


def _widest_head(factory: Callable[..., nn.Module], keys: Mapping[str, int]) -> tuple[int, int]:
    """(width, number) of the widest heads of any part that has `heads` and `head_dim`; (0, 0): none has."""
    with torch.device("meta"):
        model = factory(**keys)
    found = [(getattr(part, "head_dim", None), getattr(part, "heads", None)) for part in model.modules()]
    return max(((w, n) for w, n in found if isinstance(w, int) and isinstance(n, int)), default=(0, 0))


class _Search:
    """The search for widths under fixed other keys; every model is measured once."""

    def __init__(
        self,
        factory: Callable[..., nn.Module],
        target: float,
        measure: Measure,
        fixed: Mapping[str, int],
        width: str,
        fine: str | None,
        fine_multiple: int,
    ) -> None:
        self.target, self.fixed = target, dict(fixed)
        self.width, self.fine, self.fine_multiple = width, fine, fine_multiple
        self.error: ValueError | None = None  # the first refusal

        @cache
        def count(layers: int, wide: int, value: int | None = None) -> float | None:
            """The measure, None where the factory refuses these widths."""
            try:
                with torch.device("meta"):
                    return measure(factory(**self.keys(layers, wide, value)))
            except ValueError as error:
                self.error = self.error or error
                return None

        self.count = count

    def keys(self, layers: int, wide: int, value: int | None = None) -> dict[str, int]:
        keys = {self.width: wide, "depth": layers, **self.fixed}
        return keys if value is None or self.fine is None else keys | {self.fine: value}

    def run(self, layers: int, multiple: int, tolerance: float, asked: str) -> dict[str, int]:
        found: list[tuple[float, dict[str, int]]] = []
        for deep, step in _attempts(layers, multiple):
            for off, keys in self.candidates(deep, step):
                if off <= TOLERANCE * self.target:
                    return keys
                found.append((off, keys))
            if not found and self.error is not None and deep == layers and step == multiple:
                raise self.error  # no width is taken at all
        off, keys = min(found, key=lambda item: item[0])
        if off <= tolerance * self.target:
            return keys
        nearest = self.count(keys["depth"], keys[self.width], keys.get(str(self.fine)))
        raise ValueError(
            f"{asked}={self.target:,.0f} cannot be reached within {tolerance:.0%}: "
            f"the nearest is {nearest:,.0f} ({keys})"
        )

    def candidates(self, layers: int, multiple: int) -> Iterator[tuple[float, dict[str, int]]]:
        """(how far off, keys), the fine knob's solution of the nearer width first."""
        step = self.taken(layers, multiple)
        if step is None:
            return

        def at(n: int) -> float:
            value = self.count(layers, n * step)
            return math.inf if value is None else value

        below = _largest_below(self.target, at) * step
        # The nearer width first: there, the fine knob has least to make up for.
        for wide in sorted((below, below + step), key=lambda w: abs(at(w // step) - self.target)):
            for value in dict.fromkeys((self.fine_value(layers, wide), None)):
                count = self.count(layers, wide, value)
                if count is not None:
                    yield abs(count - self.target), self.keys(layers, wide, value)

    def taken(self, layers: int, multiple: int) -> int | None:
        """The smallest multiple of `multiple` all of whose multiples the factory takes, as far as seen."""
        for times in range(1, TIMES + 1):
            if all(self.count(layers, n * times * multiple) is not None for n in (2, 3)):
                return times * multiple
        return None

    def fine_value(self, layers: int, wide: int) -> int | None:
        """What the fine knob must be at this width; None where it has no effect, or would have to vanish."""
        if self.fine is None:
            return None
        unit = self.fine_multiple
        first = -(-wide // unit) * unit
        for base in (first, 2 * first, 4 * first):
            low, high = self.count(layers, wide, base), self.count(layers, wide, 2 * base)
            if low is not None and high is not None:
                break
        else:
            return None
        if high == low:
            return None
        wanted = base + round((self.target - low) / ((high - low) / (base // unit))) * unit
        around = (wanted + sign * n * unit for n in range(PROBES) for sign in ((1, -1) if n else (1,)))
        return next((v for v in around if v >= 1 and self.count(layers, wide, v) is not None), None)


def _attempts(layers: int, multiple: int) -> Iterator[tuple[int, int]]:
    """(layers, multiple), the declared ones first, then finer multiples, then a layer more or less."""
    steps = [multiple >> n for n in range(FINER + 1) if multiple % (1 << n) == 0]
    for away in range(DEEPER + 1):
        for deep in dict.fromkeys((layers + away, layers - away)):
            if deep >= 1:
                yield from ((deep, step) for step in steps)


def _largest_below(target: float, count: Callable[[int], float]) -> int:
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


def closest(values: Sequence[int], measure: Callable[[int], float], target: float) -> int:
    """The one of `values` (rising) whose measure is nearest to the target, or one within 0.5% of it.

    The measure grows with the value, and is taken to be close to a line, so that few are measured. A value
    that is refused with a ValueError counts as too large; that error is raised where all are.
    """
    refusals: list[ValueError] = []

    @cache
    def at(i: int) -> float:
        try:
            return measure(values[i])
        except ValueError as error:
            refusals.append(error)
            return math.inf

    low, high, turn = -1, len(values), 0  # up to low all are too small, from high on too large
    while high - low > 1:
        turn += 1
        guess = (low + high) // 2
        x, y = (values[low], at(low)) if low >= 0 else (0, 0.0)
        if high < len(values) and math.isfinite(at(high)):
            if turn % 3:  # now and then by halves, which always gets there
                wanted = x + (target - y) * (values[high] - x) / (at(high) - y)
                guess = bisect_left(values, wanted, low + 1, high - 1)
        elif high == len(values):
            guess = bisect_left(values, x * target / y if y > 0 else 1, low + 1, high - 1)
        if abs(at(guess) - target) <= CLOSE * target:
            return values[guess]
        low, high = (guess, high) if at(guess) < target else (low, guess)
    best = min((i for i in (low, high) if 0 <= i < len(values)), key=lambda i: abs(at(i) - target))
    if math.isinf(at(best)):
        raise refusals[0]
    return values[best]
