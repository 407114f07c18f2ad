"""Named random streams: every random choice in tasks/ is drawn from a generator addressed by names.

    stream("windows", corpus_digest, "test")        stream("mqar", parameters, "train", block, seed)

Equal names give equal draws on every machine, in every process and in any order of calls; no global random
state is read or moved, and two different tuples of names give independent streams.
"""

from __future__ import annotations

import hashlib
import json
import operator
from typing import Any

import numpy as np


def sha256(*names: Any) -> str:
    """Hex digest of a tuple of JSON-like names (strings, numbers, None, lists, dicts by sorted keys)."""
    text = json.dumps(names, sort_keys=True, ensure_ascii=True, default=operator.index)  # numpy integers
    return hashlib.sha256(text.encode()).hexdigest()


def stream(*names: Any) -> np.random.Generator:
    """The random generator that these names address."""
    digest = bytes.fromhex(sha256(*names))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(np.frombuffer(digest, "<u4").tolist())))
