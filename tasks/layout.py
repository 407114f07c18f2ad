"""How each family sees an Example: the one place that knows.

                     `at` given: read in place                 no `at`: the answer follows
    DECODER          causal over source, read at `at`          source <sep> target, loss on target
    ENCODER          both sides of source, read at `at`        source <sep> <mask> x answer_len, filled
    ENCODER_DECODER  encoder reads source, decoder re-reads    encoder reads source, decoder emits
                     it causally and is read at `at`           target

`answer_len` is a constant of the task. A shorter answer ends in <eos>, which is scored, then <pad>,
which is read as a token and not scored, so that no layout tells how long the answer is.
"""

from __future__ import annotations

import numpy as np

from archs.contract import Family

from .example import Example
from .rows import Row
from .tokenizer import EOS, MASK, PAD, SEP


def layout(family: Family, example: Example, answer_len: int, start: int | None = None) -> Row:
    """The Row by which `family` is asked `example`.

    start: id of the decoder's first token, for encoder-decoders (it is never scored).
    """
    source, target, at = example
    if at is not None:
        return Row(source, at, target, source if family is Family.ENCODER_DECODER else None)
    answer, scored = written_out(target, answer_len)
    at = np.arange(scored)
    if family is Family.ENCODER_DECODER:
        return Row(np.concatenate([[start], answer[:-1]]), at, answer[:scored], source)
    if family is Family.ENCODER:
        tokens = np.concatenate([source, [SEP], np.full(answer_len, MASK)])
        return Row(tokens, len(source) + 1 + at, answer[:scored])
    return Row(np.concatenate([source, [SEP], answer[:-1]]), len(source) + at, answer[:scored])


def written_out(target: np.ndarray, answer_len: int) -> tuple[np.ndarray, int]:
    """The answer in its constant length (answer_len,), and how many of its tokens are scored."""
    if len(target) > answer_len:
        raise ValueError(f"an answer of {len(target)} tokens does not fit answer_len={answer_len}")
    answer = np.full(answer_len, PAD, dtype=np.int64)
    answer[: len(target)] = target
    answer[len(target) : len(target) + 1] = EOS  # nothing where the answer fills its length
    return answer, min(len(target) + 1, answer_len)


def longest(family: Family, source_len: int, answer_len: int, in_place: bool) -> int:
    """Tokens of the longest sequence that `layout` makes of sources up to source_len."""
    if in_place:
        return source_len
    if family is Family.ENCODER_DECODER:
        return max(source_len, answer_len)
    return source_len + answer_len + (family is Family.ENCODER)


def asked(family: Family, in_place: bool) -> str:
    """How the layout is named in tables."""
    return {
        (Family.DECODER, True): "in place, causal",
        (Family.ENCODER, True): "in place, both sides",
        (Family.ENCODER_DECODER, True): "in place, decoder re-reads source",
        (Family.DECODER, False): "source <sep> target",
        (Family.ENCODER, False): "source <sep> <mask>",
        (Family.ENCODER_DECODER, False): "source -> target",
    }[family, in_place]
