"""Tables for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from .tables import Cell, Grid

FEW = 6  # rows that may stand side by side, and columns that need not be turned
FRAME: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "title_justify": "left",
    "title_style": "bold",
    "header_style": "bold",
}


def terminal(grid: Grid, title: str, width: int) -> Table:
    """A rich table of at most `width` letters, its optional columns left out where they do not fit.

    The winner stands out, baselines follow below a rule. What is still too wide is set sideways where it
    has few rows; else its last columns are left out. A line below names what was left out.
    """
    optional = [place for place, column in enumerate(grid.columns) if column.optional]
    shown = list(range(len(grid.columns)))
    widths = [_width(grid, place) for place in shown]
    while optional and sum(widths[place] for place in shown) > width:
        shown.remove(optional.pop())
    if sum(widths[place] for place in shown) > width and len(shown) > FEW:
        if len(grid.rows) <= FEW:
            return sideways(grid, title)
        while sum(widths[place] for place in shown) > width and len(shown) > 2:
            shown.pop()
    table = _upright(grid, title, shown)
    left = [place for place in range(len(grid.columns)) if place not in shown and _says(grid, place)]
    if left:
        names = "; ".join(grid.columns[place].heading for place in left)
        table.caption = f"not shown in {width} columns (all take {sum(widths)}), but in the files: {names}"
        table.caption_justify = "left"
    return table


def _says(grid: Grid, place: int) -> bool:
    """Whether a column holds anything at all."""
    return any(str(row[place]) not in ("", "-") for row in (*grid.rows, *grid.baselines))


def _width(grid: Grid, place: int) -> int:
    """Letters that a column takes, with the space beside it."""
    column = grid.columns[place]
    cells = [cell_len(str(row[place])) for row in (*grid.rows, *grid.baselines)]
    return 1 + max([cell_len(column.title), cell_len(column.unit), *cells])


def _upright(grid: Grid, title: str, shown: Sequence[int]) -> Table:
    table = Table(title=escape(title), **FRAME)
    for place in shown:
        column = grid.columns[place]
        heading = f"{column.title}\n{column.unit}" if column.unit else column.title
        table.add_column(escape(heading), justify="right" if column.number else "left")
    for index, row in enumerate(grid.rows):
        last = index == len(grid.rows) - 1
        table.add_row(*[_styled(row[place]) for place in shown], end_section=last and bool(grid.baselines))
    for row in grid.baselines:
        table.add_row(*[_styled(row[place]) for place in shown], style="dim")
    return table


def sideways(grid: Grid, title: str) -> Table:
    """The same with rows for columns: many quantities of few architectures, in a narrow terminal."""
    table = Table(title=escape(title), **FRAME)
    table.add_column(escape(grid.columns[0].title))
    for row in grid.rows:
        table.add_column(escape(row[0].text), justify="right")
    for place, column in enumerate(grid.columns[1:], 1):
        table.add_row(escape(column.heading), *[_styled(row[place]) for row in grid.rows])
    return table


def _styled(cell: Cell) -> Text:
    return Text(str(cell), "bold green" if cell.best else "")


def markdown(grid: Grid) -> str:
    """A table that GitHub renders; winners in bold, baselines in italics."""
    rows = [[_marked(cell) for cell in row] for row in grid.rows]
    rows += [
        [_marked(replace(row[0], text=f"*{row[0].text}*")), *map(_marked, row[1:])] for row in grid.baselines
    ]
    return tabulate(
        rows,
        headers=[_plain(column.heading) for column in grid.columns],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if column.number else "left" for column in grid.columns],
    )


def _marked(cell: Cell) -> str:
    text = _plain(str(cell))
    return f"**{text}**" if cell.best else text


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split()).replace("<", "&lt;")
