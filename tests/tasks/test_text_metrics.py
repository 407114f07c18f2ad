"""Text metrics: values worked out by hand."""

import math

import pytest

from tasks.text_metrics import bleu, chrf, exact, rouge_l, text_scores


def test_exact_match_ignores_white_space_around_a_text_and_nothing_else():
    assert exact([" yes\n", "Yes", "y es"], ["yes", "yes", "yes"]).tolist() == [1, 0, 0]


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence():
    # common subsequence "the cat the mat": 4 of 6 words written, 4 of 5 wanted
    found = rouge_l(["the cat sat on the mat", "", "Same, text!"], ["the cat saw the mat", "a", "same text"])
    assert found.tolist() == pytest.approx([2 * (4 / 6) * (4 / 5) / (4 / 6 + 4 / 5), 0, 1])


def test_bleu_is_the_geometric_mean_of_four_precisions_with_a_brevity_penalty():
    # 5 of 6 words, 4 of 5 pairs, 3 of 4 triples, 2 of 3 quadruples; 6 words written, 7 wanted
    value = bleu(["a b c d e x"], ["a b c d e f g"])
    assert value == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25 * math.exp(1 - 7 / 6))
    assert bleu(["too short"], ["too short"]) == 0  # no four words in a row


def test_chrf_is_the_mean_f2_of_character_n_grams():
    assert chrf(["abcdefg"], ["abcdefg"]) == pytest.approx(1)
    assert chrf(["abcd"], ["abcd"]) == pytest.approx(4 / 6)  # no n-gram of 5 or 6
    assert chrf(["abcdefg"], ["hijklmn"]) == pytest.approx(0)
    assert chrf(["abcdefgh"], ["abcdexyz"]) == pytest.approx((5 / 8 + 4 / 7 + 3 / 6 + 2 / 5 + 1 / 4 + 0) / 6)


def test_all_of_them_by_name():
    assert text_scores(["as it was before"], ["as it was before"]) == pytest.approx(
        {"exact_match": 1, "chrf": 1, "bleu": 1, "rougeL": 1}
    )
