"""What language models are asked, in tokens: a part of a held-out document, scored behind what is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archs.contract import Backbone

from .corpus import Corpus
from .rows import Row
from .scoring import row_costs
from .tokenizer import BOS, Tokenizer
from .windows import EvalWindow, InfillWindow, parts

Prompt = Callable[..., list[Row]]  # the pieces of a question to the rows that a family is asked


@dataclass(frozen=True)
class Question:
    """An evaluation window in tokens: (context, scored), or (left, scored, right)."""

    pieces: tuple[np.ndarray, ...]
    document: str
    bytes: int

    @property
    def tokens(self) -> int:
        return sum(len(piece) for piece in self.pieces)

    @property
    def left(self) -> tuple[np.ndarray, np.ndarray]:
        """What stands before the scored tokens, and these."""
        return self.pieces[0], self.pieces[1]


def questions(
    corpus: Corpus, split: str, tokenizer: Tokenizer, windows: Sequence[EvalWindow | InfillWindow]
) -> list[Question]:
    """Windows in tokens. One that begins where its document does begins with <bos>, as in training."""
    documents = corpus.split(split)
    texts = [parts(documents[window.document].text, window) for window in windows]
    encoded = iter(tokenizer.encode_many([text for pieces in texts for text in pieces]))
    out = []
    for window, pieces in zip(windows, texts, strict=True):
        ids = [next(encoded) for _ in pieces]
        if window.first == 0:
            ids[0] = np.concatenate([[BOS], ids[0]])
        out.append(Question(tuple(ids), documents[window.document].id, len(pieces[1].encode())))
    return out


def asked(model: Backbone, questions: Sequence[Question], prompt: Prompt) -> np.ndarray:
    """Nats that the scored tokens of each question cost (len(questions),)."""
    prompts = [prompt(*question.pieces) for question in questions]
    costs = iter(row_costs(model, [row for rows in prompts for row in rows]))
    return np.array([sum(float(next(costs).sum()) for _ in rows) for rows in prompts])


def bits(nats: np.ndarray, questions: Iterable[Question]) -> float:
    """Bits per scored byte."""
    return float(nats.sum() / np.log(2) / sum(question.bytes for question in questions))


def by_document(costs: Mapping[str, tuple[np.ndarray, Sequence[Question]]]) -> dict[str, Any]:
    """{"names": documents, metric: {"total": bits, "count": bytes}}: of {metric: (nats, questions)}, summed
    over the questions about each document."""
    names = sorted({question.document for _, questions in costs.values() for question in questions})
    place = {name: i for i, name in enumerate(names)}
    found: dict[str, Any] = {"names": names}
    for metric, (nats, questions) in costs.items():
        where = [place[question.document] for question in questions]
        scored = [question.bytes for question in questions]
        found[metric] = {
            "total": np.bincount(where, nats / np.log(2), len(names)).tolist(),
            "count": np.bincount(where, scored, len(names)).tolist(),
        }
    return found
