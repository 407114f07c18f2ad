"""How an architecture looks in every plot: one colour, dash and marker per name; any of them will do."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .labelling import without_settings
from .summary import Row


class Colour(NamedTuple):
    """A CSS variable with its value on a light and on a dark page."""

    variable: str
    light: str
    dark: str


# After Okabe and Ito (2008), darkened on white and lightened on black until each has a contrast above 3:1.
SERIES = (
    Colour("--series-0", "#0068a8", "#5ab4f0"),  # blue
    Colour("--series-1", "#c74e00", "#ff9248"),  # vermilion
    Colour("--series-2", "#00805c", "#35c79a"),  # green
    Colour("--series-3", "#a8437f", "#ee9dcb"),  # purple
    Colour("--series-4", "#8a6d00", "#e5c33c"),  # ochre
    Colour("--series-5", "#3b4cc0", "#a3b1ff"),  # indigo
    Colour("--series-6", "#8c2d04", "#e08a6a"),  # brown
    Colour("--series-7", "#4d6b78", "#a9c4d0"),  # slate
)
INK = Colour("--ink", "#1c2128", "#e6e9ee")
FAINT = Colour("--faint", "#66707c", "#9aa4b1")
RULE = Colour("--rule", "#d5dae0", "#363d47")
PAGE = Colour("--page", "#ffffff", "#14171b")
COLOURS = (*SERIES, INK, FAINT, RULE)

KNOWN = {"gpt": 0, "bert": 1, "t5": 2, "mamba": 3, "llama": 4, "mamba2": 5, "bart": 6, "roberta": 7}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (3, 1, 1, 1)),
    (0, (1.2, 1)),
)


class Look(NamedTuple):
    """Matplotlib's arguments for one architecture."""

    color: str
    marker: str
    linestyle: str | tuple[int, tuple[float, ...]]


def styles(archs: Mapping[str, str]) -> dict[str, Look]:
    """A look for every name in one plot, given {name: architecture}.

    An architecture that is known has its own colour everywhere; a variant of it (gpt+rope beside gpt) takes
    one that is free. Names of one architecture, as at two widths, share its colour, and so do those for whom
    none is left; they differ in dash and marker.
    """
    bases = {name: without_settings(arch) for name, arch in archs.items()}
    slots: dict[str, int] = {}
    for base in sorted(set(bases.values()), key=lambda base: (base not in KNOWN, "+" in base, base)):
        wish = _slot(base)
        free = [slot for slot in range(len(SERIES)) if slot not in slots.values()]
        slots[base] = wish if wish in free or not free else free[0]
    twins: Counter[int] = Counter()
    found = {}
    for name, base in bases.items():
        slot = slots[base]
        place = slot + twins[slot]
        found[name] = Look(SERIES[slot].light, MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])
        twins[slot] += 1
    return found


def _slot(base: str) -> int:
    """The colour that an architecture has where it can choose."""
    known = KNOWN.get(base.split("+")[0])
    return int(hashlib.sha256(base.encode()).hexdigest(), 16) % len(SERIES) if known is None else known


def looks(rows: Sequence[Row]) -> Iterator[tuple[Row, Look]]:
    """Each row with its look in a plot of all of them."""
    of = styles({row.label: row.arch for row in rows})
    return ((row, of[row.label]) for row in rows)


def css(colours: Iterable[Colour] = COLOURS, dark: bool = False) -> str:
    """`--ink: #1c2128; ...`, to stand inside a CSS rule."""
    return " ".join(f"{c.variable}: {c.dark if dark else c.light};" for c in colours)


def adaptive(svg: str) -> str:
    """`svg` with its colours as CSS variables, so that the page around it decides between light and dark."""
    by_light = {c.light: f"var({c.variable}, {c.light})" for c in COLOURS}
    return re.sub("|".join(by_light), lambda found: by_light[found.group()], svg)


def standalone(svg: str) -> str:
    """An adaptive SVG that is a file of its own: it follows the viewer's colour scheme, on its own ground.

    Without that ground, light letters could meet a light page that ignores the viewer's preference.
    """
    light = f":root {{ background: {PAGE.light}; {css()} }}"
    dark = f":root {{ background: {PAGE.dark}; {css(dark=True)} }}"
    style = f"<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>"
    return svg.replace("<defs>", f"{style}\n <defs>", 1)
