"""What a reader should compare with: n-gram models of the same tokenizer, and a general compressor.

The n-gram models count the stream that the architectures are trained on, ordinary tokens only, and are scored
on the same tokens of the same windows, so their bits per byte stand beside the others'.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from scipy import sparse

from .corpus import Corpus
from .tokenizer import N_SPECIAL, PAD

_CHUNK = 1 << 24  # tokens counted at once: bounds the memory that counting takes


class NGram(Protocol):
    def nats(self, context: np.ndarray, scored: np.ndarray) -> np.ndarray:
        """-ln p of each token of `scored`, given what stands before it; `context` precedes the first one."""


class Unigram:
    """p(w) = (c(w) + 1) / (N + V) over the V ordinary tokens: smoothed by one, so that none is impossible."""

    def __init__(self, ids: np.ndarray, vocab_size: int) -> None:
        counts = np.bincount(ids, minlength=vocab_size).astype(np.float64) + 1
        counts[:N_SPECIAL] = 0
        self.p = counts / counts.sum()

    def nats(self, context: np.ndarray, scored: np.ndarray) -> np.ndarray:
        return -np.log(self.p[scored])


class Bigram:
    """p(w | u) = (c(u, w) + t(u) p(w)) / (c(u) + t(u)): Witten-Bell smoothing (Witten & Bell 1991; Chen &
    Goodman 1999, section 2.4), with p(w) of the unigram and t(u) the number of different tokens seen after u.

    The more different tokens have followed u, the more weight the unigram has; where none has, or nothing
    stands to the left, it has all. A pair counts when both tokens are ordinary: none spans documents.
    """

    def __init__(self, ids: np.ndarray, vocab_size: int) -> None:
        self.unigram = Unigram(ids, vocab_size)
        self.counts = sparse.csr_array((vocab_size, vocab_size))
        for i in range(0, len(ids), _CHUNK):
            part = np.asarray(ids[i : i + _CHUNK + 1], dtype=np.int64)
            pairs = np.stack([part[:-1], part[1:]])
            pairs = pairs[:, (pairs >= N_SPECIAL).all(axis=0)]
            ones = np.ones(pairs.shape[1])
            self.counts += sparse.coo_array((ones, tuple(pairs)), shape=self.counts.shape).tocsr()
        self.totals = self.counts.sum(axis=1)
        self.kinds = np.diff(self.counts.indptr)

    def nats(self, context: np.ndarray, scored: np.ndarray) -> np.ndarray:
        left = np.concatenate([[PAD], context, scored])[len(context) : -1]  # no context: <pad>, never counted
        kinds = np.maximum(self.kinds[left], 1)  # an unseen u leaves the unigram alone, with any weight
        smooth = kinds * self.unigram.p[scored]
        return -np.log((np.asarray(self.counts[left, scored]).ravel() + smooth) / (self.totals[left] + kinds))


def bits_per_byte(
    model: NGram, windows: Iterable[tuple[np.ndarray, np.ndarray]], byte_lengths: np.ndarray
) -> float:
    """Cost of the scored tokens of all (context, scored) id arrays, in bits, by the bytes of these tokens."""
    nats = length = 0.0
    for context, scored in windows:
        nats += model.nats(context, scored).sum()
        length += byte_lengths[scored].sum()
    return float(nats / np.log(2) / length)


def xz_bpb(corpus: Corpus, split: str) -> float:
    """Bits per byte of `xz -9` on the documents of a split, one after another.

    The compressor has seen nothing before: this is what can be said of the text without any training, on the
    whole split rather than on windows of it.
    """
    data = "".join(document.text for document in corpus.split(split)).encode()
    return 8 * len(lzma.compress(data, preset=9)) / len(data)
