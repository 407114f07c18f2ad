"""Naive Bayes, the baseline that is not fitted by gradients."""

import numpy as np
import pytest

from tasks.bag_of_words import NaiveBayes


def test_naive_bayes_is_the_textbooks():
    """The worked example of Manning, Raghavan and Schuetze (2008), section 13.2."""
    texts = ["Chinese Beijing Chinese", "Chinese Chinese Shanghai", "Chinese Macao", "Tokyo Japan Chinese"]
    model = NaiveBayes(texts, np.array([1, 1, 1, 0]), 2)
    yes = 3 / 4 * (3 / 7) ** 3 * 1 / 14 * 1 / 14
    no = 1 / 4 * (2 / 9) ** 3 * 2 / 9 * 2 / 9
    log_p = model.log_probabilities(["Chinese Chinese Chinese Tokyo Japan", "unheard"])
    assert np.exp(log_p[0]) == pytest.approx([no / (yes + no), yes / (yes + no)])
    assert np.exp(log_p[1]) == pytest.approx([1 / 4, 3 / 4])
