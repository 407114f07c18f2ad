"""Where configuration comes from: our conf/, installed plugins, and the user's own folders."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal import hydra as hydra_application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from .errors import ConfigError
from .plugins import packages
from .strict import as_dict
from .studies import changed


def conf_dir() -> Path:
    """Our YAML: inside the installed package, or beside it in a checkout (an editable install too)."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


class PluginConf(SearchPathPlugin):
    """Adds the YAML of installed plugins, as folders: nothing of theirs is imported for it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for package in packages():
            if package.folder is not None:
                search_path.append(provider=package.name, path=f"file://{package.folder}")


class Loader(ConfigLoaderImpl):
    """Hydra's config loader, but for the keys of a study: some are names of its own (a label, an axis), so
    that Hydra's rules, by which a key is there already and keeps its kind, are not for them."""

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *how: Any, **named: Any
    ) -> DictConfig:
        lines = [line for line in overrides if line.startswith("study.")]
        typed = [
            one for one in OverridesParser.create().parse_overrides(lines) if not one.is_sweep_override()
        ]
        if not typed:
            return super().load_configuration(config_name, overrides, *how, **named)
        own = [str(override.input_line) for override in typed]
        others = [line for line in overrides if line not in own]
        config = super().load_configuration(config_name, others, *how, **named)
        if not OmegaConf.is_dict(config.get("study")):
            return super().load_configuration(config_name, overrides, *how, **named)
        study = as_dict(config.study)
        for override in typed:
            study = changed(study, override.key_or_group, override.value())
        with open_dict(config):
            config.study = study
        config.hydra.overrides.task.extend(own)
        return config


def register() -> None:
    """Make Hydra look where and how we look, and let `_target_: mymodule.Net` find the user's modules.

    The current directory goes last, so that a user's tasks.py shadows nothing of ours; behind our own place,
    too, since an editable install is looked up after all of sys.path.
    """
    vars(hydra_application)["ConfigLoaderImpl"] = Loader  # what hydra.main composes with
    plugins = Plugins.instance()
    if PluginConf not in plugins.discover(SearchPathPlugin):
        plugins.register(PluginConf)
    for place in (str(Path(__file__).parent.parent), os.getcwd()):
        if place not in sys.path:
            sys.path.append(place)


def child_environment() -> dict[str, str]:
    """For `python -m harness.<module>`: the child finds us where we were found, and the user's folder last.

    -m alone would put the current directory first, where a user's tasks.py would stand in for ours.
    """
    root, places = str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in (sysconfig.get_path("purelib"), *places):
        places.append(root)
    path = os.pathsep.join(place for place in places if place)
    return {**os.environ, "PYTHONSAFEPATH": "1", **({"PYTHONPATH": path} if path else {})}


def make_loader(config_dir: str | None = None, searchpath: Sequence[str] | None = None) -> ConfigLoaderImpl:
    """A config loader over conf/, plugins, `--config-dir` and `hydra.searchpath` folders.

    Inside a running command, the folders that it was given where the arguments name none.
    """
    register()
    path = create_config_search_path(str(conf_dir()))
    folders = [] if searchpath is None else list(searchpath)
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir {config_dir}: no such folder")
        folders.append(f"file://{Path(config_dir).absolute()}")
    known = {element.path for element in path.get_path()}
    if HydraConfig.initialized():
        running = [f"{s.schema}://{s.path}" for s in HydraConfig.get().runtime.config_sources if s.path]
        known.add(f"file://{conf_dir()}")
        folders += [source for source in running if source not in known and source not in folders]
    schema = SearchPathQuery(provider="schema", path=None)
    for folder in folders:
        path.prepend("user", folder, schema)
    return Loader(config_search_path=path)
