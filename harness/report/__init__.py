"""archs-report: tables, plots and one page, rebuilt from the records of a study and from nothing else."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from ..errors import nearest, one_line_errors
from ..strict import as_dict
from . import frame, latex, render
from .collect import COMMAND, collect
from .content import Content, gather, lead
from .lengths import point_lines
from .palette import standalone
from .remarks import reading
from .selection import Selection
from .tables import Grid, trials_title

FORMATS = ("terminal", "markdown", "csv", "latex", "html")
EVERYTHING, CHOSEN = ("report", "plots"), ("chosen", "chosen")  # names of the files, and of the plots' folder


def run(config: DictConfig) -> int:
    """Report config.study_name (null: all) of results_dir into config.out (null: beside the records)."""
    root = Path(config.results_dir)
    root = root if config.study_name is None else root / config.study_name
    with one_line_errors():
        selection = Selection.of(as_dict(config))
        out = None if config.out is None else Path(config.out)
        written = build(root, out, formats=config.formats, selection=selection)
    if "terminal" not in config.formats:  # which names them itself
        for path in written:
            print(path)
    return 0


def build(
    root: str | Path,
    out: str | Path | None = None,
    *,
    command: str | None = None,
    formats: Collection[str] = FORMATS,
    selection: Selection | None = None,
) -> list[Path]:
    """Report the runs under `root` into the folder `out` (default: `root`); returns the files written.

    Writes report.md with plots/*.svg, report.csv, report.tex and report.html, as `formats` asks, and no
    other report. What a selection chooses is chosen.md with chosen/*.svg, and so on, beside the full report.
    command: what made the study; kept in command.txt, so that later reports can show it, and copied to `out`.
    Raises ValueError for an unknown format, a folder without records, or a selection that cannot be.
    """
    if unknown := sorted(set(formats) - set(FORMATS)):
        near = nearest(unknown[0], FORMATS)
        hint = f"; nearest: {near}" if near else ""
        raise ValueError(f"formats: {', '.join(unknown)} is none of {', '.join(FORMATS)}{hint}")
    root, selection = Path(root), selection or Selection()
    if command is not None:
        root.mkdir(parents=True, exist_ok=True)
        (root / COMMAND).write_text(command + "\n", encoding="utf-8")
    if out is not None and (root / COMMAND).is_file():
        _write(Path(out) / COMMAND, (root / COMMAND).read_text("utf-8"))
    names = EVERYTHING if selection == Selection() else CHOSEN
    with _no_garbage():
        content = gather(root.name, collect(root), selection, drawn=bool({"markdown", "html"} & set(formats)))
        return list(write(content, root if out is None else Path(out), formats, *names))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Looks for no garbage meanwhile: thousands of records stay until the end, and would be looked through
    again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def write(content: Content, out: Path, formats: Collection[str], name: str, folder: str) -> Iterable[Path]:
    """The files of a report, one by one as they are written; last of all the tables on the terminal."""
    written: list[Path] = []
    if "markdown" in formats:
        from .markdown import markdown

        plots = [*content.overview, *(plot for each in content.sections for plot in each.plots)]
        plots += [plot for part in content.measured for plot in part.plots]
        for plot in plots:
            written.append(_write(out / folder / f"{plot.name}.svg", standalone(plot.svg)))
        written.append(_write(out / f"{name}.md", markdown(content, folder)))
    if "csv" in formats:
        lines = [*frame.lines(content.comparisons), *point_lines(content.measured)]
        lines = frame.grid_lines(content.chosen.grid) if content.chosen else lines
        written.append(_write(out / f"{name}.csv", frame.to_csv(lines)))
    if "latex" in formats:
        written.append(_write(out / f"{name}.tex", tex(content)))
    if "html" in formats:
        from .page import page

        written.append(_write(out / f"{name}.html", page(content)))
    if "terminal" in formats:
        terminal(content, [path for path in written if path.suffix != ".svg"])
    return written


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def grids(content: Content, *, pairs: bool = True) -> Iterable[tuple[str, str, Grid, Sequence[str]]]:
    """Every table of a report: (title, name, grid, lines below it). pairs: those of every two curves, too."""
    if content.chosen:
        yield content.chosen.title, "chosen", content.chosen.grid, content.chosen.footer
    if content.side:
        yield "Tasks side by side", "tasks", content.side.grid, content.side.footer
    for each in content.sections:
        title = each.comparison.title
        yield title, f"{each.stem}-quality", each.quality, each.remarks
        for part in each.parts:
            yield f"{title}: {part.title}", part.name, part.grid, part.lines
        yield f"{title}: what it took", f"{each.stem}-cost", each.cost, each.cost_remarks
    for sweep, grid in content.trials:
        yield trials_title(sweep), f"{sweep.study}-trials", grid, ()
    for measured in content.measured:
        for table in measured.tables:
            if pairs or not table.pairs:
                yield table.title, table.name, table.grid, table.lines


def tex(content: Content) -> str:
    """All tables of a report for LaTeX, each a float with caption and label."""
    stands_alone = {f"{each.stem}-quality": reading([each.comparison]) for each in content.sections}
    tables = [
        latex.table(grid, f"{title}.", name, [*stands_alone.get(name, ()), *lines])
        for title, name, grid, lines in grids(content)
    ]
    return "\n\n".join([latex.HEAD, *tables]) + "\n"


def terminal(content: Content, written: Iterable[Path]) -> None:
    """Tables and footers on standard output, then where the files are."""
    console = Console()
    console.print(lead(content), markup=False, style="dim")
    for title, _, grid, lines in grids(content, pairs=False):
        console.print(render.terminal(grid, title, console.width))
        for line in lines:
            console.print(line, markup=False, style="dim")
        console.print()
    if any(table.pairs for measured in content.measured for table in measured.tables):
        console.print("From which length on one costs less than another, the files tell.", style="dim")
    for line in [*content.lines, *content.reading]:
        console.print(line, markup=False, style="dim")
    for problem in content.found.problems:
        console.print(f"left alone: {problem}", markup=False, style="yellow")
    for path in written:
        console.print(str(path), markup=False, soft_wrap=True)
