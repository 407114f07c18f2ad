"""Learning curves: validation metrics and training losses against corpus tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..record import read_metrics
from .drawing import (
    Plot,
    draw_across,
    draw_line,
    finished,
    finite,
    label_axes,
    name_panel,
    new_figure,
    shading,
)
from .palette import Look, looks
from .summary import Comparison, Metric, Row, baselines_of

BINS = 40  # points of a training loss curve

Curves = Mapping[str, Sequence[Mapping[str, Any]]]  # by row: of each run {"train": rows, "validation": rows}


def read_curves(rows: Iterable[Row]) -> Curves:
    """The curves of every run of some rows that was started."""
    return {row.label: [_read_curves(run["folder"]) for run in row.runs if "folder" in run] for row in rows}


def _read_curves(folder: str) -> dict[str, list[dict[str, Any]]]:
    """{"train": rows, "validation": rows} of a run's metrics.jsonl."""
    rows = [row for row in read_metrics(Path(folder)) if "tokens" in row]
    return {kind: [row for row in rows if row["kind"] == kind] for kind in ("train", "validation")}


def learning(comparison: Comparison, metric: Metric, curves: Curves, stem: str) -> Plot | None:
    """A validation metric against corpus tokens: mean over seeds, interval shaded, baselines across."""
    solved = comparison.solved_from is not None
    figure, axes = new_figure()
    for row, style in looks(comparison.rows):
        seen = _by_tokens(curves[row.label], metric.key)
        scaled = {x: [metric.scale * y for y in ys] for x, ys in seen.items()}
        draw_line(axes, row.label, scaled, style, percent=metric.unit == "%", solved=solved)
    if not axes.lines:
        return None
    baselines = _curve_baselines(comparison, metric)
    draw_across(axes, {name: metric.scale * value for name, value in baselines})
    if metric.unit == "%":  # where every value is 0, the axis would be about thousandths
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.05), max(high, 1.0))
    label_axes(axes, "corpus tokens", f"{metric.title} ({metric.unit})")
    caption = f"{comparison.title}: {metric.title}, {metric.unit}, on the examples that curves are made on"
    return finished(
        figure,
        f"{stem}-{metric.key}",
        f"{metric.title[:1].upper()}{metric.title[1:]} on validation against tokens",
        caption + shading((len(row.seeds) for row in comparison.rows), solved),
    )


def _curve_baselines(comparison: Comparison, metric: Metric) -> list[tuple[str, float]]:
    """[(name, value)] on what the curves are made on: fewer windows of validation than the tables are."""
    known = baselines_of((run for row in comparison.rows for run in row.runs), "curve_baselines")
    return [(name, values[metric.key]) for name, values in known.items() if metric.key in values]


def _by_tokens(curves: Sequence[Mapping[str, Any]], metric: str) -> dict[float, list[float]]:
    """{corpus tokens: one value per run} of a validation metric."""
    seen: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve["validation"]:
            if finite(point.get(metric)):
                seen.setdefault(point["tokens"], []).append(point[metric])
    return seen


def losses(comparison: Comparison, curves: Curves, stem: str) -> Plot | None:
    """Training losses, one panel per objective: losses of different objectives are different quantities."""
    objectives: dict[str, list[tuple[Row, Look]]] = {}
    for row, style in looks(comparison.rows):
        if any(curve["train"] for curve in curves[row.label]):
            objectives.setdefault(str(row.runs[0].get("objective") or row.asked), []).append((row, style))
    if not objectives:
        return None
    figure, axes = new_figure(len(objectives))
    for panel, (objective, members) in zip(np.atleast_1d(axes), objectives.items(), strict=True):
        for row, style in members:
            draw_line(panel, row.label, _binned(curves[row.label]), style._replace(marker=""))
            judged = _by_tokens(curves[row.label], "native_loss")
            panel.plot(list(judged), [np.mean(y) for y in judged.values()], style.marker, color=style.color)
        label_axes(panel, "corpus tokens", "nats per target")
        name_panel(panel, objective)
    return finished(
        figure,
        f"{stem}-losses",
        "Native loss, each objective by itself",
        f"{comparison.title}: loss in nats per target on training batches (lines) and validation (marks), "
        "one panel per objective; losses of different objectives are different quantities",
    )


def _binned(curves: Sequence[Mapping[str, Any]]) -> dict[float, list[float]]:
    """Losses averaged over BINS stretches of tokens, per run."""
    points = [
        [(row["tokens"], row["loss"]) for row in curve["train"] if finite(row.get("loss"))]
        for curve in curves
    ]
    last = max((tokens for run in points for tokens, _ in run), default=0)
    binned: dict[float, list[float]] = {}
    for run in points:
        inside: dict[int, list[float]] = {}
        for tokens, loss in run:
            inside.setdefault(min(int(BINS * tokens / last), BINS - 1) if last else 0, []).append(loss)
        for place, losses in inside.items():
            binned.setdefault((place + 0.5) * last / BINS, []).append(float(np.mean(losses)))
    return binned
