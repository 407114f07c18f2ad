"""Plots of comparisons, as SVG that follows the page's colours."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .palette import FAINT, INK, RULE, Look, adaptive, look
from .record import read_metrics
from .summary import Comparison, Metric, Row
from .tables import count, size

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "text.color": INK.light,
    "axes.edgecolor": RULE.light,
    "axes.labelcolor": INK.light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE.light,
    "grid.linewidth": 0.6,
    "xtick.color": RULE.light,
    "ytick.color": RULE.light,
    "xtick.labelcolor": FAINT.light,
    "ytick.labelcolor": FAINT.light,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
}
WIDTH, HEIGHT = 5.2, 3.3  # inches; narrow, so that letters stay readable on a phone
BINS = 40  # points of a training loss curve


@dataclass(frozen=True)
class Plot:
    """name: a file name without suffix. svg: uses the CSS variables of `palette`."""

    name: str
    title: str
    caption: str
    svg: str


def plots(comparison: Comparison, stem: str) -> list[Plot]:
    """Every plot that the runs of one table allow; `stem` begins the file names."""
    curves = {row.label: [_read_curves(run["folder"]) for run in row.runs] for row in comparison.rows}
    drawn: list[Plot | None] = [_learning(comparison, metric, curves, stem) for metric in comparison.metrics]
    drawn += [_losses(comparison, curves, stem)]
    drawn += [
        _bars(comparison, "tokens_per_second", "Training speed", "tokens/s", count, f"{stem}-speed"),
        _bars(comparison, "peak_memory", "Peak memory of training", "bytes", size, f"{stem}-memory"),
    ]
    return [plot for plot in drawn if plot]


def _read_curves(folder: str) -> dict[str, list[dict[str, Any]]]:
    """{"train": rows, "validation": rows} of a run's metrics.jsonl."""
    rows = [row for row in read_metrics(Path(folder)) if "tokens" in row]
    return {kind: [row for row in rows if row["kind"] == kind] for kind in ("train", "validation")}


def _learning(comparison: Comparison, metric: Metric, curves: Mapping[str, Any], stem: str) -> Plot | None:
    """A validation metric against corpus tokens: mean over seeds, range shaded, baselines across."""
    scale = 100 if metric.unit == "%" else 1
    figure, axes = _figure()
    for row, style in _looks(comparison.rows):
        seen = _by_tokens(curves[row.label], metric.key)
        _draw(axes, row.label, {x: [scale * y for y in ys] for x, ys in seen.items()}, style)
    if not axes.lines:
        return None
    for name, values in comparison.baselines.items():
        if metric.key in values:
            _across(axes, scale * values[metric.key], name)
    _label(axes, "corpus tokens", f"{metric.title} ({metric.unit})")
    title = f"{metric.title.capitalize()} on validation against tokens"
    return _plot(figure, f"{stem}-{metric.key}", title, f"{comparison.title}: {metric.title}, {metric.unit}")


def _by_tokens(curves: Sequence[Mapping[str, Any]], metric: str) -> dict[float, list[float]]:
    """{corpus tokens: one value per run} of a validation metric."""
    seen: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve["validation"]:
            if _finite(point.get(metric)):
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
    figure, axes = _figure(len(objectives))
    for panel, (objective, members) in zip(np.atleast_1d(axes), objectives.items(), strict=True):
        for row, style in members:
            _draw(panel, row.label, _binned(curves[row.label]), style._replace(marker=""))
            judged = _by_tokens(curves[row.label], "native_loss")
            panel.plot(list(judged), [np.mean(y) for y in judged.values()], style.marker, color=style.color)
        _label(panel, "corpus tokens", "loss (nats per target)")
        panel.set_title(objective, loc="left")
    return _plot(
        figure,
        f"{stem}-losses",
        "Native loss, each objective by itself",
        f"{comparison.title}: loss in nats per target on training batches (lines) and validation (marks), "
        "one panel per objective; losses of different objectives are different quantities",
    )


def _binned(curves: Sequence[Mapping[str, Any]]) -> dict[float, list[float]]:
    """Losses averaged over BINS stretches of tokens, per run."""
    points = [
        [(row["tokens"], row["loss"]) for row in curve["train"] if _finite(row.get("loss"))]
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


def _bars(comparison: Comparison, key: str, title: str, unit: str, words: Any, name: str) -> Plot | None:
    values = [(row, style, row.mean(key)) for row, style in _looks(comparison.rows)]
    known = [(row, style, value) for row, style, value in values if value is not None]
    if not known:
        return None
    figure, axes = _figure(height=0.9 + 0.34 * len(known))
    for place, (_, style, value) in enumerate(reversed(known)):
        axes.barh(place, value, height=0.62, color=style.color)
        axes.annotate(f" {words(value)}", (value, place), va="center")
    axes.set_yticks(range(len(known)), [row.label for row, _, _ in reversed(known)])
    axes.tick_params(axis="y", length=0, labelcolor=INK.light)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    _label(axes, unit if unit != "bytes" else "", "", words)
    return _plot(figure, name, title, f"{comparison.title}: {title.lower()}, {unit}")


def bench_plots(points: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Cost against length on log-log axes, one line per architecture; points without a result are named."""
    lost = [f"{p['arch']} at {p['length']}: {p['status']}" for p in points if p.get("status") != "ok"]
    remark = f" No result: {'; '.join(lost)}." if lost else ""
    drawn = [
        _against_length(
            points, _time_per_token, "Time of a training step per token", "µs", "bench-time", remark
        ),
        _against_length(points, _peak, "Peak memory of a training step", "bytes", "bench-memory", remark),
    ]
    return [plot for plot in drawn if plot]


def _time_per_token(point: Mapping[str, Any]) -> Any:
    seconds = point.get("seconds")
    step: Any = seconds.get("train_step") if isinstance(seconds, Mapping) else None
    if isinstance(step, Mapping):
        step = step.get("median")
    return 1e6 * step / (point["length"] * point["batch"]) if _finite(step) else None


def _peak(point: Mapping[str, Any]) -> Any:
    return point.get("peak_memory")


def _against_length(
    points: Sequence[Mapping[str, Any]], measure: Any, title: str, unit: str, name: str, remark: str
) -> Plot | None:
    figure, axes = _figure()
    for arch in dict.fromkeys(str(point["arch"]) for point in points):
        seen: dict[float, list[float]] = {}
        for point in points:
            if str(point["arch"]) == arch and point.get("status") == "ok" and _finite(measure(point)):
                seen.setdefault(point["length"], []).append(measure(point))
        _draw(axes, arch, seen, look(arch))
    if not axes.lines:
        return None
    lengths = sorted({point["length"] for point in points})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2 if unit == "bytes" else 10)
    axes.set_xticks(lengths, [str(length) for length in lengths])
    _label(axes, "", title.lower() + ("" if unit == "bytes" else f" ({unit})"), None)
    axes.set_xlabel("sequence length (tokens)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: size(v) if unit == "bytes" else f"{v:g}"))
    return _plot(
        figure, name, f"{title} against length", f"{title}, {unit}, against sequence length.{remark}"
    )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _looks(rows: Sequence[Row]) -> Iterator[tuple[Row, Look]]:
    """Each row with its look; rows of one architecture share a colour and differ in dash and marker."""
    twins: Counter[str] = Counter()
    for row in rows:
        yield row, look(row.arch, twins[row.arch])
        twins[row.arch] += 1


def _figure(panels: int = 1, height: float = HEIGHT) -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.9 * panels + 0.3 if panels > 1 else height), layout="constrained")
        return figure, figure.subplots(panels, 1)


def _draw(axes: Axes, label: str, seen: Mapping[float, Sequence[float]], style: Look) -> None:
    """{x: one y per seed} as a line through the means and a shaded range."""
    if not seen:
        return
    x = sorted(seen)
    axes.plot(x, [np.mean(seen[at]) for at in x], label=label, **style._asdict())
    if any(len(seen[at]) > 1 for at in x):
        low, high = [min(seen[at]) for at in x], [max(seen[at]) for at in x]
        axes.fill_between(x, low, high, color=style.color, alpha=0.15, linewidth=0)


def _across(axes: Axes, height: float, name: str) -> None:
    axes.axhline(height, color=FAINT.light, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.annotate(
        name, (1, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", color=FAINT.light, fontsize=8,
    )  # fmt: skip


def _label(axes: Axes, x: str, y: str, words: Any = count) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if words:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = min(4, len(labels)) if max(map(len, labels)) < 14 else 1
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2,
            handlelength=2.6, columnspacing=1.2,
        )  # fmt: skip


def _plot(figure: Figure, name: str, title: str, caption: str) -> Plot:
    """The figure as SVG with a viewBox only, its fonts and colours left to the page."""
    buffer = io.StringIO()
    with mpl.rc_context(
        STYLE | {"svg.hashsalt": name}
    ):  # ids that are the same again, and differ between plots
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r'(<svg [^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    )
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    return Plot(name, title, caption, adaptive(svg))
