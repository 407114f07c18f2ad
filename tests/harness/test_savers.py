"""What saves memory in training changes nothing else, and saves it."""

import json
import math
from functools import partial

import pytest
import torch
from kept_bytes import kept_bytes
from safetensors.torch import load_file
from torch.utils._pytree import tree_map

import archs
from harness.building import build
from harness.module import Training, scored, scored_loss
from harness.plan import plan
from harness.train import run
from tasks.rows import Batch

WINDOWED = ["arch=gpt", "arch/mixer=sliding", "arch.mixer.window=20"]  # it divides no window of training
RECURRENT = {
    "mamba": ["arch=mamba"],
    "mamba2": ["arch=mamba2", "arch.mixer.chunk=16"],
    "s6": ["arch=gpt", "arch/mixer=s6", "arch/position=none"],
    "sliding, rotary": [*WINDOWED, "arch/position=rope"],
    "sliding, alibi": [*WINDOWED, "arch/position=alibi"],
    "sliding, learned": WINDOWED,
    "sliding, wide": [*WINDOWED, "arch.mixer.window=100"],  # than a window of training
    "hybrid": [
        "arch=hybrid",
        "arch.depth=2",
        "arch/mixer@arch.mixers.attention=sliding",
        "arch.mixers.attention.window=7",
    ],
}


def training(planned, **changes):
    torch.manual_seed(0)
    backbone = planned.arch.build(planned.task.vocab_size).train()
    about = {"budget": planned.budget, "steps": planned.steps, "optim": planned.config["optim"], "seed": 1}
    return Training(backbone, sequence=planned.task.sequence, **about, **changes)


def whole(batches):
    return Batch(*(torch.cat([getattr(b, name) for b in batches], 1) for name in ("tokens", "targets")))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
def test_a_window_goes_on_exactly_where_the_one_before_ended(tiny, name, recompute):
    """Its loss is that of the same positions in one pass over the whole sequence, for two sequences."""
    planned = plan(tiny(*RECURRENT[name], "task.segments=3"))
    module = training(planned)
    archs.checkpointing(module.backbone, recompute)
    for sequence in range(2):
        batches = [planned.task.batch(1, 3 * sequence + part, 4) for part in range(3)]
        one = whole(batches)
        hidden = module.backbone(one.tokens).hidden
        for part, batch in enumerate(batches):
            loss = module.training_step(batch, part)
            here = slice(batch.seen, batch.seen + batch.tokens.shape[1])
            expected = scored(module.backbone, hidden[:, here], one.targets[:, here])
            torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mamba", "mamba2", "sliding, rotary"])
def test_gradients_reach_no_further_than_a_window(tiny, name):
    """They are those of a pass from a state that somebody else made."""
    planned = plan(tiny(*RECURRENT[name], "task.segments=2"))
    module, twin = training(planned), training(planned)
    first, second = (planned.task.batch(1, part, 4) for part in range(2))
    module.training_step(first, 0).backward()
    module.zero_grad()
    module.training_step(second, 1).backward()

    state = twin.backbone.start(4, max_len=96)
    with torch.no_grad():
        state = twin.backbone.step(first.tokens, state).state
    hidden = twin.backbone.step(second.tokens, tree_map(torch.clone, state)).hidden
    scored(twin.backbone, hidden, second.targets).backward()
    for mine, other in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_what_is_handed_on_is_the_state_and_no_more(tiny):
    """No window stays in memory as what a state is a view of."""
    planned = plan(tiny("arch=mamba", "task.segments=2"))
    module = training(planned)
    module.training_step(planned.task.batch(1, 0, 4), 0)
    held = sum(leaf.untyped_storage().nbytes() for leaf in module.carried.leaves)
    assert held == 4 * planned.outline.state_bytes(96)


def test_parts_cost_what_the_whole_does(tiny):
    """Tokens always, and FLOPs, of keys in a window before this one too."""
    for name in ("mamba", "sliding, alibi"):
        parted = plan(tiny(*RECURRENT[name], "task.segments=3", "batch_size=2"))
        one = plan(tiny(*RECURRENT[name], "task.window=144", "batch_size=2"))
        cost, other = (training(planned).cost for planned in (parted, one))
        parts = [cost(parted.task.batch(1, part, 2)) for part in range(3)]
        expected = other(one.task.batch(1, 0, 2))
        for unit in ("tokens", "positions", "targets", "flops"):
            assert sum(getattr(part, unit) for part in parts) == getattr(expected, unit), (name, unit)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["arch=gpt", "arch/position=rope"], "grows with them"),
        (["arch=hybrid", "arch.depth=2"], "grows with them"),
        ([*WINDOWED, "arch.mixer.window=200"], "grows with them"),
        ([*WINDOWED, "arch.position.max_len=100"], "position table of 100"),
        (["arch=bert"], "objective=masked"),
        (["arch=t5"], "objective=span_prefix"),
        (["arch=mamba", "objective=fim"], "objective=fim"),
        (["arch=mamba", "trainer.accumulate_grad_batches=2"], "raise batch_size"),
        (["arch=mamba", "trainer.devices=2"], "use one device"),
    ],
)
def test_what_cannot_hand_a_state_on_is_one_line(tiny, tmp_path, capsys, overrides, said):
    with pytest.raises(SystemExit) as ended:
        run(tiny("task.segments=3", *overrides))
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "task.segments=3" in error
    assert "\n" not in error
    assert not (tmp_path / "runs").exists()


def test_a_backbone_without_a_stack_says_what_it_lacks(tiny, capsys, monkeypatch):
    monkeypatch.delattr("archs.Stack.activation_checkpointing")
    with pytest.raises(SystemExit):
        run(tiny("trainer.activation_checkpointing=true"))
    error = capsys.readouterr().err.strip()
    assert "trainer.activation_checkpointing=true: Decoder cannot" in error
    assert "\n" not in error


def weights(config):
    assert run(config) == 0
    return load_file(plan(config).folder / "model.safetensors")


CHECKPOINTING = ["trainer.activation_checkpointing=true"]
WHOLE = ["trainer.chunked_loss=false"]
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "arch", ["gpt", *(pytest.param(name, marks=SLOW) for name in ("bert", "t5", "mamba"))]
)
def test_savers_train_the_same_model_and_are_the_same_run(tiny, arch):
    about = [f"arch={arch}", "arch.dropout=0.1", "budget.steps=3", "evaluations=0"]
    names = {plan(tiny(*about, *more)).folder.name for more in ([], CHECKPOINTING, WHOLE)}
    assert len(names) == 1
    plain = weights(tiny(*about, "study_name=plain"))
    for more, slack in ((CHECKPOINTING, 0.0), (WHOLE, 1e-4)):
        saved = weights(tiny(*about, *more, f"study_name=slack_{slack}"))
        for name, value in plain.items():
            torch.testing.assert_close(saved[name], value, rtol=0, atol=slack, msg=name)


FAMILIES = ("gpt", "bert", "t5", "mamba2", "mistral")


@pytest.mark.parametrize("arch", ["mamba", *(pytest.param(name, marks=SLOW) for name in FAMILIES)])
def test_all_of_them_at_once(tiny, arch):
    """In bfloat16, and carrying a state where one can be carried."""
    more = ["arch.mixer.window=16"] if arch == "mistral" else []
    more += [] if arch in ("gpt", "bert", "t5") else ["task.segments=3"]
    config = tiny(f"arch={arch}", *CHECKPOINTING, "trainer.precision=bf16-mixed", "evaluations=1", *more)
    assert run(config) == 0
    record = json.loads((plan(config).folder / "run.json").read_text())
    assert record["tokens"] == 6 * 4 * 48
    assert math.isfinite(record["validation"]["native_loss"])


def test_whole_logits_are_kept_only_where_asked_for():
    torch.manual_seed(0)
    model = build("llama", vocab_size=4099, overrides=["arch.dim=24", "arch.depth=1", "arch.heads=4"]).train()
    tokens = torch.randint(4099, (1, 1024))
    batch = Batch(tokens, tokens.roll(-1, 1))
    pieces, logits = (partial(scored_loss, model, batch, chunked=chunked) for chunked in (True, False))
    torch.testing.assert_close(pieces()[0], logits()[0])
    size = 4 * 1024 * 4099
    assert kept_bytes(model, logits) > size > kept_bytes(model, pieces)
    assert kept_bytes(model, logits) - kept_bytes(model, pieces) > 0.9 * size
