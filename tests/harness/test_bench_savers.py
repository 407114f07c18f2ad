"""What saves memory in a training step, measured by the sweep."""

import pytest
import torch
from bench_tools import SMALL, specs
from torch.utils._pytree import tree_leaves

from harness.compose import compose
from harness.efficiency import child
from harness.efficiency.points import points
from harness.efficiency.subject import Subject
from harness.errors import ConfigError


def test_savers_save_memory_of_a_training_step(tmp_path):
    def taken(*overrides):
        [spec] = specs(tmp_path, "gpt", "vocab_size=4000", "lengths=[512]", *overrides)
        return child.outcome("memory", spec)["memory"]["train_step"]["allocator"]

    plain = taken()
    assert taken("activation_checkpointing=true") < plain
    assert taken("chunked_loss=false") > plain


def test_segments_are_trained_in_turn_each_from_the_state_before(tmp_path):
    [spec] = specs(tmp_path, "mamba")
    whole, parted = Subject(spec), Subject({**spec, "segments": 4})
    parted.module.load_state_dict(whole.module.state_dict())
    seen = []
    forward = parted.backbone.forward

    def watched(tokens, **given):
        output = forward(tokens, **given)
        seen.append((tokens, given["state"], output))
        return output

    parted.module.forward = watched
    parted.module.train()
    for group in parted.optimizer.param_groups:
        group["lr"] = 0.0  # so that all segments meet the same weights
    for subject in (whole, parted):
        subject.resize(2, 48)
    parted.work("train_step")()
    assert [tuple(tokens.shape) for tokens, _, _ in seen] == [(2, 12)] * 4
    for leaf in (leaf for _, state, _ in seen for leaf in tree_leaves(state)):
        assert not leaf.requires_grad
    hidden = torch.cat([output.hidden for _, _, output in seen], 1)
    assert torch.allclose(hidden, whole.backbone.forward(whole.tokens).hidden, atol=1e-5)
    steps = {int(state["step"]) for state in parted.optimizer.state.values()}
    assert steps == {4}


def test_segments_take_less_memory_and_a_state_that_does_not_grow(tmp_path):
    def taken(segments):
        [spec] = specs(tmp_path, "mamba", "lengths=[512]", "tokens_per_batch=512")
        return child.outcome("memory", {**spec, "segments": segments})["memory"]["train_step"]["allocator"]

    assert taken(8) < 0.5 * taken(1)
    lines = ["archs=[]", "variants={gpt-parts: ['arch=gpt', 'task.segments=8']}"]
    with pytest.raises(ConfigError, match=r"segments=8 hands a state on through 32 tokens"):
        points(compose("bench", [*SMALL, *lines]), tmp_path, print)
