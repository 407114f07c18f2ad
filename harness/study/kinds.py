"""The keys of a study's YAML, at every level, and what kind of value each takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import ConfigError, nearest


class Kind(NamedTuple):
    holds: Callable[[Any], bool]
    wanted: str


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list that is not empty, of distinct values."""
    return lambda value: (
        isinstance(value, list)
        and value != []
        and all(map(holds, value))
        and len({*map(str, value)}) == len(value)
    )


def _map_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(holds, value.values()))


def _is_override(value: Any) -> bool:
    return _is_text(value) and "=" in value


def _any(value: Any) -> bool:
    return True


TEXT = Kind(_is_text, "a text")
NAME = Kind(
    lambda value: _is_text(value) and re.fullmatch(r"\w[\w.+-]*", value) is not None and value != "sweep",
    "the name of a folder: letters, digits and ._+-, and not sweep, which is that of a study's trials",
)
MAP = Kind(_map_of(_any), "a mapping, as in {key: value}")
SEEDS = Kind(_list_of(_is_whole), "a list of distinct whole numbers, as in [1,2,3]")
RATES = Kind(_list_of(is_rate), "a list of distinct numbers above 0, as in [1e-3,3e-3]")
ARCHS = Kind(
    lambda value: _list_of(_is_text)(value) or (value != {} and _map_of(_list_of(_is_override))(value)),
    "a list of names, as in [gpt,mamba], or variants, as in {gpt-rope: [arch=gpt, arch/position=rope]}",
)
GRID = Kind(
    _map_of(_list_of(lambda value: not isinstance(value, Mapping))),
    "axes with lists of distinct values, as in {arch.dim: [32, 64]}",
)
FOLDS = Kind(lambda value: _is_whole(value) and value >= 2, "a whole number of at least 2, or null")
BENCH = Kind(_map_of(_any), "a mapping of keys of archs-bench, or null")
LR = Kind(
    lambda value: is_rate(value) or RATES.holds(value) or (isinstance(value, Mapping) and value != {}),
    "a number above 0, a list of them, or {architecture: number or list}",
)

STUDY = {
    "name": NAME,
    "title": TEXT,
    "archs": ARCHS,
    "seeds": SEEDS,
    "tasks": Kind(
        lambda value: value != {} and _map_of(lambda block: isinstance(block, Mapping))(value),
        "a mapping of names to tasks, as in {recall: {overrides: {task: mqar}, lr: 1e-3}}",
    ),
    "shared": MAP,
    "grid": GRID,
    "folds": FOLDS,
    "scales": Kind(
        _map_of(lambda value: isinstance(value, Mapping)), "a mapping of names to keys of the study"
    ),
    "sweep": MAP,
    "test": Kind(lambda value: isinstance(value, bool), "true or false"),
    "bench": BENCH,
}
TASK = {"overrides": MAP, "lr": LR, "init_from": TEXT}
SWEEP = {"lr": RATES, "seeds": SEEDS, "on": TEXT, "at": MAP, "overrides": MAP}


def check(node: Mapping[str, Any], kinds: Mapping[str, Kind], path: str) -> None:
    """Names and kinds of the keys of one node; null is as good as left out."""
    for key, value in node.items():
        if key not in kinds:
            near = nearest(str(key), kinds)
            hint = f"nearest: {path}.{near}" if near else f"{path} has: {', '.join(kinds)}"
            raise ConfigError(f"unknown key {path}.{key}; {hint}")
        if value is not None and not kinds[key].holds(value):
            raise ConfigError(f"{path}.{key}={value}: {path}.{key} takes {kinds[key].wanted}")
