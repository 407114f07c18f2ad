"""Tasks with answers: generated batches to train on, fixed examples to be judged by."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archs.contract import Backbone, Family

from .example import Example
from .generator import BLOCK, fixed_examples, training_block
from .layout import asked, layout, longest
from .rows import Batch, collate
from .scoring import native_nats, per_target
from .task import Task
from .tokenizer import N_SPECIAL

SOLVED = 0.99  # accuracy from which a task counts as solved


class SupervisedTask(Task):
    """Base of generated tasks: a subclass says how examples are drawn, and nothing else.

    Only answer tokens are trained on and scored. A prediction is the argmax over `labels`, ids that are
    the same for every family: the whole alphabet of the task, or the label set of a classification.

    save() writes nothing: the examples are made again from the configuration.

    slices  names of the parts of the task that are drawn in turn and reported apart: example i of a
            batch, of training or evaluation alike, belongs to slices[i % len(slices)].
    """

    objective = "answers"
    primary = "accuracy"
    higher_is_better = True

    def __init__(
        self,
        *,
        family: Family,
        start: int | None,
        parameters: Mapping[str, Any],
        alphabet: int,
        source_len: int,
        answer_len: int,
        in_place: bool,
        slices: Sequence[str],
        validation_examples: int,
        test_examples: int,
        quick_examples: int,
        labels: np.ndarray | None = None,
    ) -> None:
        """parameters: what the examples depend on, by name (plain numbers). alphabet: its symbols, which
        are the ids N_SPECIAL .. N_SPECIAL + alphabet - 1. labels: None for all of them."""
        if family is Family.ENCODER_DECODER and not in_place and start is None:
            raise ValueError("an encoder-decoder needs arch.start, the first token that its decoder reads")
        if min(validation_examples, test_examples, quick_examples) < len(slices):
            raise ValueError(f"task={self.name}: every number of examples must be at least {len(slices)}")
        self.family, self.start = family, start
        self.answer_len = answer_len
        self.slices = tuple(slices)
        self.labels = np.arange(N_SPECIAL, N_SPECIAL + alphabet) if labels is None else labels
        self.quick_examples = quick_examples
        self.vocab_size = N_SPECIAL + alphabet
        self.max_len = longest(family, source_len, answer_len, in_place)
        self.asked = asked(family, in_place)
        self._names = (self.name, dict(parameters))
        self._held = {
            "validation": self._fixed("validation", validation_examples),
            "test": self._fixed("test", test_examples),
        }
        self.digests = {"examples": digest(self._held["validation"] + self._held["test"])}
        self._latest: tuple[tuple[int, int], list[Example]] | None = None

    @abstractmethod
    def draw(self, part: str, rng: np.random.Generator, count: int) -> list[Example]:
        """`count` examples of slice `part`; every random choice comes from `rng`."""

    def examples(self, split: str) -> list[Example]:
        """The fixed examples of "validation" or "test", slices in turn."""
        return self._held[split]

    def batch(self, seed: int, index: int, size: int) -> Batch:
        """Examples index * size and on of an endless training sequence, whatever the batch size."""
        self._check(size)
        examples = [self._training(seed, number) for number in range(index * size, (index + 1) * size)]
        rows = [layout(self.family, example, self.answer_len, self.start) for example in examples]
        return collate(rows, sum(len(example.source) + len(example.target) for example in examples))

    def bytes_per_token(self) -> None:
        return None

    def train_tokens(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        pass

    def evaluate(self, model: Backbone, split: str, *, quick: bool = False) -> dict[str, Any]:
        """accuracy over answer tokens (given the gold prefix where an answer has several and is not read
        in place), exact_match over examples, native_loss in nats per answer token, solved (accuracy of
        at least 0.99), and, where there are several slices, the accuracy of each."""
        examples = self._held[split][: self.quick_examples if quick else None]
        rows = [layout(self.family, example, self.answer_len, self.start) for example in examples]
        judged = per_target(model, rows, partial(judge, labels=torch.as_tensor(self.labels)))
        accuracy, loss = np.concatenate(judged).mean(axis=0).tolist()
        metrics: dict[str, Any] = {
            "accuracy": accuracy,
            "exact_match": float(np.mean([row[:, 0].all() for row in judged])),
            "native_loss": loss,
            "solved": accuracy >= SOLVED,
        }
        if len(self.slices) > 1:
            for i, part in enumerate(self.slices):
                metrics[f"accuracy_{part}"] = float(
                    np.concatenate(judged[i :: len(self.slices)])[:, 0].mean()
                )
        return metrics

    def _fixed(self, split: str, count: int) -> list[Example]:
        share = -(-count // len(self.slices))
        parts = [
            fixed_examples(partial(self.draw, part), (*self._names, part), split, share)
            for part in self.slices
        ]
        return in_turn(parts)[:count]

    def _training(self, seed: int, number: int) -> Example:
        """Training example `number`; the latest block is kept, since batches ask for one after the other."""
        block, place = divmod(number, BLOCK * len(self.slices))
        if self._latest is None or self._latest[0] != (seed, block):
            parts = [
                training_block(partial(self.draw, part), (*self._names, part), seed, block)
                for part in self.slices
            ]
            self._latest = (seed, block), in_turn(parts)
        return self._latest[1][place]

    def _check(self, size: int) -> None:
        if size % len(self.slices):
            parts = ", ".join(self.slices)
            raise ValueError(f"batch_size={size} is no multiple of the {len(self.slices)} slices ({parts})")


def in_turn(parts: Sequence[Sequence[Example]]) -> list[Example]:
    """a0 b0 c0 a1 b1 c1 ... of parts a, b, c of equal length."""
    return [example for group in zip(*parts, strict=True) for example in group]


def judge(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """(N, 2): whether the likeliest of `labels` (ids) is the target, and what the target cost in nats."""
    labels = labels.to(logits.device)
    right = labels[logits[:, labels].argmax(dim=1)] == targets
    return torch.stack([right.float(), native_nats(logits, targets)], dim=1)


def digest(examples: Sequence[Example]) -> str:
    """sha256 over the examples themselves: a change of generator or library that moves one shows."""
    sha = hashlib.sha256()
    for example in examples:
        for array in example:
            sha.update(b"-" if array is None else np.asarray(array, "<i8").tobytes())
            sha.update(b"|")
    return sha.hexdigest()
