"""archs-list: what can be chosen, and how large it is."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch.nn import Module

from archs import parameter_counts
from archs.contract import Family

from .building import architecture
from .compose import compose
from .counts import format_count
from .diagnose import groups_of, options_of
from .searchpath import make_loader

CHOICES = ("task", "corpus", "tokenizer", "objective", "budget", "optim")


def run(config: DictConfig) -> int:
    """Print architectures at config.size, their parts, and the options of the other groups."""
    loader, console = make_loader(), Console()
    console.print(architectures(loader, config))
    parts = [group for group in groups_of(loader, "arch") if options_of(loader, group)]
    console.print(options(loader, ["arch", *parts], "architectures and their parts"))
    console.print(options(loader, CHOICES, "what they learn, from what, and for how long"))
    return 0


def architectures(loader: ConfigLoaderImpl, config: DictConfig) -> Table:
    """One row per architecture: family, parameters and the state that decoding holds."""
    size = "widths as written" if config.size is None else f"size={format_count(config.size)}"
    table = new_table(f"parameters at {size}, vocabulary {config.vocab_size:,}")
    table.add_column("arch", style="bold", no_wrap=True)
    table.add_column("family")
    table.add_column("non-embedding", justify="right")
    table.add_column("total", justify="right")
    table.add_column(f"state after {config.length:,} tokens", justify="right")
    for name in options_of(loader, "arch"):
        table.add_row(name, *measured(name, config))
    return table


def measured(name: str, config: DictConfig) -> tuple[str, ...]:
    """(family, non-embedding, total, state) of one architecture; why not, if it cannot be built so."""
    size = "null" if config.size is None else config.size
    try:
        found = architecture(compose("train", [f"arch={name}", f"size={size}"]), config.vocab_size)
        backbone = found.build(config.vocab_size, "meta")
    except (ValueError, ImportError) as error:
        return (escape(str(error)),)
    assert isinstance(backbone, Module)
    counts = parameter_counts(backbone)
    state = "–"  # an encoder has none: for one more token it reads all others again
    if found.family is not Family.ENCODER:
        source = config.length if found.family is Family.ENCODER_DECODER else 0
        state = f"{backbone.state_bytes(config.length, source) / 1e6:,.2f} MB"
    return str(found.family), f"{counts['non_embedding']:,}", f"{counts['total']:,}", state


def options(loader: ConfigLoaderImpl, groups: Sequence[str], title: str) -> Table:
    """One row per option of each group."""
    table = new_table(title)
    table.add_column("group", style="bold", no_wrap=True)
    table.add_column("option", no_wrap=True)
    table.add_column("what it is")
    for group in groups:
        for index, option in enumerate(options_of(loader, group)):
            table.add_row("" if index else group, option, escape(description(loader, group, option)))
        table.add_section()
    return table


def new_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)


def description(loader: ConfigLoaderImpl, group: str, option: str) -> str:
    """The first sentence of the comment that opens an option's YAML; "" if there is none."""
    for source in loader.get_sources():
        roots: dict[str, Traversable] = {}
        if source.scheme() == "file":
            roots["file"] = Path(source.path)
        elif source.scheme() == "pkg" and source.path:
            roots["pkg"] = importlib.resources.files(source.path)
        for root in roots.values():
            file = root.joinpath(*group.split("/"), f"{option}.yaml")
            if file.is_file():
                return first_sentence(file.read_text(encoding="utf-8"))
    return ""


def first_sentence(text: str) -> str:
    """Of the comment lines that open a YAML file."""
    block = re.match(r"(?:#[^\n]*\n)+", text + "\n")
    comment = " ".join(line.lstrip("# ") for line in block[0].splitlines()) if block else ""
    end = re.search(r"(?<!al)\.(\s|$)", comment)  # "et al." ends no sentence
    return comment[: end.start()] if end else comment
