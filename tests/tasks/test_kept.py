"""Tasks that are slow to draw: drawn once, and the same from disk as drawn."""

import numpy as np
import pytest
from drawn import made

from tasks import Examples
from tasks.synthetic.kept import KeptTask
from tasks.tokenizer import N_SPECIAL


class Counted(KeptTask):
    """Name the first symbol; counts how often it is drawn."""

    name = "counted"
    version = 1
    draws = 0

    def __init__(self, *, vocab=400, **given):
        self.vocab = vocab
        super().__init__(
            parameters={"vocab": vocab},
            alphabet=vocab,
            source_len=6,
            answer_len=1,
            in_place=False,
            slices=["length_6"],
            **given,
        )

    def draw(self, part, rng, count):
        type(self).draws += 1
        source = N_SPECIAL + rng.integers(0, self.vocab, (count, 6))
        source_len = rng.integers(3, 7, count)
        source[np.arange(6) >= source_len[:, None]] = 0
        return Examples(source, source[:, :1], source_len=source_len)

    def baselines(self, split, *, quick=False):
        return {}


@pytest.fixture
def draws(monkeypatch):
    monkeypatch.setattr(Counted, "draws", 0)
    return lambda: Counted.draws


def same(one, other):
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in [
            (one.source, other.source),
            (one.target, other.target),
            (one.source_lengths, other.source_lengths),
        ]
    )


def test_fixed_examples_are_drawn_once(tmp_path, draws):
    first = made(Counted, cache_dir=tmp_path)
    once = draws()
    again = made(Counted, cache_dir=tmp_path)
    assert draws() == once > 0
    assert first.digests == again.digests
    for split in ("validation", "test"):
        assert same(first.examples(split), again.examples(split))
    assert made(Counted, cache_dir=tmp_path / "elsewhere").digests == first.digests
    assert made(Counted, cache_dir=tmp_path, vocab=300).digests != first.digests


def test_a_new_version_is_drawn_anew(tmp_path, draws, monkeypatch):
    made(Counted, cache_dir=tmp_path)
    once = draws()
    monkeypatch.setattr(Counted, "version", 2)
    made(Counted, cache_dir=tmp_path)
    assert draws() == 2 * once


def test_epochs_are_kept_and_an_endless_supply_is_not(tmp_path, draws):
    task = made(Counted, cache_dir=tmp_path, train_examples=1500)
    shown = task.training(1, 0, 1500)
    files, once = len(list(tmp_path.rglob("*.bin"))), draws()
    assert files == 4, "validation, test and two blocks"
    assert same(made(Counted, cache_dir=tmp_path, train_examples=1500).training(1, 0, 1500), shown)
    assert draws() == once
    endless = made(Counted, cache_dir=tmp_path)
    endless.training(1, 0, 64)
    assert (len(list(tmp_path.rglob("*.bin"))), draws() > once) == (files, True)


def test_a_damaged_file_is_drawn_again(tmp_path, draws):
    first = made(Counted, cache_dir=tmp_path)
    for path in tmp_path.rglob("*.bin"):
        path.write_bytes(path.read_bytes()[:50])
    assert made(Counted, cache_dir=tmp_path).digests == first.digests
