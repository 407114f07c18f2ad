"""match=params|flops|state: what is made equal is equal, said, stored, and part of what a run is."""

import json

import pytest

from archs import parameter_counts
from harness.budget import BACKWARD, CostModel, Steps
from harness.building import architecture, make_task, unsized
from harness.compose import compose
from harness.identity import identity
from harness.listing import CHOICES
from harness.matching import TOLERANCE, held, matched
from harness.plan import plan
from harness.strict import as_dict
from harness.train import run

TASK = ["task=mqar", "task.vocab=128", "task.length=64", "task.pairs=4", "size=200k"]
DECODERS = ("gpt", "llama", "mistral", "mixtral", "mamba", "mamba2", "hybrid")
STATEFUL = ("gpt", "llama", "mamba", "mamba2", "t5")
OTHERS = ("bert", "modernbert", "t5", "bart", "t5_v1_1")


def marked(names, quick):
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def match():
    """match("arch=gpt", "match=flops") -> (config, task, architecture, Match), every request solved once."""
    known = {}

    def _match(*overrides):
        if overrides not in known:
            config = compose("train", [*TASK, *overrides])
            task = make_task(config, unsized(config))
            known[overrides] = (config, task, *matched(config, task))
        return known[overrides]

    return _match


def forward_flops(config, task, arch):
    """Per corpus token, as a training run would be charged."""
    outline = task.wrap(arch.build(task.vocab_size, "meta"))
    mean = Steps(task, CostModel(outline), seed=3, batch_size=config.batch_size, batches=1).mean
    return mean.flops / (1 + BACKWARD) / mean.tokens


def parameters(task, arch):
    return parameter_counts(arch.build(task.vocab_size, "meta"))["non_embedding"]


@pytest.mark.parametrize("arch", ["gpt", "mamba"])
def test_equal_parameters_are_the_runs_they_were_before_there_was_a_choice(arch):
    config = compose("train", [*TASK, f"arch={arch}"])
    task = make_task(config, unsized(config))
    found, met = matched(config, task)
    assert found.solved == met.solved == architecture(config, task.vocab_size).solved
    assert (met.kind, met.target, met.reached) == ("params", 200_000, parameters(task, found))
    now = as_dict(config, resolve=True)
    before = {key: value for key, value in now.items() if key != "match"}
    assert identity(now, {"solved": found.solved}) == identity(before, {"solved": found.solved})


def test_widths_as_written_are_matched_to_nothing():
    config = compose("train", [*TASK, "size=null"])
    assert matched(config, make_task(config, unsized(config)))[1] is None


@pytest.mark.parametrize("arch", marked((*DECODERS, *OTHERS), ("gpt", "bert", "t5", "mamba")))
def test_flops_per_token_are_those_of_the_reference(match, arch):
    config, task, _, reference = match("arch=gpt", "match=flops")
    assert reference.reached == reference.target  # itself
    config, task, found, met = match(f"arch={arch}", "match=flops")
    assert (met.target, met.reference) == (reference.target, "gpt")
    assert abs(met.off) <= 0.02
    assert forward_flops(config, task, found) == pytest.approx(met.reached, rel=0.01)  # targets vary by seed


@pytest.mark.parametrize("arch", marked(STATEFUL, ("llama", "mamba")))
def test_state_is_that_of_the_reference_at_equal_parameters(match, arch):
    _, task, found, met = match(f"arch={arch}", "match=state")
    config = compose("train", [*TASK, "arch=gpt"])
    gpt = architecture(config, task.vocab_size)
    assert met.target == held(gpt, make_task(config, unsized(config)))
    assert met.reached == held(found, task)
    assert abs(met.off) <= TOLERANCE
    assert abs(parameters(task, found) / 200_000 - 1) <= 0.02
    knobs = [key for key in found.solved if key.startswith("mixer")]
    assert knobs == ([] if arch == "gpt" else knobs[:1])


def test_the_knob_is_the_mixers_and_survives_swaps(match):
    swapped = ("arch/mixer=s6", "arch/position=none", "match=state", "match.bytes=60k")
    assert "mixer.state" in match("arch=gpt", *swapped)[2].solved
    for attention, knob in (("kv_heads", "mixer.kv_heads"), ("window", "mixer.window")):
        overrides = ("match=state", "match.bytes=33k", f"match.attention={attention}")
        _, _, found, met = match("arch=gpt", *overrides)
        assert knob in found.solved
        assert (met.reference, met.target) == (None, 33_000)


def test_numbers_may_be_given_in_place_of_a_reference(match):
    _, _, _, met = match("arch=gpt", "match=flops", "match.flops=500k")
    assert met.reference is None
    assert abs(met.reached / 500_000 - 1) <= 0.02
    assert "the 500,000:" in met.line("gpt")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("arch=bert", "match=state"), "arch=bert is an encoder, which carries no state"),
        (("match=state", "match.reference=bert", "arch=mamba"), "=bert: an encoder carries no"),
        (("match=flops", "match.reference=gptt"), "match.reference=gptt: .*nearest: gpt"),
        (("match=flops", "size=null"), "match=flops solves widths, so it needs a size"),
        (("match=state", "match.bytes=2000"), r"the nearest that its knob reaches to 2,000 \(asked for\)"),
        (("match=state", "match.bytes=2M", "arch=mistral"), "65,544 bytes at arch.mixer.window=64"),
        pytest.param(
            ("match=flops", "match.flops=10"),
            "FLOPs per token=10 cannot be reached within 10%: the nearest is",
            marks=pytest.mark.slow,
        ),
        (("arch/mixer=none", "match=state"), "declares no knob for its state"),
        (("match=state", "match.attention=widow"), "match.attention takes one of kv_heads, window, or null"),
        (("match=parms",), "unknown match .parms.; nearest: params"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_matched_is_one_line(overrides, message):
    with pytest.raises(ValueError, match=message) as error:
        plan(compose("train", [*TASK, *overrides]))
    assert "\n" not in str(error.value)


def test_seeds_share_one_architecture(match):
    one = match("arch=bert", "match=flops")[2].solved
    assert match("arch=bert", "match=flops", "seed=2")[2].solved == one


def test_what_was_matched_is_told_stored_and_part_of_the_run(tiny, capsys):
    overrides = ("task=mqar", "task.vocab=128", "size=200k", "arch=llama", "budget=steps", "budget.steps=2")
    small = ("task.validation_examples=8", "task.test_examples=8", "task.quick_examples=4")
    config = tiny(*overrides, *small, "match=state", text=False)
    assert run(config) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("match=state: llama")]
    planned = plan(config)
    stored = json.loads((planned.folder / "run.json").read_text())["match"]
    assert len(said) == 1
    assert f"{stored['reached']:,.0f} bytes of state" in said[0]
    assert (stored["kind"], stored["reference"], stored["size"]) == ("state", "gpt", 200_000)
    assert stored["solved"] == planned.arch.solved
    assert stored["off"] == stored["reached"] / stored["target"] - 1
    plain = plan(tiny(*overrides, *small, text=False))
    assert plain.identity != planned.identity
    assert plain.match.kind == "params"


def test_the_options_are_listed():
    assert "match" in CHOICES
