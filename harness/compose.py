"""From overrides to a checked configuration, on the command line and from Python alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from . import strict
from .diagnose import explain
from .errors import ConfigError
from .schema import shipped
from .searchpath import conf_dir, make_loader

NAMED = ("arch", "task")  # groups whose changed settings are part of their name in tables


def compose(command: str = "train", overrides: Sequence[str] = ()) -> DictConfig:
    """What `archs-<command> <overrides>` would run with, e.g. compose("train", ["arch=mamba", "size=1M"]).

    Raises ConfigError, in one line, for whatever the command line would refuse.
    """
    loader = make_loader()
    return ready(load(loader, command, overrides), command, loader)


def load(loader: ConfigLoaderImpl, config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Hydra's composition, with its `hydra` node; what Hydra refuses is explained in one line."""
    version.setbase("1.3")
    try:
        return loader.load_configuration(
            config_name, list(overrides), run_mode=RunMode.RUN, validate_sweep_overrides=False
        )
    except Exception as error:
        raise ConfigError(explain(loader, config_name, overrides, error)) from error


def ready(
    composed: DictConfig, command: str, loader: ConfigLoaderImpl, *, values: bool = True
) -> DictConfig:
    """Check a composition and make it the workers' configuration.

    Counts become numbers, and a node `choices` is added: {arch: gpt, task: language, corpus: sotu, ...},
    the names of what was chosen. Settings changed on the command line are part of a name (gpt+s6+depth=8),
    so that tables keep variants apart. values=False checks keys alone.
    """
    hydra = composed.hydra
    config = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    choices = {group: option for group, option in hydra.runtime.choices.items() if option is not None}
    choices = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    sources = [Path(s.path) for s in hydra.runtime.config_sources if s.schema == "file"]
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)

    schema = shipped(conf_dir())
    for group in (key for key, defaults in schema.primary(command).items() if defaults == [{}]):
        if group not in config:
            options = ", ".join(schema.options.get(group, {}))
            raise ConfigError(f"{group}={hydra.runtime.choices.get(group)}: choose from {options}")
    files = [f"{group.split('@')[0]}/{option}.yaml" for group, option in choices.items()]
    files.append(f"{hydra.job.config_name}.yaml")
    changed = set(_keys(hydra.overrides.task))

    def where(path: str) -> str | None:
        return None if path in changed else _locate(path.rsplit(".", 1)[-1], files, sources)

    keys = strict.Keys(schema, plain, choices, where)
    keys.check(command)
    names = {group: option for group, option in choices.items() if "/" not in group}
    for group in NAMED:
        if group in names and _customised(group, changed, hydra, command, sources):
            names[group] += _changes(group, plain, choices, command, loader)
    strict.normalise(config, keys.counts)
    if values:
        strict.validate(config)
    with open_dict(config):
        config.choices = names
    return config


def _keys(overrides: Sequence[str]) -> Iterator[str]:
    for override in overrides:
        yield override.split("=", 1)[0].lstrip("+~")


def _locate(key: str, files: Sequence[str], sources: Sequence[Path]) -> str | None:
    """The file among those composed that a key is written in."""
    line = re.compile(rf"(^|[\s{{,]){re.escape(key)}\s*:", re.MULTILINE)
    for source in sources:
        for file in files:
            path = source / file
            if path.is_file() and line.search(path.read_text("utf-8", errors="replace")):
                return str(path)
    return None


def _customised(
    group: str, changed: set[str], hydra: DictConfig, command: str, sources: Sequence[Path]
) -> bool:
    """Whether anything may differ from the option as committed."""
    touched = any(key.startswith((f"{group}/", f"{group}.")) for key in changed)
    return touched or hydra.job.config_name != command or len(sources) > 1


def _changes(
    group: str,
    config: Mapping[str, Any],
    choices: Mapping[str, str],
    command: str,
    loader: ConfigLoaderImpl,
) -> str:
    """How a group differs from its option as it stands in its file: "+s6+depth=8", or ""."""
    bare = loader.load_configuration(command, [f"{group}={choices[group]}"], run_mode=RunMode.RUN)
    before = bare.hydra.runtime.choices
    names: list[str] = []
    replaced: list[str] = []
    for name, option in choices.items():
        if name.startswith(f"{group}/") and before.get(name) != option:
            names.append(option)
            replaced.append(strict.package(name) + ".")
    old = dict(leaves(OmegaConf.to_container(bare[group]), group))
    for path, value in leaves(config[group], group):
        if not path.startswith(tuple(replaced)) and old.get(path, ()) != value:
            names.append(f"{path.removeprefix(f'{group}.')}={strict.shown(value)}")
    return "".join(f"+{name}" for name in names)


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that is no mapping."""
    if not isinstance(content, Mapping):
        yield path, content
        return
    for key, value in content.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))
