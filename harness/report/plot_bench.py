"""Plots of a length sweep: time and memory against sequence length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .drawing import STYLE, Plot, draw_line, finished, finite, label_axes, new_figure
from .palette import styles
from .quantities import size


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
    archs = {str(point["arch"]): str(point["arch"]) for point in points}
    for arch, style in styles(archs).items():
        seen: dict[float, list[float]] = {}
        for point in points:
            if str(point["arch"]) == arch and point.get("status") == "ok" and finite(measure(point)):
                seen.setdefault(point["length"], []).append(measure(point))
        draw_line(axes, arch, seen, style)
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
