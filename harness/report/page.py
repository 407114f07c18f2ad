"""A report as one HTML page that needs nothing else: style, script and plots stand inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from .content import Content, Section, environments, lead, limits
from .grouping import leaves
from .palette import adaptive, css, look
from .selection import name_of
from .summary import SAW, Record
from .tables import Grid

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the C one, where PyYAML was built with it
PLACES = ("results_dir", "cache_dir")  # of the machine a run was made on


@dataclass(frozen=True)
class Table:
    """A grid as the page shows it: per row the anchor of its configuration and a colour."""

    name: str
    label: str
    grid: Grid
    links: Sequence[str]
    colours: Sequence[str]


@dataclass(frozen=True)
class Block:
    """What a row links to: its runs, and the configuration that they share but for `apart`."""

    anchor: str
    title: str
    colour: str
    runs: Sequence[Record]
    apart: Sequence[str]


def page(content: Content) -> str:
    """The whole report."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"svg": Markup, "yaml": _yaml, "portable": _portable}
    return environment.get_template("report.html.jinja").render(
        content=content,
        lead=lead(content),
        chosen=_chosen(content),
        side=_side(content),
        sections=[_section(each) for each in content.sections],
        trials=[_trials(sweep.study, grid, content) for sweep, grid in content.trials],
        blocks=list(_blocks(content)),
        environments=environments(content.found.records),
        limits=limits(content),
        light=Markup(css()),
        dark=Markup(css(dark=True)),
        saw=SAW,
    )


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the places of the machine it ran on."""
    return {key: value for key, value in config.items() if key not in PLACES}


def _colour(arch: str) -> str:
    return adaptive(look(arch).color)


def _section(each: Section) -> dict[str, Any]:
    rows = each.comparison.rows
    links = [f"{each.stem}-{place}" for place in range(len(rows))]
    colours = [_colour(row.arch) for row in rows]
    return {
        "stem": each.stem,
        "comparison": each.comparison,
        "quality": Table(f"{each.stem}-quality", "quality", each.quality, links, colours),
        "cost": Table(f"{each.stem}-cost", "cost", each.cost, links, colours),
        "remarks": each.remarks,
        "cost_remarks": each.cost_remarks,
        "plots": each.plots,
    }


def _chosen(content: Content) -> Table | None:
    if content.chosen is None:
        return None
    rows = content.chosen.rows
    colours = [_colour(str(runs[0].get("arch"))) for runs in rows]
    links = [f"chosen-{place}" for place in range(len(rows))]
    return Table("chosen-table", "the chosen table", content.chosen.grid, links, colours)


def _side(content: Content) -> Table | None:
    """Each row links to its configuration in the first table that has it."""
    if content.side is None:
        return None
    places = content.side.rows
    links = [f"{content.sections[table].stem}-{row}" for table, row in places]
    colours = [_colour(content.comparisons[table].rows[row].arch) for table, row in places]
    return Table("tasks-table", "tasks side by side", content.side.grid, links, colours)


def _trials(study: str, grid: Grid, content: Content) -> Table:
    """Each row links to the first configuration of that name."""
    anchors: dict[str, str] = {}
    archs: dict[str, str] = {}
    for each in content.sections:
        for place, row in enumerate(each.comparison.rows):
            anchors.setdefault(name_of(row.runs[0]), f"{each.stem}-{place}")
            archs.setdefault(name_of(row.runs[0]), row.arch)
    names = [row[0].text for row in grid.rows]
    links = [anchors.get(name, "") for name in names]
    return Table(
        f"{study}-trials", f"trials of {study}", grid, links, [_colour(archs.get(n, n)) for n in names]
    )


def _blocks(content: Content) -> Iterable[tuple[str, list[Block]]]:
    """Per table, what its rows link to."""
    for each in content.sections:
        yield (
            each.comparison.title,
            [
                Block(f"{each.stem}-{place}", row.label, _colour(row.arch), row.runs, ("seed",))
                for place, row in enumerate(each.comparison.rows)
            ],
        )
    if content.chosen:
        rows = zip(content.chosen.grid.rows, content.chosen.rows, strict=True)
        yield (
            content.chosen.title,
            [
                Block(f"chosen-{place}", cells[0].text, _colour(str(runs[0].get("arch"))), runs, _apart(runs))
                for place, (cells, runs) in enumerate(rows)
            ],
        )


def _apart(runs: Sequence[Record]) -> list[str]:
    """Keys of the configuration in which the runs of a chosen row differ."""
    flat = [leaves(_portable(run.get("config") or {})) for run in runs]
    keys = dict.fromkeys(key for config in flat for key in config)
    return [key for key in keys if len({str(config.get(key)) for config in flat}) > 1]
