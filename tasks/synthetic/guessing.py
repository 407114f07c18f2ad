"""What can be had without solving a task: the rows that its results are compared with."""

from __future__ import annotations

import numpy as np

from ..example import Examples
from ..tokenizer import N_SPECIAL


def uniform(examples: Examples, choices: int) -> dict[str, float]:
    """A guess among `choices` for every answer token, each as likely as any other."""
    asked = examples.target_lengths
    return {"accuracy": 1 / choices, "exact_match": float(np.mean(float(choices) ** -asked))}


def majority(examples: Examples) -> dict[str, float]:
    """Always the commonest answer token of these examples."""
    asked = examples.target_lengths
    inside = np.arange(examples.target.shape[1]) < asked[:, None]
    commonest = np.bincount(examples.target[inside]).argmax()
    right = ((examples.target == commonest) & inside).sum(axis=1)
    return {"accuracy": float(right.sum() / asked.sum()), "exact_match": float(np.mean(right == asked))}


def in_sight(examples: Examples, first: int, end: int) -> dict[str, float]:
    """Always that of the symbols first .. end - 1 that stands most often up to where an answer is read."""
    symbols = np.arange(first, end) + N_SPECIAL
    right = []
    for source, target, at in examples:
        seen = (source[:, None] == symbols).cumsum(axis=0)  # (L, end - first)
        right.append(symbols[seen[at].argmax(axis=1)] == target)
    return {
        "accuracy": float(np.concatenate(right).mean()),
        "exact_match": float(np.mean([row.all() for row in right])),
    }
