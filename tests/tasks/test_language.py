"""The language task: bits per byte equal to the values that a known distribution gives, window by window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import START, Markov, corpus

from archs.contract import Family
from tasks import (
    BPE,
    Causal,
    FillInTheMiddle,
    LanguageTask,
    Masked,
    Prefix,
    RawBytes,
    Span,
    SpanPrefix,
    native,
)
from tasks.corpus import Corpus, Document
from tasks.questions import questions
from tasks.tokenizer import BOS, N_SPECIAL, raw_bytes
from tasks.windows import EvalWindow, InfillWindow, make_infill_windows, make_windows, parts

SETTINGS = {
    "window": 96,
    "context_bytes": 60,
    "scored_bytes": 12,
    "windows": 12,
    "quick_windows": 5,
    "native_windows": 8,
}
PAIRS = [
    (Causal, Family.DECODER),
    (FillInTheMiddle, Family.DECODER),
    (Prefix, Family.DECODER),
    (Masked, Family.ENCODER),
    (Prefix, Family.ENCODER_DECODER),
    (Span, Family.ENCODER_DECODER),
    (SpanPrefix, Family.ENCODER_DECODER),
]
CORPUS = corpus()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def make(cache):
    def made(objective, family, tokenizer=None, **changes):
        return LanguageTask(
            tokenizer=tokenizer or RawBytes(),
            objective=objective,
            family=family,
            start=START,
            **({"corpus": CORPUS, "cache_dir": cache} | SETTINGS | changes),
        )

    return made


def letters(seed=0):
    """A Markov chain over bytes."""
    p = np.random.default_rng(seed).random((256, 256)) ** 4 + 1e-3
    return p / p.sum(axis=1, keepdims=True)


class Uncounting(Markov):
    """Takes every gap to be one token long, which a model that is not told its length may believe."""

    def ahead(self, previous, right=None, distance=1):
        return super().ahead(previous, right)


def by_hand(chain, split, objective):
    """(continuation, infill) bits per byte and nats by document, from the text of the windows alone."""
    documents = CORPUS.split(split)
    count, context, scored = (SETTINGS[key] for key in ("windows", "context_bytes", "scored_bytes"))
    nats, length, costs = {}, 0, {"continuation": 0.0, "infill": 0.0}
    for window in make_windows(CORPUS, split, count, context, scored)[0]:
        before, text = (piece.encode() for piece in parts(documents[window.document].text, window))
        cost = -sum(np.log(chain[a, b]) for a, b in zip(before[-1:] + text[:-1], text, strict=True))
        document = documents[window.document].id
        nats[document] = nats.get(document, 0.0) + cost
        costs["continuation"] += cost
        length += len(text)
    costs["continuation"] /= length * np.log(2)
    length = 0
    for window in make_infill_windows(CORPUS, split, count, context + scored, scored)[0]:
        left, text, right = (piece.encode() for piece in parts(documents[window.document].text, window))
        for a, b in zip(left[-1:] + text[:-1], text, strict=True):
            p = chain[a] * chain[:, right[0]] if objective.infill_context == "both" else chain[a]
            costs["infill"] -= np.log(p[b] / p.sum())
        length += len(text)
    costs["infill"] /= length * np.log(2)
    return costs, nats


@pytest.mark.parametrize(("objective", "family"), PAIRS)
def test_bits_per_byte_are_the_values_computed_by_hand(make, objective, family):
    task, chain = make(objective, family), letters()
    found = task.evaluate(Uncounting(family, chain, gap=99), "test")
    costs, nats = by_hand(chain, "test", objective)
    assert found["continuation_bpb"] == pytest.approx(costs["continuation"], rel=1e-5)
    assert found["infill_bpb"] == pytest.approx(costs["infill"], rel=1e-5)
    assert found["infill_context"] == objective.infill_context
    clusters = found["clusters"]
    scored = clusters["continuation_bpb"]
    bits = {d: t for d, t, n in zip(clusters["names"], scored["total"], scored["count"], strict=True) if n}
    assert bits == pytest.approx({d: n / np.log(2) for d, n in nats.items()}, rel=1e-5)


@pytest.mark.parametrize(("objective", "family"), PAIRS)
def test_documents_add_up_and_quick_is_a_part(make, objective, family):
    task, model = make(objective, family), Uncounting(family, letters(), gap=99)
    found = task.evaluate(model, "test")
    for metric in ("continuation_bpb", "infill_bpb"):
        scored = found["clusters"][metric]
        assert len(found["clusters"]["names"]) == len(scored["total"]) == len(scored["count"])
        assert sum(scored["total"]) / sum(scored["count"]) == pytest.approx(found[metric])
    quick = task.evaluate(model, "test", quick=True)
    assert "clusters" not in quick
    few = make(objective, family, windows=SETTINGS["quick_windows"]).evaluate(model, "test")
    assert quick["continuation_bpb"] == pytest.approx(few["continuation_bpb"]), (
        "the first windows of the list"
    )
    assert "clusters" not in task.evaluate(model, "validation")


LETTERS = {"train": "ab", "validation": "cd", "test": "ef"}


@pytest.fixture(scope="module")
def apart():
    """A corpus whose splits have no letter in common."""
    rng = np.random.default_rng(0)

    def documents(letters):
        for i in range(40):
            words = ["".join(rng.choice(list(letters(i)), 4)) for _ in range(120)]
            yield Document(str(i), str(i), " ".join(words))

    plain = Corpus("plain", documents(lambda _: "ab"), 0.2, 0.2)
    split_of = {int(document.id): split for split in LETTERS for document in plain.split(split)}
    return Corpus("apart", documents(lambda i: LETTERS[split_of[i]]), 0.2, 0.2)


@pytest.mark.parametrize(("objective", "family"), PAIRS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_is_judged_by_its_own_text(make, apart, objective, family, split):
    """Native loss included: nothing else is shown to the model."""
    seen = set()

    class Watching(Markov):
        def forward(self, tokens, keep=None, *, source=None, **rest):
            seen.update(*(t.flatten().tolist() for t in (tokens, source) if t is not None))
            return super().forward(tokens, keep, source=source, **rest)

        def ahead(self, *_):
            return np.zeros(self.vocab_size)

    task = make(objective, family, corpus=apart)
    task.evaluate(Watching(family, np.eye(256), gap=99), split)
    shown = {bytes([i - N_SPECIAL]).decode("latin-1") for i in seen if i >= N_SPECIAL}
    assert set(LETTERS[split]) <= shown
    if objective is not Masked:  # which reads random tokens in a tenth of the places
        assert shown == {*LETTERS[split], " "}


def test_baselines_have_seen_the_training_split_alone(make, apart):
    rows = make(native, Family.DECODER, corpus=apart).baselines("test")
    assert rows["unigram"]["continuation_bpb"] > 8, "letters that were never seen are worse than uniform"


@pytest.mark.parametrize("cuts", [(5, 9), (5, 9, 14)])
def test_a_document_begins_with_bos_as_in_training(cuts):
    window = EvalWindow if len(cuts) == 2 else InfillWindow
    opening, later = questions(CORPUS, "test", raw_bytes(), [window(0, 0, *cuts), window(0, 2, *cuts)])
    text = raw_bytes().encode(CORPUS.split("test")[0].text)
    assert [piece.tolist() for piece in opening.pieces][:2] == [[BOS, *text[:5]], text[5:9].tolist()]
    assert later.pieces[0].tolist() == text[2:5].tolist()
    assert opening.bytes == 4


@pytest.mark.parametrize("key", ["context_bytes", "scored_bytes", "native_windows", "quick_windows"])
def test_none_of_what_is_evaluated_on_is_refused(make, key):
    with pytest.raises(ValueError, match=rf"^task\.{key}=0 is|^task\.{key}=0 must be at least 1$"):
        make(native, Family.DECODER, **{key: 0})


def test_every_family_is_asked_the_same(make):
    tasks = [make(native, family) for family in Family]
    assert len({tuple(sorted(task.digests.items())) for task in tasks}) == 1
    assert [task.objective for task in tasks] == ["masked", "causal", "span_prefix"]
    digests = [
        make(native, Family.DECODER, **{key: 11}).digests["windows"] for key in ("scored_bytes", "windows")
    ]
    assert len({*digests, tasks[0].digests["windows"]}) == 3


@pytest.mark.parametrize(("objective", "family"), PAIRS)
@pytest.mark.parametrize("tokenizer", [RawBytes(), BPE(vocab_size=400)])
def test_no_row_is_longer_than_declared(make, objective, family, tokenizer):
    task, seen = make(objective, family, tokenizer, window=None), []

    class Measuring(Markov):
        def forward(self, tokens, keep=None, *, source=None, **rest):
            seen.append(max(tokens.shape[1], 0 if source is None else source.shape[1]))
            return super().forward(tokens, keep, source=source, **rest)

        def ahead(self, *_):
            return np.zeros(self.vocab_size)

    model = Measuring(family, np.eye(task.vocab_size - N_SPECIAL), gap=99)
    for split in ("validation", "test"):
        task.evaluate(model, split)
    batch = task.batch(1, 0, 64)
    assert max(seen) <= task.max_len
    assert batch.tokens.shape[1] <= task.max_len
    assert batch.tokens.max() < task.vocab_size
    assert batch.consumed == 64 * 256


@given(seed=st.integers(0, 50), index=st.integers(0, 500), size=st.integers(1, 9))
@settings(max_examples=15)
def test_batches_are_pure(make, seed, index, size):
    for objective, family in PAIRS:
        task = make(objective, family)
        one, two = (task.batch(seed, index, size) for _ in range(2))
        assert one.tokens.equal(two.tokens)
        assert one.targets.equal(two.targets)
        assert one.tokens.shape[0] == size


def test_data_order_is_the_same_for_all_and_follows_the_seed(make):
    causal = make(Causal, Family.DECODER).batch(1, 7, 4)
    prefix = make(Prefix, Family.DECODER).batch(1, 7, 4)
    assert causal.tokens.equal(prefix.tokens)
    assert not causal.tokens.equal(make(Causal, Family.DECODER).batch(2, 7, 4).tokens)


def test_training_tokens_and_bytes(make):
    task = make(native, Family.DECODER)
    documents = CORPUS.split("train")
    length = sum(len(document.text.encode()) for document in documents)
    assert task.train_tokens() == length + 2 * len(documents)
    assert task.bytes_per_token() == pytest.approx(length / task.train_tokens())


def test_baselines_stand_beside(make):
    rows = make(native, Family.DECODER, BPE(vocab_size=400)).baselines("test")
    assert set(rows) == {"unigram", "bigram", "xz -9"}
    assert rows["bigram"]["continuation_bpb"] < rows["unigram"]["continuation_bpb"]
    assert all(0 < value < 8 for row in rows.values() for value in row.values())


def test_the_window_fits_what_is_asked(make):
    with pytest.raises(
        ValueError, match=r"^task\.window=64 tokens is less than the \d+ of an evaluation window of 72"
    ):
        make(native, Family.DECODER, window=64)
    assert make(native, Family.DECODER, window=None).window == 256
    assert 257 <= make(native, Family.DECODER, window=None, context_bytes=300, windows=5).window <= 313


@pytest.mark.parametrize(("objective", "family"), [(Causal, Family.ENCODER), (Masked, Family.DECODER)])
def test_an_incompatible_pair_is_refused_before_anything_is_read(make, tmp_path, objective, family):
    with pytest.raises(ValueError, match=rf"^objective={objective.name} cannot train"):
        make(objective, family, cache_dir=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_finished_run_keeps_its_tokenizer(make, tmp_path):
    task = make(native, Family.DECODER, BPE(vocab_size=400))
    task.save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == task.tokenizer.json
