"""Packages that bring architectures of their own. Found through entry points; none is imported to be found.

archs.conf     the folder of a package that holds its YAML, as in `my_net.conf`
archs.plugins  a module to import before anything is built, for what must have happened by then (custom
               operators, FLOP formulas). A class needs none: its YAML names it in `_target_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

import yaml

from .errors import note
from .foreign import why

CONF, CODE = "archs.conf", "archs.plugins"


@dataclass(frozen=True)
class Package:
    """An installed package that declares YAML.

    name     of the distribution, with its version
    folder   its YAML; None where there is none
    problem  why, in one line, else None
    """

    name: str
    folder: Path | None
    problem: str | None = None


def packages() -> list[Package]:
    """All that entry points of the group archs.conf declare, the broken ones too."""
    found = []
    for entry in entry_points(group=CONF):
        folder = _folder(entry.value)
        said = f'{CONF}: {entry.name} = "{entry.value}"'
        problem = None if folder else f"{said} names no folder of an installed package"
        found.append(Package(distribution(entry), folder, problem))
    return found


def _folder(dotted: str) -> Path | None:
    """The folder `package.sub` without importing the package, whose code may be slow or broken."""
    top, *rest = dotted.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    places = [] if spec is None else spec.submodule_search_locations or []
    return next((folder for place in places if (folder := Path(place, *rest)).is_dir()), None)


def distribution(entry: EntryPoint) -> str:
    """Who declares an entry point, as "my-net 0.1.0"."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.name


@cache
def load_code() -> tuple[tuple[str, str], ...]:
    """Import what archs.plugins names; a module that cannot be is noted on stderr and left out.

    Gives (distribution, why) of those left out.
    """
    failed = []
    for entry in entry_points(group=CODE):
        try:
            entry.load()
        except (Exception, SystemExit) as error:  # whatever the plugin's module raises
            said = f'{CODE}: {entry.name} = "{entry.value}"'
            reason = f"{said} cannot be imported: {why(error, entry.value)}"
            failed.append((distribution(entry), reason))
            note(f"plugin {distribution(entry)} is left out: {reason}")
    return tuple(failed)


def provider(file: Path, ours: Path) -> str:
    """Whom a YAML file is from: "" (the toolkit), a package's name and folder, or the user's own folder."""
    if file.is_relative_to(ours):
        return ""
    for package in packages():
        if package.folder is not None and file.is_relative_to(package.folder):
            return f"{package.name} ({package.folder})"
    return str(file.parent)


def clash(group: str, option: str, sources: Sequence[Path], ours: Path) -> tuple[Path, list[Path]] | None:
    """(the file that is used, the others) where an option stands in several of the folders `sources`."""
    name = f"{group.split('@')[0]}/{option}.yaml"
    files = list(dict.fromkeys(file.resolve() for source in sources if (file := source / name).is_file()))
    files.sort(key=lambda file: not file.is_relative_to(ours.resolve()))  # the built-in is what it is called
    return (files[0], files[1:]) if len(files) > 1 else None


def yaml_problem(file: Path) -> str | None:
    """Why a YAML file cannot be read; None if it can."""
    try:
        yaml.safe_load(file.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        return f"{file}{line}: not valid YAML: {error.problem}"
    except (OSError, ValueError, yaml.YAMLError) as error:
        return f"{file}: cannot be read: {why(error)}"
    return None
