"""Where in a sequence a model does well: bits per byte by position, and accuracy by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .drawing import Plot, draw_line, finished, label_axes, mark_trained, name_panel, new_figure, shading
from .judging import GOLD
from .length_axes import length_axis
from .palette import looks
from .summary import Comparison, Row, is_number, lookup
from .trained import POSITION, trained

PANELS = 6  # lengths of one plot of depths
GIVEN = f"given the {GOLD}"


def places(comparison: Comparison, stem: str) -> list[Plot]:
    """The plots of those of the two that the runs of a table have."""
    drawn = (_by_position(comparison, stem), _by_depth(comparison, stem))
    return [plot for plot in drawn if plot]


def _by_position(comparison: Comparison, stem: str) -> Plot | None:
    figure, axes = new_figure()
    lengths: set[int] = set()
    for row, look in looks(comparison.rows):
        seen = _numbers(row, "by_position")
        lengths |= {int(number) for number in seen}
        draw_line(axes, row.label, seen, look)
    if len(lengths) < 2:
        return None
    reach = trained(comparison, POSITION, lengths)
    if reach:
        mark_trained(axes, reach.at)
    label_axes(axes, "", "bits per byte")
    length_axis(axes, sorted(lengths))
    axes.set_xlabel("position in the window (tokens)")
    caption = (
        f"{comparison.title}: bits per byte of each token of a long window in one causal pass, at n those of "
        "the n-th token up to the one before the 2n-th, the same bytes for every row; only decoders can be "
        "asked so, and a row ends where its positions do"
    )
    caption += f"; the upright line: trained on {reach.words}" if reach else ""
    caption += shading(len(row.seeds) for row in comparison.rows)
    return finished(figure, f"{stem}-positions", "Bits per byte by position", caption)


def _by_depth(comparison: Comparison, stem: str) -> Plot | None:
    """A panel per length: accuracy against how deep in the source the answer stands."""
    own = [[lookup(run, row.split, "by_depth") for run in row.completed] for row in comparison.rows]
    found = [of for each in own for of in each]
    parts = list(dict.fromkeys(part for of in found if isinstance(of, Mapping) for part in of))
    if not parts:
        return None
    shown = parts[:: -(-len(parts) // PANELS)]
    counted, how = _counted([row for row, each in zip(comparison.rows, own, strict=True) if any(each)])
    figure, panels = new_figure(len(shown))
    solved = comparison.solved_from is not None
    for place, (axes, part) in enumerate(zip(np.atleast_1d(panels), shown, strict=True)):
        for row, look in looks(comparison.rows):
            seen = {at: [100 * v for v in of] for at, of in _numbers(row, "by_depth", part).items()}
            draw_line(axes, row.label, seen, look, percent=True, solved=solved)
        axes.set_ylim(-4, 104)
        last = place == len(shown) - 1
        given = f",\n{GIVEN}" if how else ""
        depth = "depth (%; 100: right before the question)"
        label_axes(axes, depth if last else "", f"{counted} (%){given}", place == 0)
        name_panel(axes, "length trained on" if part == "trained" else part.replace("_", " "))
    caption = f"{comparison.title}: {counted}{how} by how near the question answers stand, a panel per length"
    caption += shading((len(row.seeds) for row in comparison.rows), solved)
    return finished(figure, f"{stem}-depths", f"{counted[:1].upper()}{counted[1:]} by depth", caption)


def _counted(rows: Sequence[Row]) -> tuple[str, str]:
    """(what of the answers is counted, how it was asked for): examples, where a task names the depths that
    they are of, else tokens. The latter is "" unless some rows were given the right tokens before."""
    if any(lookup(row.runs[0], "config", "task", "depths") for row in rows):
        return "exact match", ""
    if not any(row.gold_prefix for row in rows):
        return "accuracy" if all(row.gold_prefix is None for row in rows) else "token accuracy", ""
    without = ", ".join(row.label for row in rows if not row.gold_prefix)
    return "token accuracy", f", {GIVEN}" + (f" (of {without} without it)," if without else ",")


def _numbers(row: Row, *path: str) -> dict[float, list[float]]:
    """{number: one value per run} of a mapping in the records of a row."""
    seen: dict[float, list[float]] = {}
    for run in row.completed:
        found = lookup(run, row.split, *path)
        if isinstance(found, Mapping):
            for number, value in found.items():
                if is_number(value):
                    seen.setdefault(float(number), []).append(value)
    return dict(sorted(seen.items()))
