"""How near a written text is to the wanted one: exact match, chrF, BLEU and ROUGE-L, by torchmetrics.

All are shares from 0 to 1. Exact match and ROUGE-L are means over examples; chrF and BLEU are made of counts
over the whole set, as their authors define them, so that no single example has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def exact(written: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """(N,) 1.0 where a text is the wanted one, but for white space around it."""
    return np.array([a.strip() == b.strip() for a, b in zip(written, wanted, strict=True)], dtype=np.float64)


def rouge_l(written: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """(N,) F1 of the longest common subsequence of words, lower-cased, without stemming (Lin 2004).

    Words are runs of a-z and 0-9, as in the original: a text in another script has none, and scores 0.
    """
    from torchmetrics.functional.text import rouge_score

    pairs = zip(written, wanted, strict=True)
    return np.array([float(rouge_score(a, b, rouge_keys="rougeL")["rougeL_fmeasure"]) for a, b in pairs])


def chrf(written: Sequence[str], wanted: Sequence[str]) -> float:
    """F2 of character n-grams up to 6 (chrF, Popovic 2015), over the whole set.

    An order of which the set has no n-gram counts as 0: where every text is shorter than 6 characters, even
    equal ones stay below 1.
    """
    from torchmetrics.functional.text import chrf_score

    score: Any = chrf_score(list(written), [[text] for text in wanted], n_word_order=0)
    return float(score)


def bleu(written: Sequence[str], wanted: Sequence[str]) -> float:
    """SacreBLEU (Post 2018): up to 4-grams, tokenizer 13a, cased, no smoothing, over the whole set.

    0 where no four words in a row are right.
    """
    from torchmetrics.functional.text import sacre_bleu_score

    return float(sacre_bleu_score(list(written), [[text] for text in wanted]))


def text_scores(written: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    """All four, by the names that tables use."""
    return {
        "exact_match": float(exact(written, wanted).mean()),
        "chrf": chrf(written, wanted),
        "bleu": bleu(written, wanted),
        "rougeL": float(rouge_l(written, wanted).mean()),
    }
