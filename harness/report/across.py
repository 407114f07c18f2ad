"""A study's tasks side by side: a table of architectures by tasks, its mean, and the ranks over tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..counts import is_count
from ..metrics import Metric
from ..statistics.inference import t_interval
from ..statistics.ranks import Ranking, ranking
from .grouping import comparable
from .labelling import canonical, natural
from .summary import Comparison, Row
from .tables import EMPTY, Cell, Column, Grid, between, half, headline, measure

SETTINGS = "at several settings (as sizes, budgets, or lengths)"
# Words among a task's settings that say how it is learned, and leave it the same task.
LEARNED = {"task.hub.train", "task.hub.validation", "task.validation_files", "task.duplicates"}
LEARNED |= {"task.train_on", "task.primary", "task.nearest"}


@dataclass(frozen=True)
class Across:
    """grid: a column per table. ranks, or why there are none. rows: per line, (table, place of its row)."""

    grid: Grid
    footer: Sequence[str]
    ranks: Ranking | str
    rows: Sequence[tuple[int, int]]


def across(comparisons: Sequence[Comparison]) -> Across | None:
    """The tables of a study as columns of one; None for fewer than two of them that share a row."""
    shown = [(place, each, metric) for place, each in enumerate(comparisons) if (metric := headline(each))]
    labels = sorted({row.label for _, each, _ in shown for row in each.rows}, key=natural)
    rows = [{row.label: row for row in each.rows} for _, each, _ in shown]
    shared = [label for label in labels if sum(label in own for own in rows) > 1]
    if len(shown) < 2 or not shared:
        return None
    tables = [each for _, each, _ in shown]
    metrics = [metric for _, _, metric in shown]
    tasks = _tasks(tables)
    scored = len(tasks) > 1 and len({metric.key for metric in metrics}) == 1
    solved = any(each.solved_from is not None for each in tables)
    scores = [_scores(own, each, metric) for own, each, metric in zip(rows, tables, metrics, strict=True)]
    ranked = ranking(
        {
            task: {label: _mean(scores[i].get(label) for i in of) for label in shared}
            for task, of in tasks.items()
        },
        {task: not metrics[of[0]].lower_is_better for task, of in tasks.items()},
    )
    if len(tasks) == 1:
        ranked = f"no score and no ranks over tasks: these tables are of one, {tables[0].task}, {SETTINGS}"
    columns = [Column("architecture", number=False)]
    columns += [Column(each.title, _unit(metric)) for each, metric in zip(tables, metrics, strict=True)]
    columns += [Column("score", f"mean over tasks, {_unit(metrics[0])}")] if scored else []
    columns += [Column("mean rank", "1 is best")] if isinstance(ranked, Ranking) else []
    lines = []
    for label in shared:
        cells = [
            _cell(own.get(label), each, metric)
            for own, each, metric in zip(rows, tables, metrics, strict=True)
        ]
        if scored:
            by_task = [[rows[i].get(label) for i in of] for of in tasks.values()]
            cells.append(_score(by_task, metrics[0], solved))
        if isinstance(ranked, Ranking):
            rank = ranked.mean_ranks.get(label)
            cells.append(EMPTY if rank is None else Cell(f"{rank:.2f}", rank))
        lines.append((Cell(label), *cells))
    first = {label: next(place for place, own in enumerate(rows) if label in own) for label in shared}
    links = [
        (shown[at][0], [row.label for row in tables[at].rows].index(label)) for label, at in first.items()
    ]
    footer = _footer(tables, metrics, scored, ranked)
    if len(tables) > len(tasks) > 1:
        footer.insert(-1, f"Over tasks, one {SETTINGS} counts once, by its mean over them.")
    return Across(Grid(tuple(columns), tuple(lines)), footer, ranked, links)


def _tasks(tables: Sequence[Comparison]) -> dict[str, list[int]]:
    """{name: places of its tables}: a task at several settings is no several tasks to rank rows over."""
    found: dict[str, list[int]] = {}
    for place, each in enumerate(tables):
        found.setdefault(canonical(_asked(each)), []).append(place)
    return {
        tables[first].title + (f" and {len(others)} more" if others else ""): [first, *others]
        for first, *others in found.values()
    }


def _asked(table: Comparison) -> list[Any]:
    """What makes a table's task another than others': its name, corpus, and settings that are words and say
    what is asked, as the dataset that examples are from. Settings that are numbers are points of a grid."""
    runs = [run for row in table.rows for run in row.runs]
    key = comparable(next((run for run in runs if run.get("status") == "completed"), runs[0]))
    words = {name: v for name, v in key["task"].items() if _is_word(v) and name not in LEARNED}
    return [table.task, key["corpus"], words]


def _is_word(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_word, value))
    return isinstance(value, str) and not is_count(value)


def _mean(scores: Iterable[float | None]) -> float | None:
    """None where one is missing."""
    known = list(scores)
    return None if None in known else float(np.mean([score for score in known if score is not None]))


def _unit(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit} {'↓' if metric.lower_is_better else '↑'}"


def _scores(rows: Mapping[str, Row], table: Comparison, metric: Metric) -> dict[str, float | None]:
    """{row: its number on one task}: what the table of that task shows."""
    found: dict[str, float | None] = {}
    for label, row in rows.items():
        estimate = row.estimate(metric.key)
        found[label] = None if estimate is None else estimate[0]
        if estimate is not None and table.solved_from is not None:
            found[label] = row.median(metric.key)
    return found


def _cell(row: Row | None, table: Comparison, metric: Metric) -> Cell:
    estimate = row.estimate(metric.key) if row else None
    if row is None or estimate is None:
        return EMPTY
    value, interval = estimate
    if table.solved_from is not None:
        value, interval = row.median(metric.key), None
    best = row.label in table.verdicts[metric.key].winners
    return Cell(measure(metric, value), value, best, interval=half(metric, interval))


def _score(tasks: Sequence[Sequence[Row | None]], metric: Metric, solved: bool) -> Cell:
    """The mean over tasks, and the tables of each, of each seed, and over seeds; empty where one is missing.

    solved: whether any of the tasks is solved or not: then no t interval holds what it says, and the range
    over seeds stands in its place.
    """
    by_task = [[row.values(metric.key) if row else {} for row in rows] for rows in tasks]
    seeds = set.intersection(*(set(values) for task in by_task for values in task))
    if not seeds:
        return EMPTY
    means = [
        float(np.mean([np.mean([values[seed] for values in task]) for task in by_task]))
        for seed in sorted(seeds)
    ]
    value = float(np.mean(means))
    interval = between(metric, means) if solved else half(metric, t_interval(means))
    return Cell(measure(metric, value), value, interval=interval)


def _footer(
    tables: Sequence[Comparison], metrics: Sequence[Metric], scored: bool, ranked: Ranking | str
) -> list[str]:
    splits = dict.fromkeys(each.split for each in tables)
    lines = [
        f"Every number is from the {' or '.join(splits)} split; bold: the winner of that task's own table."
    ]
    solved = any(each.solved_from is not None for each in tables)
    if solved:
        lines.append("Tasks that are solved or not show medians over seeds, others means.")
    if scored:
        spread = (
            "[its range over seeds], since no t interval holds where tasks are solved or not"
            if solved
            else "± half of its 95% interval over seeds (Student's t)"
        )
        lines.append(
            f"Score: {metrics[0].title} averaged over the tasks, per seed, and over seeds; {spread}. Missing "
            "where a task has no result."
        )
    said = ranked.text if isinstance(ranked, Ranking) else ranked
    return [*lines, said[:1].upper() + said[1:] + "."]
