"""No answer leaks, whatever the task and the family.

Where answers are read in place, or by an encoder, changing the answer, also its length, changes no input.
Where a model writes the answer, changing target[i:] changes no logit that scores target[: i + 1].

A new task of conf/task adds one line to SMALL: the option's name, and the keys that make it small. A task
that reads text is given a corpus of random words, in bytes.
"""

import inspect
from functools import lru_cache

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import get_class
from toys import corpus

from archs.contract import Family
from harness.building import build
from harness.searchpath import conf_dir
from tasks import Examples, GeneratedTask, RawBytes
from tasks.tokenizer import PAD

COUNTS = {"validation_examples": 40, "test_examples": 40, "quick_examples": 40}
POINTS = {"segments": [[32, 2], [48, 4]], "beyond": [[64, 2]], "train_examples": [64, 32]}
SMALL = {
    "compression": {"length": 12},
    "copy": {"length": 8, "beyond": [12]},
    "dyck": {"length": 16, "beyond": [24], "beyond_depth": [6]},
    "fuzzy_recall": {"length": 48},
    "in_context_recall": {"length": 32},
    "induction": {"length": 24, "beyond": [32]},
    "listops": {"min_length": 10, "max_length": 40},
    "memorization": {"vocab": 32, "length": 12},
    "modular_arithmetic": {"length": 15, "beyond": [31]},
    "mqar": {"vocab": 64, "length": 32},
    "mqar_curriculum": {"vocab": 128, **POINTS},
    "mqar_zoology": {"vocab": 64, "length": 32, "train_examples": 64},
    "needle": {"length": 128, "depths": [0, 50]},
    "noisy_recall": {"length": 32},
    "parity": {"length": 16, "beyond": [32]},
    "pathfinder": {},
    "reverse": {"length": 8, "beyond": [12]},
    "selective_copying": {"length": 24, "tokens": 4},
    "sort": {"length": 8, "beyond": [12]},
}
ARCHS = {Family.ENCODER: ["bert"], Family.DECODER: ["gpt", "mamba"], Family.ENCODER_DECODER: ["t5"]}
VOCAB = 512  # of the models: as many ids as the largest of these tasks, and more


@lru_cache
def options():
    """{option: its YAML} of conf/task."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in (conf_dir() / "task").glob("*.yaml")}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """small(option, family) makes a task of SMALL."""
    folder = tmp_path_factory.mktemp("cache")

    @lru_cache
    def make(name, family):
        node = {**options()[name], **COUNTS, **SMALL[name]}
        target = get_class(node.pop("_target_"))
        wired = {"corpus": corpus(), "tokenizer": RawBytes(), "cache_dir": folder}
        given = {key: wired[key] for key in inspect.signature(target).parameters if key in wired}
        return target(family=family, start=PAD, **node, **given)

    return make


@lru_cache
def backbone(arch):
    torch.manual_seed(0)
    overrides = ["arch.dim=16", "arch.depth=1", "arch.heads=2"]
    overrides += ["arch/position=sinusoidal"] if arch in ("bert", "gpt") else []  # which has no end
    return build(arch, vocab_size=VOCAB, overrides=overrides).double().eval()


def test_every_generated_task_is_here():
    generated = {
        name for name, node in options().items() if issubclass(get_class(node["_target_"]), GeneratedTask)
    }
    assert generated <= set(SMALL)


def otherwise(task, examples, rng, kept=0):
    """The same questions with other answers from their token `kept` on, and of other lengths."""
    width = examples.target.shape[1]
    target = examples.target.copy()
    target[:, kept:] = rng.choice(task.labels, (len(target), width - kept))
    lens = rng.integers(kept + 1, width + 1, len(target))
    return Examples(examples.source, target, examples.at, examples.source_len, lens)


def same(a, b):
    return (a is None and b is None) or np.array_equal(a, b)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", sorted(SMALL))
def test_other_answers_change_no_input(small, name, family):
    """In place or by an encoder: none. Else: none that an answer up to the changed one is read from."""
    task, rng = small(name, family), np.random.default_rng(0)
    examples = task.examples("test")
    width = examples.target.shape[1]
    told = task.laid(examples)
    if task.in_place or family is Family.ENCODER:
        other = task.laid(otherwise(task, examples, rng))
        assert same(told.tokens, other.tokens)
        assert same(told.lengths, other.lengths)
        assert same(told.source, other.source)
        assert same(told.source_lengths, other.source_lengths)
        return
    for kept in range(width):
        other = task.laid(otherwise(task, examples, rng, kept))
        assert same(told.lengths, other.lengths), "the length of an answer shows nowhere"
        assert same(told.source, other.source)
        assert same(told.at[:, : kept + 1], other.at[:, : kept + 1])
        read = np.arange(told.tokens.shape[1]) <= told.at[:, kept][:, None]
        assert same(told.tokens[read], other.tokens[read])


def scores(task, model, laid):
    """Logits of the answers (N, A, V), as a model gives them."""
    batch = laid.batch(0)
    with torch.no_grad():
        hidden = model(batch.tokens, batch.keep, source=batch.source, source_keep=batch.source_keep).hidden
        rows = torch.arange(len(hidden))[:, None]
        return model.head(hidden[rows, torch.from_numpy(np.ascontiguousarray(laid.at))])


@pytest.mark.parametrize(("family", "arch"), [(f, arch) for f in ARCHS for arch in ARCHS[f]])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_other_answers_change_no_logit_that_scores_them(small, name, family, arch):
    task, rng = small(name, family), np.random.default_rng(1)
    assert task.vocab_size <= VOCAB
    model = task.wrap(backbone(arch))
    examples = task.examples("test").take(slice(4))
    before = scores(task, model, task.laid(examples))
    assert before.std() > 0
    for kept in sorted({0, examples.target.shape[1] // 2, examples.target.shape[1] - 1}):
        after = scores(task, model, task.laid(otherwise(task, examples, rng, kept)))
        upto = None if task.in_place or family is Family.ENCODER else kept + 1
        torch.testing.assert_close(after[:, :upto], before[:, :upto], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_what_stands_behind_a_question_does_not_answer_it(small, name):
    """Read in place, an encoder sees the tokens to the right: they agree with the answer as often as with the
    answer of another example."""
    task = small(name, Family.ENCODER)
    if not task.in_place or task.asked == "bottleneck":
        pytest.skip("answers are not read from where the source is seen")
    for part in task.slices:
        found = task.draw(part, np.random.default_rng(0), 4000)
        asked = np.arange(found.target.shape[1]) < found.target_lengths[:, None]
        for ahead in (1, 2, 3):
            place = np.where(asked, found.at, 0) + ahead
            seen = asked & (place < found.source_lengths[:, None])
            if not seen.any():
                continue
            right = np.take_along_axis(found.source, np.minimum(place, found.source.shape[1] - 1), 1)
            agree = ((right == found.target) & seen).sum() / seen.sum()
            apart = asked & np.roll(asked, 1, axis=0) & seen
            chance = ((right == np.roll(found.target, 1, axis=0)) & apart).sum() / apart.sum()
            assert agree == pytest.approx(chance, abs=5 / np.sqrt(apart.any(axis=1).sum()))
