"""What the mechanistic tasks draw, against their definitions written out slowly, for any parameters."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archs.contract import Family
from tasks import Compression, FuzzyRecall, InContextRecall, Memorization, NoisyRecall, SelectiveCopying
from tasks.synthetic.mechanistic.base import first_seen, one_of, packed
from tasks.tokenizer import N_SPECIAL

seeds = st.integers(0, 2**32 - 1)
ways = st.sampled_from(["answers", "all"])
few = settings(max_examples=40)


def drawn(kind, seed, count=6, **changes):
    """Examples as lists of symbols: [(source, {position: answer})]."""
    counts = {"validation_examples": 1, "test_examples": 1, "quick_examples": 1}
    task = kind(family=Family.DECODER, **counts, **changes)
    examples = task.draw(task.slices[0], np.random.default_rng(seed), count)
    assert examples.source.dtype == examples.target.dtype == np.int64
    assert len(examples) == count
    found = []
    for source, target, at in examples:
        assert source.min() >= N_SPECIAL
        assert max(source.max(), target.max()) < task.vocab_size
        assert (np.diff(at) > 0).all()
        answers = dict(zip(at.tolist(), (target - N_SPECIAL).tolist(), strict=True))
        found.append(((source - N_SPECIAL).tolist(), answers))
    return found


def recalled(source, keys, low, high, filler, written):
    """{position: value} of in-context recall, reading pair after pair; checks what is shown."""
    value_of, answers = {}, {}
    for t in range(0, len(source), 2):
        key, shown = source[t], source[t + 1] if t + 1 < len(source) else None
        if key >= high:
            assert high <= shown < filler, "a step of noise is two symbols of it"
        elif key in value_of:
            answers[t] = value_of[key]
            assert shown in ((value_of[key], None) if written else (filler, None))
        else:
            assert key < keys
            assert low <= shown < high
            value_of[key] = shown
    return answers


@few
@given(seed=seeds, vocab=st.integers(10, 24), length=st.integers(8, 40), way=ways)
def test_in_context_recall(seed, vocab, length, way):
    found = drawn(InContextRecall, seed, vocab=vocab, length=2 * length, train_on=way)
    for source, answers in found:
        assert len(source) == 2 * length - 1
        assert recalled(source, vocab // 2, vocab // 2, vocab, vocab, way == "all") == answers
        assert max(answers) == 2 * length - 2, "the last key is one that was seen"


@few
@given(seed=seeds, noise_vocab=st.integers(1, 9), noise=st.floats(0, 1), way=ways)
def test_noisy_recall(seed, noise_vocab, noise, way):
    vocab = 13 + noise_vocab
    given_ = {"vocab": vocab, "noise_vocab": noise_vocab, "noise": noise, "length": 40, "train_on": way}
    found = drawn(NoisyRecall, seed, **given_)
    for source, answers in found:
        assert recalled(source, 6, 6, 13, vocab, way == "all") == answers
        assert max(answers) == 38


def test_noise_is_as_frequent_as_asked_for():
    found = drawn(NoisyRecall, 0, count=2000, noise=0.4)
    steps = np.array([[symbol >= 16 for symbol in source[:-2:2]] for source, _ in found])
    assert steps.shape[1] == 63
    assert steps.mean() == pytest.approx(0.4 * 62 / 63, abs=0.005), "one step but the last is none"
    seen = np.concatenate([[s for s in source if 16 <= s < 32] for source, _ in found])
    assert np.bincount(seen, minlength=32)[16:] / len(seen) == pytest.approx(np.full(16, 1 / 16), abs=0.003)
    pure = drawn(NoisyRecall, 0, count=50, noise=1.0)
    assert all(len(answers) == 1 for _, answers in pure), "one pair is left, and the question"


@few
@given(seed=seeds, half=st.integers(4, 9), most=st.tuples(st.integers(1, 3), st.integers(1, 3)), way=ways)
def test_fuzzy_recall(seed, half, most, way):
    key_len, value_len = most
    vocab, written = 2 * half, way == "all"
    given_ = {"vocab": vocab, "key_len": key_len, "value_len": value_len, "length": 60, "train_on": way}
    found = drawn(FuzzyRecall, seed, **given_)
    for source, answers in found:
        assert len(source) == 60
        expected, value_of, t = {}, {}, next(i for i, s in enumerate(source) if s != vocab - 1)
        assert t < key_len + 2 * value_len + 2, "no room for one more pair is left"
        pairs = oracles.parsed(source, half, vocab - 1)
        assert not written or len(pairs[0][0]) == key_len
        for number, (key, shown, fillers) in enumerate(pairs):
            assert len(set(key)) == len(key) <= key_len
            t += len(key)
            value = value_of.setdefault(key, shown)
            assert len(set(value)) == len(value) <= value_len
            assert value
            asked = number > 0 and key in [k for k, *_ in pairs[:number]]
            if asked and written and len(key) == key_len:
                expected |= {t - 1 + i: symbol for i, symbol in enumerate(value)}
            elif asked and not written:
                assert (shown, fillers) == ((), value_len)
                expected |= {t + i: symbol for i, symbol in enumerate(value)}
            last = number == len(pairs) - 1
            assert shown == (value[: -1 if last else None] if written else () if asked else value)
            t += len(shown) + fillers
        assert expected == answers
        assert asked, "the last key was seen"


def test_strings_are_of_every_length_alike():
    found = drawn(FuzzyRecall, 0, count=1500, vocab=64)
    pairs = [pair for source, _ in found for pair in oracles.parsed(source, 32, 63)[:8]]
    for strings in ([key for key, *_ in pairs], [value for _, value, fillers in pairs if not fillers]):
        lengths = np.bincount([len(string) for string in strings], minlength=4)[1:]
        assert lengths / len(strings) == pytest.approx(np.full(3, 1 / 3), abs=0.03)


@few
@given(seed=seeds, tokens=st.integers(4, 9), spare=st.integers(2, 30), vocab=st.integers(10, 20))
def test_selective_copying(seed, tokens, spare, vocab):
    length = 2 * tokens + 1 + spare
    found = drawn(SelectiveCopying, seed, vocab=vocab, tokens=tokens, length=length)
    for source, answers in found:
        end = source.index(vocab - 1)
        assert len(source) == length == end + 1 + tokens
        symbols = [symbol for symbol in source[:end] if symbol != vocab - 2]
        assert len(symbols) == tokens
        assert set(source[end + 1 :]) == {vocab - 2}
        assert answers == {end + 1 + i: symbol for i, symbol in enumerate(symbols)}
        assert source[end - 1] < vocab - 2, "the last symbol is next to the mark"


def test_blanks_stand_before_any_symbol_alike():
    found = drawn(SelectiveCopying, 0, count=3000, tokens=4, length=24)
    places = np.array([[i for i, symbol in enumerate(source) if symbol < 14] for source, _ in found])
    before = np.diff(places, axis=1, prepend=-1) - 1
    assert (before.sum(axis=1) == 15).all()
    assert before.mean(axis=0) == pytest.approx(np.full(4, 15 / 4), abs=0.1)
    assert before.var(axis=0) == pytest.approx(np.full(4, 15 * 3 / 16), rel=0.1), "binomial"


@few
@given(seed=seeds, vocab=st.integers(8, 40), length=st.integers(5, 12))
def test_memorization(seed, vocab, length):
    value_of, keys = {}, (vocab - 1) // 2
    for way in (seed, seed + 1):
        found = drawn(Memorization, way, vocab=vocab, length=2 * length)
        for source, answers in found:
            assert source[1::2] == [vocab - 1] * length
            assert sorted(answers) == list(range(1, 2 * length, 2))
            for t, value in answers.items():
                assert source[t - 1] < keys <= value < vocab - 1
                assert value_of.setdefault(source[t - 1], value) == value, "one map, always"
    assert len(set(value_of.values())) == len(value_of), "no value is of two keys"


@few
@given(seed=seeds, vocab=st.integers(5, 40), length=st.integers(6, 20))
def test_compression(seed, vocab, length):
    found = drawn(Compression, seed, vocab=vocab, length=length)
    for source, answers in found:
        assert len(source) == length
        assert answers == dict(enumerate(source[:-1]))
        assert source[-1] == vocab - 1 > max(source[:-1])


@given(rows=st.lists(st.lists(st.integers(-1, 5), min_size=7, max_size=7), min_size=1, max_size=5))
def test_helpers_against_loops(rows):
    array = np.array(rows)
    assert first_seen(array).tolist() == [[row.index(code) for code in row] for row in rows]
    places, counts = packed(array > 2)
    for row, there, count in zip(rows, places.tolist(), counts, strict=True):
        assert there[:count] == [i for i, code in enumerate(row) if code > 2]
    flags = array > -9
    flags[:, ::2] = False
    assert (one_of(np.random.default_rng(0), flags) % 2 == 1).all()
