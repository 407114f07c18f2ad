"""A winner needs evidence, over seeds and over test sets; where there is none, the reason is said."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.metrics import METRICS
from harness.statistics.testset import Clusters
from harness.statistics.verdict import verdict

BITS = METRICS[0]
CLEAR = {
    "gpt": {1: 1.50, 2: 1.51, 3: 1.49},
    "t5": {1: 1.70, 2: 1.72, 3: 1.69},
    "bert": {1: 2.40, 2: 2.43, 3: 2.41},
}


def judge(results, metric=BITS, **options):
    return verdict(results, metric, **options)


def test_a_clear_winner_is_named_in_either_direction():
    assert judge(CLEAR).winners == ("gpt",)
    assert judge(CLEAR, replace(BITS, lower_is_better=False)).winners == ("bert",)
    assert "over seeds alone" in judge(CLEAR).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gpt": {1: 1.5}, "t5": {1: 1.7}, "bert": {1: 2.4}}, "1 seed, 3 needed"),
        ({"gpt": {1: 1.5, 2: 1.51}, "t5": {1: 1.7, 2: 1.72}, "bert": {1: 2.4, 2: 2.43}}, "2 seeds, 3 needed"),
        ({"bert": {1: 2.40, 2: math.nan, 3: 2.41}}, "bert has no result for seed 2"),
        ({"bert": {1: 2.40, 3: 2.41}}, "bert has no result for seed 2"),
        (
            {"t5": {1: 1.505, 2: 1.515, 3: 1.495}},
            "gpt is ahead of t5 by 0.005 bits/byte, more than 0.01 needed",
        ),
        ({"t5": {1: 1.49, 2: 2.00, 3: 1.60}}, "gpt against t5, Holm-adjusted p ="),
    ],
)
def test_no_winner_and_the_reason(change, reason):
    judged = judge(CLEAR | change)
    assert judged.winners == ()
    assert judged.reason.startswith("no winner named: ")
    assert reason in judged.reason


def test_fractions_are_told_in_points():
    accuracy = next(metric for metric in METRICS if metric.key == "accuracy")
    close = {"gpt": {1: 0.900, 2: 0.901, 3: 0.902}, "t5": {1: 0.893, 2: 0.894, 3: 0.895}}
    assert "ahead of t5 by 0.7 points, more than 1 needed" in judge(close, accuracy).reason


def test_a_lone_row_wins_nothing():
    assert judge({"gpt": CLEAR["gpt"]}).reason == "no winner named: nothing to compare with"


def test_rows_that_saw_different_things_are_never_compared():
    both = "among those that saw both sides"
    saw = {"gpt": "among those that saw the left only", "t5": both, "bert": both}
    judged = judge(CLEAR, may_compare=saw)
    assert judged.winners == ("t5",)
    assert judged.reason.startswith(f"{both}, t5 is best")
    assert "left" not in judged.reason


def test_a_pair_that_cannot_be_tested_counts_in_the_adjustment():
    saw = {"gpt": "left", "t5": "left", "bert": "both", "bart": "both"}
    # p = 0.026 of gpt against t5: a winner if theirs were the only pair of the column
    table = {
        "gpt": {1: 1.5, 2: 1.5, 3: 1.5},
        "t5": {1: 1.55, 2: 1.57, 3: 1.59},
        "bert": {1: 2.0},
        "bart": {1: 2.0},
    }
    assert judge({row: table[row] for row in ("gpt", "t5")}).winners == ("gpt",)
    assert judge(table, may_compare=saw).winners == ()


def judged_on(documents, moved, rng):
    """CLEAR's first two rows on a test set whose documents differ by `moved` between them."""
    easy = 0.2 * rng.normal(size=documents)
    off = moved * rng.normal(size=documents)
    sets = {}
    for row, sign in (("gpt", 1), ("t5", -1)):
        bits = np.mean(list(CLEAR[row].values())) + easy + sign * (off - off.mean()) / 2
        sets[row] = Clusters(range(documents), 100 * bits, np.full(documents, 100.0))
    return sets


def test_a_difference_within_the_test_sets_error_is_no_win():
    two = {row: CLEAR[row] for row in ("gpt", "t5")}
    firm = judge(two, test_sets=judged_on(40, 0.05, np.random.default_rng(0)))
    assert firm.winners == ("gpt",)
    assert "over seeds and test set" in firm.reason
    loose = judge(two, test_sets=judged_on(40, 1.5, np.random.default_rng(0)))
    assert loose.winners == ()
    assert "with the test set's error of" in loose.reason
    assert "over seeds alone)" in loose.reason


def test_on_a_test_set_whose_error_is_not_known_nobody_wins():
    assert judge(CLEAR).winners == ("gpt",)
    unknown = judge(CLEAR, tested=True)
    assert unknown.winners == ()
    assert unknown.reason == "no winner named: gpt is ahead, but the error of the test set is not known"
    two = {row: CLEAR[row] for row in ("gpt", "t5")}
    known = judged_on(40, 0.05, np.random.default_rng(0))
    assert judge(two, test_sets=known, tested=True).winners == ("gpt",)
    assert judge(two, test_sets=known | {"t5": None}, tested=True).winners == ()


def test_those_who_are_barred_win_nothing_and_leave_others_alone():
    table = CLEAR | {"bart": {1: 2.7, 2: 2.75, 3: 2.69}}
    at = {"gpt": "at dim 16", "t5": "at dim 16", "bert": "at dim 32", "bart": "at dim 32"}
    judged = judge(table, may_compare=at, barred={"at dim 32": "sizes differ"})
    assert judged.winners == ("gpt",)
    assert "Holm over 1 pair" in judged.reason
    assert judged.reason.endswith("at dim 32, no winner named: sizes differ")
    everyone = judge(CLEAR, barred={"": "sizes differ"})
    assert everyone == replace(everyone, winners=(), reason="no winner named: sizes differ")


def test_nobody_wins_against_one_that_could_not_be_trained():
    lost = judge(CLEAR | {"mamba": {}}, absent={"mamba": "no eligible rate"})
    assert lost.winners == ()
    assert lost.reason == "no winner named: mamba has no eligible rate"


def test_equal_architectures_rarely_have_a_winner():
    rng = np.random.default_rng(0)
    metric = replace(BITS, minimum=0.0)
    named = sum(
        bool(judge({a: dict(enumerate(rng.normal(size=5))) for a in "wxyz"}, metric).winners)
        for _ in range(300)
    )
    assert named / 300 <= 0.05
