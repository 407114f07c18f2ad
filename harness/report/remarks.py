"""What a reader must know before believing a table, in lines below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..statistics.inference import plural
from .judging import shown_what
from .pretraining import SPENT
from .quantities import COST, count, size
from .summary import Comparison, Metric, fold_of
from .sweep import Sweep
from .tables import SHARED, is_shared

MOST = 8  # runs without a result that are told one by one


def reading(comparisons: Sequence[Comparison]) -> list[str]:
    """What the numbers of tables and the words below them mean: the same for every table."""
    lines = []
    repeated = [
        each
        for each in comparisons
        if any(len(row.values(metric.key)) > 1 for row in each.rows for metric in each.metrics)
    ]
    if any(each.solved_from is None for each in repeated):
        lines.append("± is half of the 95% interval of the mean over seeds (Student's t).")
    if any(each.solved_from is not None for each in comparisons):
        lines.append(
            "Of tasks that a run solves or does not, numbers are medians over seeds (winners are judged by "
            "means), and shares solved have 95% Clopper-Pearson intervals."
        )
    if any(each.judged for each in comparisons):
        lines.append(
            "Test set: 95% interval of the mean over seeds, for other test sets like this one (bootstrap of "
            "its documents or examples). It is no part of ±, and more seeds do not make it smaller."
        )
    verdicts = [verdict for each in comparisons for verdict in each.verdicts.values()]
    if any(verdict.winners for verdict in verdicts):
        lines.append(
            "A winner is named where it is ahead of every other row by more than a minimum, the tests of all "
            "pairs of rows say so (paired by seed, adjusted by Holm), and no seed is missing. Only rows that "
            "were asked alike are compared, and of one size where sizes were not solved for. Over seeds and "
            "test set: it would probably be ahead again with other seeds and on another test set like this "
            "one; over seeds alone: with other seeds, on these very examples."
        )
    return lines


def footer(comparison: Comparison) -> list[str]:
    """What a reader must know before believing the table of quality, one line each."""
    lines = [f"Every number is from the {comparison.split} split."]
    if folds := comparison.rows[0].folds:
        of = plural(len(folds), "fold")
        lines.append(f"The number of a seed is over {of}, a run each; a seed that lacks one has none.")
        lines += _over_folds(comparison)
    reasons: dict[str, list[str]] = {}
    for metric in comparison.metrics:
        reasons.setdefault(comparison.verdicts[metric.key].reason, []).append(metric.title)
    lines += [f"{_capital(', '.join(titles))}: {reason}." for reason, titles in reasons.items()]
    for metric in comparison.metrics:
        lines += shown_what(comparison.rows, metric)
    lines += _rules(comparison)
    lines += [f"Not the same for all: {key} ({values})." for key, values in comparison.settings.items()]
    return lines + _without_result(comparison)


def _over_folds(comparison: Comparison) -> list[str]:
    """Which metrics are of all folds as one test set, and which are averaged fold by fold."""
    told: dict[str, list[str]] = {}
    for metric in comparison.metrics:
        rows = [row for row in comparison.rows if row.values(metric.key)]
        if rows:
            pooled = all(row.pooled(metric.key) for row in rows)
            how = "of all folds taken as one test set" if pooled else "the mean of the folds' own values"
            told.setdefault(how, []).append(metric.title)
    return [f"{_capital(', '.join(titles))}: {how}." for how, titles in told.items()]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _without_result(comparison: Comparison) -> list[str]:
    """The runs that failed, diverged, ran out of memory or go on, each with its reason."""
    lines = []
    for row in comparison.rows:
        if row.unrated:
            lines.append(f"{row.label}: {row.count}: {row.runs[0].get('error')}.")
            continue
        for run in row.runs:
            if run.get("status") != "completed":
                error = f": {run['error']}" if run.get("error") else ""
                which = f"seed {run.get('seed', '?')}" + (f", fold {fold_of(run)}" if row.folds else "")
                lines.append(f"{row.label}, {which}: {run.get('status')}{error}.")
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"And {plural(more, 'run')} more without a result."]


def cost_footer(comparison: Comparison, sweep: Sweep | None = None) -> list[str]:
    """What a reader must know before believing the table of costs."""
    lines = []
    if any(map(is_shared, comparison.rows)):
        lines.append(f"({SHARED}): timed while other runs used the machine, so that it says little.")
    waiting = [share for row in comparison.rows if (share := row.mean("waiting_share")) is not None]
    if waiting and max(waiting) > 0.02:
        alone = not any(map(is_shared, comparison.rows))
        why = "data could not keep up" if alone else "data, or the runs beside, could be the reason"
        lines.append(f"Up to {max(waiting):.1%} of the training time went by waiting for data: {why}.")
    lines += [*_matched(comparison), *_before(comparison)]
    if sweep is not None:
        lines.append(
            "Trials: runs of the sweep that chose the learning rate, on validation, with seeds of their own."
        )
    return lines


def _before(comparison: Comparison) -> list[str]:
    """What the runs that rows start from had cost, which is in no column."""
    told: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.starts:
            spent = ", ".join(
                f"{q.title} {q.show(n)}{f' {q.unit}' if q.unit else ''}"
                for q in COST
                if q.key in SPENT and (n := row.mean("before", *q.path)) is not None
            )
            told.setdefault(spent, []).append(row.label)
    return [
        f"Not counted here, what init_from had cost {', '.join(rows)} before: {spent or 'not known'}."
        for spent, rows in told.items()
    ]


def _rules(comparison: Comparison) -> list[str]:
    """Each remark with the rule behind it and the rows it stands in."""
    remarked: dict[str, tuple[Metric, list[str]]] = {}
    for row in comparison.rows:
        for metric in comparison.metrics:
            if remark := comparison.plateau(row, metric):
                rows = remarked.setdefault(remark, (metric, []))[1]
                rows += [row.label] if row.label not in rows else []
    lines = []
    for remark, (metric, rows) in remarked.items():
        rule = f"median {metric.title} below {comparison.solved_from}"
        if metric.baseline:
            rule = f"less than {metric.margin:g} {metric.unit} below {metric.baseline}"
        lines.append(f"{_capital(remark)}: {', '.join(rows)} ({rule}).")
    return lines


def _matched(comparison: Comparison) -> list[str]:
    """What was made equal to other architectures, how nearly, and the widths that it took."""
    told: dict[str, list[str]] = {}
    for row in comparison.rows:
        match = row.runs[0].get("match")
        if isinstance(match, Mapping):
            show = size if match["kind"] == "state" else count
            widths = "".join(f", {key}={value}" for key, value in match["solved"].items())
            told.setdefault(str(match["kind"]), []).append(
                f"{row.label} {show(match['reached'])} ({abs(match['off']):.1%} off{widths})"
            )
    return [f"Matched on {kind}: {'; '.join(rows)}." for kind, rows in told.items()]
