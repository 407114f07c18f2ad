"""What archs-eval prints: headings over rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


class Sheet(NamedTuple):
    """Of the columns the first is aligned left."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def print(self, console: Console) -> None:
        console.print(self.title, style="italic", highlight=False, markup=False, soft_wrap=True)
        table = Table(box=SIMPLE_HEAD)
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*map(shown, row))
        console.print(table)


def shown(value: Any) -> str:
    """A cell's text; a dash for what there is no number of, such as what a model's positions do not reach."""
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
