"""Which runs a table is made of and how it is laid out: `rows`, `columns`, `metric`, `aggregate`, `where`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..counts import is_count, parse_count
from ..errors import nearest
from .labelling import canonical, leaves, name_of
from .summary import Record, lookup

AGGREGATES = ("mean", "median", "best", "solved")
OWN = ("label", "arch", "task", "seed", "status", "study", "family", "objective", "asked", "name")
COSTS = "cost"  # columns=cost: what runs took rather than how well they do


@dataclass(frozen=True)
class Selection:
    """A table as the user asked for it; rows and columns are keys of `facet`, empty for the usual ones.

    metric  a metric, or a number that runs took; None: what each task is about
    where   {key: the values kept}
    allow   names of grouping.COMPARABLE that may differ inside a column
    """

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    metric: str | None = None
    aggregate: str = "mean"
    where: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    allow: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether a table of its own was asked for, rather than the usual ones of fewer runs."""
        return bool(self.rows or self.columns or self.metric or self.allow or self.aggregate != "mean")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Selection:
        """From the keys of conf/report.yaml. Raises ValueError for an aggregate that there is not."""
        aggregate = str(config.get("aggregate") or "mean")
        if aggregate not in AGGREGATES:
            near = nearest(aggregate, AGGREGATES)
            hint = f"; nearest: {near}" if near else ""
            raise ValueError(f"aggregate={aggregate}: choose from {', '.join(AGGREGATES)}{hint}")
        where = config.get("where") or {}
        if not isinstance(where, Mapping):
            raise ValueError(
                f"where={where}: takes {{key: value or list of values}}, as in where='{{seed: [1,2]}}'"
            )
        columns, metric = _names(config.get("columns")), config.get("metric")
        if columns == (COSTS,) and (metric is not None or aggregate != "mean"):
            given = f"metric={metric}" if metric is not None else f"aggregate={aggregate}"
            raise ValueError(
                f"columns={COSTS} takes no {given}: it tells what runs took, in means; leave one out"
            )
        return cls(
            _names(config.get("rows")),
            columns,
            None if metric is None else str(metric),
            aggregate,
            {key: tuple(kept) for key, value in leaves(where).items() for kept in [_listed(value)]},
            _names(config.get("allow")),
        )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _names(value: Any) -> tuple[str, ...]:
    return () if value is None else tuple(map(str, _listed(value)))


def facet(run: Record, key: str) -> Any:
    """What a run has of a key: one of its record (label, task, seed, lr, ...) or of its configuration.

    A group of the configuration (corpus, tokenizer) is the name of the option chosen; `fold` is task.fold.
    """
    if key == "label":
        return name_of(run)
    if key == "fold":
        key = "task.fold"
    value = lookup(run, *key.split(".")) if key in OWN or key == "lr" else None
    if value is None:
        value = lookup(run, "config", *key.split("."))
    if isinstance(value, Mapping):
        chosen = lookup(run, "config", "choices", key)
        return canonical(value) if chosen is None else chosen
    return value


def full_key(key: str, runs: Sequence[Record]) -> str:
    """The key as `facet` takes it: `dim` is arch.dim where only one key ends so.

    Raises ValueError, with the nearest key, where no run has it.
    """
    if key in (*OWN, "lr", "fold") or any(facet(run, key) is not None for run in runs):
        return key
    known = dict.fromkeys(path for config in _configs(runs) for path in leaves(config))
    ends = [path for path in known if path.rsplit(".", 1)[-1] == key]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ValueError(f"{key} is one of {', '.join(ends)}: say which")
    if key in known:  # and null in every run
        return key
    near = nearest(key, [*OWN, *known, *{path.rsplit(".", 1)[-1] for path in known}])
    raise ValueError(f"{key}: no run has such a key" + (f"; nearest: {near}" if near else ""))


def _configs(runs: Iterable[Record]) -> list[Mapping[str, Any]]:
    """One configuration per architecture and task: others have the same keys."""
    found = {(run.get("arch"), run.get("task")): run.get("config") or {} for run in runs}
    return list(found.values())


def chosen(runs: Sequence[dict[str, Any]], where: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The runs whose keys have one of the values asked for. Raises ValueError where that leaves none."""
    for key, values in where.items():
        path = full_key(key, runs)
        kept = {_same(value) for value in values}
        left = [run for run in runs if _same(facet(run, path)) in kept]
        if not left:
            there = sorted({str(facet(run, path)) for run in runs}, key=lambda text: (len(text), text))
            some = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
            asked = ", ".join(map(str, values))
            raise ValueError(
                f"where: no run with {key}={asked}; {key} is {'one of ' * (len(there) > 1)}{some}"
            )
        runs = left
    return list(runs)


def _same(value: Any) -> str:
    """Equal for values that mean the same: 1M and 1000000, 1 and 1.0."""
    if not isinstance(value, bool) and is_count(value):
        return str(float(parse_count(value)))
    try:
        return str(float(value))
    except (TypeError, ValueError):
        return canonical(value)
