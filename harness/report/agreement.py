"""How well two sweeps of lengths agree: on times, and on ratios between architectures.

    python -m harness.report.agreement results/runs/bench results/runs/again

A machine may be faster on one day than on another; what a sweep claims is how architectures compare. So of
every two architectures timed at the same work and length, the ratio of their medians in the first folder is
held against that in the second:

                       first        second     they differ by
    gpt / mamba      10 / 20 ms   11 / 21 ms        4.8%
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..counts import format_length
from ..errors import ConfigError, note, one_line_errors
from ..sheets import Sheet
from ..statistics.lengths import UNSTEADY
from .collect import collect
from .measures import settings_of

BOUND = 0.1  # by which ratios may differ and be called the same


@dataclass(frozen=True)
class Place:
    """What was timed, whoever it was."""

    setting: str
    mode: str
    work: str
    length: int


Medians = Mapping[Place, Mapping[str, float]]  # seconds of one call, by the name of the curve


@dataclass(frozen=True)
class Difference:
    """By what share two sweeps differ, on `who`: an architecture's time, or the ratio of two."""

    place: Place
    who: str
    share: float


def medians(folder: Path) -> Medians:
    """Of everything that the points in folder/bench were timed at, of those that a report shows: once what
    stands there in two modes, and the unsteady ones left out.

    Raises ConfigError where there is nothing.
    """
    try:
        collected = collect(folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    curves = [own for each in settings_of(collected.points) for own in each.points.values()]
    points = [point for own in curves for point in own if not point.copied]
    steady = [point for point in points if point.drift <= UNSTEADY]
    found: dict[Place, dict[str, float]] = {}
    for point in steady:
        for work, seconds in point.seconds.items():
            place = Place(point.setting, point.mode, work, point.length)
            found.setdefault(place, {})[point.curve] = seconds
    for problem in collected.problems:
        note(problem)
    if unsteady := len(points) - len(steady):
        note(f"{folder}: {unsteady} unsteady point{'s' if unsteady > 1 else ''} left out, of {len(points)}")
    if not found:
        raise ConfigError(f"{folder} holds no points: make some with archs-bench study_name={folder.name}")
    return found


def of_times(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Of every architecture: by what share its two times differ."""
    for who in sorted(ours.keys() & theirs.keys()):
        yield who, apart(ours[who], theirs[who])


def of_ratios(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Of every two architectures: by what share the ratios of their times differ."""
    for one, other in itertools.combinations(sorted(ours.keys() & theirs.keys()), 2):
        yield f"{one} / {other}", apart(ours[one] / ours[other], theirs[one] / theirs[other])


def apart(one: float, other: float) -> float:
    """By what share the larger of two is above the smaller."""
    return max(one, other) / min(one, other) - 1


Of = Callable[[Mapping[str, float], Mapping[str, float]], Iterator[tuple[str, float]]]


def differences(first: Medians, second: Medians, of: Of) -> list[Difference]:
    """At everything that both sweeps timed."""
    return [
        Difference(place, who, share)
        for place in first
        if place in second
        for who, share in of(first[place], second[place])
    ]


def sheet(title: str, found: Sequence[Difference]) -> Sheet:
    """A line per kind of work, and one for all."""
    by_kind: dict[str, list[Difference]] = {}
    for each in found:
        by_kind.setdefault(f"{each.place.mode}: {each.place.work}", []).append(each)
    lines = [line(kind, own) for kind, own in sorted(by_kind.items())]
    headings = ["work", "compared", "median", f"within {BOUND:.0%}", "largest", "of"]
    return Sheet(title, headings, [*lines, line("all", found)])


def line(name: str, found: Sequence[Difference]) -> list[str]:
    largest = max(found, key=lambda each: each.share)
    return [
        name,
        str(len(found)),
        f"{statistics.median(each.share for each in found):.1%}",
        f"{sum(each.share <= BOUND for each in found) / len(found):.0%}",
        f"{largest.share:.1%}",
        f"{largest.who} at {format_length(largest.place.length)}",
    ]


def main() -> None:
    """Print by how much two sweeps differ."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.report.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs=2, type=Path, help="of two studies with the same points")
    folders = parser.parse_args().folders
    with one_line_errors():
        first, second = map(medians, folders)
        ratios = differences(first, second, of_ratios)
        if not ratios:
            raise ConfigError(f"{folders[0]} and {folders[1]} have nothing in common to compare")
    sheet("ratios of two architectures' medians", ratios).print(Console())
    sheet("medians", differences(first, second, of_times)).print(Console())


if __name__ == "__main__":
    main()
