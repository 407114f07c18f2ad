"""Which held-out bytes every model is asked about, cut so that every tokenizer has a token boundary there.

A list of windows belongs to a corpus and its settings, not to a tokenizer or a model: the same bytes are
scored for everyone, and the sha256 of the list stands in the record. A window lies within one document; the
scored bytes of windows never overlap; the documents take turns, so that any prefix of the list is spread over
them too, and a shorter list is a prefix of a longer one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from .corpus import Corpus
from .streams import sha256, stream
from .tokenizer import pretoken_boundaries

Window = TypeVar("Window", covariant=True)


class EvalWindow(NamedTuple):
    """A context and its continuation, as byte offsets into document number `document` of the split.

    [first, first_scored) is given, [first_scored, last) is scored.
    """

    document: int
    first: int
    first_scored: int
    last: int


class InfillWindow(NamedTuple):
    """A span between two contexts: [first, first_scored) and [last_scored, last) are given, the bytes between
    them are scored."""

    document: int
    first: int
    first_scored: int
    last_scored: int
    last: int


def parts(text: str, window: EvalWindow | InfillWindow) -> tuple[str, ...]:
    """The texts between a window's cuts: (context, scored) or (left, scored, right)."""
    data, cuts = text.encode(), window[1:]
    return tuple(data[a:b].decode() for a, b in pairwise(cuts))


def make_windows(
    corpus: Corpus, split: str, count: int, context_bytes: int, scored_bytes: int
) -> tuple[list[EvalWindow], str]:
    """`count` windows for continuation, and the sha256 of the list.

    Context and scored part are as long as the cuts allow without exceeding `context_bytes` and
    `scored_bytes`, and longer than half of these: a row of raw bytes is never longer than their sum.
    Raises ValueError in one line when the split has no room for so many.
    """

    def place(document: int, cuts: np.ndarray, cell: int) -> EvalWindow | None:
        first_scored = _at_or_after(cuts, cell)
        first = _at_or_after(cuts, first_scored - context_bytes)
        last = _at_or_before(cuts, cell + scored_bytes)
        fits = first_scored - first > context_bytes / 2 and last - first_scored > scored_bytes / 2
        return EvalWindow(document, first, first_scored, last) if fits else None

    settings = ["continuation", split, context_bytes, scored_bytes]
    return _collect(corpus, settings, count, context_bytes, scored_bytes, 0, place)


def make_growing_windows(
    corpus: Corpus, split: str, count: int, contexts: Sequence[int], scored_bytes: int
) -> tuple[dict[int, list[EvalWindow]], str]:
    """The same `count` scored parts behind each of the `contexts`, in bytes; and the sha256 of the lists.

    Window i of one list differs from window i of another in where its context begins, and in nothing else.
    Otherwise they are as `make_windows` makes them. Raises ValueError as it does.
    """

    def begins(cuts: np.ndarray, first_scored: int) -> list[int]:
        return [_at_or_after(cuts, first_scored - context) for context in contexts]

    def place(document: int, cuts: np.ndarray, cell: int) -> EvalWindow | None:
        first_scored = _at_or_after(cuts, cell)
        last = _at_or_before(cuts, cell + scored_bytes)
        given = first_scored - np.array(begins(cuts, first_scored))
        fits = (given > np.array(contexts) / 2).all() and last - first_scored > scored_bytes / 2
        return EvalWindow(document, first_scored, first_scored, last) if fits else None

    settings = ["longer", split, list(contexts), scored_bytes]
    found, digest = _collect(corpus, settings, count, max(contexts), scored_bytes, 0, place)
    lists: dict[int, list[EvalWindow]] = {context: [] for context in contexts}
    for window in found:
        cuts = pretoken_boundaries(corpus.split(split)[window.document].text)
        for context, first in zip(contexts, begins(cuts, window.first_scored), strict=True):
            lists[context].append(window._replace(first=first))
    return lists, digest


def make_infill_windows(
    corpus: Corpus, split: str, count: int, window_bytes: int, span_bytes: int
) -> tuple[list[InfillWindow], str]:
    """`count` windows for infilling, and the sha256 of the list.

    A window has at most `window_bytes`; its span has `span_bytes`, extended to the next cuts; on each side of
    the span lies at least a quarter of `window_bytes`.
    Raises ValueError in one line when a span leaves no such sides, or the split has no room for so many.
    """
    side = (window_bytes - span_bytes) // 2
    if span_bytes < 1 or 4 * side < window_bytes:
        raise ValueError(
            f"a span of {span_bytes} bytes does not leave a quarter of a window of {window_bytes} bytes "
            f"on each side: it can have 1 to {window_bytes // 2}"
        )

    def place(document: int, cuts: np.ndarray, cell: int) -> InfillWindow | None:
        first_scored = _at_or_after(cuts, cell)
        last_scored = _at_or_after(cuts, first_scored + span_bytes)
        first = _at_or_after(cuts, first_scored - side)
        last = _at_or_before(cuts, first + window_bytes)
        least = min(first_scored - first, last - last_scored)
        # A long pre-token may push the span into the next cell, where another window may lie.
        fits = 4 * least >= window_bytes and last_scored <= cell + 2 * span_bytes
        return InfillWindow(document, first, first_scored, last_scored, last) if fits else None

    settings = ["infill", split, window_bytes, span_bytes]
    return _collect(corpus, settings, count, side, 2 * span_bytes, side, place)


class _Place(Protocol[Window]):
    """Fits a window to the cuts of a document, its scored part from byte `cell` on; None where none fits."""

    def __call__(self, document: int, cuts: np.ndarray, cell: int) -> Window | None: ...


def _collect(
    corpus: Corpus, settings: list, count: int, left: int, step: int, right: int, place: _Place[Window]
) -> tuple[list[Window], str]:
    """Windows of every document in turns, until there are `count`.

    A scored part lies in a cell of `step` bytes of its own, with `left` bytes before and `right` after it.
    """
    if min(count, left, step) < 1:
        raise ValueError(f"evaluation windows: count and bytes must be positive: {count}, {settings}")
    kind, split, *_ = settings
    documents = corpus.split(split)

    def candidates(document: int) -> Iterator[Window]:
        text = documents[document].text
        if (room := len(text.encode()) - left - step - right) < 0:
            return
        rng = stream("windows", corpus.digest, settings, document)
        first = left + rng.integers(room % step + 1)
        cuts = pretoken_boundaries(text)
        for turn in rng.permutation(room // step + 1):
            window = place(document, cuts, int(first + turn * step))
            if window is not None:
                yield window

    order = stream("windows", corpus.digest, settings).permutation(len(documents))
    turns = deque(candidates(int(document)) for document in order)
    windows: list[Window] = []
    while turns and len(windows) < count:
        source = turns.popleft()
        if (window := next(source, None)) is not None:
            windows.append(window)
            turns.append(source)
    if len(windows) < count:
        raise ValueError(
            f"the {split} split of corpus {corpus.name} has room for {len(windows)} {kind} windows of this "
            f"length, not {count}: give longer documents, or ask for fewer or shorter windows"
        )
    return windows, sha256(corpus.digest, settings, windows)


def _at_or_after(cuts: np.ndarray, byte: int) -> int:
    return int(cuts[min(int(np.searchsorted(cuts, byte)), len(cuts) - 1)])


def _at_or_before(cuts: np.ndarray, byte: int) -> int:
    return int(cuts[max(int(np.searchsorted(cuts, byte, side="right")) - 1, 0)])
