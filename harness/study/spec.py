"""The YAML of a study, checked and with the chosen scale merged in.

What the overrides in it compose to is checked when they are composed (see expand.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..diagnose import parse
from ..errors import ConfigError, nearest
from ..studies import RATES, STUDY, SWEEP, TASK, changed, check, is_rate, merged

NEEDED = ("name", "title", "archs", "seeds", "tasks")

# What a study sets itself, and where: typing it for every run would make several of them the same.
OWN = {
    "arch": "study.archs=[...]",
    "task": "study=NAME, or a study of your own",
    "seed": "study.seeds=[...]",
    "label": "study.archs={label: [overrides]}",
    "init_from": "study.tasks.NAME.init_from=TASK",
    "optim.lr": "study.tasks.NAME.lr=..., or study.sweep.lr=[...] where rates are swept",
}
OWN_ALWAYS = ("seed", "label", "optim.lr", "study_name")  # of these, what no part of a study may set either


@dataclass(frozen=True)
class TaskBlock:
    """A task of a study. lr: null (the sweep chooses), a rate, several, or {label: rate or rates}.
    init_from: the task of this study whose run of the same label and seed it starts from."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    lr: Any = None
    init_from: str | None = None


@dataclass(frozen=True)
class Sweep:
    """How learning rates are chosen: one grid for every architecture, on seeds that are not reported.

    on: the one task to choose on, for all (null: each task on its own). at: values that axes of the grid are
    held at while choosing, {axis: value}. overrides: for runs of the sweep alone.
    """

    lr: Sequence[float]
    seeds: Sequence[int]
    on: str | None = None
    at: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study, complete. archs: {label: overrides}; grid: {axis: values}, crossed with everything."""

    name: str
    title: str
    archs: Mapping[str, Sequence[str]]
    seeds: Sequence[int]
    tasks: Mapping[str, TaskBlock]
    shared: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    folds: int = 1
    sweep: Sweep | None = None
    test: bool = False
    bench: Mapping[str, Any] | None = None


def read(node: Mapping[str, Any], scale: str | None = None, typed: Sequence[str] = ()) -> Study:
    """The study that a composed `study` node describes, at one of its scales.

    typed: overrides of the command line; those of `study.` win over the scale. Raises ConfigError, in one
    line, for a key that is unknown or missing, a value of the wrong kind, and parts that contradict another.
    """
    node = _read_on(node)
    _check_keys(node, "study")
    for name, part in (node.get("scales") or {}).items():  # chosen or not
        _check_keys(part, f"study.scales.{name}")
    node = {key: value for key, value in _scaled(node, scale, typed).items() if value is not None}
    _check_keys(node, "study")
    blocks: Mapping[str, Any] = node.get("tasks") or {}
    sweep = node.get("sweep")
    missing = [f"study.{key}" for key in NEEDED if key not in node]
    missing += [
        f"study.sweep.{key}" for key in ("lr", "seeds") if sweep is not None and sweep.get(key) is None
    ]
    if sweep is None:
        missing += [f"study.tasks.{name}.lr" for name, block in blocks.items() if block.get("lr") is None]
    if missing:
        raise ConfigError(f"the study's YAML lacks {', '.join(missing)} (see conf/study/quickstart.yaml)")
    archs = node["archs"]
    known = {key: value for key, value in node.items() if key != "scales"}
    study = Study(
        **{
            **known,
            "archs": archs if isinstance(archs, Mapping) else {name: [f"arch={name}"] for name in archs},
            "tasks": {name: TaskBlock(**_given(block)) for name, block in blocks.items()},
            "sweep": None if sweep is None else Sweep(**_given(sweep)),
        }
    )
    _check_sense(study)
    return study


def _check_keys(node: Mapping[str, Any], path: str) -> None:
    """Names and kinds of the keys of a study, or of what a scale changes of one."""
    check(node, STUDY, path)
    for name, block in (node.get("tasks") or {}).items():
        check(block, TASK, f"{path}.tasks.{name}")
    check(node.get("sweep") or {}, SWEEP, f"{path}.sweep")


def _read_on(node: Any) -> Any:
    """The node with the key `on` where YAML, which takes the bare word for a truth value, has read true."""
    if not isinstance(node, Mapping):
        return node
    return {"on" if key is True else key: _read_on(value) for key, value in node.items()}


def _given(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if value is not None}


def _scaled(node: Mapping[str, Any], scale: str | None, typed: Sequence[str]) -> dict[str, Any]:
    """The node with what one of its `scales` changes; its runs go to a folder of their own."""
    if scale is None:
        return dict(node)
    scales = node.get("scales") or {}
    if scale not in scales:
        there = f"it has: {', '.join(scales)}" if scales else "it has none"
        near = nearest(scale, scales)
        raise ConfigError(
            f"scale={scale}: study={node.get('name')} has no such scale; "
            + (f"nearest: scale={near}" if near else f"{there} (scale=null: as it stands)")
        )
    for key in scales[scale]:
        if key in ("name", "scales"):
            raise ConfigError(f"study.scales.{scale}.{key}: a scale changes the other keys of a study")
    result = {**merged(node, scales[scale]), "name": f"{node.get('name')}-{scale}"}
    for override in parse(typed):
        if override.key_or_group.startswith("study."):
            result = changed(result, override.key_or_group, override.value())
    return result


def _check_sense(study: Study) -> None:
    """Raise ConfigError where parts of a study contradict each other."""
    for path, key in _written(study):
        if key in OWN_ALWAYS:
            where = f"; write {OWN[key]}" if key in OWN else ""
            raise ConfigError(f"{path}: a study sets {key} run by run, and would not heed this{where}")
    for name, block in study.tasks.items():
        _known(block.init_from, study.tasks, f"study.tasks.{name}.init_from", "task of this study")
        if isinstance(block.lr, Mapping):
            for label, rate in block.lr.items():
                where = f"study.tasks.{name}.lr.{label}"
                if not (is_rate(rate) or RATES.holds(rate)):
                    raise ConfigError(f"{where}={rate}: {where} takes a number above 0, or a list of them")
    order(study)
    sweep = study.sweep
    if sweep is None:
        return
    both = sorted({*sweep.seeds} & {*study.seeds})
    if both:
        raise ConfigError(
            f"study.sweep.seeds={list(sweep.seeds)} and study.seeds={list(study.seeds)} share {both}: "
            "choosing on a seed that is reported flatters the choice, take others for the sweep, as in [100]"
        )
    _known(sweep.on, study.tasks, "study.sweep.on", "task of this study")
    if sweep.on is not None and study.tasks[sweep.on].lr is not None:
        raise ConfigError(
            f"study.sweep.on={sweep.on}: study.tasks.{sweep.on}.lr says its rate already, leave one out"
        )
    start = None if sweep.on is None else study.tasks[sweep.on].init_from
    while start is not None:
        if study.tasks[start].lr is None:
            raise ConfigError(
                f"study.sweep.on={sweep.on} starts from {start}, which needs study.tasks.{start}.lr then"
            )
        start = study.tasks[start].init_from
    for axis in sweep.at:
        _known(axis, study.grid, "study.sweep.at", "axis of study.grid")


def _written(study: Study) -> Iterator[tuple[str, str]]:
    """(where, key) of every override that a study's YAML holds."""
    maps = {"shared": study.shared, "grid": study.grid}
    maps |= {f"tasks.{name}.overrides": block.overrides for name, block in study.tasks.items()}
    maps |= {"sweep.overrides": study.sweep.overrides} if study.sweep else {}
    yield from ((f"study.{path}.{key}", str(key)) for path, given in maps.items() for key in given)
    for label, overrides in study.archs.items():
        yield from ((f"study.archs.{label}: {line}", line.split("=")[0]) for line in overrides)


def _known(name: str | None, names: Mapping[str, Any], path: str, what: str) -> None:
    if name is None or name in names:
        return
    near = nearest(name, names)
    hint = f"nearest: {near}" if near else f"there is: {', '.join(names) or 'none'}"
    raise ConfigError(f"{path}={name}: no {what}; {hint}")


def order(study: Study) -> list[list[str]]:
    """The names of the tasks in levels: a task comes after the one that it starts from."""
    levels: list[list[str]] = []
    done: set[str] = set()
    while len(done) < len(study.tasks):
        level = [
            name
            for name, block in study.tasks.items()
            if name not in done and (block.init_from is None or block.init_from in done)
        ]
        if not level:
            circle = ", ".join(name for name in study.tasks if name not in done)
            raise ConfigError(f"study.tasks: {circle} start from each other, so none can be first")
        levels.append(level)
        done.update(level)
    return levels


def swept(study: Study) -> list[str]:
    """The tasks whose rates a sweep chooses; [] where there is none."""
    if study.sweep is None:
        return []
    if study.sweep.on is not None:
        return [study.sweep.on]
    return [name for name, block in study.tasks.items() if block.lr is None]


def tried(study: Study) -> set[str]:
    """The tasks that the sweep runs: those it chooses for, and those that these start from."""
    names = set()
    for name in swept(study):
        start: str | None = name
        while start is not None:
            names.add(start)
            start = study.tasks[start].init_from
    return names
