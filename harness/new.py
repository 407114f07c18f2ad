"""archs-new: a package of one's own that works from the first minute, to be changed into something new.

Not a Hydra application: it configures nothing, and what it needs are a name and a family.
"""

from __future__ import annotations

import argparse
import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .errors import ConfigError, nearest, one_line_errors
from .searchpath import conf_dir

FAMILIES = ("decoder", "encoder", "encoder-decoder", "mixer")
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST = 40
# Names that the skeletons use themselves.
TAKEN = {"Any", "Conformance", "Context", "Decoder", "F", "Family", "Layer", "Output", "Position"}
TAKEN |= {"Recurrence", "State", "Tensor"}
NO_WORD = {"null", "nan", "inf"}  # in arch=NAME, to Hydra

USAGE = "archs-new NAME --family FAMILY [--into FOLDER]"
HELP = f"""archs-new: the skeleton of a package that adds an architecture, with tests.

  {USAGE}

  NAME                what users will type: arch=NAME or arch/mixer=NAME (lower case, as in my-net)
  --family FAMILY     decoder          reads left to right and goes on: trained on the next token
                      encoder          reads both sides: trained on masked tokens
                      encoder-decoder  reads a source, writes a target
                      mixer            what stands between tokens in place of attention, in any decoder
  --into FOLDER       where to make the folder NAME; the current one if not said

Examples
  archs-new gated-memory --family mixer
  archs-new my-net --family encoder --into ~/research

What it writes works as it stands: a small recurrent architecture that meets the contract, its YAML, a
conformance test, and the entry point by which the toolkit finds it. Nothing existing is overwritten.
"""


class _Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; usage: {USAGE} (--help shows what there is)")

    def format_help(self) -> str:
        return HELP


def main(arguments: list[str] | None = None) -> None:
    """Write the skeleton that the command line asks for, and say what to type next."""
    parser = _Parser(prog="archs-new", allow_abbrev=False)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--family", required=True, metavar="FAMILY")
    parser.add_argument("--into", type=Path, default=Path())
    with one_line_errors():
        args = parser.parse_args(arguments)
        folder = write(args.name, args.family, args.into)
    print(next_steps(args.name, args.family, folder))


def write(name: str, family: str, into: Path) -> Path:
    """Make the folder into/name and return it. Raises ConfigError, before anything is written."""
    if family not in FAMILIES:
        near = nearest(family, FAMILIES)
        hint = f"; nearest: {near}" if near else ""
        raise ConfigError(f"--family {family}: choose from {', '.join(FAMILIES)}{hint}")
    check_name(name, family)
    folder = into.expanduser() / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already: choose another name, or another folder with --into")
    check_module(name)
    files = render(name, family)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def check_name(name: str, family: str) -> None:
    """Raise ConfigError where `name` is not a name, or another option's."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ConfigError(
            f"{name!r} is no name for a package: at most {LONGEST} lower-case letters and digits, "
            "beginning with a letter, parts joined by - or _, as in my-net"
        )
    words = (module_of(name), title_of(name))
    if any(keyword.iskeyword(word) or word in TAKEN | NO_WORD for word in words):
        raise ConfigError(
            f"{name!r} already means something in Python, in YAML or in the skeleton: add a word to it"
        )
    group = group_of(family)
    for built_in in (conf_dir() / group).glob("*.yaml"):
        if built_in.stem.replace("-", "_") == module_of(name):
            raise ConfigError(f"{name!r} is taken: {group}={built_in.stem} is built in ({built_in})")


def check_module(name: str) -> None:
    """Raise ConfigError where the module would stand before, or behind, one that exists."""
    found = find_spec(module_of(name))
    if found is not None:
        place = found.origin or next(iter(found.submodule_search_locations or []), "built in")
        raise ConfigError(f"{name!r} is taken: there is a module {module_of(name)} ({place})")


def module_of(name: str) -> str:
    return name.replace("-", "_")


def title_of(name: str) -> str:
    """The class: my-net becomes MyNet."""
    return "".join(part.capitalize() for part in re.split("[-_]", name))


def group_of(family: str) -> str:
    return "arch/mixer" if family == "mixer" else "arch"


def choice(name: str, family: str) -> str:
    return f"{group_of(family)}={module_of(name)}"


def train(name: str, family: str) -> str:
    """A first run, of half a minute."""
    swapped = f"arch=gpt {choice(name, family)} arch/position=none"
    return (
        f"archs-train {swapped if family == 'mixer' else choice(name, family)} size=200k budget.tokens=500k"
    )


def render(name: str, family: str) -> dict[str, str]:
    """{path: content} of the package."""
    module, group = module_of(name), group_of(family)
    yaml = f"{module}/conf/{group}/{module}.yaml"
    about = {
        "name": name,
        "module": module,
        "title": title_of(name),
        "family": family,
        "article": "an" if family[0] == "e" else "a",
        "yaml": yaml,
        "choice": choice(name, family),
        "train": train(name, family),
    }
    templates = {
        f"{module}/__init__.py": f"{family}.py",
        yaml: "conf.yaml",
        f"tests/test_{module}.py": "test.py",
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "skeleton"),
        undefined=StrictUndefined,
        keep_trailing_newline=False,
        autoescape=False,  # Python and YAML, no HTML
    )
    return {
        path: environment.get_template(f"{template}.jinja").render(about).rstrip() + "\n"
        for path, template in templates.items()
    }


def next_steps(name: str, family: str, folder: Path) -> str:
    return f"""wrote {folder}: {module_of(name)}/__init__.py is the architecture, the rest makes it known

next:
  cd {folder}
  pip install -e '.[test]'
  archs-list
  {train(name, family)}
  pytest"""
