"""Induction: the published task, checked against a search for the marker."""

import numpy as np
import pytest
from drawn import check_splits, checksum, drawn, made, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import Induction


def small(**changes):
    return made(Induction, **({"length": 16, "beyond": [32]} | changes))


@settings(max_examples=25)
@given(vocab=st.integers(8, 20), length=st.integers(8, 40), seed=st.integers(0, 99))
def test_the_answer_is_what_followed_the_marker(vocab, length, seed):
    task = small(vocab=vocab, length=length, beyond=[length + 3])
    for part, size in ((f"length_{length}", length), (f"length_{length + 3}", length + 3)):
        for source, target, at in drawn(task, part, 50, seed):
            source = source.tolist()
            assert len(source) == size
            assert [i for i, symbol in enumerate(source) if symbol == 0] == [source.index(0), size - 1]
            assert target.tolist() == [source[source.index(0) + 1]]
            assert 1 <= target[0] < vocab
            assert at.tolist() == [size - 1]


def test_the_marker_and_the_answer_are_uniform():
    examples = drawn(small(vocab=5, length=8), count=20000)
    places = [source.tolist().index(0) for source, _, _ in examples]
    answers = [int(target[0]) for _, target, _ in examples]
    assert np.bincount(places) / 20000 == pytest.approx(np.full(6, 1 / 6), abs=0.012)
    assert np.bincount(answers)[1:] / 20000 == pytest.approx(np.full(4, 1 / 4), abs=0.012)


def test_splits_parts_and_chance():
    task = small(length=[16, 20])
    check_splits(task)
    assert task.slices == ("length_16", "length_20")
    assert set(task.further("test")) == {"length_32"}
    assert task.max_len == 20
    assert task.baselines("test")["chance"]["accuracy"] == pytest.approx(1 / 15)
    assert len(task.labels) == 15, "the marker is no answer"


def test_the_data_of_a_seed_never_change():
    """A new checksum means that no result is comparable with those made before."""
    assert checksum(small()) == ("d491fc9503898c56", "3ce02af2754ce580")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 2}, r"^task.length=2 must be whole numbers of at least 3$"),
        ({"length": []}, r"^task.length=\[\] must be a number or several$"),
        ({"length": [16, 16]}, r"^task.length=\[16, 16\] names a number twice$"),
        ({"beyond": [16]}, r"^task.beyond=\[16\] must be more than task.length=16$"),
        ({"beyond": ["far"]}, r"^task.beyond=\['far'\] must be whole numbers"),
        ({"vocab": 2}, r"^task.vocab=2 must be at least 3"),
        ({"vocab": 3, "length": 4}, r"^task=induction \(vocab=3, length_4\): only \d+ distinct examples"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    refused(small, message, **changes)
