"""State of the Union addresses by party and decade: folds of the real package, and windows of a speech."""

import numpy as np
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from tasks import RawBytes, SotuDecade, SotuParty
from tasks.folds import fold_splits
from tasks.tokenizer import N_SPECIAL

TASKS = [SotuParty, SotuDecade]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def party(cache):
    return SotuParty(family=Family.DECODER, tokenizer=RawBytes(), cache_dir=cache, length=64, windows=3)


@pytest.mark.parametrize(("task", "count", "classes"), [(SotuParty, 197, 2), (SotuDecade, 249, 24)])
def test_addresses_are_labelled_by_their_metadata(task, count, classes):
    found = task.addresses()
    assert (len(found), len({address.label for address in found})) == (count, classes)
    labels = {address.cluster: address.label for address in found}
    expected = (
        {"1863 Lincoln": "Republican", "2000 Clinton": "Democratic"}
        if task is SotuParty
        else {"1863 Lincoln": "1860s", "2000 Clinton": "2000s", "1790 Washington": "1790s"}
    )
    assert expected.items() <= labels.items()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("folds", [2, 5])
def test_folds_hold_every_class_and_share_no_text(task, folds):
    addresses = task.addresses()
    label_of = {address.cluster: address.label for address in addresses}
    tested = []
    for fold in range(folds):
        split_of = fold_splits(label_of, folds, fold)
        parts = {
            name: [a for a in addresses if split_of[a.cluster] == name] for name in set(split_of.values())
        }
        tested += [address.text for address in parts["test"]]
        assert {a.label for a in parts["test"]} == {a.label for a in parts["train"]} == set(label_of.values())
        texts = [{address.text for address in part} for part in parts.values()]
        assert sum(map(len, texts)) == len(set.union(*texts)), "no address stands on two sides"
    assert sorted(tested) == sorted(address.text for address in addresses)


def test_the_digest_is_that_of_all_folds(cache, party):
    other = SotuParty(
        family=Family.ENCODER, tokenizer=RawBytes(), cache_dir=cache, length=64, windows=3, fold=4
    )
    assert other.digests["examples"] == party.digests["examples"]
    assert other.documents["test"] != party.documents["test"]


def test_a_held_out_speech_is_read_in_windows_of_it_evenly_spaced(party):
    examples = party.examples("test")
    speeches = party.documents["test"]
    assert examples.source.shape == (3 * len(speeches), 64)
    for i, speech in enumerate(speeches):
        raw = speech.text.encode()
        for place, example in zip((1 / 6, 3 / 6, 5 / 6), examples.take(slice(3 * i, 3 * i + 3)), strict=True):
            first = int(place * (len(raw) - 63))
            assert party.tokenizer.to_bytes(example.source) == raw[first : first + 64]


def test_training_shows_every_speech_once_an_epoch_from_another_place(party):
    count = len(party.documents["train"])
    first, second = party.training(1, 0, count), party.training(1, 1, count)
    raw = {document.text.encode() for document in party.documents["train"]}
    for epoch in (first, second):
        read = [party.tokenizer.to_bytes(example.source) for example in epoch]
        assert sum(any(text in speech for speech in raw) for text in read) == count
    assert not {e.source.tobytes() for e in first} & {e.source.tobytes() for e in second}
    assert (first.source == party.training(1, 0, count).source).all()


class Windowed(nn.Module):
    """Class probabilities by the first byte of what is read."""

    max_len = None

    def __init__(self, task, p):
        super().__init__()
        self.task, self.p = task, p

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        out = torch.zeros((*tokens.shape, self.task.vocab_size))
        out[..., list(self.task.labels)] = self.p[tokens[:, 0] - N_SPECIAL].log()[:, None]
        return Output(out)

    def head(self, hidden):
        return hidden


def test_log_probabilities_are_averaged_over_the_windows_of_a_speech(party):
    p = torch.distributions.Dirichlet(torch.ones(2)).sample((256,))
    found = party.evaluate(Windowed(party, p), "test")
    examples = party.examples("test")
    scores = p[examples.source[:, 0] - N_SPECIAL].log().numpy().reshape(-1, 3, 2).mean(axis=1)
    right = scores.argmax(axis=1) == examples.target[::3, 0] - party.labels[0]
    assert found["accuracy"] == pytest.approx(right.mean())
    clusters = found["clusters"]
    assert sum(clusters["accuracy"]["count"]) == len(party.documents["test"])
    assert clusters["names"] == list(dict.fromkeys(d.cluster for d in party.documents["test"]))
    quick = party.evaluate(Windowed(party, p), "validation", quick=True)
    assert set(quick) == {"accuracy", "macro_f1", "calibration_error", "native_loss"}
    assert len(np.unique(party.quick(party.examples("validation")).source, axis=0)) == 16 * 3


def test_words_tell_the_party_better_than_chance(party):
    found = party.baselines("test")
    assert found["majority"]["accuracy"] < 0.6
    assert set(found["naive Bayes"]) == {"accuracy", "macro_f1", "calibration_error"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"windows": 0}, "task.windows=0 must be"), ({"fold": 5}, "task.fold=5 is not between 0 and 4")],
)
def test_impossible_keys_are_refused(cache, keys, message):
    with pytest.raises(ValueError, match=message):
        SotuParty(family=Family.DECODER, tokenizer=RawBytes(), cache_dir=cache, **keys)
