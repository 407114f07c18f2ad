"""Who may be compared with whom in a column of a table, and who won it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..metrics import Metric, part_of
from ..statistics.verdict import Verdict, verdict
from .quantities import count

if TYPE_CHECKING:
    from .summary import Row

SAW = {"left": "the left only", "both": "both sides"}
# Primary metrics of tasks whose answers follow the source in several tokens: each judges an answer whole.
WHOLE_ANSWERS = ("exact_match", "chrf", "bleu", "rougeL")
GOLD = "gold prefix"  # the mark of an accuracy whose tokens were each named given the right ones before it
GIVEN, NOT_GIVEN = f"were given the {GOLD}", f"were given no {GOLD}"
SAME_SIZE = 1.1  # largest over smallest number of parameters up to which nobody would speak of two sizes


def judge(rows: Mapping[str, Row], metric: Metric) -> Verdict:
    """Who won the column of a metric among rows by name, or why nobody did.

    Only those are compared that were asked alike, and at one size: where sizes were not solved for and
    differ, only the rows at one point of the study's grid, where these are of one size.
    """
    groups, barred = _groups(rows, metric)
    results = {
        name: dict.fromkeys(row.seeds, math.nan) | row.values(metric.key) for name, row in rows.items()
    }
    return verdict(
        results,
        metric,
        test_sets={name: row.clusters(metric.key) for name, row in rows.items()},
        tested=any(row.split == "test" for row in rows.values()),
        may_compare=groups,
        barred=barred,
        absent={name: NO_RATE for name, row in rows.items() if row.unrated},
    )


NO_RATE = "no eligible rate"  # the status of what a study could not train: no trial of its sweep ended well


def _groups(rows: Mapping[str, Row], metric: Metric) -> tuple[dict[str, str], dict[str, str]]:
    """({row: words for those it may be compared with}, {words: why none of these can win})."""
    asked = {name: _asked(row, metric) for name, row in rows.items()}
    if (apart := sizes_apart(rows.values())) is None:
        return asked, {}
    places = {name: ", ".join(filter(None, (_at(row), asked[name]))) for name, row in rows.items()}
    members: dict[str, list[Row]] = {}
    for name, row in rows.items():
        members.setdefault(places[name], []).append(row)
    unequal = {words: found for words, own in members.items() if (found := sizes_apart(own))}
    if any(len(own) > 1 and words not in unequal for words, own in members.items()):
        return places, {words: unlike(found) for words, found in unequal.items()}
    return dict.fromkeys(rows, ""), {"": unlike(apart)}


def _asked(row: Row, metric: Metric) -> str:
    how = given(row, metric)
    return f"among those that {how}" if how else ""


def _at(row: Row) -> str:
    """ "at dim 16": where along the study's grid a row stands."""
    return f"at {row.at.replace('=', ' ')}" if row.at else ""


def given(row: Row, metric: Metric) -> str:
    """What a row was shown when it was asked for this, where that differs between families: "saw both sides";
    empty where all see the same."""
    asks_for = _asks_for(metric)
    if asks_for == "infill_bpb":
        return f"saw {SAW.get(row.infill_context, row.infill_context)}"
    if asks_for == "accuracy" and row.gold_prefix is not None:
        return GIVEN if row.gold_prefix else NOT_GIVEN
    return ""


def shown_what(rows: Iterable[Row], metric: Metric) -> list[str]:
    """A line about who was shown what, where that is a question: "To infill, bert saw both sides; ..."."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if how := given(row, metric):
            found.setdefault(how, []).append(row.label)
    told = {how: ", ".join(labels) for how, labels in found.items()}
    if _asks_for(metric) == "infill_bpb":
        return [f"To infill, {'; '.join(f'{names} {how}' for how, names in told.items())}."] if told else []
    if GIVEN not in told:
        return []
    without = f", of {told[NOT_GIVEN]} without it" if NOT_GIVEN in told else ""
    return [
        f"Accuracy is of answer tokens: of {told[GIVEN]} given the {GOLD}, the right ones before{without}."
    ]


def mark(row: Row, metric: Metric) -> str:
    """The mark beside a number that was asked for in an easier way, or a harder one, than others'."""
    if _asks_for(metric) == "infill_bpb" and row.infill_context == "left":
        return "left only"
    return GOLD if _asks_for(metric) == "accuracy" and row.gold_prefix else ""


def _asks_for(metric: Metric) -> str:
    part = part_of(metric.key)
    return part[0] if part else metric.key


def sizes_apart(rows: Iterable[Row]) -> tuple[float, float] | None:
    """The least and the most parameters of rows whose sizes were not solved for and differ, else None."""
    rows = list(rows)
    if all(row.sized for row in rows):
        return None
    found = [size for row in rows if (size := row.mean("parameters", "non_embedding"))]
    return (min(found), max(found)) if found and max(found) > SAME_SIZE * min(found) else None


def unlike(apart: tuple[float, float]) -> str:
    """Why rows of such sizes are not compared."""
    return f"no size was asked for, and parameters differ ({count(apart[0])} to {count(apart[1])})"
