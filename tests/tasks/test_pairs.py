"""Pairs of text: what is read, asked and refused, for every family."""

import csv
import json
from functools import partial

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archs.contract import Family
from harness import build
from tasks import PairsTask, RawBytes
from tasks.example import Example, Examples
from tasks.layout import layout
from tasks.pairs import begun
from tasks.tokenizer import EOS, MASK, N_SPECIAL, SEP

ENCODER, DECODER, ENCODER_DECODER = Family
ROWS = [(f"what is {i} and one?", f"it is {i + 1}") for i in range(60)]


def table(path, rows=ROWS, header=("source", "target")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture
def pairs(tmp_path):
    """pairs(family, rows, ...) with byte tokens."""

    def made(family=DECODER, rows=ROWS, *, path="pairs.csv", **keys):
        keys = {"files": table(tmp_path / path, rows)} | keys
        return PairsTask(family=family, start=0, tokenizer=RawBytes(), cache_dir=tmp_path / "cache", **keys)

    return made


def test_answers_are_read_back_from_the_training_batches(pairs):
    task = pairs()
    batch = task.batch(seed=1, index=0, size=8)
    known = dict(ROWS)
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        end = tokens.index(SEP)
        answer = [target for target in targets if target >= 0]
        assert answer[-1] == EOS
        assert known[task.tokenizer.decode(tokens[:end])] == task.tokenizer.decode(answer[:-1])


def test_an_epoch_shows_every_pair_once(pairs):
    task = pairs()
    count = len(task._pairs["train"])
    seen = [bytes(example.source) for i in range(count) for example in task.training(3, i, 1)]
    assert len(set(seen)) == count
    assert [bytes(e.source) for i in range(count // 2) for e in task.training(3, i, 2)] == seen[
        : count // 2 * 2
    ]


def test_splits_share_no_source_and_equal_sources_stay_together(pairs):
    rows = [(source, f"{target} {n}") for source, target in ROWS for n in range(3)]
    task = pairs(rows=rows)
    sources = {
        split: [pair.source for pair in task._pairs[split]] for split in ("train", "validation", "test")
    }
    assert sum(map(len, sources.values())) == len(rows)
    assert not set(sources["train"]) & set(sources["test"]) | set(sources["train"]) & set(
        sources["validation"]
    )
    assert all(members.count(source) == 3 for members in sources.values() for source in members)


def test_what_is_too_long_is_cut_counted_and_still_judged_whole(pairs):
    task = pairs(length=6, answer_length=5)
    counts = {split: len(task._pairs[split]) for split in ("train", "test")}
    n = counts["train"]
    assert f"{n} of {n} train sources are cut to task.length=6 tokens" in task.notes
    assert f"{n} of {n} train answers are cut to task.answer_length=5 tokens" in task.notes
    assert task.max_len == 6 + 5
    assert all(len(pair.example.target) == 5 < len(pair.target) for pair in task._pairs["test"])
    assert pairs().notes == ()
    assert pairs().answer_len == len("it is 60") + 1  # no more than the longest answer of training needs


@pytest.mark.parametrize("suffix", ["json", "jsonl", "tsv"])
def test_kinds_of_files_hold_the_same_pairs(pairs, tmp_path, suffix):
    path = tmp_path / f"pairs.{suffix}"
    rows = [{"source": a, "target": b} for a, b in ROWS]
    if suffix == "tsv":
        path.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in ROWS))
    else:
        path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    assert pairs(files=str(path)).digests == pairs().digests


REFUSED = [
    (
        [*ROWS[:3], ("", "no question"), *ROWS[3:]],
        {},
        r"task.source=source: .*pairs.csv line 5 holds no text",
    ),
    ([*ROWS[:3], ("no answer", " ")], {}, r"task.target=target: .*pairs.csv line 5 holds no text"),
    ([*ROWS[:3], ("one", "two", "three")], {}, r"line 5 is broken: it has 3 field"),
    (ROWS, {"target": "answer"}, r"task.target=answer: .* no such column; it has source, target"),
    (ROWS, {"answer_length": 1}, r"task.answer_length=1 must be at least 2"),
    (ROWS, {"primary": "meteor"}, r"task.primary=meteor is unknown: choose exact_match, chrf, bleu, rougeL"),
]


@pytest.mark.parametrize(("rows", "keys", "words"), REFUSED, ids=range(len(REFUSED)))
def test_bad_input_is_one_line(pairs, rows, keys, words):
    with pytest.raises(ValueError, match=words) as refused:
        pairs(rows=rows, **keys)
    assert "\n" not in str(refused.value)


def test_sources_that_given_splits_share_are_refused_with_their_number(pairs, tmp_path):
    given = {"test_files": table(tmp_path / "test.csv", ROWS[:7])}
    with pytest.raises(ValueError, match="7 of the 60 train examples stand in a later split"):
        pairs(**given)
    task = pairs(**given, duplicates="drop")
    assert len(task._pairs["train"]) + len(task._pairs["validation"]) == 53


def test_baselines_copy_and_repeat(pairs):
    rows = [(f"say {word}", f"say {word}") for word in "abcdefghijklmnopqrst"] + [
        (f"not {i}", "nothing at all") for i in range(40)
    ]
    task = pairs(rows=rows)
    found = task.baselines("test")
    wanted = [pair.target for pair in task._pairs["test"]]
    assert found["most frequent"]["exact_match"] == np.mean([text == "nothing at all" for text in wanted])
    assert found["copy"]["exact_match"] == np.mean([text.startswith("say") for text in wanted])


@pytest.mark.parametrize(("arch", "family"), [("gpt", DECODER), ("bert", ENCODER), ("t5", ENCODER_DECODER)])
def test_every_family_is_judged_by_the_same_names(pairs, arch, family):
    task = pairs(family, answer_length=6)
    small = ["arch.dim=16", "arch.depth=1", "arch.heads=2"]
    model = build(arch, vocab_size=task.vocab_size, overrides=small)
    metrics = task.evaluate(model, "test")
    assert set(metrics) == {"accuracy", "exact_match", "native_loss", "chrf", "bleu", "rougeL", "clusters"}
    for name in ("accuracy", "exact_match", "rougeL"):
        parts = metrics["clusters"][name]
        assert metrics[name] == pytest.approx(sum(parts["total"]) / sum(parts["count"]))
        assert len(parts["total"]) == len(metrics["clusters"]["names"]) == len(task._pairs["test"])
    assert set(task.evaluate(model, "validation", quick=True)) == set(metrics) - {"clusters"}


answers = st.lists(st.integers(N_SPECIAL, N_SPECIAL + 9), min_size=1, max_size=6)


@given(a=answers, b=answers, seed=st.integers(0, 50))
def test_an_encoder_is_never_shown_what_it_is_asked(a, b, seed):
    """Two answers with the same beginning: whatever is asked for behind it is asked on the same input."""
    sources = np.array([120, 121])
    both = [np.array(answer) for answer in (a, b)]
    laid = layout(ENCODER, Examples.of([Example(sources, answer) for answer in both]), 6)
    rng = partial(np.random.default_rng, seed)
    for row, answer in zip(begun(laid, rng()).rows(), both, strict=True):
        assert (row.tokens[row.at] == MASK).all()
        assert len(row.at) >= 1
        shown = row.tokens[len(sources) + 1 :]
        shown = shown[shown != MASK]
        np.testing.assert_array_equal(shown, answer[: len(shown)])
        expected = [*answer, EOS][:6][len(shown) :]
        np.testing.assert_array_equal(row.target, expected)
        np.testing.assert_array_equal(row.at, len(sources) + 1 + len(shown) + np.arange(len(expected)))


def test_half_of_an_encoders_rows_begin_with_nothing(pairs):
    batch = pairs(ENCODER).batch(seed=0, index=0, size=400)
    masks = (batch.tokens == MASK).sum(1)
    assert 0.4 < float((masks == masks.max()).float().mean()) < 0.75


def test_a_hub_dataset_by_name_with_columns_inside_a_column(pairs, monkeypatch):
    asked = []

    def load_dataset(path, name, split):
        asked.append((path, name, split))
        rows = [{"translation": {"en": f"{split} {a}", "de": b}} for a, b in ROWS]
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hub = {"path": "wmt/wmt14", "name": "de-en", "train": "train[:60]", "validation": None, "test": "test"}
    task = pairs(files=None, hub=hub, source="translation.en", target="translation.de", test_examples=10)
    assert asked == [("wmt/wmt14", "de-en", "train[:60]"), ("wmt/wmt14", "de-en", "test")]
    assert len(task._pairs["test"]) == 10
    assert task._pairs["test"][0].source == "test what is 0 and one?"


def test_without_a_network_one_line_says_what_is_nearest(pairs, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        ValueError, match=r"wmt/wmt14 needs a network .*: without one use task=pairs"
    ) as refused:
        pairs(files=None, hub={"path": "wmt/wmt14", "train": "train"})
    assert "\n" not in str(refused.value)
