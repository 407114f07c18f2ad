"""Quality against length: the same bytes behind ever longer contexts, and every token of a long window.

                      given                     scored
    1x                          .. the people   of the United States
    2x            .. to be held by the people   of the United States
    4x  .. which I have judged to be held ..    of the United States

Only the context grows, so that what changes is what a model makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from archs.contract import Backbone

from .baselines import NGram, bits_per_byte
from .corpus import Corpus
from .questions import Prompt, Question, asked, bits, questions
from .rows import Row
from .scoring import row_costs
from .tokenizer import Tokenizer
from .windows import make_growing_windows


class Costs(NamedTuple):
    """Nats of each question (len(questions),), and the questions."""

    nats: np.ndarray
    questions: Sequence[Question]


class Contexts:
    """The questions of one held-out split at every length of context.

    contexts  bytes of context, ascending
    digest    sha256 of all of their windows
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        tokenizer: Tokenizer,
        contexts: Sequence[int],
        scored_bytes: int,
        windows: int,
    ) -> None:
        """Raises ValueError where the split has no room for so many windows of the longest."""
        self.contexts = tuple(sorted(contexts))
        lists, self.digest = make_growing_windows(corpus, split, windows, self.contexts, scored_bytes)
        self._questions = {n: questions(corpus, split, tokenizer, of) for n, of in lists.items()}
        self._byte_lengths = tokenizer.byte_lengths

    def evaluate(self, model: Backbone, prompt: Prompt, reach: int | None) -> dict[str, Costs | None]:
        """{metric: costs} from the shortest context to the longest; None for those beyond `reach`.

        prompt: an objective's `continuation_prompt`. reach: positions that the model can be asked at
        (Task.reach).
        """
        found: dict[str, Costs | None] = {}
        for context, of in self._questions.items():
            needed = longest([row for question in of for row in prompt(*question.pieces)])
            fits = reach is None or needed <= reach
            found[named(context)] = Costs(asked(model, of, prompt), of) if fits else None
        return found

    def baselines(self, model: NGram) -> dict[str, float]:
        """An n-gram model's bits per byte, which no context beyond its own changes."""
        return {
            named(context): bits_per_byte(model, [question.left for question in of], self._byte_lengths)
            for context, of in self._questions.items()
        }

    @property
    def tokens(self) -> int:
        """Of the longest window with the shortest context."""
        return max(question.tokens for question in self._questions[self.contexts[0]])

    def by_position(self, model: Backbone, reach: int | None) -> dict[str, float]:
        """Bits per byte of every token of the longest windows, in one causal pass of a decoder, by how many
        tokens stand before it: {"1": ..., "2": ..., "4": ...} for 1, 2 to 3, 4 to 7, ...

        Where `reach` ends before, the numbers that lie within it whole: so each number is of the same bytes
        for all models.
        """
        rows = [window(question) for question in self._questions[self.contexts[-1]]]
        if reach is not None and longest(rows) > reach:
            whole = 2 ** int(np.log2(1 + reach)) - 1
            rows = [Row(row.tokens[:whole], row.at[:whole], row.target[:whole]) for row in rows]
        nats = np.concatenate(row_costs(model, rows))
        bytes = np.concatenate([self._byte_lengths[row.target] for row in rows])
        bucket = np.log2(np.concatenate([1 + row.at for row in rows])).astype(int)
        bits, lengths = np.bincount(bucket, nats / np.log(2)), np.bincount(bucket, bytes)
        return {str(2**i): float(bits[i] / lengths[i]) for i in range(len(bits)) if lengths[i]}


def values(costs: Mapping[str, Costs | None]) -> dict[str, float | None]:
    """Bits per byte at each length; None where there is none."""
    return {metric: None if cost is None else bits(*cost) for metric, cost in costs.items()}


def named(context: int) -> str:
    """The metric of a context of so many bytes."""
    return f"continuation_bpb_context_bytes_{context}"


def window(question: Question) -> Row:
    """All of a question's tokens in one causal pass, every one but the first scored."""
    text = np.concatenate(question.pieces)
    return Row(text[:-1], np.arange(len(text) - 1), text[1:])


def longest(rows: Sequence[Row]) -> int:
    """Positions that the rows need, their sources included."""
    sources = [row.source for row in rows if row.source is not None]
    return max(map(len, [*(row.tokens for row in rows), *sources]))
