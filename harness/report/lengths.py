"""The part of a report that is about long sequences: per setting its tables, remarks and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .drawing import Plot
from .length_tables import LengthTable, length_tables
from .measures import Setting, settings_of
from .points import Point


@dataclass(frozen=True)
class Lengths:
    """One setting of a length sweep. stem begins names and anchors."""

    stem: str
    title: str
    setting: Setting
    tables: Sequence[LengthTable]
    remarks: Sequence[str]
    plots: Sequence[Plot] = ()


def lengths(points: Iterable[Point]) -> list[Lengths]:
    """A part per setting, since only points of one may be compared."""
    found = settings_of(points)
    parts = []
    for number, setting in enumerate(found, start=1):
        own = "lengths" if len(found) == 1 else f"lengths-{number}"
        title = "Cost against length" + ("" if len(found) == 1 else f": {setting.words}")
        parts.append(Lengths(own, title, setting, length_tables(setting, own), _remarks(setting)))
    return parts


def _remarks(setting: Setting) -> list[str]:
    """What all numbers of a setting have in common."""
    points = [point for own in setting.points.values() for point in own]
    lines = [f"Measured at: {setting.words}."]
    if others := sorted({point.other for point in points if point.side and point.other}):
        lines.append(
            "Of an encoder-decoder, source or target has the length, as its name says; the other side has "
            f"{' or '.join(map(str, others))} tokens."
        )
    lines.append(
        "In the pictures, T to some power says how the cost of one sequence grows; a wide line is the part "
        "that was fitted, a dashed one how it goes on. Rings are where curves cross; a cross has no result."
    )
    if all(point.mode == "tokens" for point in points):
        lines.append(
            "One sequence alone was not measured (modes=[tokens,single] of archs-bench does): to read one "
            "takes what a batch does over its rows, and a token is decoded for all rows of a batch together."
        )
    if any(point.memory for point in points):
        counted = "allocators'" if setting.count == "allocator" else "operating system's"
        lines.append(
            f"Memory is the peak of a call by the {counted} count, above what stood before: weights, "
            "optimizer state and libraries are taken off, since they do not grow with length. Gradients, as "
            "many bytes as the weights, are in it at every length."
        )
    return lines


def point_lines(parts: Sequence[Lengths]) -> list[dict[str, Any]]:
    """Everything unrounded: a line per point, per exponent and per crossing."""
    lines: list[dict[str, Any]] = []
    for part in parts:
        where = {"setting": part.setting.words}
        for own in part.setting.points.values():
            lines += [where | _point_line(point) for point in own]
        lines += [where | line for line in _law_lines(part.setting)]
    return lines


def _point_line(point: Point) -> dict[str, Any]:
    line: dict[str, Any] = {"kind": "point", "row": point.curve, "arch": point.base, "status": point.status}
    line |= {"error": point.error, "length": point.length, "mode": point.mode, "batch": point.batch}
    for work, seconds in point.seconds.items():
        line[f"{work}_seconds"] = seconds
        line[f"{work}_seconds_q1"], line[f"{work}_seconds_q3"] = point.spread.get(work, (None, None))
        line[f"{work}_tokens_per_second"] = (1 if work == "decode" else point.tokens) / seconds
        line |= {f"{work}_flops": point.flops.get(work), f"{work}_peak_share": point.peak_share.get(work)}
    for work, counts in point.memory.items():
        line |= {f"{work}_memory_{count}": value for count, value in counts.items()}
    return line | {"state_bytes": point.state_bytes, "drift": point.drift}


def _law_lines(setting: Setting) -> Iterable[dict[str, Any]]:
    for measure, of in setting.exponents.items():
        for curve, fit in of.items():
            line: dict[str, Any] = {"kind": "exponent", "row": curve, "cost": measure.title}
            if not fit.identified:
                yield line | {"error": fit.why}
                continue
            line |= {"exponent": fit.exponent, "length": fit.start, "length_end": fit.end}
            yield line | {"exponent_low": fit.interval[0], "exponent_high": fit.interval[1], "bend": fit.bend}
    for measure, pairs in setting.crossings.items():
        for pair, meeting in pairs.items():
            line = {"kind": "crossing", "row": " and ".join(pair), "cost": measure.title}
            yield from (
                line
                | {"less": each.less, "length": each.length, "measured": each.measured}
                | {"length_low": each.interval[0], "length_high": each.interval[1]}
                for each in meeting.crossings
            )
            if not meeting.crossings:
                yield line | {"less": meeting.less, "error": meeting.why}
