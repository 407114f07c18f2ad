"""Multi-query associative recall (Arora et al. 2023, "Zoology", arXiv 2312.04927)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .generated import GeneratedTask

FILLER = 0  # the symbol that stands where nothing is said; an ordinary one


class MQAR(GeneratedTask):
    """Key-value pairs, then some of the keys again; at each of these the model names the key's value.

        position  0  1  2  3  4  5  6  7  8  9 10 11
        source    k1 v1 k2 v2 k1  .  .  .  k2 .  .  .      pairs = 2, length = 12, "." is filler
        target                v1           v2              read in place, at = [4, 8]

    Keys are distinct symbols from [1, vocab / 2), values distinct ones from [vocab / 2, vocab). Pair j is
    asked for once, by its key alone, in slot s_j of the (length - 2 pairs) / 2 two-token slots behind the
    pairs; slots are drawn without replacement with p(i) proportional to i^(power_a - 1), i = 1, 2, ..., so
    that most queries come soon after the pairs and few late. The value is not written after the query.

    Trained on is one point (length, pairs), several numbers of pairs, or segments of any lengths; `beyond`
    are points that are only evaluated. Published grids: conf/task/mqar_zoology.yaml and mqar_curriculum.yaml.

    A decoder reads the source causally; an encoder reads it with both sides in sight; an encoder-decoder's
    encoder reads it, and its decoder re-reads it causally. All are read at the queries. A prediction is the
    argmax over the task's whole alphabet, for every family. Consumed tokens are source and answers.

    Differs from the published protocol: accuracy is over all queries, not the mean of examples' means (the
    same but where numbers of pairs are mixed); rates are chosen on validation, not on the test split;
    training ends with its budget, not when accuracy reaches 0.99; splits are held apart by hash.
    """

    name = "mqar"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        vocab: int = 8192,
        length: int = 64,
        pairs: int | Sequence[int] = 4,
        segments: Sequence[Sequence[int]] | None = None,
        beyond: Sequence[Sequence[int]] = (),
        power_a: float = 0.01,
        random_non_queries: bool = False,
        train_examples: int | Sequence[int] | None = None,
        curriculum: bool = False,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """pairs: how many, or several numbers, that are trained on in turn and reported apart.
        segments: points [length, pairs] to train on instead, in turn or, a curriculum, in their order.
        beyond: points that are only evaluated.
        random_non_queries: filler is a random symbol, which may happen to be a live key or value.
        train_examples: None for endless ones; or of each slice, or a list by slice, repeated in epochs.
        curriculum: an epoch walks through the slices in their order, and no batch mixes them."""
        self.vocab = vocab
        self.power_a, self.random_non_queries = power_a, random_non_queries
        if segments is None:
            trained = [(length, n) for n in ((pairs,) if isinstance(pairs, int) else pairs)]
        else:
            trained = points("segments", segments)
        further = points("beyond", beyond)
        check(vocab, power_a, {"length" if segments is None else "segments": trained, "beyond": further})
        self.points = {
            name(point, length if segments is None else None): point for point in trained + further
        }
        if len(self.points) < len(trained + further):
            raise ValueError("task.pairs, task.segments and task.beyond name a point (length, pairs) twice")
        slices = list(self.points)[: len(trained)]
        super().__init__(
            family=family,
            start=start,
            parameters={
                "vocab": vocab,
                **({"length": length} if segments is None else {}),
                "power_a": power_a,
                "random_non_queries": random_non_queries,
            },
            alphabet=vocab,
            source_len=max(length for length, _ in trained),
            answer_len=max(n for _, n in trained),
            in_place=True,
            slices=slices,
            beyond=list(self.points)[len(trained) :],
            train_examples=counted(train_examples, slices),
            curriculum=curriculum,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        V, (L, pairs) = self.vocab, self.points[part]
        keys = distinct(rng, count, V // 2 - 1, pairs) + 1
        values = distinct(rng, count, V - V // 2, pairs) + V // 2
        slots = self.query_slots(rng, count, (L - 2 * pairs) // 2, pairs)
        at = 2 * pairs + 2 * slots

        source = np.full((count, L), FILLER)
        source[:, 0 : 2 * pairs : 2] = keys
        source[:, 1 : 2 * pairs : 2] = values
        np.put_along_axis(source, at, keys, axis=1)
        if self.random_non_queries:
            source = np.where(source == FILLER, rng.integers(0, V, source.shape), source)

        order = np.argsort(at, axis=1)  # answers from left to right
        at, target = np.take_along_axis(at, order, 1), np.take_along_axis(values, order, 1)
        return Examples(source + N_SPECIAL, target + N_SPECIAL, at)

    def query_slots(self, rng: np.random.Generator, count: int, slots: int, pairs: int) -> np.ndarray:
        """(count, pairs) distinct slots: the first `pairs` of exponential clocks with rates p(i) to ring,
        which is successive drawing without replacement."""
        rate = np.arange(1, slots + 1) ** (self.power_a - 1.0)
        ring = rng.standard_exponential((count, slots), dtype=np.float32) / rate.astype(np.float32)
        first = np.argpartition(ring, pairs - 1, axis=1)[:, :pairs]
        order = np.argsort(np.take_along_axis(ring, first, 1), axis=1)
        return np.take_along_axis(first, order, 1)

    def answer_depths(self, examples: Examples) -> np.ndarray:
        """Of the pair in as many tokens as the source has, up to the query: pairs stand at the front, so that
        how far back they are is what differs. 0 is a whole source back, 100 right before the query."""
        assert examples.at is not None
        keys = np.take_along_axis(examples.source, examples.at, 1)[:, :, None]  # (N, A, 1)
        first = (examples.source[:, None, ::2] == keys).argmax(axis=2) * 2
        return 100 * (1 - (examples.at - first) / examples.source_lengths[:, None])

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: one of the values of the example, without knowing which belongs to the key asked for."""
        asked = self.examples(split).target_lengths
        return {"chance": {"accuracy": len(asked) / float(asked.sum())}}


def distinct(rng: np.random.Generator, count: int, space: int, n: int) -> np.ndarray:
    """(count, n) integers of range(space), distinct within a row, every ordered choice equally likely.

    Floyd's sampling (Bentley and Floyd 1987), a whole column at a time, then a shuffle of each row.
    """
    out = np.empty((count, n), dtype=np.int64)
    for j, top in enumerate(range(space - n, space)):
        drawn = rng.integers(0, top + 1, count)
        taken = (out[:, :j] == drawn[:, None]).any(axis=1)
        out[:, j] = np.where(taken, top, drawn)
    return rng.permuted(out, axis=1)


def points(key: str, value: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """task.`key`=[[length, pairs], ...] as tuples. Raises ValueError for anything else."""
    for point in value:
        pair = list(point) if isinstance(point, Sequence) and not isinstance(point, str) else []
        if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) for n in pair):
            raise ValueError(
                f"task.{key} holds {point}: each must be [length, pairs], as in [[64,4],[128,8]]"
            )
    return [(point[0], point[1]) for point in value]


def name(point: tuple[int, int], usual: int | None) -> str:
    """Of a part: "pairs_8" at the task's own length `usual`, else "length_128_pairs_8"."""
    length, pairs = point
    return f"pairs_{pairs}" if length == usual else f"length_{length}_pairs_{pairs}"


def counted(train_examples: int | Sequence[int] | None, slices: Sequence[str]) -> Mapping[str, int] | None:
    """How many training examples each slice has; None where there is no end. Raises ValueError."""
    if train_examples is None:
        return None
    counts = [train_examples] * len(slices) if isinstance(train_examples, int) else list(train_examples)
    if len(counts) != len(slices) or min(counts) < 1:
        raise ValueError(
            f"task.train_examples={train_examples} must be a number of at least 1, or one for each of the "
            f"{len(slices)} slices ({', '.join(slices)})"
        )
    return dict(zip(slices, counts, strict=True))


def check(vocab: int, power_a: float, given: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Raises ValueError for parameters of which no example can be made. given: points by the key that names
    them, first those that are trained on."""
    if not next(iter(given.values())):
        raise ValueError("task.pairs=[] or task.segments=[]: at least one point is needed to train on")
    for key, among in given.items():
        for length, pairs in among:
            of = "" if key == "length" else f" (task.{key}=[[{length},{pairs}]])"
            if pairs < 1:
                raise ValueError(f"task.pairs={pairs}{of} must be at least 1")
            if length % 2 or length < 4 * pairs:
                raise ValueError(
                    f"task.length={length}{of} must be even and at least {4 * pairs}, "
                    f"room for {pairs} pairs and their queries"
                )
            if vocab <= length:
                raise ValueError(f"task.vocab={vocab} must be more than task.length={length}{of}")
    if power_a <= 0:
        raise ValueError(f"task.power_a={power_a} must be positive (1 is uniform)")
