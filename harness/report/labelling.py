"""What makes two runs different rows of a table rather than seeds of one, and what rows are called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any

from ..counts import format_count, parse_count
from ..identity import DEFAULTS, MATTERS, NEVER
from .summary import Record, Row, fold_of

AXES = ("size", "budget", "task", "init_from")  # what a study varies by; widths and rates follow from these
SHORT = ("arch", "task", "budget")  # groups whose name a label leaves out
COUNTS = ("size", "budget.tokens", "budget.flops", "budget.steps")  # shown as people type them: 2M, 200k
_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:[kMGT](?![A-Za-z0-9]))?)")
_RUN = re.compile(r"(.+)-s\d+-[0-9a-f]{12}")  # the folder of a run: its name, its seed, its identity


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"a.b": value} of a nested mapping."""
    flat: dict[str, Any] = {}
    _gather(tree, prefix, flat)
    return flat


def _gather(tree: Any, prefix: str, flat: dict[str, Any]) -> None:
    if not isinstance(tree, dict):  # as read from JSON; asking for any mapping takes ten times as long
        flat[prefix] = tree
        return
    for key, value in tree.items():
        _gather(value, f"{prefix}.{key}" if prefix else str(key), flat)


def told(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves that say something: a key that an older run did not have yet is as good as its default."""
    return {key: v for key, v in leaves(tree, prefix).items() if v is not None and v != DEFAULTS.get(key)}


def canonical(value: Any) -> str:
    """One string per value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, default=str)


def row_key(record: Record) -> dict[str, Any]:
    """Everything that makes two runs different things rather than two seeds, or two folds, of one."""
    kept = {key: value for key, value in told(record.get("config") or {}).items() if not incidental(key)}
    if "init_from" in kept:
        kept["init_from"] = pretrained_name(str(kept["init_from"]))
    return kept | {"arch": record.get("arch"), "objective": record.get("objective")}


@cache
def incidental(key: str) -> bool:
    """Whether a key tells seeds, folds, places and machines apart rather than the things compared."""
    group, _, rest = key.partition(".")
    if group in ("seed", "label") or key in NEVER or key == "task.fold":
        return True
    if group == "init_from":  # a path, which is no part of an identity; what it names is
        return False
    matters = MATTERS.get(group, True)
    return not matters if isinstance(matters, bool) else rest.split(".")[0] not in matters


def pretrained_name(path: str) -> str:
    """What all seeds of a fine-tuned row start from: the run's name without its seed and identity."""
    name = PurePath(path).name
    found = _RUN.fullmatch(name)
    return found[1] if found else name


def rows_of(records: Sequence[Record], also: Mapping[str, Sequence[str]]) -> list[list[Record]]:
    """The records as rows, each in the order of its seeds and folds; `also`: what else tells rows apart, a
    value per record under each name."""
    by_row: dict[str, list[Record]] = {}
    for place, record in enumerate(records):
        key = row_key(record) | {name: values[place] for name, values in also.items()}
        by_row.setdefault(canonical(key), []).append(record)
    rows = [copy for runs in by_row.values() for copy in _copies(runs)]
    for runs in rows:
        runs.sort(key=lambda run: (int(run.get("seed", 0)), fold_of(run) or 0))
    return sorted(rows, key=lambda runs: name_of(runs[0]))


def _copies(runs: Sequence[Record]) -> list[list[Record]]:
    """Runs of one configuration that differ in what it does not say, as a plugin's source: one row each."""
    copies: list[list[Record]] = []
    seen: dict[tuple[Any, Any], int] = {}
    for run in sorted(runs, key=lambda run: str(run.get("started", ""))):
        place = seen.setdefault((run.get("seed"), fold_of(run)), 0)
        seen[run.get("seed"), fold_of(run)] += 1
        copies += [[]] if place == len(copies) else []
        copies[place].append(run)
    return copies


def name_of(record: Record) -> str:
    """What a study calls a run's row: its label there, or else the architecture's name."""
    config = record.get("config")
    label = record.get("label") or (config.get("label") if isinstance(config, Mapping) else None)
    return str(label or record.get("arch"))


def base_of(record: Record) -> str:
    """`name_of` without the settings that were changed: "gpt+rope" of "gpt+rope+dim=16"."""
    return without_settings(name_of(record))


def without_settings(name: str) -> str:
    return "+".join(part for part in name.split("+") if "=" not in part)


def natural(label: str) -> list[tuple[bool, float, str]]:
    """Sorts gpt (dim=64) before gpt (dim=128), and size=300k before size=1M."""
    parts = _NUMBER.split(label)
    return [(i % 2 == 0, _number(part) if i % 2 else 0.0, part) for i, part in enumerate(parts)]


def _number(text: str) -> float:
    return float(parse_count(text)) if text[-1].isalpha() else float(text)


def labels(rows: Sequence[Sequence[Record]], also: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """(label, where it stands) per row: its name, and what differs where a table holds the name more than
    once, as ("attention (dim=16)", "dim=16").

    also: per row, what is not in its configuration and tells it apart.
    """
    names = [name_of(runs[0]) for runs in rows]
    settings = [
        {key: canonical(value) for key, value in (row_key(runs[0]) | dict(more)).items()}
        for runs, more in zip(rows, also, strict=True)
    ]
    twins: dict[str, list[dict[str, str]]] = {}
    for name, mine in zip(names, settings, strict=True):
        twins.setdefault(name, []).append(mine)
    telling = {name: _telling(of) for name, of in twins.items()}
    found: list[tuple[str, str]] = []
    for name, mine in zip(names, settings, strict=True):
        values = {key: shown(json.loads(mine.get(key, "null")), key) for key in telling[name]}
        note = ", ".join(f"{_short(key)}={value}" for key, value in values.items())
        label = f"{name} ({note})" if note else name
        again = sum(each == label or each.startswith(f"{label} [") for each, _ in found)
        found.append((f"{label} [{again + 1}]" if again else label, note))
    return found


def telling(runs: Sequence[Record]) -> list[str]:
    """The keys of their configurations that tell runs of different rows apart."""
    return _telling([{key: canonical(value) for key, value in row_key(run).items()} for run in runs])


def _telling(twins: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys that twins differ in: axes of the study first, without what follows from those before."""
    keys = dict.fromkeys(key for twin in twins for key in twin if len({t.get(key) for t in twins}) > 1)
    axes = [key for key in keys if key.split(".")[0] in AXES]
    others = [key for key in keys if key not in axes]
    kept = axes + [key for key in others if not (key.startswith("arch.") and _follows(key, axes, twins))]
    for key in ("optim.lr", "arch"):  # a rate chosen at each setting; a name that says what was changed
        rest = [other for other in kept if other != key]
        if key in kept and _follows(key, rest, twins):
            kept = rest
    return kept


def _follows(key: str, others: Sequence[str], twins: Sequence[Mapping[str, str]]) -> bool:
    """Whether the others, which differ, leave nothing to tell: equal in them is equal in this one."""
    values = {tuple(twin.get(other) for other in others): set[str | None]() for twin in twins}
    for twin in twins:
        values[tuple(twin.get(other) for other in others)].add(twin.get(key))
    return bool(others) and all(len(found) == 1 for found in values.values())


def _short(key: str) -> str:
    group, _, rest = key.partition(".")
    return rest if group in SHORT and rest else key


def shown(value: Any, key: str) -> str:
    """The value of a key of the configuration as people write it; None: as its default, or none."""
    value = DEFAULTS.get(key, "none") if value is None else value
    if key in COUNTS and isinstance(value, int):
        return format_count(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def unequal_settings(rows: Sequence[Row]) -> dict[str, str]:
    """Settings that are no part of an architecture and yet differ between rows: {key: "gpt 16, bert 8"}."""
    configs = {row.label: told(row.runs[0].get("config") or {}) for row in rows}
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    own = ("arch", "objective", "init_from")  # these differ by design; the learning rate has a column
    unequal = {}
    for key in keys:
        values = {label: config.get(key, DEFAULTS.get(key)) for label, config in configs.items()}
        ours = key.split(".")[0] in own or key == "optim.lr" or incidental(key)
        if not ours and len({canonical(value) for value in values.values()}) > 1:
            unequal[key] = ", ".join(f"{label} {value}" for label, value in values.items())
    return unequal
