"""Strict configuration: a key that means nothing, or a value of the wrong kind, is refused before any work.

Nothing here imports torch: a typing mistake is answered in about a second.
"""

from __future__ import annotations

import inspect
import logging
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import foreign
from .counts import is_count, parse_count
from .errors import ConfigError, nearest
from .schema import INSTANTIATE, KINDS, Schema, fits, kind
from .studies import STUDY

# Hydra logs a target that cannot be imported before it raises; what is raised says it already.
logging.getLogger("hydra.utils").addHandler(logging.NullHandler())

WIRING = ("vocab_size", "causal", "cross")  # what no YAML says
# What any architecture may list, for parts that are swapped in and for the harness.
SHARED = {"dim", "depth", "heads", "kv_heads", "head_dim", "hidden", "inner", "bias", "dropout", "init"}
SHARED |= {"start", "sizing"}


class Keys:
    """Checks the keys of one composed configuration and the kinds of their values.

    choices: Hydra's {group: option}; where(path) names the file that a key stands in, if known.
    """

    def __init__(
        self,
        schema: Schema,
        config: Mapping[str, Any],
        choices: Mapping[str, str],
        where: Callable[[str], str | None] = lambda path: None,
    ) -> None:
        self.schema, self.config, self.where = schema, config, where
        self.packages = {package(group): (group, option) for group, option in choices.items()}
        self.referenced = set(_references(config))
        self.counts: list[str] = []  # paths whose values are counts written as text
        self.plugins: list[tuple[str, str, list[str]]] = []  # for check_plugins

    def check(self, command: str) -> None:
        """Raise ConfigError at the first key or value that does not belong."""
        self._node(dict(self.config), "", self.schema.primary(command))

    def _node(self, node: dict[str, Any], path: str, known: Mapping[str, list[Any]] | None) -> None:
        target = node.get("_target_")
        if target is not None:
            known = self.schema.targets.get(target)
            if known is None:
                own = [key for key in node if key not in INSTANTIATE | SHARED]
                own = [key for key in own if not self._expected(f"{path}.{key}")]
                self.plugins.append((path, target, own))
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if not (known is None or key in known or key in INSTANTIATE or self._expected(here)):
                raise ConfigError(self._unknown(here, known))
            self._value(value, here, (known or {}).get(key, []))

    def _value(self, value: Any, here: str, defaults: list[Any]) -> None:
        if here in self.packages:
            group, option = self.packages[here]
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{here}={shown(value)}: options are chosen with a slash, as in {group}={option}"
                )
            if group.split("/")[0] == "arch":
                self._builds(value, group, option)
            known = self.schema.node(group, option, value)
            self._node(value, here, {key: [None] for key in STUDY} if group == "study" else known)
        elif isinstance(value, dict):
            shapes = [default for default in defaults if isinstance(default, dict)]
            # `sizing.depth` and its like map sizes of the user's choice: only parts have fixed keys.
            self._node(value, here, None)
            if defaults and not shapes and None not in defaults:
                raise ConfigError(self._wrong_kind(here, value, defaults))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    self._node(item, f"{here}[{index}]", None)
            self._kind(value, here, defaults)
        elif not (isinstance(value, str) and ("${" in value or value == "???")):
            self._kind(value, here, defaults)

    def _builds(self, node: Mapping[str, Any], group: str, option: str) -> None:
        """An architecture is a class; the parts of ours are classes that wait for the wiring's arguments."""
        ours = self.config["arch"].get("_target_") in self.schema.targets
        if "/" in group and not ours:  # parts of a class of its own are that class's affair
            return
        target = node.get("_target_")
        if not (isinstance(target, str) and target):
            raise ConfigError(
                f"{group}={option} names no class to build: write _target_: module.Class in its YAML"
            )
        if "/" in group and node.get("_partial_") is not True:
            raise ConfigError(
                f"{group}={option} is a part, built once per layer: write _partial_: true in its YAML"
            )

    def _kind(self, value: Any, here: str, defaults: list[Any]) -> None:
        if here.rsplit(".", 1)[-1] in INSTANTIATE or not defaults:
            return
        kinds = {kind(default) for default in defaults}
        # A part may take several values where its default is one; its constructor knows.
        if isinstance(value, list) and self._in_part(here) and all(fits(item, kinds) for item in value):
            return
        if not fits(value, kinds):
            raise ConfigError(self._wrong_kind(here, value, defaults))
        if "count" in kinds and kinds <= {"count", None} and is_count(value) and not isinstance(value, int):
            self.counts.append(here)

    def _in_part(self, here: str) -> bool:
        node: Any = self.config
        for step in here.split(".")[:-1]:
            node = node.get(step) if isinstance(node, Mapping) else None
        return isinstance(node, Mapping) and "_target_" in node

    def _expected(self, here: str) -> bool:
        """A group's own place, or a scalar that some part reads by interpolation."""
        return here in self.referenced or any(f"{place}.".startswith(f"{here}.") for place in self.packages)

    def _unknown(self, here: str, known: Mapping[str, Any] | None) -> str:
        parent, _, key = here.rpartition(".")
        file = self.where(here)
        valid = [name for name in known or {} if name not in INSTANTIATE]
        return f"{f'{file}: ' if file else ''}unknown key {here}; {prefixed(parent, key, valid)}"

    def _wrong_kind(self, here: str, value: Any, defaults: list[Any]) -> str:
        wanted = " or ".join(sorted({KINDS[k] for default in defaults if (k := kind(default))}))
        file = self.where(here)
        return f"{f'{file}: ' if file else ''}{here}={shown(value)}: {here} takes {wanted}"


def package(group: str) -> str:
    """Where a group's option lands: arch/mixer at arch.mixer, arch/mixer@arch.mixers.a at arch.mixers.a."""
    return group.split("@", 1)[-1].replace("/", ".")


def prefixed(parent: str, key: str, valid: list[str]) -> str:
    """A suggestion with the key's full path."""
    dot = f"{parent}." if parent else ""
    near = nearest(key, valid)
    return f"nearest: {dot}{near}" if near else f"{parent or 'the top level'} has: {', '.join(sorted(valid))}"


def shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _references(content: Any) -> Iterator[str]:
    """Paths that some ${...} reads."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from _references(value)
    elif isinstance(content, list):
        for value in content:
            yield from _references(value)
    elif isinstance(content, str):
        for part in content.split("${")[1:]:
            yield part.split("}")[0].split(",")[0]


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values; an interpolation that leads nowhere is a ConfigError."""
    try:
        return as_dict(config, resolve=True)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{key}{str(error.msg or error).splitlines()[0]}") from error


def as_dict(config: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """The configuration as plain values, its interpolations as written unless `resolve`."""
    plain = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that is no mapping."""
    if not isinstance(content, Mapping):
        yield path, content
        return
    for key, value in content.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))


def normalise(config: DictConfig, counts: list[str]) -> None:
    """Write counts as numbers: 2M becomes 2000000 for whoever reads the configuration."""
    for path in counts:
        OmegaConf.update(config, path, parse_count(OmegaConf.select(config, path)))


def check_plugins(
    plugins: Sequence[tuple[str, str, Sequence[str]]], where: Callable[[str], str | None] = lambda path: None
) -> None:
    """Import plugins, hold them against the contract, and check that their nodes hold no keys but theirs.

    plugins: (path of the node, its `_target_`, the keys that nothing else reads). where(path) names the file
    that a key stands in, if known. Raises ConfigError.
    """
    own_architecture = any(path == "arch" for path, _, _ in plugins)
    for path, target, keys in plugins:
        built = foreign.load(target, path, where(f"{path}._target_"))
        if path == "arch" or not own_architecture:  # parts of a class of their own are that class's affair
            foreign.check_class(built, path, target)
        for key in keys:
            _check_key(key, path, built)


def check_signature(node: Mapping[str, Any], target: Callable[..., Any], path: str = "arch") -> None:
    """Check a resolved node, and the parts inside it, against what they build. Raises ConfigError.

    A plain value has to be of the annotated type. Parts may hold no key that they do not take; at the top
    of an architecture scalars also serve the parts (Keys and check_plugins know which do).
    """
    hints = _hints(target)
    for key, value in node.items():
        here = f"{path}.{key}"
        if key in INSTANTIATE:
            continue
        if isinstance(value, Mapping) and isinstance(value.get("_target_"), str):
            check_signature(value, get_object(value["_target_"]), here)
        if path != "arch":
            _check_key(key, path, target)
        if not _is_instance(value, hints.get(key, Any)):
            raise ConfigError(f"{here}={shown(value)}: {target.__name__} takes {_name(hints[key])} here")


def _check_key(key: str, path: str, target: Callable[..., Any]) -> None:
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # builtins do not say
        return
    if key in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    valid = [name for name in parameters if name not in ("self", *WIRING)]
    raise ConfigError(f"unknown key {path}.{key}: {target.__name__} has none; {prefixed(path, key, valid)}")


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # names that exist for type checkers alone
        return {}


def _is_instance(value: Any, hint: Any) -> bool:
    """Whether a plain configuration value satisfies a hint; hints of other kinds are not judged."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_is_instance(value, option) for option in typing.get_args(hint))
    if hint is types.NoneType:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    return True


def _name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("None", "null")
