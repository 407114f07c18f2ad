"""Language modelling: one corpus and one tokenizer, each family trained by its objective, all judged in bits
per byte of the same held-out windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from archs.contract import Backbone, Family

from .baselines import Bigram, NGram, Unigram, bits_per_byte, xz_bpb
from .contexts import Contexts, Costs, values
from .corpus import Corpus
from .objectives import Objective
from .questions import Prompt, Question, asked, bits, by_document, questions
from .rows import Batch
from .scoring import native_loss
from .stream import Stream, fitted_tokenizer, token_stream
from .streams import sha256, stream
from .synthetic.lengths import several
from .task import Task
from .tokenizer import TokenizerSpec
from .windows import make_infill_windows, make_windows

HELD_OUT = ("validation", "test")
WINDOW = 256  # tokens of a training window, unless an evaluation window needs more
NATIVE_BATCH = 8  # held-out windows corrupted together for the native loss


class LanguageTask(Task):
    """Text, through one tokenizer.

    Training windows of `window` tokens come from the stream `<bos> document <eos> ...` of the training
    split; with segments > 1, that many in a row, batch after batch, each from the state that the one before
    it left (truncated back-propagation). Metrics of a held-out split:

    continuation_bpb  bits per byte of the last `scored_bytes` of a window given all before
    infill_bpb        bits per byte of `scored_bytes` (up to the next boundary) in the middle of a window
    infill_context    "both" or "left": the sides of the gap that this family's objective can show
    native_loss       the objective's own loss in nats per target, on held-out windows corrupted always alike
    continuation_bpb_context_bytes_N   (with `beyond`) as continuation_bpb, of the same scored bytes behind a
                      context of N bytes, for each length; None beyond what a position table was trained to
    by_position       (with `beyond`, decoders) {n: bits per byte of tokens n to 2n - 1 of the longest
                      windows}, every token given all before it; as far as a table of positions was trained
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
        segments: int = 1,
        context_bytes: int = 512,
        scored_bytes: int = 32,
        windows: int = 192,
        quick_windows: int = 32,
        native_windows: int = 64,
        beyond: Sequence[int] = (),
        beyond_windows: int = 64,
    ) -> None:
        """objective: called with family and start, refuses a family that it cannot train.

        window: None for 256, or as many as the longest evaluation window takes under this tokenizer.
        segments: windows of a training sequence, one per batch: batch number i is window i % segments of the
        rows of number i // segments, and Batch.seen says how much of them is behind it.
        windows, quick_windows, native_windows: how many to evaluate on, each for continuation and infill;
        a quick evaluation, during training, takes the first ones.
        beyond: contexts of so many times `context_bytes` that are only evaluated, on `beyond_windows` windows
        of their own.

        Raises ValueError where an evaluation window would be longer than what is trained on, since
        nothing is learned about positions beyond.
        """
        self._objective = objective(family=family, start=start)
        if segments > 1 and not self._objective.continues:
            raise ValueError(
                f"task.segments={segments} goes on where the window before ended, which is no "
                f"objective={self._objective.name}: use a recurrent decoder (mamba) and objective=causal"
            )
        self.objective, self.asked = self._objective.name, self._objective.asked
        if not 1 <= quick_windows <= windows:
            raise ValueError(
                f"task.quick_windows={quick_windows} is not between 1 and task.windows={windows}"
            )
        for key, value in (
            ("context_bytes", context_bytes),
            ("scored_bytes", scored_bytes),
            ("native_windows", native_windows),
            ("segments", segments),
            ("beyond_windows", beyond_windows),
        ):
            if value < 1:
                raise ValueError(f"task.{key}={value} must be at least 1")
        times = several("beyond", beyond, 2)
        self._corpus = corpus
        self.scored_bytes, self.beyond_windows = scored_bytes, beyond_windows
        self.contexts = tuple(n * context_bytes for n in (1, *sorted(times)))
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

        self._beyond: dict[str, Contexts] = {}
        if times:
            try:
                self._beyond = {split: self.behind(self.contexts, split) for split in HELD_OUT}
            except ValueError as error:
                raise ValueError(f"task.beyond={list(times)}: {error}") from None
            lists += [of.digest for of in self._beyond.values()]

        usual = [q.tokens for split in HELD_OUT for q in self._continuations[split] + self._infills[split]]
        longest = max([*usual, *(of.tokens for of in self._beyond.values())])
        self.window = max(WINDOW, longest) if window is None else window
        if self.window < longest:
            raise ValueError(
                f"task.window={window} tokens is less than the {longest} of an evaluation window of "
                f"{context_bytes + scored_bytes} bytes: raise it or lower task.context_bytes={context_bytes}"
            )
        self.segments = segments
        self.sequence = None if segments == 1 else segments * self.window
        self.max_len = self.window + self._objective.markers
        self._streams = {
            split: token_stream(corpus, self.tokenizer, split, cache_dir) for split in ("train", *HELD_OUT)
        }
        # A corpus shorter than what one row reads is refused now, not in a worker.
        self._train.windows(self.window)
        if segments * self.window > self._train.tokens:
            raise ValueError(
                f"task.segments={segments} windows of {self.window} tokens in a row are more than the "
                f"{self._train.tokens} of the training split: give more text or fewer segments"
            )
        self.digests = {
            "corpus": corpus.digest,
            "tokenizer": self.tokenizer.digest,
            "windows": sha256(*lists),
        }

    def batch(self, seed: int, index: int, size: int) -> Batch:
        number, place = divmod(index, self.segments)
        seen, length = place * self.window, self.segments * self.window
        # With the first token of the window after it, which this one names and that one reads.
        part = slice(seen, seen + self.window + 1)
        windows = self._train.batch_windows(seed, number, size, length, part)
        rng = stream("corruption", seed, index)
        batch = self._objective.batch(windows, rng, vocab_size=self.vocab_size)
        return replace(batch, consumed=size * self.window, seen=seen)

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
        costs: dict[str, Costs | None] = {
            "continuation_bpb": Costs(continued, continuations),
            "infill_bpb": Costs(filled, infills),
        }
        if self._beyond and not quick:
            prompt, reach = self._objective.continuation_prompt, self.reach(model)
            longer = self._beyond[split].evaluate(model, prompt, reach)
            metrics |= values(longer)
            costs |= longer
            if self._objective.family is Family.DECODER:
                metrics["by_position"] = self._beyond[split].by_position(model, reach)
        if split == "test" and not quick:
            metrics["clusters"] = by_document({name: cost for name, cost in costs.items() if cost})
        return metrics

    @property
    def continuation_prompt(self) -> Prompt:
        """How this family is asked to go on behind a context."""
        return self._objective.continuation_prompt

    def behind(self, contexts: Sequence[int], split: str) -> Contexts:
        """Questions about `split` behind contexts of so many bytes. ValueError where they have no room."""
        tokenizer, scored = self.tokenizer, self.scored_bytes
        return Contexts(self._corpus, split, tokenizer, contexts, scored, self.beyond_windows)

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
        if self._beyond and not quick:
            rows = {n: row | self._beyond[split].baselines(self._ngrams[n]) for n, row in rows.items()}
        xz = xz_bpb(self._corpus, split)
        return rows | {"xz -9": {"continuation_bpb": xz, "infill_bpb": xz}}

    def stream(self, split: str) -> Stream:
        """All tokens of a split, `<bos> document <eos>` by the next."""
        return self._streams[split]

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
