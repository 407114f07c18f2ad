"""Tables of a length sweep: speed and memory by length, exponents, and where curves cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..statistics.lengths import TIE, UNSTEADY, Crossing, Exponent, Meeting
from .measures import DECODE, MEMORY, READ, READ_MEMORY, STATE, TRAIN, Measure, Setting
from .points import STATUSES, Point
from .quantities import count, size
from .tables import EMPTY, Cell, Column, Grid

ARCHITECTURE = Column("architecture", number=False)

EXPONENTS = (
    "Exponents are of what one sequence of length T costs: 1 is linear, 2 quadratic. Of a batch that is"
    " what it took over its rows; with a fixed number of tokens per batch, the time of a token times T."
    " Of decoding it is the time of one token with T before it: 0 is constant.",
    "Fitted over the longest run of lengths up to the last one along which the slope changes by less "
    "than 0.1, or not beyond noise, four at least. What still rises or falls along those has not "
    "reached the exponent of great lengths.",
)
BATCHES = (
    "Speed and memory are of a batch: as many sequences of a length as its tokens hold, one at least. Where "
    "one alone has more tokens than that, memory grows with it."
)
PEAKS = (
    "Operations that the architecture needs for a step, three times those of a forward pass, over its "
    "time and the peak in the row's own precision: the rate of a square matrix product, measured around it. "
    "What is computed twice counts once."
)
CROSSINGS = (
    "From which length on, or until which, a row costs less than a column, as far as they can be told "
    "apart; beside it the 95% interval, in which they cannot: of pairs that cost the same, one in twenty "
    "at most is said to cross.",
    "So far: the row costs less wherever lengths of the sweep tell the two apart; their exponents do not say "
    "how it goes on. Always: nor does it turn, by their exponents, within 1,000 times the longest length. "
    "Not so far, never: the column costs less. Level below or above a length, tie at all: not told apart.",
)
EXTRAPOLATED = (
    "≈: extrapolated by their exponents, beyond the longest length that both were measured at. Of a curve "
    "that still rises or falls, it comes at another length than that."
)


@dataclass(frozen=True)
class LengthTable:
    """A table with its lines below.

    curves  whose colour each row has; empty where a row is of two
    pairs   of every two curves: several screens of a terminal, which leaves them to the files
    """

    title: str
    name: str
    grid: Grid
    lines: Sequence[str] = ()
    curves: Sequence[str] = ()
    pairs: bool = False


def length_tables(setting: Setting, stem: str) -> list[LengthTable]:
    """All tables of one setting; those of which nothing was tried are left out."""
    tables = [
        _by_length(setting, TRAIN, MEMORY, "Training step: tokens/s, peak memory", f"{stem}-train"),
        _by_length(setting, READ, READ_MEMORY, "Reading one sequence: tokens/s, peak memory", f"{stem}-read"),
        _by_length(
            setting, DECODE, STATE, "Decoding one sequence: tokens/s, cache or state", f"{stem}-decode"
        ),
        _peaks(setting, f"{stem}-peak"),
    ]
    tables += [_exponents(setting, stem), *_crossings(setting, stem)]
    return [table for table in tables if table]


def _by_length(
    setting: Setting, timed: Measure, stored: Measure, title: str, name: str
) -> LengthTable | None:
    """A row per curve, a column per length: tokens per second, and bytes in small type."""
    own = {
        curve: {p.length: p for p in points}
        for curve in setting.curves
        if (points := setting.of(curve, timed))
    }
    lengths = sorted({length for points in own.values() for length in points})
    if not own:
        return None
    columns = (ARCHITECTURE, *(Column(f"{length:,}") for length in lengths))
    rows = tuple(
        (Cell(curve), *(_cost_cell(setting, points.get(length), timed, stored) for length in lengths))
        for curve, points in own.items()
    )
    shown = [point for points in own.values() for point in points.values()]
    lines = [BATCHES] if timed is TRAIN else []
    lines += _without_result(setting, timed, shown)
    if any(cell.interval and cell.value is None for row in rows for cell in row):
        lines.append("Bytes beside work that was not timed: memory is counted, or computed, before.")
    return LengthTable(title, name, Grid(columns, rows), lines, list(own))


def _peaks(setting: Setting, name: str) -> LengthTable | None:
    """A row per curve, a column per length: the rate of a training step, of that of a matrix product."""
    work = TRAIN.work
    shares = {
        curve: {p.length: p.peak_share[work] for p in setting.of(curve, TRAIN) if work in p.peak_share}
        for curve in setting.curves
    }
    own = {curve: by_length for curve, by_length in shares.items() if by_length}
    if not own:
        return None
    lengths = sorted({length for by_length in own.values() for length in by_length})
    columns = (ARCHITECTURE, *(Column(f"{length:,}", "%") for length in lengths))
    rows = []
    for curve, by_length in own.items():
        found = (by_length.get(length) for length in lengths)
        rows.append((Cell(curve), *(EMPTY if v is None else Cell(f"{100 * v:.1f}", v) for v in found)))
    title = "Training step: share of the machine's matmul rate"
    return LengthTable(title, name, Grid(columns, tuple(rows)), (PEAKS,), list(own))


def _cost_cell(setting: Setting, point: Point | None, timed: Measure, stored: Measure) -> Cell:
    if point is None:
        return EMPTY
    seconds, taken = timed.of(point, setting.count), stored.of(point, setting.count)
    if taken is not None and stored is MEMORY:
        taken *= point.batch  # what a batch needs, which has to fit
    told = "" if taken is None else size(taken)
    if seconds is None:
        status = point.became(timed.asks(point))
        return EMPTY if status == "ok" else Cell(STATUSES[status], interval=told)
    speed = (1 if timed is DECODE else point.length) / seconds
    note = "unsteady" if point.drift > UNSTEADY else ""
    return Cell(count(speed), speed, note=note, interval=told)


def _without_result(setting: Setting, timed: Measure, shown: Sequence[Point]) -> list[str]:
    """What became of points without a result; those skipped for it follow from the first."""
    lines = []
    points = [point for point in shown if not setting.known([point], timed)]
    for point in points:
        status = point.became(timed.asks(point))
        if status not in ("ok", "skipped"):
            error = f": {point.error}" if point.error else ""
            lines.append(f"{point.curve} at {point.length:,}: {STATUSES[status]}{error}.")
    if any(point.became(timed.asks(point)) == "skipped" for point in points):
        lines.append("Skipped: a shorter length of that curve ended without a result.")
    if any(point.drift > UNSTEADY for point in shown):
        lines.append(
            f"Unsteady: the machine's speed was more than {UNSTEADY:.0%} off that of its sweep, "
            "also when it was measured again."
        )
    return lines


def _exponents(setting: Setting, stem: str) -> LengthTable | None:
    """A row per measure and curve: exponent, interval, and the lengths that it is of."""
    fits = [(measure, c, fit) for measure, of in setting.exponents.items() for c, fit in of.items()]
    if not any(fit.identified for _, _, fit in fits):
        return None
    columns = (
        ARCHITECTURE,
        Column("cost of one sequence", number=False),
        Column("exponent"),
        Column("95% interval"),
        Column("fitted over"),
        Column("remark", number=False, optional=True),
    )
    rows = tuple((Cell(curve), Cell(measure.title), *_exponent_cells(fit)) for measure, curve, fit in fits)
    curves = [curve for _, curve, _ in fits]
    return LengthTable(
        "Exponents of cost in length", f"{stem}-exponents", Grid(columns, rows), EXPONENTS, curves
    )


def _exponent_cells(fit: Exponent) -> tuple[Cell, ...]:
    if not fit.identified:
        return EMPTY, EMPTY, EMPTY, Cell(fit.why)
    low, high = fit.interval
    way = "rises" if fit.bend > 0 else "falls"
    return (
        Cell(f"{_plain(fit.exponent)}", fit.exponent),
        Cell(f"{_plain(low)} to {_plain(high)}", high - low),
        Cell(f"{fit.start:,.0f}–{fit.end:,.0f}", fit.start),
        Cell(f"still {way}, by {abs(fit.bend):.2f}" if fit.bend else ""),
    )


def _plain(exponent: float) -> str:
    """Two digits; nothing is less than nothing."""
    return f"{round(exponent, 2) + 0.0:.2f}"


def _crossings(setting: Setting, stem: str) -> list[LengthTable]:
    """A table per measure: from which length on the row costs less than the column. None of a measure where
    no two curves have lengths in common, two of which an order needs."""
    tables = []
    for measure, pairs in setting.crossings.items():
        curves = list(setting.costs[measure])
        if not any(meeting.less or meeting.why == TIE for meeting in pairs.values()):
            continue
        meetings = pairs | {(b, a): meeting for (a, b), meeting in pairs.items()}
        rows = tuple(
            (Cell(row), *(_meeting_cell(meetings.get((row, other)), row) for other in curves))
            for row in curves
        )
        columns = (Column("costs less than", number=False), *(Column(curve) for curve in curves))
        title = f"{measure.title[:1].upper()}{measure.title[1:]}: where curves cross"
        name = f"{stem}-crossings-{measure.key}"
        tables.append(LengthTable(title, name, Grid(columns, rows), (), curves, pairs=True))
    if not tables:
        return []
    cells = (cell for table in tables for row in table.grid.rows for cell in row)
    lines = [*CROSSINGS, EXTRAPOLATED] if any("≈" in str(cell) for cell in cells) else CROSSINGS
    return [replace(tables[0], lines=lines), *tables[1:]]


def _meeting_cell(meeting: Meeting | None, row: str) -> Cell:
    """From which length on, or up to which, the row of a table costs less."""
    if meeting is None:
        return Cell("")
    if meeting.less is None:
        return Cell("tie") if meeting.why == TIE else EMPTY
    if not meeting.crossings:
        return _one_order(meeting, row)
    told = [f"{'from' if each.less == row else 'until'} {_about(each)}" for each in meeting.crossings]
    first = meeting.crossings[0]
    low, high = first.interval
    interval = f"{rounded(low)}–{rounded(high)}" if len(told) == 1 else ""
    return Cell(", ".join(told), first.length, interval=interval, note=_level(meeting))


def _one_order(meeting: Meeting, row: str) -> Cell:
    """The same of two curves that do not cross."""
    less = meeting.less == row
    if meeting.since and not meeting.measured:
        return Cell("tie", note=f"{'' if less else 'not '}from ≈ {rounded(meeting.since)}")
    ends = {"from": meeting.since, "until": meeting.until}
    if less and any(ends.values()):
        told = " ".join(f"{word} {rounded(length)}" for word, length in ends.items() if length)
        told += " so far" if meeting.why and not meeting.until else ""
        return Cell(told, meeting.since or meeting.until, note=_level(meeting, named=False))
    if meeting.why:
        return Cell("so far" if less else "not so far", note=_level(meeting))
    return Cell("always" if less else "never", note=_level(meeting))


def _level(meeting: Meeting, *, named: bool = True) -> str:
    """Below and above which length two curves that have an order are not told apart."""
    ends = {"below": meeting.since, "above": meeting.until}
    told = [f"{word} {rounded(length)}" if named else word for word, length in ends.items() if length]
    return f"level {' and '.join(told)}" if told else ""


def _about(crossing: Crossing) -> str:
    return rounded(crossing.length) if crossing.measured else f"≈ {rounded(crossing.length)}"


def rounded(length: float) -> str:
    """A length to three digits: "1,480", "92,100"."""
    return f"{float(f'{length:.3g}'):,.0f}"
