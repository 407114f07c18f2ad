"""What the tests of generated tasks share: bare symbols, checksums, and what must hold for each of them."""

import hashlib

import numpy as np
import pytest

from archs.contract import Family
from tasks.synthetic.generator import belong, fingerprints
from tasks.tokenizer import N_SPECIAL

FEW = {"validation_examples": 40, "test_examples": 30, "quick_examples": 10}


def made(task, **changes):
    """A small task for a decoder, unless told otherwise."""
    return task(**({"family": Family.DECODER, "start": 0} | FEW | changes))


def drawn(task, part=None, count=200, seed=0):
    """[(source, target, at)] without the offset of special tokens."""
    examples = task.draw(part or task.slices[0], np.random.default_rng(seed), count)
    return [(e.source - N_SPECIAL, e.target - N_SPECIAL, e.at) for e in examples]


def checksum(task):
    """Of a training batch and of all fixed examples."""
    batch = task.batch(seed=1, index=3, size=8)
    sha = hashlib.sha256(batch.tokens.numpy().tobytes() + batch.targets.numpy().tobytes())
    return sha.hexdigest()[:16], task.digests["examples"][:16]


def check_splits(task):
    """Validation, test and training share no source, and nothing depends on what was drawn before."""
    held = {split: [e.source.tobytes() for e in task.examples(split)] for split in ("validation", "test")}
    assert [len(set(sources)) for sources in held.values()] == [40, 30]
    assert not set(held["validation"]) & set(held["test"])
    for split in held:
        assert belong(fingerprints(task.examples(split)), split).all()
    trained = task.training(1, 7, 64)
    assert belong(fingerprints(trained), "train").all()
    task.training(2, 900, 64)
    assert (task.training(1, 7, 64).source == trained.source).all()
    assert (task.training(2, 7, 64).source[: len(trained)] != trained.source).any()


def refused(task, message, **changes):
    with pytest.raises(ValueError, match=message) as caught:
        made(task, **changes)
    assert "\n" not in str(caught.value)
