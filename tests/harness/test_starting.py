"""Pretrain, then fine-tune: what a run takes over, what it keeps still, what it is refused for."""

import csv
import json
import random

import pytest
import torch
from safetensors.torch import load_file

from harness import load
from harness.compose import compose
from harness.errors import ConfigError
from harness.evaluate import run as evaluate
from harness.plan import plan
from harness.starting import start_weights
from harness.train import run
from tasks.tokenizer import SENTINELS

ARCHS = ("gpt", "bert", "t5", "mamba")
SIZES = {"gpt": "20k", "bert": "20k", "t5": "20k", "mamba": "20k"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A corpus, a labelled table and a table of pairs, of the same words."""
    folder, draw = tmp_path_factory.mktemp("starting"), random.Random(0)
    words = ["peace", "law", "trade", "war", "labour", "land"]

    def sentence():
        return " ".join(draw.choices(words, k=6))

    for number in range(12):
        (folder / f"{number}.txt").write_text(". ".join(sentence() for _ in range(40)))
    texts = sorted({sentence() for _ in range(60)})
    tables = {
        "labelled.csv": [("text", "label"), *((text, text.split()[0]) for text in texts)],
        "pairs.csv": [("source", "target"), *((text, text.split()[-1]) for text in texts)],
    }
    for name, rows in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def composed(here, *overrides):
    usual = [
        *("batch_size=4", "budget=steps", "budget.steps=3", "evaluations=0", "trainer=cpu", "progress=false"),
        *(f"results_dir={here}/runs", f"cache_dir={here}/cache"),
    ]
    return compose("train", [*usual, *overrides])


def trained(here, *overrides):
    """The folder of a finished run."""
    config = composed(here, *overrides)
    assert run(config) == 0
    return plan(config).folder


TEXT = [
    "corpus=text",
    "tokenizer.vocab_size=400",
    "task.window=64",
    "task.context_bytes=24",
    "task.windows=4",
]
TEXT += ["task.scored_bytes=8", "task.quick_windows=2", "task.native_windows=8"]


@pytest.fixture(scope="module")
def pretrained(here):
    """pretrained("gpt"): the folder of a small run on text, trained once."""
    known = {}

    def made(arch):
        if arch not in known:
            files = f"corpus.files={here}/*.txt"
            known[arch] = trained(here, f"arch={arch}", f"size={SIZES[arch]}", *TEXT, files)
        return known[arch]

    return made


def labelled(here, folder, arch, *overrides):
    return composed(
        here,
        *(f"arch={arch}", f"size={SIZES[arch]}", "task=classification", f"task.files={here}/labelled.csv"),
        *("task.length=40", "optim.lr=1e-2", f"init_from={folder}", *overrides),
    )


@pytest.mark.parametrize(
    "arch", [a if a in ("gpt", "t5") else pytest.param(a, marks=pytest.mark.slow) for a in ARCHS]
)
class TestEveryFamily:
    def test_weights_widths_and_tokenizer_are_the_pretrained_ones(self, arch, here, pretrained):
        folder = pretrained(arch)
        planned = plan(labelled(here, folder, arch))
        assert planned.arch.node == load(folder).config["arch"]
        assert planned.task.tokenizer.json == (folder / "tokenizer.json").read_text()
        assert planned.config["tokenizer"]["vocab_size"] == 400
        backbone = planned.arch.build(planned.task.vocab_size)
        drawn = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        start_weights(backbone, str(folder), planned.task)
        classes = planned.task.labels
        for name, tensor in load_file(folder / "model.safetensors").items():
            if name in ("embedding.weight", "lm_head.bias"):  # a class begins as chance has it, for all alike
                tensor[classes] = drawn[name][classes]
            assert torch.equal(backbone.state_dict()[name], tensor), name

    def test_a_frozen_backbone_moves_the_rows_of_the_classes_alone(self, arch, here, pretrained):
        folder = pretrained(arch)
        config = labelled(here, folder, arch, "freeze=backbone")
        assert run(config) == 0
        planned = plan(config)
        before, after = (load_file(f / "model.safetensors") for f in (folder, planned.folder))
        moved = {
            name: (before[name] != after[name])
            for name in before
            if not torch.equal(before[name], after[name])
        }
        classes = len(planned.task.label_names)
        assert "embedding.weight" in moved
        assert set(moved) <= {"embedding.weight", "lm_head.bias"}
        for rows in moved.values():
            changed = rows.reshape(len(rows), -1).any(dim=1).nonzero().flatten().tolist()
            assert changed == list(SENTINELS[:classes])

    def test_all_of_it_moves_otherwise_and_the_finished_run_stands_by_itself(self, arch, here, pretrained):
        folder = pretrained(arch)
        config = labelled(here, folder, arch)
        assert run(config) == 0
        tuned = load(plan(config).folder)
        before = load_file(folder / "model.safetensors")
        after = load_file(tuned.folder / "model.safetensors")
        assert sum(not torch.equal(before[name], after[name]) for name in before) > len(before) / 2
        recorded = json.loads((tuned.folder / "run.json").read_text())
        assert tuned.task.evaluate(tuned.backbone, "validation") == pytest.approx(recorded["validation"])

    def test_labels_are_named_without_training(self, arch, here, pretrained, capsys):
        shots = [
            f"run={pretrained(arch)}",
            "task=classification",
            f"task.files={here}/labelled.csv",
            "shots=1",
        ]
        assert evaluate(compose("eval", shots)) == 0
        shown = capsys.readouterr().out
        for word in ("accuracy", "macro_f1", "majority", "prompts_shortened"):
            assert word in shown

    def test_pairs_start_there_too(self, arch, here, pretrained):
        keys = [
            f"arch={arch}",
            f"size={SIZES[arch]}",
            "task=pairs",
            f"task.files={here}/pairs.csv",
            "task.length=40",
        ]
        folder = trained(here, *keys, f"init_from={pretrained(arch)}")
        assert (folder / "tokenizer.json").read_bytes() == (pretrained(arch) / "tokenizer.json").read_bytes()


REFUSED = [
    (["arch=mamba"], "does not fit: it has arch=gpt, and this run arch=mamba$"),
    (["arch/mlp=swiglu"], r"does not fit: it has arch=gpt, and this run arch=gpt\+swiglu"),
    (["size=40k"], "does not fit: it has size=20k, and this run size=40k$"),
    (["match=state"], "does not fit: it has match=params, and this run match=state$"),
    (["tokenizer=bytes"], "has tokenizer=bpe tokenizer.vocab_size=400, and this run tokenizer=bytes: "),
    (["tokenizer.vocab_size=500"], "and this run tokenizer=bpe tokenizer.vocab_size=500: "),
    (["task.length=1100"], "needs 1101 positions but init_from=.* with a position table of 1024: "),
]


@pytest.mark.parametrize(("overrides", "words"), REFUSED, ids=[overrides[0] for overrides, _ in REFUSED])
def test_what_does_not_fit_is_refused_before_any_work(overrides, words, here, pretrained):
    config = labelled(here, pretrained("gpt"), "gpt", *overrides)
    with pytest.raises(ConfigError, match=words) as refused:
        plan(config)
    assert "\n" not in str(refused.value)
    assert str(refused.value).count("init_from=") == 1


def test_dropout_is_the_fine_tuning_runs_own(here, pretrained):
    planned = plan(labelled(here, pretrained("gpt"), "gpt", "arch.dropout=0.25"))
    usual = plan(labelled(here, pretrained("gpt"), "gpt"))
    assert (planned.arch.node["dropout"], planned.arch.node["mixer"]["dropout"]) == (0.25, 0.25)
    for key in ("dim", "depth", "hidden"):
        assert planned.arch.node[key] == usual.arch.node[key]
    assert planned.identity != usual.identity


def test_a_vocabulary_without_text_is_refused_with_both_numbers(here, pretrained):
    config = composed(here, "arch=gpt", "size=20k", "task=mqar", f"init_from={pretrained('gpt')}")
    with pytest.raises(ConfigError, match=r"it has \d+ tokens, and task=mqar needs 8299$"):
        plan(config)


def test_a_run_without_text_lends_no_tokenizer(here):
    small = [
        "task.vocab=80",
        "task.pairs=2",
        "task.length=16",
        "task.validation_examples=8",
        "task.test_examples=8",
    ]
    folder = trained(here, "arch=gpt", "size=20k", "task=mqar", *small, "task.quick_examples=8")
    with pytest.raises(
        ConfigError, match="was trained on mqar, which has no tokenizer, but task=classification"
    ):
        plan(labelled(here, folder, "gpt"))


def test_freezing_needs_weights_and_classes(here, pretrained):
    files = f"task.files={here}/labelled.csv"
    with pytest.raises(ConfigError, match="freeze=backbone needs init_from="):
        plan(composed(here, "arch=gpt", "size=20k", "task=classification", files, "freeze=backbone"))
    pairs = ["task=pairs", f"task.files={here}/pairs.csv", "arch=gpt", "size=20k", "freeze=backbone"]
    with pytest.raises(ConfigError, match="task=pairs has no classes"):
        plan(composed(here, *pairs, f"init_from={pretrained('gpt')}"))
    with pytest.raises(ConfigError, match="freeze takes one of backbone, or null"):
        composed(here, "freeze=head")


def test_freezing_changes_no_identity_unless_it_is_asked_for(here, pretrained):
    config = labelled(here, pretrained("gpt"), "gpt")
    frozen = labelled(here, pretrained("gpt"), "gpt", "freeze=backbone")
    identity = plan(config).identity
    assert plan(frozen).identity != identity
    assert plan(frozen).per_step.flops < plan(config).per_step.flops


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["shots=2"], "shots=2 needs a task with labels"),
        (["task=mqar"], "task=mqar needs 8299 tokens, and run="),
        (
            ["task=classification", "task.files={here}/labelled.csv", "task.length=500"],
            "the table of run=",
        ),
        (
            ["task=pairs", "task.files={here}/pairs.csv", "shots=2"],
            "shots=2 is for tasks with labels, and task=pairs",
        ),
        (
            ["task=classification", "task.files={here}/labelled.csv", "shots=1000"],
            "shots=1000 is more than the",
        ),
    ],
)
def test_what_a_run_cannot_be_asked_is_one_line(overrides, words, here, pretrained, capsys):
    config = compose("eval", [f"run={pretrained('gpt')}", *(text.format(here=here) for text in overrides)])
    capsys.readouterr()  # the first to ask for a pretrained run trains it here
    with pytest.raises(SystemExit):
        evaluate(config)
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
