"""What tables read in one run's record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..metrics import along_axes

Record = Mapping[str, Any]

SOLVED_OR_NOT = {"mqar": 0.99}  # of records that do not say themselves from where a run has solved its task


def lookup(record: Record, *path: str) -> Any:
    """`record[path[0]][path[1]]...`, or None where that ends early."""
    value: Any = record
    for key in path:
        if type(value) is not dict and not isinstance(value, Mapping):  # nearly all are told by the first
            return None
        value = value.get(key)
    return value


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no yes or no."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def solved_from(record: Record) -> float | None:
    """Value of its task's primary metric from which a run has solved it; None where that is no question."""
    if "solved_from" in record:
        return None if record["solved_from"] is None else float(record["solved_from"])
    return SOLVED_OR_NOT.get(str(record.get("task")))


def fold_of(record: Record) -> int | None:
    """Which fold of its task's data a run was tested on; None for a task without folds."""
    fold = lookup(record, "config", "task", "fold")
    return None if fold is None else int(fold)


def own_numbers(record: Record) -> dict[str, float]:
    """{"length": 64, "context bytes": 208}: the numbers of a run's task, by the names of their axes."""
    own = lookup(record, "config", "task") or {}
    return {str(key).replace("_", " "): value for key, value in own.items() if is_number(value)}


def with_axes(record: Record, split: str) -> Record:
    """The record with every part that lies along an axis also under the name it would have there alone:
    "accuracy_length_32" for "accuracy_length_32_pairs_2" where all are of 2 pairs."""
    values = lookup(record, split) or {}
    named = {
        f"{of}_{axis.replace(' ', '_')}_{number:g}": values[key]
        for (of, axis), along in along_axes(values, own_numbers(record)).items()
        for number, key in along.items()
    }
    return record if named.keys() <= values.keys() else {**record, split: {**named, **values}}


def baselines_of(records: Iterable[Record], *place: str) -> dict[str, dict[str, float]]:
    """{row: {metric: value}} of what stands at `place` in the records of one table.

    Baselines are of the data, so that any run's will do; each fold has data of its own: theirs are averaged.
    """
    by_fold: dict[int | None, dict[str, Mapping[str, float]]] = {}
    for record in records:
        by_fold.setdefault(fold_of(record), {}).update(lookup(record, *place) or {})
    values: dict[str, dict[str, list[float]]] = {}
    for rows in by_fold.values():
        for name, row in rows.items():
            for metric, value in row.items():
                values.setdefault(name, {}).setdefault(metric, []).append(value)
    return {name: {metric: sum(v) / len(v) for metric, v in row.items()} for name, row in values.items()}
