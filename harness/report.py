"""archs-report: tables, plots and one page, rebuilt from the records of a study and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup
from omegaconf import DictConfig
from rich.console import Console

from . import plots, tables
from .collect import COMMAND, Collected, collect
from .errors import one_line_errors
from .frame import frame
from .grouping import compare
from .palette import adaptive, css, look, standalone
from .statistics import plural
from .summary import SAW, Comparison, Row

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the C one, where PyYAML was built with it
FORMATS = ("terminal", "markdown", "csv", "html")


def run(config: DictConfig) -> int:
    """Report config.study_name (null: all) of results_dir into config.out (null: beside the records)."""
    root = Path(config.results_dir)
    root = root if config.study_name is None else root / config.study_name
    with one_line_errors():
        written = build(root, None if config.out is None else Path(config.out), formats=config.formats)
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
) -> list[Path]:
    """Report the runs under `root` into the folder `out` (default: `root`); returns the files written.

    Writes report.md with plots/*.svg, report.csv and report.html, as `formats` asks, and no other file.
    command: what made the study; kept in command.txt, so that later reports can show it.
    Raises ValueError for an unknown format or a folder without records.
    """
    if unknown := set(formats) - set(FORMATS):
        raise ValueError(f"formats: {', '.join(sorted(unknown))} is none of {', '.join(FORMATS)}")
    root = Path(root)
    out = root if out is None else Path(out)
    if command is not None:
        root.mkdir(parents=True, exist_ok=True)
        (root / COMMAND).write_text(command + "\n", encoding="utf-8")
    found = collect(root)
    comparisons = compare(found.records)
    written: list[Path] = []
    if {"markdown", "html"} & set(formats):
        drawn = [plots.plots(each, stem) for each, stem in zip(comparisons, stems(comparisons), strict=True)]
        measured = plots.bench_plots(found.points)
    if "markdown" in formats:
        for plot in [*(plot for some in drawn for plot in some), *measured]:
            written.append(_write(out / "plots" / f"{plot.name}.svg", standalone(plot.svg)))
        written.append(_write(out / "report.md", markdown(root.name, found, comparisons, drawn, measured)))
    if "csv" in formats:
        written.append(_write(out / "report.csv", frame(comparisons).to_csv(index=False)))
    if "html" in formats:
        written.append(_write(out / "report.html", html(root.name, found, comparisons, drawn, measured)))
    if "terminal" in formats:
        terminal(found, comparisons, written)
    return written


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def stems(comparisons: Sequence[Comparison]) -> list[str]:
    """A file name stem per table: the task, numbered where a task has several tables."""
    tasks = [re.sub(r"[^\w-]+", "-", each.task) for each in comparisons]
    return [t if tasks.count(t) == 1 else f"{t}-{tasks[: i + 1].count(t)}" for i, t in enumerate(tasks)]


def terminal(found: Collected, comparisons: Iterable[Comparison], written: Sequence[Path]) -> None:
    """Tables and footers on standard output, then where the files are."""
    console = Console()
    for each in comparisons:
        console.print(tables.terminal(tables.quality(each), each.title))
        console.print(tables.sideways(tables.cost(each), f"{each.title}: what it took"))
        for line in tables.footer(each):
            console.print(line, markup=False, style="dim")
        console.print()
    for problem in found.problems:
        console.print(f"left alone: {problem}", markup=False, style="yellow")
    for path in written:
        if path.suffix in (".md", ".csv", ".html"):
            console.print(str(path), markup=False, soft_wrap=True)


def markdown(
    title: str,
    found: Collected,
    comparisons: Sequence[Comparison],
    drawn: Sequence[Sequence[plots.Plot]],
    measured: Sequence[plots.Plot],
) -> str:
    """The report as Markdown that GitHub renders; plots are links to plots/*.svg."""
    parts = [f"# {title}", lead(found, comparisons)]
    if found.command:
        parts.append(f"```sh\n{found.command}\n```")
    for each, pictures in zip(comparisons, drawn, strict=True):
        parts += [f"## {each.title}", tables.markdown(tables.quality(each))]
        parts += ["\n".join(f"- {line}" for line in tables.footer(each))]
        parts += ["What it took:", tables.markdown(tables.cost(each))]
        parts += [_image(plot) for plot in pictures]
    if measured:
        parts += ["## Cost against length", *(_image(plot) for plot in measured)]
    parts += [
        "## What these numbers do not say",
        "\n".join(f"- {line}" for line in limits(comparisons, found)),
    ]
    return "\n\n".join(parts) + "\n"


def _image(plot: plots.Plot) -> str:
    alternative = plot.caption.replace("[", "(").replace("]", ")")
    return f"**{plot.title}**\n\n![{alternative}](plots/{plot.name}.svg)"


def html(
    title: str,
    found: Collected,
    comparisons: Sequence[Comparison],
    drawn: Sequence[Sequence[plots.Plot]],
    measured: Sequence[plots.Plot],
) -> str:
    """The report as one page that needs nothing else: style, script and plots stand inside."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"svg": Markup, "yaml": _yaml, "portable": _portable}
    sections = [
        {
            "stem": stem,
            "comparison": each,
            "quality": tables.quality(each),
            "cost": tables.cost(each),
            "footer": tables.footer(each),
            "plots": pictures,
            "colours": [adaptive(look(row.arch).color) for row in each.rows],
        }
        for each, stem, pictures in zip(comparisons, stems(comparisons), drawn, strict=True)
    ]
    return environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead(found, comparisons),
        command=found.command,
        sections=sections,
        measured=measured,
        environments=environments(found.records),
        limits=limits(comparisons, found),
        problems=found.problems,
        light=Markup(css()),
        dark=Markup(css(dark=True)),
        saw=SAW,
    )


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the places of the machine it ran on."""
    return {key: value for key, value in config.items() if key not in ("results_dir", "cache_dir")}


def lead(found: Collected, comparisons: Sequence[Comparison]) -> str:
    """One sentence: what was compared."""
    archs = dict.fromkeys(row.arch for each in comparisons for row in each.rows)
    tasks = dict.fromkeys(each.task for each in comparisons)
    seeds = {run.get("seed") for run in found.records}
    parts = [plural(len(archs), "architecture") + f" ({', '.join(archs)})"] if archs else []
    parts += [plural(len(tasks), "task") + f" ({', '.join(tasks)})"] if tasks else []
    parts += [plural(len(found.records), "run"), plural(len(seeds), "seed")] if found.records else []
    parts += [plural(len(found.points), "point") + " of a length sweep"] if found.points else []
    return ", ".join(parts) + "."


def environments(records: Sequence[Any]) -> list[tuple[dict[str, Any], int]]:
    """Each environment that runs were made in, with the number of runs made there."""
    counted: dict[str, tuple[dict[str, Any], int]] = {}
    for run in records:
        if environment := run.get("environment"):
            key = repr(sorted(environment.items(), key=str))
            counted[key] = (environment, counted.get(key, ({}, 0))[1] + 1)
    return list(counted.values())


def limits(comparisons: Sequence[Comparison], found: Collected) -> list[str]:
    """What a reader might conclude from the page and should not."""
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
    if found.points:
        lines.append(
            "In the length sweep an encoder-decoder reads half of the length and writes the other half."
        )
    return lines
