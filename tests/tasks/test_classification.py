"""Classification: what is read, what is named, what the numbers mean, and what is refused."""

import csv

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archs.contract import Family, Output
from tasks import BPE, Classification, RawBytes
from tasks.rows import IGNORE
from tasks.tokenizer import MASK, N_SPECIAL, SENTINELS, SEP

WORDS = {"spam": "win cash prize now", "ham": "see you at lunch", "news": "the senate has voted"}
TEXTS = [(f"{words} {i}", label) for i in range(60) for label, words in WORDS.items()]


def saved(path, rows, header=("text", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture
def make(tmp_path):
    """make(family, rows, **keys) is the task on rows of (text, label)."""

    def made(family=Family.DECODER, rows=TEXTS, tokenizer=None, **keys):
        keys = {"files": saved(tmp_path / "rows.csv", rows), "length": 16, **keys}
        return Classification(
            family=family, start=0, tokenizer=tokenizer or RawBytes(), cache_dir=tmp_path / "cache", **keys
        )

    return made


class Says(nn.Module):
    """Gives class k of a text the probability that `p(text)[k]` says, and a special token more than any."""

    max_len = None

    def __init__(self, task, p):
        super().__init__()
        self.task, self.p = task, p

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        out = torch.full((*tokens.shape, self.task.vocab_size), -40.0)
        out[..., MASK] = 9.0
        for b, row in enumerate(tokens if source is None else source):
            text = self.task.tokenizer.decode(row[row >= N_SPECIAL].tolist())
            p = torch.as_tensor(self.p(text), dtype=torch.float)
            out[b, :, list(self.task.labels)] = p.log().expand(tokens.shape[1], -1)
        return Output(out)

    def head(self, hidden):
        return hidden


def knows(task, sure=0.8):
    """The right class of every text of WORDS."""
    others = (1 - sure) / (len(task.label_names) - 1)

    def p(text):
        right = next(label for label, words in WORDS.items() if text.startswith(words[:8]))
        return [sure if name == right else others for name in task.label_names]

    return Says(task, p)


@pytest.mark.parametrize("family", Family)
def test_a_class_is_a_reserved_token_behind_the_text(make, family):
    task = make(family)
    assert task.label_names == ["ham", "news", "spam"]
    assert task.labels.tolist() == list(SENTINELS[:3])
    assert task.vocab_size == N_SPECIAL + 256, "as for any run on this tokenizer"
    batch = task.batch(seed=1, index=0, size=8)
    assert (batch.targets != IGNORE).sum(dim=1).tolist() == [1] * 8
    for row, target, source in zip(
        batch.tokens, batch.targets, batch.tokens if batch.source is None else batch.source, strict=True
    ):
        (at,) = torch.nonzero(target != IGNORE)[:, 0].tolist()
        text = task.tokenizer.decode(source[source >= N_SPECIAL].tolist())
        label = task.label_names[target[at] - SENTINELS[0]]
        assert len(text) == 16
        assert WORDS[label].startswith(text[:16])
        if family is not Family.ENCODER_DECODER:
            assert row[16] == SEP
        assert row[at] == {Family.DECODER: SEP, Family.ENCODER: MASK, Family.ENCODER_DECODER: 0}[family]
    assert batch.tokens.shape[1] <= task.max_len
    assert batch.consumed == 8 * (16 + 1)


@pytest.mark.parametrize("family", Family)
def test_no_answer_shows_in_what_is_read(make, family):
    task = make(family)
    examples = task.examples("test")
    other = examples.take(slice(None))
    other.target[:] = SENTINELS[2]
    one, two = task.laid(examples), task.laid(other)
    assert (one.tokens == two.tokens).all()
    assert not np.isin(one.tokens, task.labels).any()


def test_batches_are_pure_and_an_epoch_shows_every_text_once(make):
    task, again = make(), make()
    again.batch(7, 40, 4)
    count = len(task.documents["train"])
    shown = []
    for index in range(count):
        one = task.training(3, index, 2)
        assert (one.source == again.training(3, index, 2).source).all()
        shown += [task.tokenizer.decode(example.source) for example in one]
    assert (
        sorted(shown[:count]) == sorted(shown[count:]) == sorted(d.text[:16] for d in task.documents["train"])
    )
    assert shown[:count] != shown[count:], "in a new order"
    assert task.train_tokens() == count * 17
    assert task.bytes_per_token() == 1.0


@pytest.mark.parametrize("family", Family)
def test_a_model_that_knows_is_right_and_one_that_does_not_is_chance(make, family):
    task = make(family)
    found = task.evaluate(knows(task), "test")
    nats = np.log(1 + np.exp(9) + (task.vocab_size - 4) * np.exp(-40)) - np.log(0.8)
    clusters = found.pop("clusters")
    assert found == pytest.approx(
        {"accuracy": 1.0, "macro_f1": 1.0, "calibration_error": 0.2, "native_loss": nats}, abs=1e-5
    )
    assert sum(clusters["accuracy"]["total"]) == sum(clusters["accuracy"]["count"])
    assert len(clusters["names"]) == len(task.documents["test"])
    assert task.primary == "accuracy"
    assert task.solved_from is None
    found = task.evaluate(Says(task, lambda text: [0.2, 0.3, 0.5]), "test", quick=True)
    share = np.mean([d.label == "spam" for d in task.documents["test"]])
    assert found["accuracy"] == pytest.approx(share)
    assert found["calibration_error"] == pytest.approx(abs(0.5 - share), abs=1e-6)
    assert found["macro_f1"] == pytest.approx(2 * share / (1 + share) / 3)


@settings(max_examples=30)
@given(data=st.data())
def test_metrics_are_those_written_out_by_hand(data, tmp_path_factory):
    """macro F1 and calibration error, class by class and bin by bin."""
    folder = tmp_path_factory.getbasetemp() / "by_hand"
    folder.mkdir(exist_ok=True)
    rows = [(f"{i:02d}", "abc"[i % 3]) for i in range(40)]
    task = Classification(
        family=Family.DECODER,
        tokenizer=RawBytes(),
        cache_dir=folder,
        files=saved(folder / "train.csv", [(f"train {i}", "abc"[i % 3]) for i in range(30)]),
        test_files=saved(folder / "test.csv", rows),
    )
    p = np.array(
        data.draw(st.lists(st.lists(st.integers(5, 100), min_size=3, max_size=3), min_size=40, max_size=40))
    )  # whole numbers: what is equal stays so in single precision, and nothing else becomes so
    p = p / p.sum(axis=1, keepdims=True)
    found = task.evaluate(Says(task, lambda text: p[int(text)]), "test")
    truth, said, sure = np.arange(40) % 3, p.argmax(axis=1), p.max(axis=1)
    f1 = []
    for k in range(3):
        hit = ((said == k) & (truth == k)).sum()
        f1.append(2 * hit / ((said == k).sum() + (truth == k).sum()))
    bins = np.clip(np.ceil(sure * 15).astype(int) - 1, 0, 14)
    error = sum(
        abs((said == truth)[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean()
        for b in set(bins)
    )
    assert found["accuracy"] == pytest.approx((said == truth).mean())
    assert found["macro_f1"] == pytest.approx(np.mean(f1), abs=1e-6)
    if np.abs(sure * 15 - np.round(sure * 15)).min() > 1e-4:  # none on the edge of two bins
        assert found["calibration_error"] == pytest.approx(error, abs=1e-5)


def test_baselines_are_the_majority_and_the_words(make):
    rows = [*TEXTS, *((f"again you win cash prize {i}", "spam") for i in range(60))]
    task = make(rows=rows, length=64)
    found = task.baselines("test")
    share = np.mean([d.label == "spam" for d in task.documents["test"]])
    assert found["majority"]["accuracy"] == pytest.approx(share)
    assert found["naive Bayes"]["accuracy"] == 1.0
    assert (
        set(found["majority"]) == set(found["naive Bayes"]) == {"accuracy", "macro_f1", "calibration_error"}
    )


def test_the_tokenizer_is_fitted_on_training_texts_alone(make):
    rows = [(f"{text} {'qqqqqqqqzzzz' if i == 0 else ''}", label) for i, (text, label) in enumerate(TEXTS)]
    task = make(tokenizer=BPE(380))
    texts = [document.text for document in task.documents["train"]]
    assert task.tokenizer.digest == BPE(380).fit(texts).digest == task.digests["tokenizer"]
    assert make(rows=rows).digests["examples"] != make().digests["examples"]
    assert make(length=8).digests["examples"] != make().digests["examples"]
    assert make(Family.ENCODER).digests == make().digests


def test_quick_evaluations_take_a_mix_even_of_sorted_rows(make, tmp_path):
    held = sorted(((f"held {text}", label) for text, label in TEXTS), key=lambda row: row[1])
    task = make(validation_files=saved(tmp_path / "held.csv", held), quick_examples=30)
    quick = task.quick(task.examples("validation"))
    assert len(quick) == 30
    assert set(quick.target[:, 0]) == set(task.labels)


def test_a_group_is_a_cluster(make, tmp_path):
    rows = [(f"{i} {text}", label, f"author {i % 12}") for i, (text, label) in enumerate(TEXTS)]
    files = saved(tmp_path / "grouped.csv", rows, ("text", "label", "by"))
    task = make(files=files, group="by")
    found = task.evaluate(Says(task, lambda text: [0.6, 0.3, 0.1]), "test")["clusters"]
    assert found["names"] == list(dict.fromkeys(d.cluster for d in task.documents["test"]))
    assert all(count == 15 for count in found["accuracy"]["count"])


@pytest.mark.parametrize(
    ("rows", "keys", "message"),
    [
        (
            TEXTS,
            {"label": "stars"},
            r"task.label=stars: .*rows.csv line 2 has no such column; it has text, label",
        ),
        (TEXTS, {"text": "body"}, r"task.text=body: .*rows.csv line 2 has no such column"),
        ([*TEXTS, (" ", "spam")], {}, r"task.text=text: .*rows.csv line 182 holds no text"),
        ([*TEXTS, ("a", " ")], {}, r"task.label=label: .*rows.csv line 182 has no label"),
        (
            [(text, "spam") for text, _ in TEXTS],
            {},
            "task.label=label: every training example is 'spam'; at le",
        ),
        (
            [(f"{i} {n}", str(n)) for i in range(30) for n in range(101)],
            {},
            "task.label=label: 101 classes are more than the 100 reserved tokens",
        ),
        (TEXTS, {"length": 0}, "task.length=0 must be at least 1"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line(make, rows, keys, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(rows=rows, **keys)
    assert "\n" not in str(caught.value)


def test_held_out_rows_that_are_unknown_or_known_are_refused_with_their_number(make, tmp_path):
    held = saved(tmp_path / "held.csv", [("one", "scam"), ("two", "scam"), ("three", "ad"), ("four", "ham")])
    message = r"^task.label=label: 3 test examples .* that no training example has: scam \(2\), ad \(1\)$"
    with pytest.raises(ValueError, match=message):
        make(test_files=held)
    shared = saved(tmp_path / "shared.csv", TEXTS[:7])
    with pytest.raises(ValueError, match=r"^7 of the 180 train examples stand in a later split too"):
        make(test_files=shared)
    assert len(make(test_files=shared, duplicates="drop").documents["test"]) == 7


def test_what_is_cut_or_left_out_is_said(make, tmp_path):
    shared = saved(tmp_path / "shared.csv", TEXTS[:7])
    task = make(test_files=shared, duplicates="drop", length=18)
    longer = {name: sum(len(d.text) > 18 for d in rows) for name, rows in task.documents.items()}
    assert 0 < longer["train"] < len(task.documents["train"])
    assert task.notes == (
        "7 examples that a later split holds too are left out",
        *(
            f"{count} of {len(task.documents[name])} {name} texts are cut to task.length=18 tokens"
            for name, count in longer.items()
        ),
    )
    assert make(length=64).notes == ()


def test_a_dataset_of_the_hub(make, monkeypatch):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["n", "p"])}
    )

    def loaded(path, name, split):
        texts = [f"{split} {i}" for i in range(40)]
        return datasets.Dataset.from_dict({"text": texts, "label": [0, 1] * 20}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", loaded)
    hub = {"path": "org/reviews", "name": None, "train": "train", "validation": None, "test": "test"}
    task = make(files=None, hub=hub)
    assert task.label_names == ["n", "p"]
    assert len(task.documents["test"]) == 40

    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        ValueError, match=r"task.hub.path=org/reviews needs a network .* task=sotu_party"
    ) as caught:
        make(files=None, hub=hub)
    assert "\n" not in str(caught.value)
