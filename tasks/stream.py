"""A split as one long row of tokens on disk, `<bos> document <eos>` by the next, and windows to train on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .cache import cached
from .corpus import Corpus
from .streams import sha256, stream
from .tokenizer import BOS, EOS, Tokenizer, TokenizerSpec

PREP_VERSION = 1  # raise it whenever the same corpus and tokenizer would give another file
_BATCH = 256  # documents encoded at once


def fitted_tokenizer(corpus: Corpus, spec: TokenizerSpec, cache_dir: str | Path) -> Tokenizer:
    """The tokenizer that `spec` describes, fitted on the training split alone, once per corpus."""
    texts = (document.text for document in corpus.split("train"))
    return fitted_on(texts, corpus.digest, spec, cache_dir)


def fitted_on(texts: Iterable[str], digest: str, spec: TokenizerSpec, cache_dir: str | Path) -> Tokenizer:
    """The tokenizer that `spec` describes, fitted on texts, once for each digest of these."""

    def make(file: BinaryIO) -> dict[str, Any]:
        file.write(spec.fit(texts).json.encode())
        return {}

    key = {"version": PREP_VERSION, "corpus": digest, "spec": spec.name}
    path, _ = cached(cache_dir, "tokenizers", key, make)
    return Tokenizer.load(path)


@dataclass(frozen=True)
class Stream:
    """Tokens of a split, memory-mapped.

    tokens: how many, `<bos>` and `<eos>` included; bytes: UTF-8 bytes of the documents.
    """

    path: Path
    dtype: str
    tokens: int
    bytes: int

    @cached_property
    def ids(self) -> np.memmap:
        """(tokens,) uint16 or uint32."""
        return np.memmap(self.path, dtype=self.dtype, mode="r")

    def __getstate__(self) -> Mapping[str, Any]:
        """Without the map: a worker process opens its own instead of being sent a copy of the tokens."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def windows(self, length: int) -> int:
        """Windows of `length` tokens in an epoch. Raises ValueError when the stream is shorter than one."""
        if not 1 <= length <= self.tokens:
            raise ValueError(
                f"the training split has {self.tokens} tokens, too few for one window of {length}: "
                "give more text or a smaller task.window"
            )
        return self.tokens // length

    def batch_windows(
        self, seed: int, index: int, batch: int, length: int, part: slice = slice(None)
    ) -> np.ndarray:
        """Training windows index * batch, ..., + batch - 1 of a seed: (batch, length) int64, or `part` of it.

        An epoch cuts the stream, closed to a ring, into windows from a random place on and shows each once in
        random order; both are new in every epoch. A pure function of its arguments: the same for every
        architecture, after any interruption and for any number of workers.
        """
        windows = self.windows(length)
        epochs, turns = np.divmod(index * batch + np.arange(batch), windows)
        starts = np.empty(batch, dtype=np.int64)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            phase, order = _epoch(seed, int(epoch), self.tokens, windows)
            starts[now] = phase + order[turns[now]] * length
        places = starts[:, None] + np.arange(*part.indices(length))  # (batch, length) without a part
        return self.ids[places % self.tokens].astype(np.int64)


@lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, tokens: int, windows: int) -> tuple[int, np.ndarray]:
    """Where an epoch's first window begins, and the order in which its windows are shown."""
    rng = stream("training windows", seed, epoch)
    return int(rng.integers(tokens)), rng.permutation(windows)


def token_stream(corpus: Corpus, tokenizer: Tokenizer, split: str, cache_dir: str | Path) -> Stream:
    """The stream of a split, encoded once per corpus and tokenizer and kept under `cache_dir`."""
    documents = corpus.split(split)
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"

    def make(file: BinaryIO) -> dict[str, Any]:
        tokens = 0
        for i in range(0, len(documents), _BATCH):
            for ids in tokenizer.encode_many([document.text for document in documents[i : i + _BATCH]]):
                file.write(np.concatenate([[BOS], ids, [EOS]]).astype(dtype).tobytes())
                tokens += len(ids) + 2
        return {"tokens": tokens, "bytes": sum(len(document.text.encode()) for document in documents)}

    key = {
        "version": PREP_VERSION,
        "corpus": corpus.digest,
        "tokenizer": tokenizer.digest,
        "split": split,
        "dtype": dtype,
    }
    path, facts = cached(cache_dir, "streams", key, make)
    return Stream(path, dtype, facts["tokens"], facts["bytes"])


def encoded(texts: Sequence[str], tokenizer: Tokenizer, cache_dir: str | Path) -> list[np.ndarray]:
    """The tokens of each text, (n,) uint16 or uint32, encoded once and kept under `cache_dir`."""
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"

    def make(file: BinaryIO) -> dict[str, Any]:
        lengths = []
        for i in range(0, len(texts), _BATCH):
            for ids in tokenizer.encode_many(texts[i : i + _BATCH]):
                file.write(ids.astype(dtype).tobytes())
                lengths.append(len(ids))
        return {"lengths": lengths}

    key = {
        "version": PREP_VERSION,
        "texts": sha256(list(texts)),
        "tokenizer": tokenizer.digest,
        "dtype": dtype,
    }
    path, facts = cached(cache_dir, "texts", key, make)
    return np.split(np.fromfile(path, dtype), np.cumsum(facts["lengths"])[:-1])
