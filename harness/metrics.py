"""The numbers that tables know: what each is called, which way is better, and what difference matters."""

from __future__ import annotations

import re
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
    Metric("f1", "token F1", "%", False, 0.01),
    Metric("chrf", "chrF", "%", False, 0.01),
    Metric("bleu", "BLEU", "%", False, 0.01),
    Metric("rouge1", "ROUGE-1", "%", False, 0.01),
    Metric("rouge2", "ROUGE-2", "%", False, 0.01),
    Metric("rougeL", "ROUGE-L", "%", False, 0.01),
)
_BY_KEY = {metric.key: metric for metric in METRICS}
_PART = re.compile(rf"(?P<metric>{'|'.join(_BY_KEY)})_(?P<axis>[a-z][a-z_]*)_(?P<number>\d+(?:\.\d+)?)")


def metric(key: str) -> Metric | None:
    """The metric of that key, also of a part of a task ("accuracy_pairs_8"); None where no table knows it."""
    if key in _BY_KEY:
        return _BY_KEY[key]
    if (part := part_of(key)) is None:
        return None
    of, axis, number = part
    return replace(_BY_KEY[of], key=key, title=f"{_BY_KEY[of].title} at {axis} {number:g}")


def part_of(key: str) -> tuple[str, str, float] | None:
    """("accuracy", "pairs", 8.0) of "accuracy_pairs_8"; None for what is no part of a metric that we know."""
    found = _PART.fullmatch(key)
    if found is None:
        return None
    return found["metric"], found["axis"].replace("_", " "), float(found["number"])
