"""The six tasks of mechanistic architecture design (Poli et al. 2024, MAD, arXiv 2403.17844)."""

from .compression import Compression
from .copying import SelectiveCopying
from .fuzzy import FuzzyRecall
from .memorization import Memorization
from .recall import InContextRecall, NoisyRecall

__all__ = [
    "Compression",
    "FuzzyRecall",
    "InContextRecall",
    "Memorization",
    "NoisyRecall",
    "SelectiveCopying",
]
