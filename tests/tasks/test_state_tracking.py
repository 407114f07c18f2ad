"""Parity and modular arithmetic: checked against sums and against Python's evaluation of the expression."""

import numpy as np
import pytest
from drawn import check_splits, checksum, drawn, made, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import ModularArithmetic, Parity
from tasks.tokenizer import N_SPECIAL


def parity(**changes):
    return made(Parity, **({"length": 20, "beyond": [40]} | changes))


def arithmetic(**changes):
    return made(ModularArithmetic, **({"length": 15, "beyond": [31]} | changes))


@settings(max_examples=25)
@given(modulus=st.integers(2, 7), length=st.integers(12, 30), seed=st.integers(0, 99))
def test_parity_is_the_sum_of_every_prefix(modulus, length, seed):
    task = parity(modulus=modulus, length=length, beyond=[length + 4])
    for part, first, last in ((f"length_{length}", 0, length), (f"length_{length + 4}", length, length + 4)):
        for source, target, at in drawn(task, part, 30, seed):
            assert len(source) == last
            assert at.tolist() == list(range(first, last)), "beyond training, longer prefixes only"
            assert target.tolist() == [sum(source[: i + 1].tolist()) % modulus for i in at]


@settings(max_examples=25)
@given(modulus=st.integers(2, 11), terms=st.integers(6, 15), seed=st.integers(0, 99))
def test_arithmetic_is_pythons_with_its_precedence(modulus, terms, seed):
    length = 2 * terms - 1
    task = arithmetic(modulus=modulus, length=length, beyond=[length + 4])
    for part, first, last in (
        (f"length_{length}", 0, length),
        (f"length_{length + 4}", length + 1, length + 4),
    ):
        for source, target, at in drawn(task, part, 20, seed):
            assert len(source) == last
            assert at.tolist() == list(range(first, last, 2))
            written = [str(s) if s < modulus else "+-*"[s - modulus] for s in source.tolist()]
            assert target.tolist() == [eval("".join(written[: i + 1])) % modulus for i in at]


def test_answers_of_parity_are_balanced_at_every_place():
    for modulus in (2, 3):
        targets = np.stack([target for _, target, _ in drawn(parity(modulus=modulus), count=20000)])
        for symbol in range(modulus):
            assert (targets == symbol).mean(axis=0) == pytest.approx(np.full(20, 1 / modulus), abs=0.015)


def test_splits_and_baselines():
    for task in (parity(), arithmetic()):
        check_splits(task)
    assert parity(modulus=3, length=20).baselines("test")["chance"]["accuracy"] == pytest.approx(1 / 3)
    task = arithmetic()
    answers = np.concatenate([e.target for e in task.examples("test")]) - N_SPECIAL
    found = task.baselines("test")
    assert found["chance"]["accuracy"] == 1 / 5
    assert found["majority"]["accuracy"] == pytest.approx(np.bincount(answers).max() / len(answers))
    assert task.labels.tolist() == list(range(N_SPECIAL, N_SPECIAL + 5)), "operators are no answers"


def test_several_lengths_are_trained_on_in_turn():
    task = parity(length=[15, 20])
    assert [len(e.source) for e in task.training(1, 0, 4)] == [15, 20, 15, 20]
    assert task.further("test")["length_40"][0].at.tolist() == list(range(20, 40))


def test_the_data_of_a_seed_never_change():
    """A new checksum means that no result is comparable with those made before."""
    assert checksum(parity()) == ("2af9eeed61b9d893", "f03424e115397c91")
    assert checksum(arithmetic()) == ("dbf7cbeb846e03c0", "b42066aa0a3859f0")


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (parity, {"modulus": 1}, r"^task.modulus=1 must be at least 2$"),
        (parity, {"beyond": [20, 40]}, r"^task.beyond=\[20, 40\] must be more than task.length=20$"),
        (parity, {"length": 6}, r"^task=parity \(.*, length_6\): only \d+ distinct examples"),
        (arithmetic, {"length": 16}, r"^task.length=16 must be odd whole numbers of at least 3$"),
        (arithmetic, {"beyond": [32]}, r"^task.beyond=\[32\] must be odd whole numbers of at least 1$"),
        (arithmetic, {"modulus": 0}, r"^task.modulus=0 must be at least 2$"),
    ],
)
def test_impossible_parameters_are_refused(task, changes, message):
    refused(task, message, **changes)
