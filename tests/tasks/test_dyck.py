"""Dyck words, checked against a stack."""

import numpy as np
import pytest
from drawn import check_splits, checksum, drawn, made, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import Dyck
from tasks.tokenizer import N_SPECIAL


def small(**changes):
    return made(
        Dyck, **({"kinds": 3, "depth": 3, "length": 20, "beyond": [30], "beyond_depth": [5]} | changes)
    )


def read(source, kinds):
    """({place: kind} of the closings that do not follow an opening, the greatest depth), by a stack."""
    stack, asked, deepest = [], {}, 0
    for i, symbol in enumerate(source):
        if symbol < kinds:
            stack.append(symbol)
        else:
            closed = stack.pop()
            if source[i - 1] == kinds:
                asked[i] = closed
        deepest = max(deepest, len(stack))
    assert not stack, "every bracket is closed"
    return asked, deepest


@settings(max_examples=25)
@given(kinds=st.integers(3, 9), depth=st.integers(2, 5), half=st.integers(8, 20), seed=st.integers(0, 99))
def test_words_are_balanced_and_answers_are_a_stacks(kinds, depth, half, seed):
    length = 2 * half
    task = small(kinds=kinds, depth=depth, length=length, beyond=[length + 6], beyond_depth=[depth + 2])
    parts = {f"length_{length}": length, f"length_{length + 6}": length + 6, f"depth_{depth + 2}": length}
    for part, size in parts.items():
        for source, target, at in drawn(task, part, 40, seed):
            asked, deepest = read(source.tolist(), kinds)
            assert len(source) == size
            assert asked, "something is asked"
            assert (at.tolist(), target.tolist()) == (list(asked), list(asked.values()))
            assert deepest == depth + 2 if part.startswith("depth") else 2 <= deepest <= depth


def test_the_latest_opening_is_no_better_than_a_guess():
    right = total = 0
    for source, target, at in drawn(small(kinds=4, length=40, beyond=[]), count=4000):
        for place, answer in zip(at, target, strict=True):
            latest = [symbol for symbol in source[:place] if symbol < 4][-1]
            right, total = right + (latest == answer), total + 1
    assert right / total == pytest.approx(1 / 4, abs=0.01)


def test_kinds_are_balanced_and_words_vary():
    examples = drawn(small(kinds=4, length=40, beyond=[]), count=4000)
    answers = np.concatenate([target for _, target, _ in examples])
    assert np.bincount(answers) / len(answers) == pytest.approx(np.full(4, 1 / 4), abs=0.01)
    assert len({source.tobytes() for source, _, _ in examples}) == 4000


def test_splits_and_chance():
    task = small(length=[20, 24])
    check_splits(task)
    assert set(task.further("test")) == {"length_30", "depth_5"}
    assert task.baselines("test")["chance"]["accuracy"] == pytest.approx(1 / 3)
    assert task.labels.tolist() == [N_SPECIAL, N_SPECIAL + 1, N_SPECIAL + 2], "openings name their kinds"


def test_the_data_of_a_seed_never_change():
    """A new checksum means that no result is comparable with those made before."""
    assert checksum(small()) == ("9c629608e3ac4477", "b284fda483156d90")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": 1}, r"^task.kinds=1 must be at least 2$"),
        ({"depth": 1}, r"^task.depth=1 must be whole numbers of at least 2$"),
        ({"length": 21}, r"^task.length=21 must be even whole numbers of at least 4$"),
        ({"length": []}, r"^task.length=\[\] must be a number or several$"),
        ({"depth": 12}, r"^task.depth=12 does not fit task.length=20: at most half of it$"),
        ({"beyond_depth": [11]}, r"^task.beyond_depth=11 does not fit task.length=20: at most half of it$"),
        ({"beyond_depth": [3]}, r"^task.beyond_depth=\[3\] must be more than task.depth=3$"),
        ({"beyond": [31]}, r"^task.beyond=\[31\] must be even whole numbers"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    refused(small, message, **({"beyond_depth": []} if "depth" in changes else {}) | changes)
