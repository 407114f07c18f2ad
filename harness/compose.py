"""From overrides to a checked configuration, on the command line and from Python alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from . import strict
from .diagnose import explain
from .errors import ConfigError, note
from .identity import canonical
from .plugins import clash, packages
from .rules import validate
from .schema import shipped
from .searchpath import conf_dir, make_loader
from .studies import check_study_name


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
    except ConfigError:
        raise
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
    files = {
        strict.package(group): f"{group.split('@')[0]}/{option}.yaml" for group, option in choices.items()
    }
    files[""] = f"{hydra.job.config_name}.yaml"
    typed: list[str] = strict.as_dict(hydra.overrides)["task"]  # as typed: a=${b} is not resolved
    changed = {override.split("=", 1)[0].lstrip("+~") for override in typed}

    def where(path: str) -> str | None:
        return None if path in changed else _locate(path, files, sources)

    keys = strict.Keys(schema, plain, choices, where)
    keys.check(command)
    for group, option in choices.items():
        _refuse_clash(group, option, sources)
    names = {group: option for group, option in choices.items() if "/" not in group}
    # What may have changed an architecture: the command line, a primary file or a group of the user's own.
    touched = any(override.startswith(("arch/", "arch.", "arch={")) for override in typed)
    touched |= any(
        not group.startswith("arch") and option not in schema.options.get(group.split("@")[0], {})
        for group, option in choices.items()
    )
    if "arch" in names and (touched or hydra.job.config_name != command):
        names["arch"] += _changes(plain, choices, command, loader)
    strict.normalise(config, keys.counts)
    if values:
        validate(config)
        if {"study_name", "progress"} <= config.keys():  # a command that writes there
            check_study_name(config.study_name)
        strict.check_plugins(keys.plugins, where)
    with open_dict(config):
        config.choices = names
    return config


def _refuse_clash(group: str, option: str, sources: Sequence[Path]) -> None:
    """An option that stands in several folders would be one of them by their order: say which, or refuse.

    A built-in option is what its name says, always: a package that has one of the same name is noted and its
    own left out. What the user points at by --config-dir, or two packages, is refused.
    """
    found = clash(group, option, sources, conf_dir())
    if found is None:
        return
    used, others = found
    installed = [package.folder.resolve() for package in packages() if package.folder is not None]
    ours = used.is_relative_to(conf_dir().resolve())
    for other in others:
        if ours and any(other.is_relative_to(folder) for folder in installed):
            note(f"{group}={option} is {used}; left out: {other}, which would have to be renamed")
        else:
            raise ConfigError(
                f"{group}={option} is both {used} and {other}: rename {other.name}, "
                "or results under one name would be of two things"
            )


def _locate(path: str, files: Mapping[str, str], sources: Sequence[Path]) -> str | None:
    """The file among those composed ({package: file}) that a key is written in: its own part's first."""
    line = re.compile(rf"(^|[\s{{,]){re.escape(path.rsplit('.', 1)[-1])}\s*:", re.MULTILINE)
    for place in sorted(files, key=lambda place: len(place) * path.startswith(f"{place}."), reverse=True):
        for source in sources:
            file = source / files[place]
            if file.is_file() and line.search(file.read_text("utf-8", errors="replace")):
                return str(file)
    return None


def _changes(
    config: Mapping[str, Any], choices: Mapping[str, str], command: str, loader: ConfigLoaderImpl
) -> str:
    """How the architecture differs from its option as it stands in its file: "+s6+depth=8", or ""."""

    def composed(*overrides: str) -> DictConfig:
        lines = [f"arch={choices['arch']}", *overrides]
        return loader.load_configuration(command, lines, run_mode=RunMode.RUN)

    bare = composed()
    before = bare.hydra.runtime.choices
    swapped = {name: option for name, option in choices.items() if before.get(name) != option}
    swapped = {name: option for name, option in swapped.items() if name.startswith("arch/")}
    if swapped:  # what else was changed, of the parts swapped in too
        bare = composed(*(f"{name}={option}" for name, option in swapped.items()))
    names = [_swap(group, option) for group, option in swapped.items()]
    old = dict(strict.leaves(strict.as_dict(bare.arch), "arch"))
    for path, value in strict.leaves(config["arch"], "arch"):
        if canonical(old.get(path, ())) != canonical(value):
            names.append(f"{path.removeprefix('arch.')}={strict.shown(canonical(value))}")
    return "".join(f"+{name}" for name in names)


def _swap(group: str, option: str) -> str:
    """What a part that was swapped in adds to the name, with its place where the option does not tell.

    arch/mlp=swiglu: swiglu; arch/position=none: no_position; of a hybrid's mixers mixers.ssd=s6.
    """
    if "@" in group:
        return f"{strict.package(group).removeprefix('arch.')}={option}"
    return f"no_{group.removeprefix('arch/')}" if option == "none" else option
