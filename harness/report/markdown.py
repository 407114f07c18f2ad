"""A report as Markdown that GitHub renders."""

from __future__ import annotations

from collections.abc import Sequence

from .content import Content, lead, limits
from .drawing import Plot
from .render import markdown as table
from .tables import trials_title


def markdown(content: Content, folder: str) -> str:
    """The whole report; plots are links to `folder`/*.svg."""
    parts = [f"# {content.title}", lead(content)]
    if content.found.command:
        parts.append(f"```sh\n{content.found.command}\n```")
    if content.chosen:
        parts += [f"## {content.chosen.title}", table(content.chosen.grid), _lines(content.chosen.footer)]
    if content.side:
        parts += ["## Tasks side by side", table(content.side.grid), _lines(content.side.footer)]
    if content.overview and not content.side:
        parts.append("## Overview")
    parts += [*_images(content.overview, folder), _lines(content.lines)]
    for section in content.sections:
        parts += [f"## {section.comparison.title}", table(section.quality), _lines(section.remarks)]
        for part in section.parts:
            parts += [f"{part.heading}:", table(part.grid), _lines(part.lines)]
        parts += ["What it took:", table(section.cost), _lines(section.cost_remarks)]
        parts += _images(section.plots, folder)
    for sweep, grid in content.trials:
        parts += [f"## {trials_title(sweep)}", table(grid)]
    for measured in content.measured:
        parts += [f"## {measured.title}", _lines(measured.remarks), *_images(measured.plots, folder)]
        for each in measured.tables:
            parts += [f"### {each.title}", table(each.grid), _lines(each.lines)]
    if content.reading:
        parts += ["## How to read the tables", _lines(content.reading)]
    left = [f"Left alone: {problem}." for problem in content.found.problems]
    parts += ["## What these numbers do not say", _lines([*limits(content), *left])]
    return "\n\n".join(filter(None, parts)) + "\n"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _images(plots: Sequence[Plot], folder: str) -> list[str]:
    return [_image(plot, folder) for plot in plots]


def _image(plot: Plot, folder: str) -> str:
    alternative = plot.caption.replace("[", "(").replace("]", ")")
    return f"**{plot.title}**\n\n![{alternative}]({folder}/{plot.name}.svg)"
