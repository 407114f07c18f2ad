"""What a report says, in whatever form: its tables with their footers and plots, and what to be wary of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..statistics.inference import plural
from .across import Across, across
from .collect import Collected
from .drawing import Plot, file_stem
from .grouping import compare
from .judging import NO_RATE
from .labelling import base_of
from .lengths import Lengths, lengths
from .part_tables import PartTable, part_tables
from .pivot import Pivot, pivot
from .remarks import cost_footer, footer, reading
from .selection import Selection, chosen
from .summary import Comparison, Row
from .sweep import Sweep
from .tables import Grid, cost, quality, trials

DETAILED = 6  # tables; of more, plots of each would be a wall that nobody reads


@dataclass(frozen=True)
class Section:
    """One comparison: its two tables, the lines below each, its tables by part, and its plots. stem begins
    names and anchors."""

    stem: str
    comparison: Comparison
    quality: Grid
    remarks: Sequence[str]
    cost: Grid
    cost_remarks: Sequence[str]
    parts: Sequence[PartTable] = ()
    plots: Sequence[Plot] = ()


@dataclass(frozen=True)
class Content:
    """chosen: the table that the user laid out, which then stands alone. side: tasks side by side, with the
    overview's plots and lines. trials: of each sweep. measured: what length sweeps tell, per setting.
    reading: what the numbers in tables mean."""

    title: str
    found: Collected
    sections: Sequence[Section] = ()
    chosen: Pivot | None = None
    side: Across | None = None
    overview: Sequence[Plot] = ()
    lines: Sequence[str] = ()
    trials: Sequence[tuple[Sweep, Grid]] = ()
    measured: Sequence[Lengths] = ()
    selected: str = ""
    reading: Sequence[str] = ()
    comparisons: Sequence[Comparison] = field(default=())


def gather(title: str, found: Collected, selection: Selection, *, drawn: bool) -> Content:
    """The tables of what was found and selected, with plots if `drawn`. Raises ValueError for a selection
    that cannot be."""
    selected = _told(selection)
    if selection.where:
        found = replace(found, records=chosen(list(found.records), selection.where), points=())
    if selection.is_table:
        return Content(title, found, chosen=pivot(found.records, selection), selected=selected)
    tables = compare(found.records)
    sweep = _sweep_of(found.sweeps)
    sections = [
        Section(
            stem,
            each,
            quality(each),
            footer(each),
            cost(each, sweep),
            cost_footer(each, sweep),
            part_tables(each, stem),
        )
        for each, stem in zip(tables, stems(tables), strict=True)
    ]
    side = across(tables)
    content = Content(
        title,
        found,
        sections,
        side=side,
        trials=[(each, trials(each)) for each in found.sweeps if each.entries],
        measured=lengths(found.points),
        selected=selected,
        reading=reading(tables),
        comparisons=tables,
    )
    return illustrated(content) if drawn else content


def illustrated(content: Content) -> Content:
    """The same with its plots."""
    from . import plots

    tables = content.comparisons
    over = plots.overview(tables, content.side, content.found.sweeps)
    lines = list(over.lines)
    sections = list(content.sections)
    if len(sections) <= DETAILED:
        sections = [
            replace(each, plots=plots.plots(each.comparison, each.stem, len(sections))) for each in sections
        ]
    else:
        lines.append(
            f"Curves and costs of single tables are not drawn, since there are {len(sections)}: "
            "where='{key: value}' chooses among them."
        )
    measured = [replace(each, plots=plots.length_plots(each, tables)) for each in content.measured]
    return replace(content, sections=sections, overview=over.plots, lines=lines, measured=measured)


def _sweep_of(sweeps: Sequence[Sweep]) -> Sweep | None:
    """The sweep whose trials the table of costs counts; of several studies, none."""
    return sweeps[0] if len(sweeps) == 1 and sweeps[0].entries else None


def _told(selection: Selection) -> str:
    """ "seed 1, 2; task mqar": what was filtered."""
    return "; ".join(f"{key} {', '.join(map(str, values))}" for key, values in selection.where.items())


def stems(comparisons: Sequence[Comparison]) -> list[str]:
    """A file name stem per table: the task, numbered where a task has several tables."""
    tasks = [file_stem(each.task) for each in comparisons]
    return [t if tasks.count(t) == 1 else f"{t}-{tasks[: i + 1].count(t)}" for i, t in enumerate(tasks)]


def lead(content: Content) -> str:
    """One sentence: what was compared."""
    found = content.found
    archs = dict.fromkeys(sorted(base_of(run) for run in found.records))
    tasks = dict.fromkeys(sorted(str(run.get("task")) for run in found.records))
    seeds = {run.get("seed") for run in found.records}
    started = [run for run in found.records if run.get("status") != NO_RATE]
    parts = [plural(len(archs), "architecture") + f" ({', '.join(archs)})"] if archs else []
    parts += [plural(len(tasks), "task") + f" ({', '.join(tasks)})"] if tasks else []
    parts += [plural(len(started), "run"), plural(len(seeds), "seed")] if found.records else []
    parts += [plural(len(found.points), "point") + " of a length sweep"] if found.points else []
    chosen = f" Only {content.selected}." if content.selected else ""
    return ", ".join(parts) + "." + chosen


def environments(records: Sequence[Any]) -> list[tuple[dict[str, Any], int]]:
    """Each environment that runs were made in, with the number of runs made there."""
    counted: dict[str, tuple[dict[str, Any], int]] = {}
    for run in records:
        if environment := run.get("environment"):
            key = repr(sorted(environment.items(), key=str))
            counted[key] = (environment, counted.get(key, ({}, 0))[1] + 1)
    return list(counted.values())


def limits(content: Content) -> list[str]:
    """What a reader might conclude from the page and should not."""
    comparisons, found = content.comparisons, content.found
    rows: list[Row] = [row for each in comparisons for row in each.rows]
    lines = []
    if any(len(row.seeds) < 3 for row in rows):
        lines.append(
            "With fewer than three seeds nothing says how much of a difference is luck: "
            "the order of two rows may turn around with the next seed."
        )
    lines.append(
        "Small models on small budgets learn different things first than large ones do; "
        "an order found here need not hold at another size, budget or corpus."
    )
    if any(each.task == "language" for each in comparisons):
        lines += [
            "Bits per byte count how well the next bytes are predicted, not whether text is true or useful.",
            "An encoder is asked to continue text one token at a time with a mask at the end, which is not "
            "what it was trained for; it is asked so because all families can answer this question.",
            "Filling in, an encoder sees as many masks as tokens are missing; an encoder-decoder sees one "
            "sentinel, and is trained on shorter gaps than it is asked to fill.",
        ]
    if any(each.split == "validation" for each in comparisons):
        lines.append(
            "Validation numbers have been looked at while settings were chosen, and flatter them a little."
        )
    lines.append(
        "Speed and memory are of this machine and these kernels; another device, or another machine, "
        "may reverse them. Tokens per second count corpus tokens, before the objective."
    )
    if any(row.folds for row in rows) and any(sweep.entries for sweep in found.sweeps):
        lines.append(
            "Where a task has folds, learning rates were chosen on validation examples of the first, which "
            "are test examples of others: a part of the test set was looked at for that choice."
        )
    if any((run.get("config") or {}).get("init_from") for run in found.records):
        lines.append(
            "Where runs start from pretrained weights, pretraining may have read the texts of test examples, "
            "without their labels."
        )
    if found.points:
        lines.append(
            "A length sweep times untrained models on random tokens. Where curves cross depends on the "
            "machine, the kernels and the size of the models; exponents much less so."
        )
    return lines
