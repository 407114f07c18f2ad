"""Text to text from the user's own pairs: translation, summarization, question answering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from archs.contract import Backbone, Family

from .corpus import SPLITS
from .example import Example, Examples
from .layout import Laid
from .rows import Batch
from .stream import fitted_on
from .streams import sha256, stream
from .supervised import SupervisedTask, clusters, shuffled
from .tables import Files, Record, cut_note, divided, groups_of, left_out, load, texts
from .text_metrics import exact, rouge_l, text_scores
from .tokenizer import EOS, N_SPECIAL, TokenizerSpec
from .writing import write

PRIMARY = ("exact_match", "chrf", "bleu", "rougeL")
NEAREST = "without one use task=pairs with files of your own (task.files=pairs.csv)"


class Pair(NamedTuple):
    """A row in text and in tokens, the tokens cut to what the task shows and asks for.

    name: what it is a cluster of, in resampling the test set.
    """

    source: str
    target: str
    name: str
    example: Example


class PairsTask(SupervisedTask):
    """A text is answered by a text.

        source   Wie geht es dir?                    tokens, cut to `length`
        target   How are you? <eos>                  tokens, at most `answer_length` with their <eos>

    The answer follows the source for all three families (see layout); an encoder fills its masks from left to
    right (see writing), and is trained for that (see begun). Splits are given by files or cut by the hash of
    the source, so that equal sources fall into one split; the tokenizer is fitted on both sides of the
    training split, and on no other.

    accuracy      of answer tokens; given the gold prefix, except for an encoder, which is never shown it
    native_loss   nats per answer token
    exact_match, chrf, bleu, rougeL   of what greedy decoding writes, against the whole wanted text (also
                  where that is longer than `answer_length`), see text_metrics

    Baselines: "copy", the beginning of the source, as long as an answer may be; "most frequent", the
    training split's most frequent answer.
    """

    name = "pairs"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        tokenizer: TokenizerSpec,
        cache_dir: str | Path,
        files: Files = None,
        validation_files: Files = None,
        test_files: Files = None,
        hub: Mapping[str, Any] | None = None,
        source: str = "source",
        target: str = "target",
        group: str | None = None,
        validation: float = 0.1,
        test: float = 0.1,
        duplicates: str = "refuse",
        length: int = 256,
        answer_length: int = 64,
        validation_examples: int | None = None,
        test_examples: int | None = None,
        quick_examples: int = 64,
        primary: str = "exact_match",
        nearest: str = NEAREST,
    ) -> None:
        """source, target: columns of text ("translation.en" for an object in a column); for the other keys
        see conf/task/pairs.yaml. nearest: what is said where the hub cannot be reached.

        Raises ValueError in one line for rows, columns or splits that cannot be used.
        """
        if primary not in PRIMARY:
            raise ValueError(f"task.primary={primary} is unknown: choose {', '.join(PRIMARY)}")
        for key, value, least in (("length", length, 1), ("answer_length", answer_length, 2)):
            if value < least:
                raise ValueError(f"task.{key}={value} must be at least {least}")
        given = load(
            files=files,
            validation_files=validation_files,
            test_files=test_files,
            hub=hub or {},
            nearest=nearest,
        )
        given = {
            split: [opened(record, (source, target)) for record in rows] for split, rows in given.items()
        }
        for rows in given.values():
            for column, key in ((source, "task.source"), (target, "task.target")):
                texts(rows, column, key)
        whole = divided(
            given,
            lambda rows: texts(rows, source, "task.source"),
            group=group,
            validation=validation,
            test=test,
            duplicates=duplicates,
        )
        limits = {"validation": validation_examples, "test": test_examples}
        rows_of = {split: spread(rows, limits.get(split)) for split, rows in whole.items()}
        content = {
            split: [[row.values[column] for row in rows_of[split]] for column in (source, target)]
            for split in SPLITS
        }
        train_digest = sha256("pairs", content["train"])
        self.tokenizer = fitted_on(
            (text for side in content["train"] for text in side), train_digest, tokenizer, cache_dir
        )
        self.digests = {
            "examples": sha256(train_digest, content["validation"], content["test"]),
            "tokenizer": self.tokenizer.digest,
        }
        encoded = {split: [self.tokenizer.encode_many(side) for side in content[split]] for split in SPLITS}
        longest = max(map(len, encoded["train"][1])) + 1  # its <eos>
        answer_len = min(answer_length, longest)
        self.notes = left_out(given, whole)
        for i, (what, key, most) in enumerate(
            (("sources", "length", length), ("answers", "answer_length", answer_len))
        ):
            for split, sides in encoded.items():
                self.notes += cut_note(split, what, [len(ids) for ids in sides[i]], key, most)
        self._pairs = {
            split: [
                Pair(a, b, cluster or f"#{i}", Example(x[:length], y[:answer_len]))
                for i, (a, b, x, y, cluster) in enumerate(
                    zip(*content[split], *encoded[split], groups_of(rows_of[split], group), strict=True)
                )
            ]
            for split in SPLITS
        }
        super().__init__(
            family=family,
            start=start,
            vocab_size=self.tokenizer.vocab_size,
            source_len=max(len(pair.example.source) for pairs in self._pairs.values() for pair in pairs),
            answer_len=answer_len,
            in_place=False,
            labels=np.concatenate([[EOS], np.arange(N_SPECIAL, self.tokenizer.vocab_size)]),
        )
        self.primary = primary
        self.quick_examples = quick_examples

    def batch(self, seed: int, index: int, size: int) -> Batch:
        examples = self.training(seed, index, size)
        laid = self.laid(examples)
        if self.family is Family.ENCODER:
            laid = begun(laid, stream("begun answers", seed, index))
        return laid.batch(examples.tokens)

    def training(self, seed: int, index: int, size: int) -> Examples:
        train = self._pairs["train"]
        which = shuffled((self.name, self.digests["examples"]), seed, len(train), index, size)
        return Examples.of([train[i].example for i in which])

    def examples(self, split: str) -> Examples:
        return Examples.of([pair.example for pair in self._pairs[split]])

    def quick(self, examples: Examples) -> Examples:
        return examples.take(slice(self.quick_examples))

    def names(self, split: str) -> list[str]:
        return [pair.name for pair in self._pairs[split]]

    def train_tokens(self) -> int:
        return sum(len(pair.example.source) + len(pair.example.target) for pair in self._pairs["train"])

    @cached_property
    def _train_bytes(self) -> int:
        ids = [np.concatenate(pair.example[:2]) for pair in self._pairs["train"]]
        return int(self.tokenizer.byte_lengths[np.concatenate(ids)].sum())

    def bytes_per_token(self) -> float:
        return self._train_bytes / self.train_tokens()

    def write(self, model: Backbone, pairs: Sequence[Pair]) -> list[str]:
        """What `model` answers to the sources, as text."""
        ids = write(model, [pair.example.source for pair in pairs], self.answer_len, self.start)
        return [self.tokenizer.decode(row) for row in ids]

    def evaluate(self, model: Backbone, split: str, *, quick: bool = False) -> dict[str, Any]:
        metrics = super().evaluate(model, split, quick=quick)
        pairs = self._pairs[split][: self.quick_examples if quick else None]
        written, wanted = self.write(model, pairs), [pair.target for pair in pairs]
        metrics |= text_scores(written, wanted)
        if "clusters" in metrics:
            one = np.ones(len(pairs))
            means = {"exact_match": exact(written, wanted), "rougeL": rouge_l(written, wanted)}
            ratios = {name: (values, one) for name, values in means.items()}
            metrics["clusters"] |= clusters(self.names(split), ratios)
        return metrics

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        pairs = self._pairs[split][: self.quick_examples if quick else None]
        wanted = [pair.target for pair in pairs]
        copied = [self.tokenizer.decode(pair.example.source[: self.answer_len]) for pair in pairs]
        frequent, _ = Counter(pair.target for pair in self._pairs["train"]).most_common(1)[0]
        return {
            "copy": text_scores(copied, wanted),
            "most frequent": text_scores([frequent] * len(wanted), wanted),
        }

    def save(self, folder: Path) -> None:
        """tokenizer.json: the one that every run of a study shares."""
        self.tokenizer.save(folder / "tokenizer.json")


def begun(laid: Laid, rng: np.random.Generator) -> Laid:
    """An encoder's rows of masks, half of them begun: filled in from the left, and asked for the rest.

    How much is filled in is uniform. Without such rows, an encoder that writes from left to right would read,
    from its second token on, what training never showed it: trained on masks alone, it has been seen to name
    98% of the tokens at once and to write no answer whole. No token is asked for where it stands.

        source <sep> w0 w1 <mask> <mask>
        names                w2    <eos>
    """
    N, A = laid.at.shape
    shown = rng.integers(0, 2, N) * rng.integers(0, laid.asked)  # always one token is left to name
    tokens = laid.tokens.copy()
    order = np.arange(A)
    rows, places = np.nonzero(order < shown[:, None])
    tokens[rows, laid.at[rows, places]] = laid.target[rows, places]
    rest = np.minimum(order + shown[:, None], A - 1)
    at, target = (np.take_along_axis(part, rest, axis=1) for part in (laid.at, laid.target))
    return replace(laid, tokens=tokens, at=at, target=target, asked=laid.asked - shown)


def opened(record: Record, columns: Sequence[str]) -> Record:
    """The record with "a.b" as a column of its own wherever its column a holds an object with a key b."""
    values = dict(record.values)
    for column in columns:
        outer, _, inner = column.partition(".")
        inside = values.get(outer)
        if column not in values and isinstance(inside, Mapping) and inner in inside:
            values[column] = inside[inner]
    return record._replace(values=values)


def spread(rows: Sequence[Record], most: int | None) -> list[Record]:
    """At most so many of the rows, evenly from beginning to end; None for all."""
    if most is None or len(rows) <= most:
        return list(rows)
    return [rows[i * len(rows) // most] for i in range(most)]
