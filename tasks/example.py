"""One question with its answer, before any family has seen it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Example(NamedTuple):
    """A supervised example, as integer arrays of ids >= N_SPECIAL.

    source  (L,) what is read.
    target  (A,) the answer, always.
    at      (A,) positions in `source` where target[i] is read in place (associative recall, tagging),
            decidable from source[: at[i] + 1]; None where the answer follows the source
            (classification, translation, sorting).
    """

    source: np.ndarray
    target: np.ndarray
    at: np.ndarray | None = None
