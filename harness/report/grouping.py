"""Which runs may share a table: records of a task, grouped by everything that a column takes for granted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ..errors import nearest
from .judging import sizes_apart
from .labelling import canonical as canonical
from .labelling import labels, natural, pretrained_name, rows_of, shown, told, unequal_settings
from .labelling import leaves as leaves
from .quantities import count
from .summary import Comparison, Record, Row, baselines_of, fold_of, lookup

# What must agree before two runs may share a column, and where it stands in the record.
COMPARABLE = {
    "task": ("config", "task"),
    "budget": ("config", "budget"),
    "size": ("config", "size"),
    "match": ("config", "match"),
    "tokenizer": ("digests", "tokenizer"),
    "corpus": ("digests", "corpus"),
    "windows": ("digests", "windows"),
    "examples": ("digests", "examples"),
}
# What differs by itself where the other does: allowing one is allowing these.
FOLLOWS = {"task": ("windows", "examples"), "corpus": ("tokenizer", "windows")}


def compare(records: Sequence[Record]) -> list[Comparison]:
    """Groups records into tables: one per task, and more where runs must not share a column."""
    tables: list[Comparison] = []
    for task in sorted({task_of(record) for record in records}, key=_task_order):
        groups = _group([record for record in records if task_of(record) == task])
        keys = [comparable(group[0]) for group in groups]
        differ = [", ".join(differences(key, keys, COMPARABLE)) for key in keys]
        order = sorted(range(len(groups)), key=lambda place: natural(differ[place]))
        tables += [_comparison(task, groups[place], differ[place]) for place in order]
    return tables


def together(records: Sequence[Record], allow: Collection[str] = ()) -> Comparison:
    """All the records in one table, for columns that the user chose.

    allow: names of COMPARABLE that may differ; what differs then tells rows apart and stands in their labels.

    Raises ValueError, naming it, for whatever else differs and makes a column meaningless; for a name that is
    none of COMPARABLE; and where there are no records.
    """
    if not records:
        raise ValueError("no runs to put into a table: choose others, or filter fewer out")
    check_allowed(allow)
    allowed = {*allow, *(name for key in allow for name in FOLLOWS.get(key, ()))}
    keys = [comparable(record) for record in records]
    tasks = list(dict.fromkeys(task_of(record) for record in records))
    clashes = {"task": tasks} if len(tasks) > 1 else {}
    for name in COMPARABLE:
        known = _known(keys, records) if COMPARABLE[name][0] == "digests" else keys
        values = list(dict.fromkeys(", ".join(differences(key, known, [name])) for key in known))
        if len(values) > 1 and name not in clashes:
            clashes[name] = values
    if origins := _tokenizers(records):
        clashes.setdefault("tokenizer", list(dict.fromkeys(origins.values())))
    if refused := {name: values for name, values in clashes.items() if name not in allowed}:
        named = "; ".join(f"{name}: {_some(values)}" for name, values in refused.items())
        raise ValueError(
            f"runs that differ do not share a column ({named}): leave some out, or ask for it with "
            f"allow=[{','.join(refused)}]"
        )
    differing = [
        name
        for name in clashes
        if COMPARABLE[name][0] == "digests" and len({canonical(key[name]) for key in keys}) > 1
    ]
    return _comparison(", ".join(tasks), records, "", differing)


def check_allowed(names: Collection[str]) -> None:
    """Raises ValueError for a name that is none of what may differ inside a column when asked for."""
    for name in names:
        if name not in COMPARABLE:
            near = nearest(name, COMPARABLE)
            hint = f"; nearest: {near}" if near else ""
            raise ValueError(f"allow={name}: choose from {', '.join(COMPARABLE)}{hint}")


def _tokenizers(records: Sequence[Record]) -> dict[str, str]:
    """{identity: where its tokenizer is from} where runs on one fold have different tokenizers; else {}.

    The runs of a fold fit theirs on its training split, all the same; one that starts from another run takes
    over that run's, which knows nothing of folds.
    """
    on_fold: dict[int, set[str]] = {}
    found: dict[str, str] = {}
    for record in records:
        fold, digest = fold_of(record), lookup(record, "digests", "tokenizer")
        if fold is not None and digest is not None:
            start = lookup(record, "config", "init_from")
            on_fold.setdefault(fold, set()).add(digest)
            found[str(record.get("identity"))] = f"from {pretrained_name(start)}" if start else "of each fold"
    return found if any(len(digests) > 1 for digests in on_fold.values()) else {}


def _some(values: Sequence[str], most: int = 4) -> str:
    return " / ".join([*values[:most], *(["..."] if len(values) > most else [])])


def task_of(record: Record) -> str:
    return str(record.get("task", "unknown"))


def _task_order(task: str) -> tuple[bool, str]:
    return task != "language", task


def _known(keys: Sequence[dict[str, Any]], records: Sequence[Record]) -> list[dict[str, Any]]:
    """The keys of runs that lived to know their digests."""
    return [key for key, record in zip(keys, records, strict=True) if record.get("digests")]


def comparable(record: Record) -> dict[str, Any]:
    """{name of COMPARABLE: its value}, the same for all seeds and folds of a configuration.

    Each fold fits its tokenizer on its own training split: there the tokenizer's specification stands for its
    digest.
    """
    found: dict[str, Any] = {}
    for name, path in COMPARABLE.items():
        value = lookup(record, *path)
        found[name] = told(value, name) if path[0] == "config" else value
    if fold_of(record) is not None:
        found["task"].pop("task.fold", None)
        if found["tokenizer"] is not None:
            spec = canonical(told(lookup(record, "config", "tokenizer")))
            found["tokenizer"] = sha256(spec.encode()).hexdigest()
    return found


def _group(records: Sequence[Record]) -> list[list[Record]]:
    """Groups of records that agree on all of COMPARABLE.

    A run that failed before it knew its digests joins the first group whose configuration is the same.
    """
    groups: dict[str, list[Record]] = {}
    by_config: dict[str, str] = {}
    for record in sorted(records, key=lambda record: len(record.get("digests") or {}), reverse=True):
        found = comparable(record)
        key = canonical(found)
        config = canonical({name: found[name] for name, path in COMPARABLE.items() if path[0] == "config"})
        if not record.get("digests"):
            key = by_config.get(config, key)
        by_config.setdefault(config, key)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def differences(
    mine: Mapping[str, Any], everyone: Sequence[Mapping[str, Any]], names: Collection[str]
) -> list[str]:
    """What sets one group apart: ["budget.tokens=2M", "tokenizer 1f3a5c7e"]."""
    parts = []
    for name in names:
        if len({canonical(key[name]) for key in everyone}) == 1:
            continue
        if COMPARABLE[name][0] == "digests":
            parts.append(f"{name} {_digest(mine[name])}")
            continue
        keys = dict.fromkeys(key for one in everyone for key in one[name])
        parts += [
            f"{key}={shown(mine[name].get(key), key)}"
            for key in keys
            if len({canonical(one[name].get(key)) for one in everyone}) > 1
        ]
    return parts


def _digest(value: Any) -> str:
    """A digest to its first 8 digits; an older run may have none."""
    return "unknown" if value is None else str(value)[:8]


def _comparison(
    task: str, records: Sequence[Record], differs: str, digests: Collection[str] = ()
) -> Comparison:
    """digests: names of COMPARABLE that differ within this table and so tell its rows apart."""
    completed = [record for record in records if record.get("status") == "completed"]
    split = "test" if completed and all(record.get("test") for record in completed) else "validation"
    once = _once(records)
    also = {name: [_digest(comparable(record)[name]) for record in once] for name in digests}
    groups = rows_of(once, also)
    more = [{name: _digest(comparable(runs[0])[name]) for name in digests} for runs in groups]
    folds = frozenset(fold for record in once if (fold := fold_of(record)) is not None)
    differs = ", ".join(filter(None, (differs, _partly(once, folds))))
    rows = [
        Row(label, str(runs[0].get("arch")), split, tuple(runs), folds, at)
        for (label, at), runs in zip(labels(groups, more), groups, strict=True)
    ]
    rows.sort(key=lambda row: natural(row.label))
    place = ("test", "baselines") if split == "test" else ("baselines",)
    baselines = baselines_of(completed or records, *place)
    settings = unequal_settings(rows) | unequal_data(rows)
    return Comparison(task, differs, split, tuple(rows), baselines, settings)


def unequal_data(rows: Sequence[Row]) -> dict[str, str]:
    """Tokenizers and sizes that differ between rows of one table: what a reader has to know of them."""
    found = {}
    if origins := _tokenizers([run for row in rows for run in row.runs]):
        of_row = {row.label: origins.get(str(row.runs[0].get("identity")), "unknown") for row in rows}
        found["tokenizer"] = ", ".join(f"{label} {origin}" for label, origin in of_row.items())
    if apart := sizes_apart(rows):
        found["parameters"] = f"{count(apart[0])} to {count(apart[1])}"
    return found


def _partly(records: Sequence[Record], folds: Collection[int]) -> str:
    """Says so where a table is of some folds only: its test set is not all of the data."""
    told = [lookup(record, "config", "task", "folds") for record in records]
    known = max((number for number in told if isinstance(number, int)), default=0)
    if not folds or len(folds) >= known:
        return ""
    return f"{'fold' if len(folds) == 1 else 'folds'} {', '.join(map(str, sorted(folds)))} of {known}"


def _once(records: Sequence[Record]) -> list[Record]:
    """One record per identity, completed if there is one: the same run may stand in several studies."""
    best: dict[str, Record] = {}
    for index, record in enumerate(records):
        identity = str(record.get("identity", index))
        if identity not in best or record.get("status") == "completed":
            best[identity] = record
    return list(best.values())
