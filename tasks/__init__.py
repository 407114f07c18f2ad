"""What is learned: tokenizers, corpora, objectives, examples and the questions asked of every family.

Names are imported when they are first used, so that `import tasks` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .classification import Classification, TextTask
    from .corpus import Corpus, Document, hub, python, sotu, table, text
    from .example import Example, Examples
    from .language import LanguageTask
    from .needle import Needle
    from .objectives import Causal, FillInTheMiddle, Masked, Objective, Prefix, Span, SpanPrefix, native
    from .pairs import PairsTask
    from .retrieval import Retrieval
    from .rows import Batch, Row
    from .speeches import SotuDecade, SotuParty
    from .supervised import SupervisedTask
    from .synthetic.copying import Copy, Reverse, Sort
    from .synthetic.dyck import Dyck
    from .synthetic.generated import GeneratedTask
    from .synthetic.induction import Induction
    from .synthetic.listops import ListOps
    from .synthetic.mechanistic import (
        Compression,
        FuzzyRecall,
        InContextRecall,
        Memorization,
        NoisyRecall,
        SelectiveCopying,
    )
    from .synthetic.mqar import MQAR
    from .synthetic.pathfinder import Pathfinder
    from .synthetic.state_tracking import ModularArithmetic, Parity
    from .task import Task
    from .tokenizer import BPE, RawBytes, Tokenizer

_HOME = {
    "classification": ("Classification", "TextTask"),
    "synthetic.copying": ("Copy", "Reverse", "Sort"),
    "corpus": ("Corpus", "Document", "hub", "python", "sotu", "table", "text"),
    "synthetic.dyck": ("Dyck",),
    "example": ("Example", "Examples"),
    "synthetic.generated": ("GeneratedTask",),
    "synthetic.induction": ("Induction",),
    "language": ("LanguageTask",),
    "synthetic.listops": ("ListOps",),
    "synthetic.mechanistic": (
        *("Compression", "FuzzyRecall", "InContextRecall", "Memorization", "NoisyRecall"),
        "SelectiveCopying",
    ),
    "synthetic.mqar": ("MQAR",),
    "needle": ("Needle",),
    "objectives": (
        *("Causal", "FillInTheMiddle", "Masked", "Objective", "Prefix", "Span", "SpanPrefix"),
        "native",
    ),
    "pairs": ("PairsTask",),
    "synthetic.pathfinder": ("Pathfinder",),
    "retrieval": ("Retrieval",),
    "rows": ("Batch", "Row"),
    "speeches": ("SotuDecade", "SotuParty"),
    "synthetic.state_tracking": ("ModularArithmetic", "Parity"),
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
    "Classification",
    "Compression",
    "Copy",
    "Corpus",
    "Document",
    "Dyck",
    "Example",
    "Examples",
    "FillInTheMiddle",
    "FuzzyRecall",
    "GeneratedTask",
    "InContextRecall",
    "Induction",
    "LanguageTask",
    "ListOps",
    "Masked",
    "Memorization",
    "ModularArithmetic",
    "Needle",
    "NoisyRecall",
    "Objective",
    "PairsTask",
    "Parity",
    "Pathfinder",
    "Prefix",
    "RawBytes",
    "Retrieval",
    "Reverse",
    "Row",
    "SelectiveCopying",
    "Sort",
    "SotuDecade",
    "SotuParty",
    "Span",
    "SpanPrefix",
    "SupervisedTask",
    "Task",
    "TextTask",
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
