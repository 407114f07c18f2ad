"""Plots of comparisons, as SVG that follows the page's colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .drawing import STYLE, Plot, draw_across, draw_line, finished, finite, label_axes, new_figure
from .palette import INK, Look, look
from .record import read_metrics
from .summary import Comparison, Metric, Row
from .tables import count, size

MOST = 10  # rows that one plot can show
BINS = 40  # points of a training loss curve


@mpl.rc_context(STYLE)
def plots(comparison: Comparison, stem: str) -> list[Plot]:
    """Every plot that the runs of one table allow; `stem` begins the file names.

    A table with more than MOST rows is drawn through the best row of each architecture.
    """
    if len(comparison.rows) > MOST:
        differs = ", ".join(filter(None, (comparison.differs, "the best row of each architecture")))
        comparison = replace(comparison, rows=_best_rows(comparison), differs=differs)
    curves = {row.label: [_read_curves(run["folder"]) for run in row.runs] for row in comparison.rows}
    drawn: list[Plot | None] = [_learning(comparison, metric, curves, stem) for metric in comparison.metrics]
    drawn += [
        _bars(comparison, "tokens_per_second", "Training speed, tokens/s", count, f"{stem}-speed"),
        _bars(comparison, "peak_memory", "Peak memory of training", size, f"{stem}-memory"),
    ]
    drawn.append(_losses(comparison, curves, stem))
    return [plot for plot in drawn if plot]


def _best_rows(comparison: Comparison) -> tuple[Row, ...]:
    """One row per architecture, the best by the table's first metric: at most MOST of them."""

    def rank(row: Row) -> float:
        metric = comparison.metrics[0] if comparison.metrics else None
        estimate = row.estimate(metric.key) if metric else None
        if metric is None or estimate is None:
            return np.inf
        return estimate[0] if metric.lower_is_better else -estimate[0]

    ranked = sorted(comparison.rows, key=rank)
    best = list({row.arch: row for row in reversed(ranked)}.values())  # the first of each name stays
    kept = sorted(best, key=rank)[:MOST]
    return tuple(row for row in comparison.rows if row in kept)


def _read_curves(folder: str) -> dict[str, list[dict[str, Any]]]:
    """{"train": rows, "validation": rows} of a run's metrics.jsonl."""
    rows = [row for row in read_metrics(Path(folder)) if "tokens" in row]
    return {kind: [row for row in rows if row["kind"] == kind] for kind in ("train", "validation")}


def _learning(comparison: Comparison, metric: Metric, curves: Mapping[str, Any], stem: str) -> Plot | None:
    """A validation metric against corpus tokens: mean over seeds, range shaded, baselines across."""
    scale = 100 if metric.unit == "%" else 1
    figure, axes = new_figure()
    for row, style in _looks(comparison.rows):
        seen = _by_tokens(curves[row.label], metric.key)
        draw_line(axes, row.label, {x: [scale * y for y in ys] for x, ys in seen.items()}, style)
    if not axes.lines:
        return None
    draw_across(axes, {name: scale * value for name, value in _curve_baselines(comparison, metric)})
    if metric.unit == "%":  # where every value is 0, the axis would be about thousandths
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.05), max(high, 1.0))
    label_axes(axes, "corpus tokens", f"{metric.title} ({metric.unit})")
    title = f"{metric.title.capitalize()} on validation against tokens"
    return finished(
        figure, f"{stem}-{metric.key}", title, f"{comparison.title}: {metric.title}, {metric.unit}"
    )


def _curve_baselines(comparison: Comparison, metric: Metric) -> list[tuple[str, float]]:
    """[(name, value)] on what the curves are made on: fewer windows of validation than the tables are."""
    known: dict[str, Mapping[str, float]] = {}
    for row in comparison.rows:
        for run in row.runs:
            known |= run.get("curve_baselines") or {}
    return [(name, values[metric.key]) for name, values in known.items() if metric.key in values]


def _by_tokens(curves: Sequence[Mapping[str, Any]], metric: str) -> dict[float, list[float]]:
    """{corpus tokens: one value per run} of a validation metric."""
    seen: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve["validation"]:
            if finite(point.get(metric)):
                seen.setdefault(point["tokens"], []).append(point[metric])
    return seen


def _losses(comparison: Comparison, curves: Mapping[str, Any], stem: str) -> Plot | None:
    """Training losses, one panel per objective: losses of different objectives are different quantities."""
    objectives: dict[str, list[tuple[Row, Look]]] = {}
    for row, style in _looks(comparison.rows):
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
        label_axes(panel, "corpus tokens", "nats per target", "inside")
        panel.set_title(objective, loc="left")
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


def _bars(comparison: Comparison, key: str, title: str, words: Any, name: str) -> Plot | None:
    values = [(row, style, row.mean(key)) for row, style in _looks(comparison.rows)]
    known = [(row, style, value) for row, style, value in values if value is not None]
    if not known:
        return None
    figure, axes = new_figure(height=0.25 + 0.34 * len(known))
    for place, (_, style, value) in enumerate(reversed(known)):
        axes.barh(place, value, height=0.62, color=style.color)
        axes.annotate(words(value), (value, place), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(known)), [row.label for row, _, _ in reversed(known)])
    axes.tick_params(axis="y", length=0, labelcolor=INK.light)
    axes.xaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.2, y=0.02)
    axes.set_xlim(left=0)
    return finished(figure, name, title, f"{comparison.title}: {title.lower()}")


@mpl.rc_context(STYLE)
def bench_plots(points: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Cost against length on log-log axes, one line per architecture; points without a result are named.

    Points that were measured at another setting (size, vocabulary, tokens per batch) are never in one plot.
    """
    settings = list(dict.fromkeys(str(point.get("setting", "")) for point in points))
    drawn: list[Plot | None] = []
    for number, setting in enumerate(settings, start=1):
        own = [point for point in points if str(point.get("setting", "")) == setting]
        lost = [f"{p['arch']} at {p['length']}: {p['status']}" for p in own if p.get("status") != "ok"]
        remark = f" {setting}." if setting else ""
        remark += f" No result: {'; '.join(lost)}." if lost else ""
        stem = "bench" if len(settings) == 1 else f"bench-{number}"
        for measure, title, unit, name in (
            (_time_per_token, "Time per token of a training step", "µs", "time"),
            (_peak, "Peak memory of a training step", "", "memory"),
            (_decode, "Time to decode one token of one sequence", "ms", "decode"),
        ):
            drawn.append(_against_length(own, measure, title, unit, f"{stem}-{name}", remark))
    return [plot for plot in drawn if plot]


def _time_per_token(point: Mapping[str, Any]) -> Any:
    seconds = point.get("seconds")
    step: Any = seconds.get("train_step") if isinstance(seconds, Mapping) else None
    return 1e6 * step / (point["length"] * point["batch"]) if finite(step) else None


def _decode(point: Mapping[str, Any]) -> Any:
    seconds = point.get("seconds")
    step: Any = seconds.get("decode") if isinstance(seconds, Mapping) else None
    return 1e3 * step if finite(step) else None


def _peak(point: Mapping[str, Any]) -> Any:
    return point.get("peak_memory")


def _against_length(
    points: Sequence[Mapping[str, Any]], measure: Any, title: str, unit: str, name: str, remark: str
) -> Plot | None:
    figure, axes = new_figure()
    for arch in dict.fromkeys(str(point["arch"]) for point in points):
        seen: dict[float, list[float]] = {}
        for point in points:
            if str(point["arch"]) == arch and point.get("status") == "ok" and finite(measure(point)):
                seen.setdefault(point["length"], []).append(measure(point))
        draw_line(axes, arch, seen, look(arch))
    if not axes.lines:
        return None
    lengths = sorted({point["length"] for point in points})
    label_axes(
        axes, "sequence length (tokens)", title.split(" of ")[0].lower() + (f" ({unit})" if unit else "")
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.minorticks_off()
    axes.set_xticks(lengths, [str(length) for length in lengths])
    low, high = axes.get_ylim()
    if high < 4 * low:  # powers of two would leave one tick, or none
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}" if unit else size(v)))
    title += " against length"
    return finished(figure, name, title, f"{title}.{remark}")


def _looks(rows: Sequence[Row]) -> Iterator[tuple[Row, Look]]:
    """Each row with its look; rows of one architecture share a colour and differ in dash and marker."""
    twins: Counter[str] = Counter()
    for row in rows:
        yield row, look(row.arch, twins[row.arch])
        twins[row.arch] += 1
