"""A study's tasks side by side: a table of architectures by tasks, its mean, and the ranks over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics import Metric
from ..statistics.inference import t_interval
from ..statistics.ranks import Ranking, ranking
from .labelling import natural
from .summary import Comparison, Row
from .tables import EMPTY, Cell, Column, Grid, between, half, headline, measure


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
    scored = len({metric.key for metric in metrics}) == 1
    solved = any(each.solved_from is not None for each in tables)
    scores = [_scores(own, each, metric) for own, each, metric in zip(rows, tables, metrics, strict=True)]
    ranked = ranking(
        {
            each.title: {label: of.get(label) for label in shared}
            for each, of in zip(tables, scores, strict=True)
        },
        {each.title: not metric.lower_is_better for each, metric in zip(tables, metrics, strict=True)},
    )
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
            cells.append(_score([own.get(label) for own in rows], metrics[0], solved))
        if isinstance(ranked, Ranking):
            rank = ranked.mean_ranks.get(label)
            cells.append(EMPTY if rank is None else Cell(f"{rank:.2f}", rank))
        lines.append((Cell(label), *cells))
    first = {label: next(place for place, own in enumerate(rows) if label in own) for label in shared}
    links = [
        (shown[at][0], [row.label for row in tables[at].rows].index(label)) for label, at in first.items()
    ]
    return Across(Grid(tuple(columns), tuple(lines)), _footer(tables, metrics, scored, ranked), ranked, links)


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


def _score(rows: Sequence[Row | None], metric: Metric, solved: bool) -> Cell:
    """The mean over tasks of each seed, and over seeds; empty where a task is missing.

    solved: whether any of the tasks is solved or not: then no t interval holds what it says, and the range
    over seeds stands in its place.
    """
    by_task = [row.values(metric.key) for row in rows if row is not None]
    seeds = set.intersection(*(set(values) for values in by_task)) if len(by_task) == len(rows) else set()
    if not seeds:
        return EMPTY
    means = [float(np.mean([values[seed] for values in by_task])) for seed in sorted(seeds)]
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
