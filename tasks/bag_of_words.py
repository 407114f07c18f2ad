"""What the words of a text tell about its class, in any order: a baseline that is not fitted by gradients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"\w+")


class NaiveBayes:
    """Multinomial naive Bayes over lower-cased words with add-one smoothing (Manning et al. 2008, ch. 13).

    Words that training never showed are passed over.
    """

    def __init__(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> None:
        """labels (N,): the class of each text, 0 .. classes - 1; every class occurs."""
        counts = [Counter[str]() for _ in range(classes)]
        for text, label in zip(texts, labels.tolist(), strict=True):
            counts[label].update(words(text))
        self.index = {word: i for i, word in enumerate(sorted(set().union(*counts)))}
        table = np.ones((classes, len(self.index)))  # add-one
        for row, found in zip(table, counts, strict=True):
            row[[self.index[word] for word in found]] += list(found.values())
        self.log_word = np.log(table / table.sum(axis=1, keepdims=True))
        self.log_class = np.log(np.bincount(labels, minlength=classes) / len(labels))

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), classes) log probability of each class."""
        scores = np.stack([self._score(text) for text in texts])
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)

    def _score(self, text: str) -> np.ndarray:
        known = [self.index[word] for word in words(text) if word in self.index]
        return self.log_class + self.log_word[:, known].sum(axis=1)


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())
