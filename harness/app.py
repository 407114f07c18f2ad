"""A command of the toolkit: a Hydra application whose errors are one line and whose work loads late."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from .compose import load, ready
from .diagnose import is_hydra, parse, refuse_additions
from .errors import ConfigError, one_line_errors
from .searchpath import conf_dir, make_loader, register

__all__ = ["ConfigError", "main", "one_line_errors"]

DRY_RUN = ("--dry-run", "dry_run=true")  # of archs-compare
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def main(command: str, worker: str) -> None:
    """Run `worker.run(config)` with what the command line composes from conf/<command>.yaml.

    The worker is imported, and torch with it, when everything that can be refused has been. What it
    returns, if anything, is the exit status; under --multirun the largest counts.
    """
    statuses = [0]
    atexit.register(gc.freeze)  # what a process leaves behind need not be looked through
    collecting = gc.isenabled()
    gc.disable()  # until the work starts: what is loaded stays, and would be looked through again and again

    def task(composed: DictConfig) -> int:
        with one_line_errors():
            config = ready(_with_hydra(composed), command, make_loader())
        module = import_module(worker)
        if collecting:
            gc.enable()
        status = module.run(config) or 0
        statuses.append(status)
        return status

    try:
        with one_line_errors():
            sys.argv[1:] = for_completion(flags_first(own_flags(command, sys.argv[1:])))
            register()
            precheck(command)
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=command)(task)()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        if collecting:
            gc.enable()
    if max(statuses):
        raise SystemExit(max(statuses))


def own_flags(command: str, arguments: list[str]) -> list[str]:
    """The same arguments with the flags that are ours, not Hydra's, written as the keys they stand for."""
    return [DRY_RUN[1] if command == "compare" and word == DRY_RUN[0] else word for word in arguments]


def flags_first(arguments: list[str]) -> list[str]:
    """The same arguments in the order that Hydra's parser asks for: `size=1M -m seed=1,2` is as good as
    `-m size=1M seed=1,2`."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    overrides: list[str] = parser.parse_intermixed_args(arguments).overrides
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    return [*flags, *overrides]


def for_completion(arguments: list[str]) -> list[str]:
    """The same arguments, and for completion also the --config-dir of the line to complete."""
    parser = get_args_parser()
    if not parser.parse_args(arguments).shell_completion:
        return arguments
    parser.exit_on_error = False
    try:
        typed, _ = parser.parse_known_args(os.environ.get("COMP_LINE", "").split()[1:])
    except argparse.ArgumentError:  # an unfinished flag: nothing to suggest
        raise SystemExit(0) from None
    there = typed.config_dir is not None and Path(typed.config_dir).is_dir()
    return ["--config-dir", typed.config_dir, *arguments] if there else arguments


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} (--help shows what there is)")


def precheck(command: str, arguments: list[str] | None = None) -> None:
    """Compose what the arguments ask for and refuse what is wrong with it, before Hydra starts."""
    parser = get_args_parser()
    args = parser.parse_args(arguments)
    if args.hydra_help or args.shell_completion or args.experimental_rerun:
        return
    loader = make_loader(args.config_dir)
    overrides = parse(args.overrides, loader)
    for override in overrides:
        folders = override.value()
        if override.key_or_group == "hydra.searchpath" and isinstance(folders, list):
            loader = make_loader(args.config_dir, [str(folder) for folder in folders])
            overrides = parse(args.overrides, loader)
    refuse_additions(overrides, loader)
    name = args.config_name or command
    working = not (args.help or args.cfg or args.info)
    swept = [override for override in overrides if override.is_sweep_override()]
    if swept and not args.multirun and _mode(loader, name, overrides) != RunMode.MULTIRUN:
        line = str(swept[0].input_line)
        raise ConfigError(f"{line} is a sweep: add --multirun, or write {_as_list(line)} for a list")
    for lines in variants(overrides):
        ready(load(loader, name, lines), command, loader, values=working)


def variants(overrides: list[Override]) -> Iterator[list[str]]:
    """Every value of a sweep at least once: the first of each, then the others one at a time."""
    choices: list[list[str]] = []
    for override in overrides:
        if override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        elif not override.is_sweep_override():
            choices.append([str(override.input_line)])
    first = [options[0] for options in choices]
    yield first
    for place, options in enumerate(choices):
        for option in options[1:]:
            yield [*first[:place], option, *first[place + 1 :]]


def _mode(loader: Any, name: str, overrides: list[Override]) -> RunMode | None:
    """hydra.mode, which a primary file or an override may set."""
    lines = [str(o.input_line) for o in overrides if is_hydra(o) and not o.is_sweep_override()]
    mode: RunMode | None = load(loader, name, lines).hydra.mode
    return mode


def _as_list(line: str) -> str:
    key, _, value = line.partition("=")
    return f"{key}=[{value}]"


def _with_hydra(config: DictConfig) -> DictConfig:
    """A job's configuration, with the `hydra` node that Hydra keeps apart."""
    config = OmegaConf.create(config)
    with open_dict(config):
        config.hydra = HydraConfig.get()
    return config
