"""The comparison with other libraries: the same question on both sides, and a report that hides nothing."""

import subprocess
import sys

import pytest
import torch

import archs
from harness.environment import environment
from harness.peers import report
from harness.peers.__main__ import OTHER, ROWS, SEQUENTIAL, specs
from harness.peers.contestants import HEADS, labels, ours, peers, transformers_model

ALL = [*ROWS, *OTHER]


@pytest.mark.parametrize("arch", ROWS)
def test_peers_have_the_names_that_are_measured(arch):
    assert tuple(name for name, _ in peers(arch, 128)) == ROWS[arch]


# BERT: 512 more position rows here, two token-type rows there.
KNOWN = {"gpt": 0, "llama": 0, "t5": 0, "mamba": 0, "mamba2": 0, "bert": (1024 - 512 - 2) * 128}


@pytest.mark.parametrize("arch", KNOWN)
def test_both_sides_have_the_same_parameters(arch):
    theirs = sum(p.numel() for p in transformers_model(arch, 128).parameters())
    assert ours(arch, 128).parameters - theirs == KNOWN[arch]


@pytest.mark.parametrize("arch", KNOWN)
def test_both_sides_compute_the_same_loss(arch):
    """With their weights, ours is the same number: the same tokens, targets and masks, and no dropout."""
    mine, other = ours(arch, 128), dict(peers(arch, 128))[ROWS[arch][0]]()
    weights = archs.from_hf(other.module).state_dict()
    if arch == "bert":  # more rows of positions than are read
        rows = mine.module.stack.position.table.weight.detach().clone()
        rows[:512] = weights["stack.position.table.weight"]
        weights["stack.position.table.weight"] = rows
    mine.module.load_state_dict(weights)
    for contestant in (mine, other):
        contestant.module.train()
    with torch.no_grad():
        torch.testing.assert_close(mine.loss(), other.loss(), rtol=1e-5, atol=0)


def test_an_encoder_is_scored_on_masked_tokens_alone():
    assert 0.1 < (labels("bert", 128) >= 0).double().mean() < 0.2
    assert (labels("gpt", 128) >= 0).all()


def test_every_row_is_measured_at_every_width_and_the_slow_ones_last():
    todo = specs(ALL, sorted(HEADS), 7)
    training = [spec for spec in todo if spec["what"] == "train"]
    asked = {(s["arch"], s["peer"], s["width"]) for s in training}
    assert asked == {(arch, peer, width) for arch in ROWS for peer in ROWS[arch] for width in HEADS}
    slow = [spec for spec in todo if spec.get("peer") == SEQUENTIAL]
    assert slow == todo[-len(slow) :]
    assert {spec["repeats"] for spec in slow} == {1}
    assert {spec["repeats"] for spec in todo if spec not in slow} == {7}


def test_the_report_says_what_was_reached_missed_and_failed():
    train = {
        "what": "train",
        "arch": "gpt",
        "peer": "transformers GPT-2",
        "width": 128,
        "precision": "32-true",
    }
    found = {"ratio": 1.3, "quartiles": [1.25, 1.4], "repeats": 7}
    found |= {"tokens_per_second": [13000, 10000], "parameters": [10, 10]}
    results = [
        {"spec": train, "found": found},
        {"spec": train | {"width": 512}, "found": found | {"ratio": 1.05}},
        {"spec": train | {"arch": "llama"}, "found": {"error": "took longer than 1200 s"}},
        *(
            {
                "spec": {"what": "scan", "length": n},
                "found": {"seconds": n * 1e-5, "peak": 2e3 * n, "ratio": 1.1},
            }
            for n in (1024, 2048, 4096)
        ),
    ]
    text = " ".join(report.markdown(results, environment(threads=2), "python -m harness.peers").split())
    assert "1.30 [1.25–1.40] | 1.2, reached" in text
    assert "1.05 [1.25–1.40] | 1.1, missed" in text
    assert "time 1.000, memory 1.000" in text
    assert "took longer than 1200 s" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "gpt,gtp"], "--only gtp: choose from gpt"),
        (["--widths", "64"], "--widths 64: choose from 128, 512"),
        (["--precisions", "int8"], "--precisions int8: choose from 32-true, bf16-mixed"),
        (["--repeats", "1"], "quartiles need at least 2"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "harness.peers", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
