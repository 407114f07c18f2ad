"""What is read of points: the cost of one sequence, by architecture and length, of what may be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..statistics.lengths import Curve, Exponent, Meeting, crossings, exponent
from .points import Point


@dataclass(frozen=True)
class Measure:
    """What grows with length: the cost of one sequence.

    work    that is timed or takes the memory; "" for a state, which needs no timing
    modes   whose points are read: of one of them alone, the first where they know as many curves
    """

    key: str
    title: str
    work: str
    modes: tuple[str, ...]
    kind: str = "time"

    def asks(self, point: Point) -> str:
        """The work of that point: an encoder, without a state to prefill, reads in a forward pass."""
        return "forward" if self.work == "prefill" and point.family == "encoder" else self.work

    def of(self, point: Point, count: str) -> float | None:
        """Seconds or bytes of one sequence of that point; of memory the one counted by `count`.

        None where that is not known; of decoding also where several rows waited for a token together.
        """
        if self.kind == "state":
            return float(point.state_bytes) if point.state_bytes else None
        work = self.asks(point)
        found = point.seconds.get(work) if self.kind == "time" else point.memory.get(work, {}).get(count)
        if found is None or work != "decode":
            return found and found / point.batch
        return found if point.batch == 1 else None


TRAIN = Measure("train", "training time", "train_step", ("tokens",))
MEMORY = Measure("memory", "training memory", "train_step", ("tokens",), "memory")
READ = Measure("prefill", "reading time", "prefill", ("single", "tokens"))
READ_MEMORY = Measure("read-memory", "reading memory", "prefill", ("single", "tokens"), "memory")
DECODE = Measure("decode", "time per decoded token", "decode", ("single", "tokens"))
STATE = Measure("state", "cache or state", "", ("single", "tokens"), "state")
MEASURES = (TRAIN, MEMORY, READ, READ_MEMORY, DECODE, STATE)


@dataclass(frozen=True)
class Setting:
    """The points of one setting, which alone may be compared: {(curve, mode): its points by length}.

    count     which memory is read: the allocator's where every point has it, else the system's
    left_out  {curve: how many points of other models than its newest are not among these}
    """

    words: str
    points: Mapping[tuple[str, str], tuple[Point, ...]]
    count: str
    left_out: Mapping[str, int]

    @property
    def curves(self) -> list[str]:
        return list(dict.fromkeys(curve for curve, _ in self.points))

    @property
    def lengths(self) -> list[int]:
        return sorted({point.length for own in self.points.values() for point in own})

    @property
    def archs(self) -> dict[str, str]:
        """{curve: architecture}, for colours."""
        return {curve: own[0].arch for (curve, _), own in self.points.items()}

    def of(self, curve: str, measure: Measure) -> tuple[Point, ...]:
        """The points of a curve that the measure reads; none where it is known at no length, unless it was
        tried: what ended at the first length has no result, and is not left out for it."""
        own = self.points.get((curve, self.modes[measure]), ())
        tried = any(measure.asks(point) in point.ended for point in own)
        return own if tried or self.known(own, measure) else ()

    def known(self, points: Iterable[Point], measure: Measure) -> bool:
        """Whether the measure is known of any of them."""
        return any(measure.of(point, self.count) is not None for point in points)

    @cached_property
    def modes(self) -> dict[Measure, str]:
        """{measure: the mode that it is read of}: one for all curves, since modes are not compared."""
        return {measure: max(measure.modes, key=lambda m: self._curves(measure, m)) for measure in MEASURES}

    def _curves(self, measure: Measure, mode: str) -> int:
        """Of how many curves a mode knows the measure."""
        return sum(self.known(own, measure) for (_, known), own in self.points.items() if known == mode)

    @cached_property
    def costs(self) -> dict[Measure, dict[str, Curve]]:
        """{measure: {curve: what one sequence costs by length}}, of those that have any."""
        return {measure: self._costs(measure) for measure in MEASURES}

    @cached_property
    def exponents(self) -> dict[Measure, dict[str, Exponent]]:
        return {measure: {c: exponent(own) for c, own in of.items()} for measure, of in self.costs.items()}

    @cached_property
    def crossings(self) -> dict[Measure, dict[tuple[str, str], Meeting]]:
        return {measure: crossings(of, self.exponents[measure]) for measure, of in self.costs.items()}

    def _costs(self, measure: Measure) -> dict[str, Curve]:
        found: dict[str, Curve] = {}
        for curve in self.curves:
            rows = [
                (point.length, cost, *_spread(point, measure, cost))
                for point in self.of(curve, measure)
                if (cost := measure.of(point, self.count)) is not None
            ]
            found |= {curve: Curve.of(rows)} if rows else {}
        return found


def _spread(
    point: Point, measure: Measure, cost: float
) -> tuple[tuple[float, float] | None, int | None, float]:
    """Quartiles of a cost, how many measurements they are of, and how far the machine's speed was off."""
    if measure.kind != "time":
        return None, None, 0.0
    work = measure.asks(point)
    if work not in point.spread:
        return None, None, point.drift
    share = cost / point.seconds[work]
    low, high = point.spread[work]
    return (share * low, share * high), point.repeats.get(work), point.drift


def settings_of(points: Iterable[Point]) -> list[Setting]:
    """The points by setting; of every curve and mode those of the model that was measured last."""
    found: dict[str, dict[tuple[str, str], list[Point]]] = {}
    for point in points:
        found.setdefault(point.setting, {}).setdefault((point.curve, point.mode), []).append(point)
    return [_setting(words, curves) for words, curves in found.items()]


def _setting(words: str, curves: Mapping[tuple[str, str], Sequence[Point]]) -> Setting:
    kept = {key: _newest(own) for key, own in curves.items()}
    good = [point for own in kept.values() for point in own if point.memory]
    exact = all("allocator" in kinds for point in good for kinds in point.memory.values())
    left_out: Counter[str] = Counter()
    for (curve, mode), own in curves.items():
        left_out[curve] += sum(point.model != kept[curve, mode][0].model for point in own)
    return Setting(words, kept, "allocator" if exact else "system", +left_out)


def _newest(points: Iterable[Point]) -> tuple[Point, ...]:
    """One per length, ascending, of the model that was measured last: two models make no curve. Of two of it
    at one length, too, the one that was measured last."""
    ordered = sorted(points, key=lambda point: (point.measured, point.ok))
    own = {point.length: point for point in ordered if point.model == ordered[-1].model}
    return tuple(own[length] for length in sorted(own))
