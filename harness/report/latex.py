r"""Tables for a paper: \input{report.tex}, with \usepackage{booktabs}; text is escaped, winners are bold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .tables import Cell, Column, Grid

HEAD = r"% Tables of archs-report. They need \usepackage{booktabs}; wide ones \usepackage{graphicx} as well."
LINE = (
    70  # characters, two between columns included, beyond which a table is scaled to the line of an article
)

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl exists in few font encodings
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "µ": r"$\mu$",
    "·": r"$\cdot$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
}


def escape(text: str) -> str:
    r"""`text` as LaTeX prints it, on one line: "a_b & 5%" becomes "a\_b \& 5\%"."""
    plain = " ".join("".join(c if unicodedata.category(c) != "Cc" else " " for c in text).split())
    return "".join(SPECIAL.get(character, character) for character in plain)


def table(grid: Grid, caption: str, label: str, notes: Sequence[str] = ()) -> str:
    """A floating table with its caption above and \\label{tab:...}; `notes` stand below it, small."""
    body = [" & ".join(escape(column.title) for column in grid.columns) + r" \\"]
    if any(column.unit for column in grid.columns):
        body.append(" & ".join(_unit(column) for column in grid.columns) + r" \\")
    body += [r"\midrule", *(_line(row) for row in grid.rows)]
    if grid.baselines:
        body += [r"\midrule", *(_line(row, italic=True) for row in grid.baselines)]
    alignment = "".join("r" if column.number else "l" for column in grid.columns)
    tabular = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
    if _width(grid) > LINE:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    below = [r"\par\smallskip", r"{\footnotesize " + " ".join(map(escape, notes)) + r"\par}"] if notes else []
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{tab:{key(label)}}}",
            *tabular,
            *below,
            r"\end{table}",
        ]
    )


def key(text: str) -> str:
    r"""`text` as a key for \label and \ref, of plain letters: "mqar (size=1M)" becomes "mqar-size-1M"."""
    return re.sub(r"[^A-Za-z0-9:]+", "-", text).strip("-")


def _width(grid: Grid) -> int:
    """Characters of a line, were every cell set in type of one width."""
    rows = [[column.title for column in grid.columns]]
    rows += [[str(cell) for cell in row] for row in [*grid.rows, *grid.baselines]]
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))


def _unit(column: Column) -> str:
    return rf"{{\footnotesize {escape(column.unit)}}}" if column.unit else ""


def _line(row: Sequence[Cell], italic: bool = False) -> str:
    first, *others = (_cell(cell) for cell in row)
    return " & ".join([rf"\textit{{{first}}}" if italic else first, *others]) + r" \\"


def _cell(cell: Cell) -> str:
    text = "--" if cell.text == "-" else escape(cell.text)
    parts = [rf"\textbf{{{text}}}" if cell.best else text]
    parts += [rf"{{\footnotesize {escape(cell.interval)}}}"] if cell.interval else []
    parts += [rf"{{\footnotesize ({escape(cell.note)})}}"] if cell.note else []
    # A row that begins with [ would be taken for an argument of the \\ before it.
    return "~".join(f"{{{part}}}" if part.startswith("[") else part for part in parts if part)
