"""What the harness asks of a task: batches to train on and numbers to be judged by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archs.contract import Backbone

from .rows import Batch


class Task(ABC):
    """A task as one family sees it.

    name         as in tables ("language", "mqar")
    vocab_size   ids that the model must be able to read and name
    max_len      longest row that training or evaluation will show the model, longer ones of `beyond` excepted
    digests      sha256 by name of everything the data depend on (corpus, tokenizer, windows, ...)
    objective    name of the training objective ("causal", "masked", ...; "answers" for supervised tasks)
    primary      the metric that selects a checkpoint ("continuation_bpb"); see higher_is_better
    asked        one word for how this family is asked ("causal", "masked", "source <sep> target", ...)
    sequence     tokens of the sequences that training batches in a row read on, each from the state that the
                 one before it left (Batch.seen); None: a batch stands by itself
    """

    name: str
    vocab_size: int
    max_len: int
    digests: Mapping[str, str]
    asked: str
    objective: str
    primary: str
    higher_is_better: bool
    notes: Sequence[str] = ()  # what was cut or left out of the data, in words
    sequence: int | None = None
    solved_from: float | None = None  # of a task that is solved or not: value of `primary` that solves it

    @abstractmethod
    def batch(self, seed: int, index: int, size: int) -> Batch:
        """Training batch number `index` of `size` rows: a pure function of its arguments.

        Being pure, it is the same for any number of workers and after any interruption.
        """

    def typical(self, size: int, count: int) -> list[int]:
        """Numbers of `count` training batches of `size` whose mean cost is that of the training."""
        return list(range(count))

    @property
    def trained_len(self) -> int:
        """Positions that training shows a model: of a row, or of a sequence whose state is carried on."""
        return self.max_len if self.sequence is None else self.sequence

    def reach(self, model: Backbone) -> int | None:
        """Positions that `model`, trained on this task, can be asked at; None where there is no end.

        A table of positions ends where training did: of the rows behind it nothing was learned. What weights
        that it started from had learned there does not count.
        """
        return None if model.max_len is None else min(model.max_len, self.trained_len)

    @classmethod
    def wrap(cls, backbone: Backbone) -> Backbone:
        """The backbone with whatever this task reads it through; almost always the backbone as it is."""
        return backbone

    @abstractmethod
    def bytes_per_token(self) -> float | None:
        """Mean UTF-8 bytes of a corpus token in the training split; None where tokens are no text."""

    @abstractmethod
    def train_tokens(self) -> int | None:
        """Tokens of the training split (one epoch); None for a generator that never repeats."""

    @abstractmethod
    def evaluate(self, model: Backbone, split: str, *, quick: bool = False) -> dict[str, Any]:
        """Metrics by name of `model` on "validation" or "test".

        quick: on fewer windows or examples, for curves during training. In full on the test split also
        "clusters": {"names": [...], metric: {"total": [...], "count": [...]}}, numerators and denominators by
        document or example, in one order for every model, so that metric = sum(total) / sum(count).
        """

    @abstractmethod
    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """What a reader should compare with, on what `evaluate` uses: {"unigram": {metric: value}, ...}."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what a finished run needs of the task besides its weights (tokenizer.json), if anything."""
