"""The part of a report that is about long sequences: per setting its tables, remarks and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..statistics.lengths import POINTS_NEEDED
from .drawing import Plot
from .length_tables import LengthTable, length_tables
from .measures import READ_MEMORY, Setting, settings_of
from .points import Point

ABOUT = {  # of a point's environment
    "processor": "{}",
    "torch": "torch {}",
    "threads": "threads: {}",
    "freed": "freed memory, while timed: {}",
}


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
    if setting.left_out:
        told = ", ".join(f"{number} of {curve}" for curve, number in setting.left_out.items())
        lines.append(
            f"Points left out: {told}, measured with other code, settings or kernels than the newest ones "
            "under that name."
        )
    if own := _own_precisions(setting):
        lines.append(f"In a precision of their own: {', '.join(own)}.")
    lines += [*_pictures(setting), *_families(points)]
    if all(point.mode == "tokens" for point in points):
        lines.append(
            "One sequence alone was not measured (modes=[tokens,single] of archs-bench does): to read one "
            "takes what a batch does over its rows, and to decode is shown where a batch is one row."
        )
    if any(point.memory for point in points):
        counted = "allocators'" if setting.count == "allocator" else "operating system's"
        lines.append(
            f"Memory is the peak of a call by the {counted} count, above what stood before: weights, "
            "optimizer state and libraries are taken off, since they do not grow with length. Gradients, as "
            "many bytes as the weights, are in it at every length."
        )
    return [*lines, *_machine(points)]


def _pictures(setting: Setting) -> list[str]:
    """How to read what is in the pictures, and why nothing was fitted."""
    drawn = {measure: of for measure, of in setting.costs.items() if measure is not READ_MEMORY}
    fitted = any(fit.identified for measure in drawn for fit in setting.exponents[measure].values())
    lines = []
    if any(len(curve) > 1 for of in drawn.values() for curve in of.values()):
        told = []
        if fitted:
            told.append(
                "T to some power says how the cost of one sequence grows; a wide line is the part that was "
                "fitted, a dashed one how it goes on"
            )
        if any(meeting.crossings for measure in drawn for meeting in setting.crossings[measure].values()):
            told.append("rings are where curves cross")
        if any(point.ended for own in setting.points.values() for point in own):
            told.append("a cross is where one ends without a result")
        lines += [f"In the pictures, {'; '.join(told)}."] if told else []
    if not fitted:
        lines.append(
            f"No exponents: they need {POINTS_NEEDED} lengths of a curve over a factor of 4, and less noise "
            "than makes their interval wider than 1. Where two curves cross needs two lengths of both."
        )
    return lines


def _families(points: Sequence[Point]) -> list[str]:
    """What one family does in a measurement and another does not."""
    lines = []
    if others := sorted({point.other for point in points if point.side and point.other}):
        told = " or ".join(map(str, others))
        lines.append(
            "Of an encoder-decoder, source or target has the length, as its name says; the other side has "
            f"{told} tokens, which are in every time and byte. A token passes one of the two stacks, not "
            "both. A training step has loss and head at target tokens alone: where the source has the "
            f"length, at {told} of a row, where a decoder has them at every token."
        )
    if any(point.family == "encoder" and "train_step" in point.seconds for point in points):
        lines.append(
            "A training step asks for a token at every position, of an encoder too; masked training asks at "
            "a share of them, and its loss takes so much less."
        )
    if any("prefill" in point.seconds for point in points):
        lines.append(
            "Decoders and encoder-decoders read into the cache or state that they decode from, which is in "
            "their reading time and memory; an encoder only reads, and keeps nothing."
        )
    if any(point.biased for point in points):
        lines.append(
            "A bias by position (T5's, ALiBi) adds to every score: outside a window, a table of (T, T) "
            "numbers per head is built, whose memory is quadratic in length; attention without one takes "
            "linear memory."
        )
    return lines


def _own_precisions(setting: Setting) -> list[str]:
    """ "half (bf16-mixed)" of every curve whose precision is not the setting's."""
    shared = setting.words.split(", ")
    own = {curve: points[0].precision for (curve, _), points in setting.points.items()}
    return [f"{curve} ({which})" for curve, which in own.items() if which and which not in shared]


def _machine(points: Sequence[Point]) -> list[str]:
    """On what, with which kernels, and how memory was counted, in one line; nothing where no point says."""
    said = [each for key, words in ABOUT.items() if (each := _told(points, key, words))]
    used: dict[str, list[str]] = {}
    for curve in dict.fromkeys(point.curve for point in points):
        found = [point.environment.get("kernels") for point in points if point.curve == curve]
        if names := ", ".join(dict.fromkeys(name for each in found for name in _kernels(each))):
            used.setdefault(names, []).append(curve)
    said += [f"kernels of {', '.join(curves)}: {names}" for names, curves in used.items()]
    methods = sorted({point.memory_method for point in points if point.memory and point.memory_method})
    said += [f"memory, {' or '.join(methods)}"] if methods else []
    return [f"On {'; '.join(said)}."] if said else []


def _told(points: Sequence[Point], key: str, words: str) -> str:
    """What the environments of points say under a key: one value, or several."""
    values = {str(point.environment[key]) for point in points if point.environment.get(key) is not None}
    return words.format(" or ".join(sorted(values))) if values else ""


def _kernels(found: Any) -> list[str]:
    """{attention: [flash_attention], S6: numba} as "attention flash_attention" and "S6 numba"."""
    if not isinstance(found, Mapping):
        return []
    own = ((part, names if isinstance(names, list) else [names]) for part, names in found.items())
    return [f"{part} {' + '.join(map(str, names))}" for part, names in own]


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
                line |= {"less": meeting.less, "measured": meeting.measured, "error": meeting.why}
                yield line | {"length": meeting.since, "length_end": meeting.until}
