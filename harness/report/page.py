"""A report as one HTML page that needs nothing else: style, script and plots stand inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from .content import Content, Section, environments, lead, limits
from .labelling import base_of, leaves, name_of
from .lengths import Lengths
from .palette import adaptive, css, styles
from .summary import SAW, Record, fold_of
from .sweep import Sweep
from .tables import Grid, trials_title

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
    environment.filters |= {"svg": Markup, "yaml": _yaml, "portable": _portable, "fold": fold_of}
    return environment.get_template("report.html.jinja").render(
        content=content,
        lead=lead(content),
        chosen=_chosen(content),
        side=_side(content),
        sections=[_section(each) for each in content.sections],
        trials=[_trials(sweep, grid, content) for sweep, grid in content.trials],
        measured=[(part, _measured(part)) for part in content.measured],
        blocks=list(_blocks(content)),
        environments=environments(content.found.records),
        limits=limits(content),
        light=Markup(css()),
        dark=Markup(css(dark=True)),
        asked=_asked(content),
    )


def _asked(content: Content) -> list[tuple[list[str], tuple[str, ...]]]:
    """(architectures, (task, family, trained on, asked, what an infilled span is predicted from))."""
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for comparison in content.comparisons:
        infilled = any(metric.key == "infill_bpb" for metric in comparison.metrics)
        for row in comparison.rows:
            run = row.runs[0]
            saw = SAW.get(row.infill_context, row.infill_context) if infilled else "-"
            how = (str(run.get("family") or "-"), str(run.get("objective") or "-"), row.asked, saw)
            found.setdefault((comparison.task, *how), {})[base_of(run)] = None
    return [(list(names), cells) for cells, names in found.items()]


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=DUMPER, sort_keys=False, allow_unicode=True)


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without places of the machine it ran on: of what it started from, the name alone."""
    told = {key: value for key, value in config.items() if key not in PLACES}
    if start := told.get("init_from"):
        told["init_from"] = PurePath(str(start)).name
    return told


def _colours(archs: Iterable[str]) -> list[str]:
    """A colour per row, as the plots have it."""
    looks = styles({str(place): arch for place, arch in enumerate(archs)})
    return [adaptive(look.color) for look in looks.values()]


def _section(each: Section) -> dict[str, Any]:
    rows = each.comparison.rows
    links = [f"{each.stem}-{place}" for place in range(len(rows))]
    colours = _colours(row.arch for row in rows)
    return {
        "stem": each.stem,
        "comparison": each.comparison,
        "quality": Table(f"{each.stem}-quality", "quality", each.quality, links, colours),
        "cost": Table(f"{each.stem}-cost", "cost", each.cost, links, colours),
        "remarks": each.remarks,
        "parts": [
            (Table(part.name, part.heading, part.grid, links, colours), part.lines) for part in each.parts
        ],
        "cost_remarks": each.cost_remarks,
        "plots": each.plots,
    }


def _chosen(content: Content) -> Table | None:
    if content.chosen is None:
        return None
    rows = content.chosen.rows
    colours = _colours(str(runs[0].get("arch")) for runs in rows)
    links = [f"chosen-{place}" for place in range(len(rows))]
    return Table("chosen-table", "the chosen table", content.chosen.grid, links, colours)


def _side(content: Content) -> Table | None:
    """Each row links to its configuration in the first table that has it."""
    if content.side is None:
        return None
    places = content.side.rows
    links = [f"{content.sections[table].stem}-{row}" for table, row in places]
    colours = _colours(content.comparisons[table].rows[row].arch for table, row in places)
    return Table("tasks-table", "tasks side by side", content.side.grid, links, colours)


def _trials(sweep: Sweep, grid: Grid, content: Content) -> Table:
    """Each row links to the first configuration of its name and at its axes."""
    places = [
        (f"{each.stem}-{place}", row.arch, name_of(row.runs[0]), leaves(row.runs[0].get("config") or {}))
        for each in content.sections
        for place, row in enumerate(each.comparison.rows)
    ]
    links, archs = [], []
    for entry in sweep.entries:
        own = [(anchor, arch, at) for anchor, arch, name, at in places if name == entry.label]
        there = [anchor for anchor, _, at in own if entry.axes.items() <= at.items()]
        links.append(there[0] if there else "")
        archs.append(own[0][1] if own else entry.label)
    return Table(f"{sweep.study}-trials", trials_title(sweep), grid, links, _colours(archs))


def _measured(part: Lengths) -> list[Table]:
    looks = styles(part.setting.archs)
    return [
        Table(
            each.name, each.title, each.grid, [""] * len(each.curves),
            [adaptive(looks[curve].color) for curve in each.curves],
        )
        for each in part.tables
    ]  # fmt: skip


def _blocks(content: Content) -> Iterable[tuple[str, list[Block]]]:
    """Per table, what its rows link to."""
    for each in content.sections:
        rows = each.comparison.rows
        colours = _colours(row.arch for row in rows)
        yield (
            each.comparison.title,
            [
                Block(f"{each.stem}-{place}", row.label, colour, row.runs, _apart(row.runs))
                for place, (row, colour) in enumerate(zip(rows, colours, strict=True))
            ],
        )
    if content.chosen:
        chosen = content.chosen
        colours = _colours(str(runs[0].get("arch")) for runs in chosen.rows)
        yield (
            chosen.title,
            [
                Block(f"chosen-{place}", cells[0].text, colour, runs, _apart(runs))
                for place, (cells, runs, colour) in enumerate(
                    zip(chosen.grid.rows, chosen.rows, colours, strict=True)
                )
            ],
        )


def _apart(runs: Sequence[Record]) -> list[str]:
    """Keys of the configuration in which the runs of a row differ."""
    flat = [leaves(_portable(run.get("config") or {})) for run in runs]
    keys = dict.fromkeys(key for config in flat for key in config)
    return [key for key in keys if len({str(config.get(key)) for config in flat}) > 1]
