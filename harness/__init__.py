"""The harness: what runs architectures and compares them.

The Python door, loaded when used:

    model = harness.build("gpt", size="1M", vocab_size=2048)
    model = harness.load("results/runs/single/gpt-language-1M-s1-0123456789ab")
    table = harness.records("results/runs")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cores import share_cores

if TYPE_CHECKING:
    from .building import build
    from .loading import load
    from .record import records

__all__ = ["build", "load", "records"]

share_cores()  # here, since in our commands PyTorch is imported after this

_HOMES = {"build": "building", "load": "loading", "records": "record"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
