"""archs-list: what can be chosen, how large it is, and whom it is from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch.nn import Module

from archs import parameter_counts
from archs.contract import Backbone, Family

from . import foreign
from .building import architecture
from .compose import compose
from .counts import format_count
from .diagnose import groups_of, options_of
from .errors import ConfigError, one_line, one_line_errors
from .plugins import Package, clash, load_code, packages, provider, yaml_problem
from .searchpath import conf_dir, make_loader

CHOICES = ("task", "corpus", "tokenizer", "objective", "budget", "match", "optim")


def run(config: DictConfig) -> int:
    """Print architectures at config.size, their parts, the options of the other groups, and plugins."""
    with one_line_errors():
        if config.length is None:
            raise ConfigError("length=null: length takes a whole number of at least 1")
    loader, console = make_loader(), Console()
    console.print(architectures(loader, config))
    parts = [group for group in groups_of(loader, "arch") if options_of(loader, group)]
    console.print(options(loader, ["arch", *parts], "architectures and their parts"))
    console.print(options(loader, CHOICES, "what they learn, from what, and for how long"))
    if packages() or load_code():
        console.print(plugins(loader))
    return 0


def architectures(loader: ConfigLoaderImpl, config: DictConfig) -> Table:
    """One row per architecture: family, parameters and the state that decoding holds."""
    size = "widths as written" if config.size is None else f"size={format_count(config.size)}"
    table = new_table(f"parameters at {size}, vocabulary {config.vocab_size:,}")
    table.add_column("arch", style="bold", no_wrap=True)
    table.add_column("family", overflow="fold", min_width=15, max_width=60)  # or why it cannot be built
    table.add_column("non-embedding", justify="right", no_wrap=True)
    table.add_column("total", justify="right")
    table.add_column("active", justify="right")  # in one token: not all experts are
    table.add_column(f"state after {config.length:,} tokens", justify="right")
    for name in options_of(loader, "arch"):
        table.add_row(name, *measured(name, config))
    return table


def measured(name: str, config: DictConfig) -> tuple[str, ...]:
    """(family, non-embedding, total, active, state) of an architecture; why not, if it cannot be built so."""
    size = "null" if config.size is None else config.size
    try:
        found = architecture(compose("train", [f"arch={name}", f"size={size}"]), config.vocab_size)
        backbone = found.build(config.vocab_size, "meta")
        count = partial(counted, backbone, config.length)
        return foreign.guarded(count, found.node, "the architecture cannot be counted")
    except (ValueError, ImportError) as error:
        return (escape(one_line(error)),)


def counted(backbone: Backbone, length: int) -> tuple[str, ...]:
    """(family, non-embedding, total, active, state after `length` tokens) as a row has them."""
    assert isinstance(backbone, Module)
    family, counts = Family(backbone.family), parameter_counts(backbone)
    shown = (f"{counts[kind]:,}" for kind in ("non_embedding", "total", "active"))
    state = "–"  # an encoder has none: for one more token it reads all others again
    if family is not Family.ENCODER:
        source = length if family is Family.ENCODER_DECODER else 0
        state = f"{backbone.state_bytes(length, source) / 1e6:,.2f} MB"
    return str(family), *shown, state


def options(loader: ConfigLoaderImpl, groups: Sequence[str], title: str) -> Table:
    """One row per option of each group: what it is, whom it is from unless it is ours, and what is wrong."""
    table = new_table(title)
    table.add_column("group", style="bold", no_wrap=True)
    table.add_column("option", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for group in groups:
        for index, option in enumerate(options_of(loader, group)):
            table.add_row("" if index else group, option, escape(described(loader, group, option)))
        table.add_section()
    return table


def described(loader: ConfigLoaderImpl, group: str, option: str) -> str:
    """An option's description, with its provider and what is wrong with it where it is not ours."""
    file = file_of(loader, group, option)
    if file is None:
        return ""
    text, source = first_sentence(file.read_text("utf-8", errors="replace")), provider(file, conf_dir())
    if not source:
        return text
    wrong = problem(file, group)
    return f"{text} [{source}]" + (f" broken: {wrong}" if wrong else "")


def problem(file: Path, group: str) -> str | None:
    """Why a plugin's option cannot be used, as far as its file and its classes tell; None if they do not."""
    if broken := yaml_problem(file):
        return broken
    content = yaml.safe_load(file.read_text("utf-8"))
    try:
        for target in foreign.targets_of(content):
            built = foreign.load(target, group.replace("/", "."), str(file))
            if isinstance(content, dict) and content.get("_target_") == target:
                foreign.check_class(built, group.replace("/", "."), target)
    except ValueError as error:
        return one_line(error)
    return None


def plugins(loader: ConfigLoaderImpl) -> Table:
    """One row per installed package that brings YAML or code: what it brings, or what is wrong."""
    table = new_table("plugins")
    table.add_column("package", style="bold", no_wrap=True)
    table.add_column("what it brings", overflow="fold")
    for package in packages():
        table.add_row(package.name, escape(package.problem or brings(loader, package)))
    for name, reason in load_code():
        table.add_row(name, escape(f"broken: {reason}"))
    return table


def brings(loader: ConfigLoaderImpl, package: Package) -> str:
    """ "arch/mixer=gated": the options of a package, and those left out since their name is taken."""
    assert package.folder is not None
    sources = [Path(source.path) for source in loader.get_sources() if source.scheme() == "file"]
    named, taken = [], []
    for file in sorted(package.folder.rglob("*.yaml")):
        group = file.parent.relative_to(package.folder).as_posix()
        named.append(f"{group}={file.stem}")
        if found := clash(group, file.stem, sources, conf_dir()):
            others = ", ".join(str(other) for other in (found[0], *found[1]) if other != file.resolve())
            taken.append(f"broken: {file} has the name of {others}")
    return "; ".join([", ".join(named) or "nothing", *taken])


def new_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def file_of(loader: ConfigLoaderImpl, group: str, option: str) -> Path | None:
    """The YAML file that an option is."""
    for source in loader.get_sources():
        file = Path(source.path or "", *group.split("/"), f"{option}.yaml")
        if source.scheme() == "file" and file.is_file():
            return file
    return None


def first_sentence(text: str) -> str:
    """Of the comment lines that open a YAML file."""
    block = re.match(r"(?:#[^\n]*\n)+", text + "\n")
    comment = " ".join(line.lstrip("# ") for line in block[0].splitlines()) if block else ""
    end = re.search(r"(?<!al)\.(\s|$)", comment)  # "et al." ends no sentence
    return comment[: end.start()] if end else comment
