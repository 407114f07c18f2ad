"""Language modelling: one corpus and one tokenizer, each family trained by its objective, all judged in bits
per byte of the same held-out windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from archs.contract import Backbone, Family

from .baselines import Bigram, NGram, Unigram, bits_per_byte, xz_bpb
from .corpus import Corpus
from .objectives import Objective
from .rows import Batch, Row
from .scoring import native_loss, row_costs
from .stream import Stream, fitted_tokenizer, token_stream
from .streams import sha256, stream
from .task import Task
from .tokenizer import BOS, Tokenizer, TokenizerSpec
from .windows import EvalWindow, InfillWindow, make_infill_windows, make_windows, parts

HELD_OUT = ("validation", "test")
WINDOW = 256  # tokens of a training window, unless an evaluation window needs more
NATIVE_BATCH = 8  # held-out windows corrupted together for the native loss


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


class LanguageTask(Task):
    """Text, through one tokenizer.

    Training windows of `window` tokens come from the stream `<bos> document <eos> ...` of the training
    split. Metrics of a held-out split:

    continuation_bpb  bits per byte of the last `scored_bytes` of a window given all before
    infill_bpb        bits per byte of `scored_bytes` (up to the next boundary) in the middle of a window
    infill_context    "both" or "left": the sides of the gap that this family's objective can show
    native_loss       the objective's own loss in nats per target, on held-out windows corrupted always alike
    clusters          (test) bits and scored bytes of each document, summed over its windows: what a cluster
                      bootstrap by document resamples

    Bits are renormalised over ordinary tokens and count the bytes of the scored text alone.
    """

    name = "language"
    primary = "continuation_bpb"
    higher_is_better = False

    def __init__(
        self,
        *,
        corpus: Corpus,
        tokenizer: TokenizerSpec,
        objective: Callable[..., Objective],
        family: Family,
        start: int | None = None,
        cache_dir: str | Path,
        window: int | None = None,
        context_bytes: int = 512,
        scored_bytes: int = 32,
        windows: int = 192,
        quick_windows: int = 32,
        native_windows: int = 64,
    ) -> None:
        """objective: called with family and start, refuses a family that it cannot train.

        window: None for 256, or as many as the longest evaluation window takes under this tokenizer.
        windows, quick_windows, native_windows: how many to evaluate on, each for continuation and infill;
        a quick evaluation, during training, takes the first ones.

        Raises ValueError where an evaluation window would be longer than what is trained on, since
        nothing is learned about positions beyond.
        """
        self._objective = objective(family=family, start=start)
        self.objective, self.asked = self._objective.name, self._objective.asked
        if not 1 <= quick_windows <= windows:
            raise ValueError(
                f"task.quick_windows={quick_windows} is not between 1 and task.windows={windows}"
            )
        for key, value in (
            ("context_bytes", context_bytes),
            ("scored_bytes", scored_bytes),
            ("native_windows", native_windows),
        ):
            if value < 1:
                raise ValueError(f"task.{key}={value} must be at least 1")
        self._corpus = corpus
        self.tokenizer = fitted_tokenizer(corpus, tokenizer, cache_dir)
        self.vocab_size = self.tokenizer.vocab_size
        self.quick_windows, self.native_windows = quick_windows, native_windows

        self._continuations: dict[str, list[Question]] = {}
        self._infills: dict[str, list[Question]] = {}
        lists = []
        for split in HELD_OUT:
            continuations, digest = make_windows(corpus, split, windows, context_bytes, scored_bytes)
            infills, other = make_infill_windows(
                corpus, split, windows, context_bytes + scored_bytes, scored_bytes
            )
            self._continuations[split] = questions(corpus, split, self.tokenizer, continuations)
            self._infills[split] = questions(corpus, split, self.tokenizer, infills)
            lists += [digest, other]

        longest = max(
            q.tokens for split in HELD_OUT for q in self._continuations[split] + self._infills[split]
        )
        self.window = max(WINDOW, longest) if window is None else window
        if self.window < longest:
            raise ValueError(
                f"task.window={window} tokens is less than the {longest} of an evaluation window of "
                f"{context_bytes + scored_bytes} bytes: raise it or lower task.context_bytes={context_bytes}"
            )
        self.max_len = self.window + self._objective.markers
        self._streams = {
            split: token_stream(corpus, self.tokenizer, split, cache_dir) for split in ("train", *HELD_OUT)
        }
        self._train.windows(self.window)  # refuses a corpus shorter than one window now, not in a worker
        self.digests = {
            "corpus": corpus.digest,
            "tokenizer": self.tokenizer.digest,
            "windows": sha256(*lists),
        }

    def batch(self, seed: int, index: int, size: int) -> Batch:
        windows = self._train.batch_windows(seed, index, size, self.window)
        rng = stream("corruption", seed, index)
        return self._objective.batch(windows, rng, vocab_size=self.vocab_size)

    def bytes_per_token(self) -> float:
        return self._train.bytes / self._train.tokens

    def train_tokens(self) -> int:
        return self._train.tokens

    def evaluate(self, model: Backbone, split: str, *, quick: bool = False) -> dict[str, Any]:
        count = self.quick_windows if quick else None
        continuations, infills = self._continuations[split][:count], self._infills[split][:count]
        continued = asked(model, continuations, self._objective.continuation_prompt)
        filled = asked(model, infills, self._objective.infill_prompt)
        metrics: dict[str, Any] = {
            "continuation_bpb": bits(continued, continuations),
            "infill_bpb": bits(filled, infills),
            "infill_context": self._objective.infill_context,
            "native_loss": self._native_loss(model, split, quick),
        }
        if split == "test" and not quick:
            metrics["clusters"] = by_document(
                {"continuation_bpb": (continued, continuations), "infill_bpb": (filled, infills)}
            )
        return metrics

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """unigram and bigram of the training stream, on the same windows, and `xz -9` on the whole split.

        The n-gram models see the left side of a gap alone.
        """
        count = self.quick_windows if quick else None
        continuations, infills = self._continuations[split][:count], self._infills[split][:count]
        asked = {"continuation_bpb": continuations, "infill_bpb": infills}
        lengths = self.tokenizer.byte_lengths
        rows = {
            name: {
                metric: bits_per_byte(model, [q.left for q in qs], lengths) for metric, qs in asked.items()
            }
            for name, model in self._ngrams.items()
        }
        xz = xz_bpb(self._corpus, split)
        return rows | {"xz -9": {"continuation_bpb": xz, "infill_bpb": xz}}

    def save(self, folder: Path) -> None:
        """tokenizer.json: the one that every run of a study shares."""
        self.tokenizer.save(folder / "tokenizer.json")

    @property
    def _train(self) -> Stream:
        return self._streams["train"]

    @cached_property
    def _ngrams(self) -> dict[str, NGram]:
        ids = self._train.ids
        return {"unigram": Unigram(ids, self.vocab_size), "bigram": Bigram(ids, self.vocab_size)}

    def _native_loss(self, model: Backbone, split: str, quick: bool) -> float:
        held = self._streams[split]
        length = min(self.window, held.tokens)
        count = min(self.native_windows, self.quick_windows) if quick else self.native_windows
        nats = targets = 0.0
        for index in range(-(-count // NATIVE_BATCH)):
            windows = held.batch_windows(0, index, NATIVE_BATCH, length)
            rng = stream("held-out corruption", index)
            batch = self._objective.batch(windows, rng, vocab_size=self.vocab_size)
            more_nats, more_targets = native_loss(model, batch)
            nats, targets = nats + more_nats, targets + more_targets
        return nats / targets


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


def asked(model: Backbone, questions: Sequence[Question], prompt: Callable[..., list[Row]]) -> np.ndarray:
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
