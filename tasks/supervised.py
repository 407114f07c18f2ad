"""Tasks with answers: what generated tasks and labelled text share, whatever their examples are made of."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from archs.contract import Backbone, Family

from .example import Example, Examples
from .layout import asked, layout, longest
from .rows import Batch
from .scoring import native_nats, per_target
from .streams import stream
from .task import Task

SOLVED = 0.99  # value of the primary metric from which a task that is solved or not counts as solved
FEWEST = 20  # answers that a fifth of the depths must hold to be reported
EVERY_TOKEN = "every token"  # the objective's name where not only answers are trained on


class Judged(NamedTuple):
    """What a model said to examples, by example: arrays (answers asked for,) in the order of `examples`.

    right       whether the likeliest of the labels was the answer
    nats        what the answer cost
    said        the id of that likeliest label
    confidence  its probability among the labels
    """

    right: list[np.ndarray]
    nats: list[np.ndarray]
    said: list[np.ndarray]
    confidence: list[np.ndarray]


class SupervisedTask(Task):
    """Base of tasks with answers: a subclass says where examples come from.

    Only answer tokens are trained on and scored (train_on="all" excepted, see below). A prediction is the
    argmax over `labels`, ids that are the same for every family: the whole alphabet of the task, or the
    label set of a classification.
    """

    objective = "answers"
    higher_is_better = True

    def __init__(
        self,
        *,
        family: Family,
        start: int | None,
        vocab_size: int,
        source_len: int,
        answer_len: int,
        in_place: bool,
        labels: np.ndarray,
        train_on: str = "answers",
    ) -> None:
        """source_len: of the longest source trained on. answer_len: of every answer, ends included.

        train_on: "answers", or "all" for published protocols in which every token of the sequence is a
        target; for decoders alone, since others would be shown what they are asked for.
        """
        if family is Family.ENCODER_DECODER and not in_place and start is None:
            raise ValueError("an encoder-decoder needs arch.start, the first token that its decoder reads")
        if train_on not in ("answers", "all"):
            raise ValueError(f"task.train_on={train_on} is unknown: choose answers or all")
        if train_on == "all" and family is not Family.DECODER:
            raise ValueError(
                f"task.train_on=all makes every next token a target, which only a decoder can be asked; "
                f"an {family} takes task.train_on=answers"
            )
        self.family, self.start = family, start
        self.answer_len, self.in_place = answer_len, in_place
        self.labels = labels
        self.every_token = train_on == "all"
        self.objective = EVERY_TOKEN if self.every_token else "answers"
        self.primary = "accuracy" if in_place or answer_len == 1 else "exact_match"
        self.vocab_size = vocab_size
        self.max_len = longest(family, source_len, answer_len, in_place)
        self.asked = asked(family, in_place)

    @abstractmethod
    def training(self, seed: int, index: int, size: int) -> Examples:
        """The examples of training batch number `index`: a pure function of its arguments."""

    @abstractmethod
    def examples(self, split: str) -> Examples:
        """The fixed examples of "validation" or "test", on which the headline metrics are made."""

    def parts(self, split: str) -> Mapping[str, slice]:
        """Which of `examples(split)` are also reported apart, by name of the part."""
        return {}

    def further(self, split: str) -> Mapping[str, Examples]:
        """Examples beyond what is trained on, reported by name of the part and in no headline metric."""
        return {}

    def quick(self, examples: Examples) -> Examples:
        """Those of them that the curves during training use; a task may take fewer."""
        return examples

    def names(self, split: str) -> Sequence[str]:
        """A name per example of `examples(split)`; those of one name belong together and are one cluster."""
        return [str(i) for i in range(len(self.examples(split)))]

    def batch(self, seed: int, index: int, size: int) -> Batch:
        examples = self.training(seed, index, size)
        return self.laid(examples).batch(examples.tokens, every_token=self.every_token)

    def laid(self, examples: Examples) -> Any:
        """The examples as this family reads them (a layout.Laid)."""
        return layout(self.family, examples, self.answer_len, self.start)

    def save(self, folder: Path) -> None:
        """Nothing: the examples are made again from the configuration."""

    def bytes_per_token(self) -> float | None:
        return None

    def judge(self, model: Backbone, examples: Examples) -> Judged:
        """What `model` says to each of the examples."""
        labels = torch.as_tensor(self.labels)
        values = per_target(model, self.laid(examples).rows(), partial(judge, labels=labels))
        return Judged(*([rows[:, column] for rows in values] for column in range(4)))

    def evaluate(self, model: Backbone, split: str, *, quick: bool = False) -> dict[str, Any]:
        """accuracy over answer tokens (given the gold prefix where an answer has several and is not read
        in place), exact_match over examples, native_loss in nats per answer token, accuracy and exact_match
        of each part (None beyond what a table of positions was trained to, see `reach`), and, for tasks that
        are solved or not, solved. On the test split also clusters (see `clusters`); with parts beyond what is
        trained on also by_depth, where the task knows depths: {part: {percent: accuracy}}, "trained" one of
        the parts."""
        examples = self.examples(split)
        examples = self.quick(examples) if quick else examples
        judged = self.judge(model, examples)
        metrics = self.metrics(judged, examples)
        if not quick:
            for part, members in self.parts(split).items():
                chosen = Judged(*(rows[members] for rows in judged))
                metrics |= self._named(part, self.metrics(chosen, examples.take(members)))
            metrics |= self._beyond(model, split, judged)
        if self.solved_from is not None:
            metrics["solved"] = metrics[self.primary] >= self.solved_from
        if split == "test" and not quick:
            metrics["clusters"] = clusters(self.names(split), self.ratios(judged, examples))
        return metrics

    def metrics(self, judged: Judged, examples: Examples) -> dict[str, Any]:
        """The headline metrics, by name."""
        found = {
            name: total.sum() / count.sum() for name, (total, count) in self.ratios(judged, examples).items()
        }
        return {**{name: float(value) for name, value in found.items()}, "native_loss": mean(judged.nats)}

    def ratios(self, judged: Judged, examples: Examples) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """{metric: (total, count)} by example (N,): the metric is sum(total) / sum(count)."""
        right = np.array([row.sum() for row in judged.right])
        counts = np.array([len(row) for row in judged.right])
        return {"accuracy": (right, counts), "exact_match": ((right == counts) * 1.0, np.ones(len(right)))}

    def _beyond(self, model: Backbone, split: str, trained: Judged) -> dict[str, Any]:
        """Metrics of the further parts, and accuracy by depth beside that at what is trained on."""
        found: dict[str, Any] = {}
        judged, reach = {"trained": (trained, self.examples(split))}, self.reach(model)
        for part, examples in self.further(split).items():
            if reach is None or self.positions(examples) <= reach:
                judged[part] = self.judge(model, examples), examples
                found |= self._named(part, self.metrics(*judged[part]))
            else:
                found |= self._named(part, {})
        depths_of = {
            part: by_depth(of.right, depths, examples.target_lengths)
            for part, (of, examples) in judged.items()
            if (depths := self.answer_depths(examples)) is not None
        }
        told = {part: accuracy for part, accuracy in depths_of.items() if accuracy}
        return found | ({"by_depth": told} if told and self.further(split) else {})

    def positions(self, examples: Examples) -> int:
        """How many a model must have to be asked these."""
        return longest(self.family, int(examples.source_lengths.max()), self.answer_len, self.in_place)

    def answer_depths(self, examples: Examples) -> np.ndarray | None:
        """How near the question an answer stands, in percent, from 0, as far back as can be, to 100, right
        before it: of each answer token (N, A), or where it is judged as a whole of each example (N,). None
        where that is no question.

        examples: all of a part, in their order.
        """
        return None

    def _named(self, part: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
        names = dict.fromkeys(["accuracy", self.primary])
        return {f"{name}_{part}": metrics.get(name) for name in names}


def judge(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """(N, 4), the columns of Judged: of each target, given logits (N, V) and the ids of the labels."""
    labels = labels.to(logits.device)
    confidence, place = logits[:, labels].softmax(dim=1).max(dim=1)
    said = labels[place]
    columns = [(said == targets).float(), native_nats(logits, targets), said.float(), confidence]
    return torch.stack(columns, dim=1)


def by_depth(right: Sequence[np.ndarray], depths: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    """Accuracy by depth, {"0": ..., "25": ...}: of whole answers by each depth, of tokens by fifths, each
    named by its lower end and left out where it holds fewer than FEWEST of them.

    right: of each answer token, by example. depths: see `answer_depths`. lengths: of the answers (N,).
    """
    if depths.ndim == 1:
        values, places, fewest = np.array([float(row.all()) for row in right]), depths, 1
    else:
        values = np.concatenate([row[:n] for row, n in zip(right, lengths, strict=True)])
        places = np.concatenate([row[:n] for row, n in zip(depths, lengths, strict=True)])
        places, fewest = (places // 20 * 20).clip(max=80).astype(int), FEWEST
    found = zip(*np.unique(places, return_counts=True), strict=True)
    return {str(place): float(values[places == place].mean()) for place, count in found if count >= fewest}


def mean(rows: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(rows).mean())


def clusters(names: Sequence[str], ratios: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """What a cluster bootstrap resamples: {"names": [...], metric: {"total": [...], "count": [...]}}.

    Examples of one name are summed; a metric is sum(total) / sum(count).
    """
    distinct = list(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(distinct)}
    members = np.array([place[name] for name in names])

    def summed(values: np.ndarray) -> list[float]:
        return np.bincount(members, weights=values, minlength=len(distinct)).tolist()

    found = {
        metric: {"total": summed(total), "count": summed(count)} for metric, (total, count) in ratios.items()
    }
    return {"names": distinct, **found}


def digest(examples: Iterable[Example]) -> str:
    """sha256 over the examples themselves: a change of generator or library that moves one shows."""
    sha = hashlib.sha256()
    for example in examples:
        for array in example:
            sha.update(b"-" if array is None else np.asarray(array, "<i8").tobytes())
            sha.update(b"|")
    return sha.hexdigest()


def shuffled(names: tuple, seed: int, count: int, index: int, size: int) -> np.ndarray:
    """Which of `count` training examples batch `index` of `size` holds: epochs one after another, each in
    an order of its own."""
    epochs, places = np.divmod(index * size + np.arange(size), count)
    which = np.empty(size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = stream("epoch", *names, seed, int(epoch)).permutation(count)
        which[epochs == epoch] = order[places[epochs == epoch]]
    return which
