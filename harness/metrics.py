"""The numbers that tables know: what each is called, which way is better, and what difference matters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """A number that means the same for every family.

    unit      "%" for fractions, which people read times 100 and whose differences are points
    minimum   smallest difference that matters, as the number stands in records
    baseline  row of the baselines that a model has to beat, by `margin`, to have left the plateau
    """

    key: str
    title: str
    unit: str
    lower_is_better: bool
    minimum: float
    baseline: str | None = None
    margin: float = 0.0

    @property
    def scale(self) -> int:
        """What a number in a record is multiplied by before people read it."""
        return 100 if self.unit == "%" else 1

    @property
    def difference(self) -> str:
        """The unit of a difference of two values."""
        return "points" if self.unit == "%" else self.unit


METRICS = (
    Metric("continuation_bpb", "continuation", "bits/byte", True, 0.01, baseline="unigram", margin=0.02),
    Metric("infill_bpb", "infill", "bits/byte", True, 0.01, baseline="unigram", margin=0.02),
    Metric("accuracy", "accuracy", "%", False, 0.01),
    Metric("exact_match", "exact match", "%", False, 0.01),
    Metric("macro_f1", "macro F1", "%", False, 0.01),
    Metric("calibration_error", "calibration error", "%", True, 0.01),
    Metric("chrf", "chrF", "%", False, 0.01),
    Metric("bleu", "BLEU", "%", False, 0.01),
    Metric("rougeL", "ROUGE-L", "%", False, 0.01),
)
_BY_KEY = {metric.key: metric for metric in METRICS}
_PLACE = r"_([a-z][a-z_]*?)_(\d+(?:\.\d+)?)"  # "_length_128": an axis, and where along it
_PART = re.compile(rf"(?P<metric>{'|'.join(_BY_KEY)})(?P<places>(?:{_PLACE})+)")


def metric(key: str) -> Metric | None:
    """The metric of that key, also of a part of a task ("accuracy_pairs_8"); None where no table knows it."""
    if key in _BY_KEY:
        return _BY_KEY[key]
    if (part := part_of(key)) is None:
        return None
    of, axis, number = part
    return replace(_BY_KEY[of], key=key, title=f"{_BY_KEY[of].title} at {axis} {number:g}")


def part_of(key: str) -> tuple[str, str, float] | None:
    """("accuracy", "pairs", 8.0) of "accuracy_pairs_8"; None for what is no part of a metric that we know.

    Of a part at several numbers, the last and what stands before it: "accuracy_length_128_pairs_8" is
    ("accuracy", "length 128 pairs", 8.0).
    """
    found = _PART.fullmatch(key)
    if found is None:
        return None
    axis, _, number = found["places"][1:].rpartition("_")
    return found["metric"], axis.replace("_", " "), float(number)


def places_of(key: str) -> tuple[str, dict[str, float]] | None:
    """("accuracy", {"length": 128.0, "pairs": 8.0}) of "accuracy_length_128_pairs_8", else as `part_of`."""
    found = _PART.fullmatch(key)
    if found is None:
        return None
    places = re.findall(_PLACE, found["places"])
    return found["metric"], {axis.replace("_", " "): float(number) for axis, number in places}


def along_axes(keys: Iterable[str], own: Mapping[str, float]) -> dict[tuple[str, str], dict[float, str]]:
    """{(metric, axis): {number: key}} of the parts among keys.

    Parts at several numbers of which one varies lie along that one, beside the part that is named without it
    because it is at the task's own number, in `own`: "pairs_2" beside "length_32_pairs_2". Those of which
    several vary lie along no axis: see `scattered`.
    """
    found: dict[tuple[str, str], dict[float, str]] = {}
    groups = _at_several(keys)
    for key in keys:
        if (places := places_of(key)) and len(places[1]) == 1:
            ((axis, number),) = places[1].items()
            found.setdefault((places[0], axis), {})[number] = key
    for (of, names), members in groups.items():
        if len(varying := _varying(names, members)) == 1:
            (axis,) = varying
            along = found.setdefault((of, axis), {})
            along |= {at[axis]: key for key, at in members.items()}
            rest = {name: at for name, at in next(iter(members.values())).items() if name != axis}
            if axis in own and len(rest) == 1:
                ((name, number),) = rest.items()
                usual = found.get((of, name), {}).get(number)
                along |= {} if usual is None else {own[axis]: usual}
    return found


def scattered(keys: Iterable[str]) -> dict[tuple[str, tuple[str, ...]], dict[tuple[float, ...], str]]:
    """{(metric, axes): {numbers: key}} of the parts that differ in several numbers."""
    return {
        (of, names): {tuple(at.values()): key for key, at in members.items()}
        for (of, names), members in _at_several(keys).items()
        if len(_varying(names, members)) > 1
    }


def _at_several(keys: Iterable[str]) -> dict[tuple[str, tuple[str, ...]], dict[str, dict[str, float]]]:
    """{(metric, axes): {key: its places}} of the parts at several numbers."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, dict[str, float]]] = {}
    for key in keys:
        if (places := places_of(key)) and len(places[1]) > 1:
            found.setdefault((places[0], tuple(places[1])), {})[key] = places[1]
    return found


def _varying(names: Iterable[str], members: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The axes along which parts differ; of a single part, its first."""
    names = list(names)
    return [name for name in names if len({at[name] for at in members.values()}) > 1] or names[:1]
