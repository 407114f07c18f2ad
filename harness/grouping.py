"""Which runs may share a table: records of a task, grouped by everything that a column takes for granted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .identity import MATTERS, NEVER
from .summary import Comparison, Record, Row, lookup

# What must agree before two runs may share a column, and where it stands in the record.
COMPARABLE = {
    "budget": ("config", "budget"),
    "size": ("config", "size"),
    "task": ("config", "task"),
    "tokenizer": ("digests", "tokenizer"),
    "corpus": ("digests", "corpus"),
    "windows": ("digests", "windows"),
}


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"a.b": value} of a nested mapping."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= leaves(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def canonical(value: Any) -> str:
    """One string per value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, default=str)


def compare(records: Sequence[Record]) -> list[Comparison]:
    """Groups records into tables: one per task, and more where runs must not share a column."""
    tables: list[Comparison] = []
    for task in sorted({str(record.get("task", "unknown")) for record in records}, key=_task_order):
        groups = _group([record for record in records if str(record.get("task", "unknown")) == task])
        keys = [_comparable(group[0]) for group in groups]
        tables += [
            _comparison(task, group, _differences(key, keys)) for group, key in zip(groups, keys, strict=True)
        ]
    return tables


def _task_order(task: str) -> tuple[bool, str]:
    return task != "language", task


def _comparable(record: Record) -> dict[str, Any]:
    return {name: lookup(record, *path) for name, path in COMPARABLE.items()}


def _group(records: Sequence[Record]) -> list[list[Record]]:
    """Groups of records that agree on all of COMPARABLE.

    A run that failed before it knew its digests joins the first group whose configuration is the same.
    """
    groups: dict[str, list[Record]] = {}
    by_config: dict[str, str] = {}
    for record in sorted(records, key=lambda record: len(record.get("digests") or {}), reverse=True):
        key = canonical(_comparable(record))
        config = canonical([lookup(record, "config", name) for name in COMPARABLE])
        if not record.get("digests"):
            key = by_config.get(config, key)
        by_config.setdefault(config, key)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def _differences(mine: Mapping[str, Any], everyone: Sequence[Mapping[str, Any]]) -> str:
    """Names what sets one group apart: "budget.tokens=2M, tokenizer 1f3a5c7e"."""
    parts = []
    for name, path in COMPARABLE.items():
        if len({canonical(key[name]) for key in everyone}) == 1:
            continue
        if path[0] == "digests":
            parts.append(f"{name} {str(mine[name])[:8]}")
            continue
        flat = [leaves(key[name], name) for key in everyone]
        keys = [
            key
            for key in flat[0] | leaves(mine[name], name)
            if len({canonical(f.get(key)) for f in flat}) > 1
        ]
        parts += [f"{key}={leaves(mine[name], name).get(key)}" for key in keys]
    return ", ".join(parts)


def _comparison(task: str, records: Sequence[Record], differs: str) -> Comparison:
    completed = [record for record in records if record.get("status") == "completed"]
    split = "test" if completed and all(record.get("test") for record in completed) else "validation"
    by_row: dict[str, list[Record]] = {}
    for record in _once(records):
        by_row.setdefault(canonical(_row_key(record)), []).append(record)
    groups = sorted(by_row.values(), key=lambda runs: str(runs[0].get("arch")))
    rows = []
    for label, runs in zip(_labels(groups), groups, strict=True):
        runs.sort(key=lambda run: int(run.get("seed", 0)))
        rows.append(Row(label, str(runs[0].get("arch")), split, tuple(runs)))
    baselines: dict[str, Mapping[str, float]] = {}
    for record in completed or records:
        baselines |= lookup(record, *(("test",) if split == "test" else ()), "baselines") or {}
    return Comparison(task, differs, split, tuple(rows), baselines, _unequal_settings(rows))


def _once(records: Sequence[Record]) -> list[Record]:
    """One record per identity, completed if there is one: the same run may stand in several studies."""
    best: dict[str, Record] = {}
    for index, record in enumerate(records):
        identity = str(record.get("identity", index))
        if identity not in best or record.get("status") == "completed":
            best[identity] = record
    return list(best.values())


def _row_key(record: Record) -> dict[str, Any]:
    """Everything that makes two runs different things rather than two seeds of one."""
    config = leaves(record.get("config") or {})
    kept = {key: value for key, value in config.items() if not _incidental(key)}
    return kept | {"arch": record.get("arch"), "objective": record.get("objective")}


def _incidental(key: str) -> bool:
    """Whether a key tells seeds, places and machines apart rather than the things compared."""
    group, _, rest = key.partition(".")
    if group in ("seed", "label") or key in NEVER:
        return True
    if group == "init_from":  # a path, which is no part of an identity; what it names is
        return False
    matters = MATTERS.get(group, True)
    return not matters if isinstance(matters, bool) else rest.split(".")[0] not in matters


def _labels(groups: Sequence[Sequence[Record]]) -> list[str]:
    """The architecture's name, followed by what differs where a table holds it more than once."""
    names = [str(group[0].get("arch")) for group in groups]
    settings = [{key: canonical(value) for key, value in _row_key(group[0]).items()} for group in groups]
    labels = []
    for name, mine in zip(names, settings, strict=True):
        twins = [other for arch, other in zip(names, settings, strict=True) if arch == name]
        keys = dict.fromkeys(key for twin in twins for key in twin if len({t.get(key) for t in twins}) > 1)
        note = ", ".join(f"{key.removeprefix('arch.')}={json.loads(mine.get(key, 'null'))}" for key in keys)
        labels.append(f"{name} ({note})" if note else name)
    return labels


def _unequal_settings(rows: Sequence[Row]) -> dict[str, str]:
    """Settings that are no part of an architecture and yet differ between rows: {key: "gpt 16, bert 8"}."""
    configs = {row.label: leaves(row.runs[0].get("config") or {}) for row in rows}
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    own = ("arch", "objective")  # these differ by design; the learning rate has a column
    unequal = {}
    for key in keys:
        values = {label: config.get(key) for label, config in configs.items()}
        ours = key.split(".")[0] in own or key == "optim.lr" or _incidental(key)
        if not ours and len({canonical(value) for value in values.values()}) > 1:
            unequal[key] = ", ".join(f"{label} {value}" for label, value in values.items())
    return unequal
