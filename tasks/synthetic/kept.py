"""Generated tasks that are slow to draw: what is used more than once is drawn once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..cache import cached
from ..example import Examples
from .generated import GeneratedTask


class KeptTask(GeneratedTask):
    """The fixed examples, and training examples that come in epochs, are kept under `cache_dir`.

    version  part of what they are kept under: raise it with every change of what `draw` makes.
    An endless supply of training examples is not kept. Answers must follow the source.
    """

    version: int

    def __init__(self, *, cache_dir: str | Path, **given: Any) -> None:
        self.cache_dir = cache_dir
        super().__init__(**given)

    def _fixed(self, split: str, parts: Sequence[str], count: int) -> Examples:
        names = [split, list(parts), count]
        return self._kept(names, lambda: super(KeptTask, self)._fixed(split, parts, count))

    def _drawn(self, part: str, seed: int, block: int) -> Examples:
        if self.train_examples is None:
            return super()._drawn(part, seed, block)
        names = ["train", part, seed, block]
        return self._kept(names, lambda: super(KeptTask, self)._drawn(part, seed, block))

    def _kept(self, names: list[Any], draw: Callable[[], Examples]) -> Examples:
        def make(file: BinaryIO) -> dict[str, Any]:
            examples = draw()
            arrays = (examples.source, examples.target, examples.source_lengths)
            for array in arrays:
                np.save(file, array.astype(np.min_scalar_type(array.max())))
            return {}

        key = {"version": self.version, "task": list(self._names), "names": names}
        path, _ = cached(self.cache_dir, "examples", key, make)
        with path.open("rb") as file:
            source, target, source_len = (np.load(file).astype(np.int64) for _ in range(3))
        whole = bool((source_len == source.shape[1]).all())
        return Examples(source, target, source_len=None if whole else source_len)
