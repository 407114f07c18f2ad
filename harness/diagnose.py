"""What was wrong with an override, in one line: Hydra's own messages name the place but not the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from .errors import ConfigError, nearest, one_line, suggestion
from .searchpath import conf_dir
from .strict import as_dict

# What composing may raise, about a YAML or about an override.
REFUSED = (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, RecursionError)


def parse(overrides: Sequence[str], loader: ConfigLoaderImpl | None = None) -> list[Override]:
    """Overrides, parsed one by one so that an error names its own."""
    parser = OverridesParser.create(config_loader=loader)
    parsed = []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except HydraException as error:
            hint = "write key=value" if "=" not in text else "quote values with special characters"
            raise ConfigError(f"cannot read the override {text!r}: {hint}") from error
    return parsed


def options_of(loader: ConfigLoaderImpl, group: str) -> list[str]:
    """The options of a group, [] where there is no such group."""
    return loader.get_group_options(group, ObjectType.CONFIG)


def groups_of(loader: ConfigLoaderImpl, parent: str = "") -> list[str]:
    """Every group but Hydra's, subgroups included."""
    found: list[str] = []
    for name in loader.get_group_options(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if group != "hydra":
            found += [group, *groups_of(loader, group)]
    return found


def is_hydra(override: Override) -> bool:
    return override.key_or_group.split(".")[0].split("/")[0] == "hydra"


def refuse_additions(overrides: Sequence[Override], loader: ConfigLoaderImpl) -> None:
    """`+key`, `++key`, `~key` would get past the schema: they are for hydra.* and the user's own groups."""
    for override in overrides:
        if is_hydra(override) or not (override.is_add() or override.is_force_add() or override.is_delete()):
            continue
        group = override.key_or_group
        if options_of(loader, group) and not (conf_dir() / group).is_dir():
            continue
        line = str(override.input_line)
        plain = line.lstrip("+~")
        sign = line.removesuffix(plain)
        remedy = f"write {plain}" if "=" in plain else f"try {group}=none"
        raise ConfigError(
            f"{override.input_line}: {sign} is for hydra.* only; keys that exist need none ({remedy})"
        )


def explain(loader: ConfigLoaderImpl, config_name: str, overrides: Sequence[str], error: Exception) -> str:
    """One line for an error raised while composing `config_name` with `overrides`."""
    parsed = parse(overrides, loader)
    groups, keys = [], []
    for override in parsed:
        if is_hydra(override):
            continue
        if options_of(loader, override.key_or_group) and not isinstance(override.value(), dict):
            groups.append(override)
        else:
            keys.append(override)
    for override in groups:
        options = options_of(loader, override.key_or_group)
        value = override.value()
        if value is None:
            return f"{override.input_line}: choose one of {', '.join(options)}"
        if isinstance(value, str) and value not in options:
            return f"unknown {override.key_or_group} {value!r}; {suggestion(value, options)}"
    try:
        bare = _used(_compose(loader, config_name, []))
        for override in _roots(groups):
            if override.get_key_element() not in bare and not override.is_add():
                return _no_such_place(override, bare)
        base = _compose(loader, config_name, _roots(groups))
    except REFUSED as first:
        return _plain(first)
    choices = _used(base)
    for override in groups:
        if override.get_key_element() not in choices:
            return _no_such_place(override, choices)
    try:
        base = _compose(loader, config_name, groups)
    except REFUSED as second:
        return _plain(second)
    for override in keys:
        if override.key_or_group.startswith("study.") and "study" in base:  # not Hydra's: see Loader
            continue
        unknown = _unknown_key(override.key_or_group, as_dict(base), groups_of(loader))
        if unknown is not None:
            return unknown
    return _plain(error)


def _roots(groups: Sequence[Override]) -> list[Override]:
    return [override for override in groups if "/" not in override.key_or_group]


def _compose(loader: ConfigLoaderImpl, config_name: str, overrides: Sequence[Override]) -> DictConfig:
    lines = [str(override.input_line) for override in overrides]
    return loader.load_configuration(config_name, lines, run_mode=RunMode.RUN)


def _used(config: DictConfig) -> dict[str, str]:
    """{group: option} of a composition."""
    return {name: option for name, option in config.hydra.runtime.choices.items() if option is not None}


def _no_such_place(override: Override, choices: Mapping[str, str]) -> str:
    """A group that exists but is not part of what was composed."""
    group = override.key_or_group
    root = group.split("/")[0]
    places = [name for name in choices if name.split("@")[0] == group]
    if places:
        whose, kind = f"{root}={choices[root]}", group.rsplit("/", 1)[-1]
        named = " or ".join(f"{name}={override.value()}" for name in places)
        has = f"has one {kind}" if places == [group] else f"gives its {kind}s names"
        return f"{override.input_line}: {whose} {has}: write {named}"
    used = [name for name in choices if not name.startswith("hydra/")]
    return f"{override.input_line}: nothing here takes {group}; {suggestion(group, used)}"


def _unknown_key(path: str, config: dict[str, Any], groups: Sequence[str]) -> str | None:
    """The line for a dotted path that leads nowhere in `config`; None if it leads somewhere."""
    if "/" in path:
        return f"unknown group {path}; {suggestion(path, groups)}"
    node: Any = config
    steps = path.split(".")
    for depth, step in enumerate(steps):
        if not isinstance(node, dict):
            parent = ".".join(steps[:depth])
            return f"unknown key {path}: {parent} is a plain value"
        if step not in node:
            return f"unknown key {path}; {_nearest_key(steps[:depth], steps[depth:], node, config)}"
        node = node[step]
    return None


def _nearest_key(parents: list[str], rest: list[str], node: dict[str, Any], config: dict[str, Any]) -> str:
    """Among the siblings of the unknown step, or a key of the same name elsewhere."""
    elsewhere = [path for path in _paths(config) if path.split(".")[-1] == rest[-1]]
    if elsewhere:
        return f"nearest: {min(elsewhere, key=len)}"
    siblings = [key for key in node if key not in ("hydra", "_target_", "_partial_")]
    near = nearest(rest[0], siblings)
    if near is not None:
        tail = rest[1:] if isinstance(node[near], dict) else []
        if tail and tail[0] not in node[near]:
            tail = [nearest(tail[0], node[near]) or tail[0]]
        return "nearest: " + ".".join([*parents, near, *tail])
    return f"{'.'.join(parents) or 'the top level'} has: {', '.join(sorted(siblings))}"


def _paths(node: Any, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    found = []
    for key, value in node.items():
        if key not in ("hydra", "_target_", "_partial_"):
            here = f"{path}.{key}" if path else str(key)
            found += [here, *_paths(value, here)]
    return found


def _plain(error: Exception) -> str:
    """An error of Hydra, OmegaConf or YAML that has nothing to do with a mistyped name."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, RecursionError):
        return "a defaults list leads back to its own file, or an interpolation to itself"
    if isinstance(cause, UnicodeDecodeError):
        return f"a YAML file among those composed is no text: {one_line(cause)}"
    if isinstance(cause, yaml.MarkedYAMLError) and cause.problem_mark is not None:
        mark = cause.problem_mark
        return f"{mark.name}:{mark.line + 1}: not valid YAML: {cause.problem}"
    if isinstance(cause, OmegaConfBaseException):
        key = f"{cause.full_key}: " if cause.full_key else ""
        return f"{key}{str(cause.msg or cause).splitlines()[0]}"
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file and cause.options:
        group, _, option = cause.missing_cfg_file.rpartition("/")
        asked = one_line(cause).split(":")[0]  # In 'arch/mine'
        return f"{asked}: unknown {group} {option!r}; {suggestion(option, cause.options)}"
    return one_line(cause).split(" Config search path:")[0].split(" Available options")[0]
