"""What may stand in a configuration: the schema of a built-in part is its committed YAML.

Every parameter stands there with its default, so the file says which keys exist and, by the default,
what kind of value each takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from .counts import is_count

Node = Mapping[str, Any]
INSTANTIATE = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}  # Hydra's own keys
# Keys of a command that take more kinds than their default shows; harness.rules, or the command, says which.
OPEN = {"bench": ("archs", "parts", "size")}
KINDS = {
    "bool": "true or false",
    "count": "a whole number, not negative (200k, 2M, 5e6)",
    "float": "a number",
    "text": "a name",
    "list": "a list, as in [1,2]",
    "map": "a mapping, as in {key: value}",
}


def kind(default: Any) -> str | None:
    """The kind of value a key takes, by its committed default; None where the default does not say."""
    if default is None or (isinstance(default, str) and "${" in default) or default == "???":
        return None
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, float):
        return "float"
    if is_count(default):
        return "count"
    if isinstance(default, str):
        return "float" if _is_number(default) else "text"
    return "list" if isinstance(default, list) else "map"


def fits(value: Any, kinds: set[str | None]) -> bool:
    """Whether `value` is of one of `kinds`; null always is (strict.RULES says where it may not stand)."""
    if None in kinds or value is None:
        return True
    if isinstance(value, bool):
        return "bool" in kinds
    if "text" in kinds and isinstance(value, str | int | float):
        return True
    if "float" in kinds and _is_number(value):
        return True
    if "count" in kinds and is_count(value):
        return True
    return ("list" in kinds and isinstance(value, list)) or ("map" in kinds and isinstance(value, dict))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


class Schema:
    """The committed YAML of conf/.

    options   {group: {option: its content without defaults}}; group "" holds the primary files
    targets   {_target_: {key: [default in each file that has it]}}
    """

    def __init__(self, conf: Path) -> None:
        self.options: dict[str, dict[str, Node]] = {}
        self.defaults: dict[str, list[Any]] = {}
        self.below: dict[tuple[str, str], list[str]] = {}
        self.targets: dict[str, dict[str, list[Any]]] = {}
        for path in sorted(conf.rglob("*.yaml")):
            group = path.parent.relative_to(conf).as_posix()
            group = "" if group == "." else group
            content = yaml.load(path.read_text("utf-8"), Loader=_LOADER) or {}
            if group == "":
                self.defaults[path.stem] = content.get("defaults", [])
            elif below := [
                name for name in content.get("defaults", []) if isinstance(name, str) and name != "_self_"
            ]:
                self.below[group, path.stem] = below
            content = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
            self.options.setdefault(group, {})[path.stem] = content
            for node in _targets(content):
                known = self.targets.setdefault(node["_target_"], {})
                for key, value in node.items():
                    known.setdefault(key, []).append(value)

    def primary(self, command: str) -> dict[str, list[Any]]:
        """Keys of a command's primary file, of those it builds on, and the groups it composes."""
        known = {key: [value] for key, value in self.options[""].get(command, {}).items()}
        known |= {key: [*known[key], None] for key in OPEN.get(command, ()) if key in known}
        for entry in self.defaults.get(command, []):
            if isinstance(entry, str):
                for key, values in self.primary(entry).items() if entry != "_self_" else ():
                    known.setdefault(key, values)
            else:
                group = next(iter(entry))
                if not group.startswith("override "):
                    known.setdefault(group.split("@")[-1].split(".")[0], [{}])
        return known

    def node(self, group: str, option: str, content: Node) -> dict[str, list[Any]] | None:
        """Keys known to a group node without `_target_`: its own file's, or those of the same kind.

        None where the group is not ours.
        """
        options = self.options.get(group)
        if options is None:
            return None
        same = list(self._chain(group, option)) if option in options else list(options.values())
        for mark in ("kind", "name"):
            if mark in content and option not in options:
                same = [other for other in same if other.get(mark) == content[mark]] or same
        known: dict[str, list[Any]] = {}
        for other in same:
            for key, value in other.items():
                known.setdefault(key, []).append(value)
        return known

    def _chain(self, group: str, option: str) -> Iterator[Node]:
        """An option's content, and that of the options of its group that its defaults build on."""
        yield self.options[group][option]
        for name in self.below.get((group, option), []):
            yield from self._chain(group, name)


_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _targets(content: Any) -> Iterator[Node]:
    """Every node with a `_target_`, at any depth."""
    if isinstance(content, dict):
        if isinstance(content.get("_target_"), str):
            yield content
        for value in content.values():
            yield from _targets(value)
    elif isinstance(content, list):
        for value in content:
            yield from _targets(value)


@lru_cache
def shipped(conf: Path) -> Schema:
    """The schema of a conf/ folder, read once."""
    return Schema(conf)
