"""What is learned: tokenizers, corpora, objectives, examples and the questions asked of every family.

Names are imported when they are first used, so that `import tasks` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .corpus import Corpus, Document, hub, python, sotu, table, text
    from .example import Example, Examples
    from .generated import GeneratedTask
    from .language import LanguageTask
    from .mqar import MQAR
    from .objectives import Causal, FillInTheMiddle, Masked, Objective, Prefix, Span, SpanPrefix, native
    from .pairs import PairsTask
    from .rows import Batch, Row
    from .supervised import SupervisedTask
    from .task import Task
    from .tokenizer import BPE, RawBytes, Tokenizer

_HOME = {
    "corpus": ("Corpus", "Document", "hub", "python", "sotu", "table", "text"),
    "example": ("Example", "Examples"),
    "generated": ("GeneratedTask",),
    "language": ("LanguageTask",),
    "mqar": ("MQAR",),
    "objectives": (
        *("Causal", "FillInTheMiddle", "Masked", "Objective", "Prefix", "Span", "SpanPrefix"),
        "native",
    ),
    "pairs": ("PairsTask",),
    "rows": ("Batch", "Row"),
    "supervised": ("SupervisedTask",),
    "task": ("Task",),
    "tokenizer": ("BPE", "RawBytes", "Tokenizer"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BPE",
    "MQAR",
    "Batch",
    "Causal",
    "Corpus",
    "Document",
    "Example",
    "Examples",
    "FillInTheMiddle",
    "GeneratedTask",
    "LanguageTask",
    "Masked",
    "Objective",
    "PairsTask",
    "Prefix",
    "RawBytes",
    "Row",
    "Span",
    "SpanPrefix",
    "SupervisedTask",
    "Task",
    "Tokenizer",
    "hub",
    "native",
    "python",
    "sotu",
    "table",
    "text",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
