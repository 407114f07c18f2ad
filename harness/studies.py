"""What a study's YAML may say, before anything heavy is imported: its keys at every level, what kind of value
each takes, and how the command line changes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import ConfigError, nearest

TRIALS = "sweep"  # in a study's folder: its trials


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


def is_name(value: Any) -> bool:
    """Whether it may name a study, and so its folder in results_dir: nothing beside or above that."""
    return _is_text(value) and re.fullmatch(r"\w[\w.+-]*", value) is not None and value != TRIALS


NAME = Kind(
    is_name,
    f"the name of a folder: letters, digits and ._+-, and not {TRIALS}, which is that of a study's trials",
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
NAMED = {"tasks": TASK, "scales": STUDY}  # what is below a name of the user's choice
COMPARED = ("archs", "grid", "at")  # what a study compares: replaced as a whole, by a mapping too


def check(node: Mapping[str, Any], kinds: Mapping[str, Kind], path: str) -> None:
    """Names and kinds of the keys of one node; null is as good as left out."""
    for key, value in node.items():
        known(str(key), kinds, path)
        if value is not None and not kinds[key].holds(value):
            raise ConfigError(f"{path}.{key}={value}: {path}.{key} takes {kinds[key].wanted}")


def known(key: str, names: Mapping[str, Any], path: str) -> None:
    """Raise ConfigError, with the nearest, unless `key` is one of the names at `path`."""
    if key not in names:
        near = nearest(key, names)
        hint = f"nearest: {path}.{near}" if near else f"{path} has: {', '.join(names)}"
        raise ConfigError(f"unknown key {path}.{key}; {hint}")


def check_study_name(value: Any) -> None:
    """Raise ConfigError unless `value` names a study's folder, or that of its trials."""
    if value is None or not is_name(str(value).removesuffix(f"/{TRIALS}")):
        raise ConfigError(f"study_name={'null' if value is None else value}: study_name takes {NAME.wanted}")


def changed(study: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A study's node with what is typed for a key of it, "study.sweep.at.arch.dim" or so.

    What the YAML leaves out can be set, and a list can take the place of a mapping, or a mapping that of a
    list. A mapping is merged into another key by key, as Hydra does, but for what the study compares.
    Raises ConfigError for a key that a study does not have.
    """
    path, *steps = key.split(".")
    return _set(study, steps, value, path, STUDY)


def _set(
    node: Mapping[str, Any], steps: Sequence[str], value: Any, path: str, kinds: Mapping[str, Kind]
) -> dict[str, Any]:
    key, *rest = steps
    known(key, kinds, path)
    here, old = f"{path}.{key}", node.get(key)
    if not rest:
        return {**node, key: value if key in COMPARED else merged(old, value)}
    if not isinstance(old, Mapping | None):
        raise ConfigError(f"unknown key {'.'.join([here, *rest])}: {here} is no mapping")
    if key == "sweep":
        return {**node, key: _set(old or {}, rest, value, here, SWEEP)}
    if key in NAMED and len(rest) > 1:
        known(rest[0], old or {}, here)
        below = _set((old or {})[rest[0]] or {}, rest[1:], value, f"{here}.{rest[0]}", NAMED[key])
        return {**node, key: {**(old or {}), rest[0]: below}}
    name = ".".join(rest)  # a label, or a key of a run: arch.dim
    return {**node, key: {**(old or {}), name: merged((old or {}).get(name), value)}}


def merged(below: Any, above: Any) -> Any:
    """Mappings key by key; anything else is replaced."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}
