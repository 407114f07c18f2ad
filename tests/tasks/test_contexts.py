"""Longer contexts: the same bytes are scored behind each, and every family's cost is the chain's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import START, Markov, corpus

from archs.contract import Family
from tasks import BPE, Causal, LanguageTask, RawBytes, native
from tasks.contexts import named
from tasks.tokenizer import raw_bytes, train_bpe
from tasks.windows import make_growing_windows, parts

CORPUS = corpus()
TOKENIZERS = [raw_bytes(), train_bpe([d.text for d in CORPUS.split("train")], 420)]
SETTINGS = {
    "window": 96,
    "context_bytes": 60,
    "scored_bytes": 12,
    "windows": 6,
    "quick_windows": 5,
    "native_windows": 8,
    "beyond_windows": 7,
}
CONTEXTS = [60, 120, 240]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def made(objective, family, tokenizer=None, **changes):
        return LanguageTask(
            corpus=CORPUS,
            tokenizer=tokenizer or RawBytes(),
            objective=objective,
            family=family,
            start=START,
            cache_dir=cache,
            **(SETTINGS | changes),
        )

    return made


def letters(seed=0):
    """A Markov chain over bytes."""
    p = np.random.default_rng(seed).random((256, 256)) ** 4 + 1e-3
    return p / p.sum(axis=1, keepdims=True)


def by_hand(split, context):
    """Bits per byte of the windows with that context, and how many bytes they score."""
    chain, nats, length = letters(), 0.0, 0
    lists, _ = make_growing_windows(CORPUS, split, SETTINGS["beyond_windows"], CONTEXTS, 12)
    for window in lists[context]:
        before, text = (piece.encode() for piece in parts(CORPUS.split(split)[window.document].text, window))
        nats -= sum(np.log(chain[a, b]) for a, b in zip(before[-1:] + text[:-1], text, strict=True))
        length += len(text)
    return nats / np.log(2) / length, length


@given(
    contexts=st.lists(st.integers(20, 400), min_size=1, max_size=4, unique=True),
    scored=st.integers(10, 60),
)
@settings(max_examples=25)
def test_only_the_context_grows(contexts, scored):
    lists, digest = make_growing_windows(CORPUS, "test", 5, contexts, scored)
    assert make_growing_windows(CORPUS, "test", 5, contexts, scored) == (lists, digest)
    assert list(lists) == contexts
    for windows in zip(*lists.values(), strict=True):
        assert len({(w.document, w.first_scored, w.last) for w in windows}) == 1
        for context, window in zip(contexts, windows, strict=True):
            assert context / 2 < window.first_scored - window.first <= context
            assert scored / 2 < window.last - window.first_scored <= scored
            text = CORPUS.split("test")[window.document].text
            for tokenizer in TOKENIZERS:
                whole = tokenizer.encode(text.encode()[window.first : window.last].decode())
                pieces = [tokenizer.encode(piece) for piece in parts(text, window)]
                assert np.concatenate(pieces).tolist() == whole.tolist()


@pytest.mark.parametrize("family", Family)
def test_what_a_longer_context_adds_nothing_to_costs_the_same_behind_it(make, family):
    task = make(native, family, beyond=[4, 2])
    found = task.evaluate(Markov(family, letters(), gap=99), "test")
    for context in CONTEXTS:
        bpb, length = by_hand("test", context)
        assert found[named(context)] == pytest.approx(bpb, rel=1e-5)
        kept = found["clusters"][named(context)]
        assert sum(kept["total"]) / sum(kept["count"]) == pytest.approx(bpb, rel=1e-5)
        assert sum(kept["count"]) == length
        assert len(kept["total"]) == len(found["clusters"]["names"])
    assert [key for key in found if "context_bytes" in key] == [named(context) for context in CONTEXTS]
    assert ("by_position" in found) == (family is Family.DECODER)


@pytest.mark.parametrize("family", Family)
def test_rows_hold_the_context_that_their_name_says(make, family):
    seen = []

    class Measuring(Markov):
        def forward(self, tokens, keep=None, *, source=None, **rest):
            seen.append(max(tokens.shape[1], 0 if source is None else source.shape[1]))
            return super().forward(tokens, keep, source=source, **rest)

    model = Measuring(family, letters(), gap=99)
    make(native, family).evaluate(model, "validation")
    before, seen[:] = max(seen), []
    make(native, family, beyond=[4]).evaluate(model, "validation")
    assert before <= 97, "a window of training, for the native loss"
    assert 200 < max(seen) <= 240 + 12 + 1


@pytest.mark.parametrize("family", Family)
def test_what_positions_do_not_reach_is_none(make, family):
    """Of a table of 1,000 positions, those of a training window are trained."""
    changes = {"window": 135, "beyond": [2, 4]}
    task, model = make(native, family, **changes), Markov(family, letters(), gap=99)
    model.max_len = 1000
    found = task.evaluate(model, "test")
    assert found[named(240)] is None
    assert found[named(120)] == pytest.approx(by_hand("test", 120)[0], rel=1e-5)
    assert named(240) not in found["clusters"]
    if family is Family.DECODER:
        assert list(found["by_position"]) == [str(2**i) for i in range(7)], "up to 127 tokens before"


def test_bits_by_position_are_of_the_same_bytes_wherever_positions_end(make):
    task, model = make(native, Family.DECODER, beyond=[2, 4]), Markov(Family.DECODER, letters())
    whole = task.evaluate(model, "validation")["by_position"]
    assert len(whole) == 8
    for max_len, reached in ((1, 1), (40, 5), (127, 7), (252, 8)):  # of 40 no whole window has place
        found = task.behind(CONTEXTS, "validation").by_position(model, max_len)
        assert found == pytest.approx(dict(list(whole.items())[:reached]), rel=1e-5)


def test_a_training_window_holds_what_is_asked_behind_the_shortest_context(make):
    changes = {"window": None, "context_bytes": 257, "windows": 1, "quick_windows": 1, "beyond_windows": 8}
    usual, longer = (make(native, Family.DECODER, beyond=beyond, **changes) for beyond in ((), [2]))
    needed = max(longer.behind(longer.contexts, split).tokens for split in ("validation", "test"))
    assert usual.window < needed == longer.window
    with pytest.raises(ValueError, match=f"less than the {needed} of an evaluation window"):
        make(native, Family.DECODER, beyond=[2], **changes | {"window": usual.window})


def test_every_token_of_a_long_window_counts_at_its_position(make):
    chain, lists = letters(), make_growing_windows(CORPUS, "test", 7, CONTEXTS, 12)[0]
    bits, lengths = np.zeros(8), np.zeros(8)
    for window in lists[240]:
        text = "".join(parts(CORPUS.split("test")[window.document].text, window)).encode()
        first = window.first == 0  # <bos> stands before the text then, and its first byte is scored
        for i in range(not first, len(text)):
            bucket = int(np.log2(i + first))
            bits[bucket] -= np.log2(1 / 256 if i == 0 else chain[text[i - 1], text[i]])
            lengths[bucket] += 1
    found = make(Causal, Family.DECODER, beyond=[2, 4]).evaluate(Markov(Family.DECODER, chain), "test")
    assert list(found["by_position"].values()) == pytest.approx(list(bits / lengths), rel=1e-5)


def test_nothing_changes_where_nothing_is_asked_beyond(make):
    plain, longer = make(native, Family.DECODER), make(native, Family.DECODER, beyond=[2])
    assert plain.digests == make(native, Family.DECODER, beyond_windows=3).digests
    assert plain.digests != longer.digests
    assert longer.digests != make(native, Family.DECODER, beyond=[4]).digests
    model = Markov(Family.DECODER, letters())
    usual, more = (task.evaluate(model, "test") for task in (plain, longer))
    assert not [key for key in usual if "context_bytes" in key or key == "by_position"]
    assert {key: more[key] for key in usual if key != "clusters"} == {
        key: usual[key] for key in usual if key != "clusters"
    }
    quick = longer.evaluate(model, "validation", quick=True)
    assert set(quick) == {"continuation_bpb", "infill_bpb", "infill_context", "native_loss"}
    assert (plain.batch(1, 2, 3).tokens == longer.batch(1, 2, 3).tokens).all()
    assert plain.max_len == longer.max_len


def test_baselines_stand_beside_each_length(make):
    rows = make(native, Family.DECODER, BPE(vocab_size=400), beyond=[2, 4]).baselines("test")
    for name in ("unigram", "bigram"):
        values = [rows[name][named(context)] for context in CONTEXTS]
        assert 0 < values[0] < 8
        assert values == pytest.approx([values[0]] * 3)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"beyond": [1]}, r"^task.beyond=\[1\] must be whole numbers of at least 2$"),
        ({"beyond": [2, 2]}, r"^task.beyond=\[2, 2\] names a number twice"),
        ({"beyond": [2], "beyond_windows": 0}, "^task.beyond_windows=0 must be at least 1"),
        ({"beyond": [1000]}, r"^task.beyond=\[1000\]: the validation split of corpus toy has room for 0 "),
    ],
)
def test_impossible_keys_are_refused_in_one_line(make, keys, words):
    with pytest.raises(ValueError, match=words) as refused:
        make(native, Family.DECODER, **keys)
    assert "\n" not in str(refused.value)
