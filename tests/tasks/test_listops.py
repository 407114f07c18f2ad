"""ListOps, checked against a recursive reading of the expression."""

import statistics

import numpy as np
import pytest
from drawn import check_splits, checksum, drawn, made, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import ListOps
from tasks.synthetic.listops import forest
from tasks.tokenizer import N_SPECIAL

END, ANSWERS = 14, 15
OPERATIONS = {10: min, 11: max, 12: lambda xs: int(statistics.median(xs)), 13: lambda xs: sum(xs) % 10}


@pytest.fixture
def small(tmp_path):
    def make(**changes):
        sizes = {"min_length": 10, "max_length": 60, "cache_dir": tmp_path}
        return made(ListOps, **(sizes | changes))

    return make


def parsed(source):
    """(value, levels, most arguments) of a whole source."""
    tokens = iter(source.tolist())

    def expression():  # None where "]" stands instead of one
        symbol = next(tokens)
        if symbol == END:
            return None
        if symbol < 10:
            return symbol, 1, 0
        arguments = list(iter(expression, None))
        values, levels, most = zip(*arguments, strict=True)
        assert len(values) >= 2
        return OPERATIONS[symbol](values), 1 + max(levels), max(len(values), *most)

    found = expression()
    assert next(tokens, None) is None, "nothing behind the expression"
    return found


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    low=st.integers(0, 20),
    room=st.integers(10, 40),
    depth=st.integers(3, 10),
    most=st.integers(4, 10),
    seed=st.integers(0, 99),
)
def test_expressions_are_well_formed_and_answers_a_recursion(small, low, room, depth, most, seed):
    task = small(min_length=low, max_length=low + room, depth=depth, arguments=most)
    for source, target, at in drawn(task, count=60, seed=seed):
        value, levels, arguments = parsed(source)
        assert target.tolist() == [ANSWERS + value]
        assert levels <= depth
        assert arguments <= most
        assert low < len(source) < low + room
        assert at is None


def test_nodes_are_drawn_as_published():
    """Of the arguments of the outermost operation, a quarter are operations; kinds, numbers and digits are
    uniform. Where no length is unwanted, nothing else bears on them."""
    rng = np.random.default_rng(0)
    (root, below, *_), _ = forest(rng, 20000, 3, 10, 10**6)
    assert np.bincount(root.arguments)[2:] / 20000 == pytest.approx(np.full(9, 1 / 9), abs=0.01)
    assert np.bincount(root.symbol)[10:] / 20000 == pytest.approx(np.full(4, 1 / 4), abs=0.01)
    nested = below.symbol >= 10
    assert nested.mean() == pytest.approx(0.25, abs=0.005)
    assert np.bincount(below.symbol[~nested]) / (~nested).sum() == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert np.bincount(below.symbol[nested])[10:] / nested.sum() == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_lengths_kept_are_those_of_the_free_law():
    """Throwing expressions away by length, and giving up long ones early, distorts nothing among the rest."""
    _, free = forest(np.random.default_rng(0), 60000, 4, 5, 10**6)
    _, cut = forest(np.random.default_rng(1), 60000, 4, 5, 30)
    free, cut = (tokens[tokens < 30] for tokens in (free, cut))
    assert len(cut) == pytest.approx(len(free), rel=0.02)
    shares = [np.bincount(tokens, minlength=30) / len(tokens) for tokens in (free, cut)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_splits_baselines_and_labels(small):
    task = small()
    check_splits(task)
    answers = [int(e.target[0]) - N_SPECIAL - ANSWERS for e in task.examples("test")]
    found = task.baselines("test")
    assert found["chance"]["accuracy"] == 0.1
    assert found["majority"]["accuracy"] == pytest.approx(np.bincount(answers).max() / len(answers))
    assert set(answers) <= set(range(10))
    assert task.labels.tolist() == list(range(N_SPECIAL + ANSWERS, N_SPECIAL + 25)), "no symbol of the source"
    assert task.primary == "accuracy"


def test_a_number_of_training_examples_is_repeated(small):
    task = small(train_examples=48)
    assert task.train_tokens() == task.training(0, 0, 48).tokens
    once, again = ({e.source.tobytes() for e in task.training(1, i, 48)} for i in (0, 1))
    assert once == again
    assert len(once) > 40


def test_the_data_of_a_seed_never_change(small):
    """A new checksum means that no result is comparable with those made before: raise ListOps.version."""
    assert (ListOps.version, *checksum(small())) == (1, "a6f83a7473c7b70a", "6b7a8afc2c1ff3e1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_examples": 0}, r"^task.train_examples=0 must be at least 1, or null: endless$"),
        ({"depth": 1}, r"^task.depth=1 and task.arguments=10 must be at least 2$"),
        ({"max_length": 13}, r"^task.max_length=13 must be at least 14, 4 more than task.min_length=10"),
        ({"min_length": 0, "max_length": 5}, r"^task.max_length=5 must be at least 7"),
        (
            {"depth": 2, "arguments": 3, "min_length": 5, "max_length": 30},
            r"^task.min_length=5: none of \d+ expressions with task.depth=2 and task.arguments=3 is longer",
        ),
        (
            {"depth": 2, "arguments": 2, "min_length": 3, "test_examples": 90},
            r"^task=listops \(.*\): only \d+ dist",
        ),
    ],
)
def test_impossible_parameters_are_refused(small, changes, message):
    refused(small, message, **changes)
