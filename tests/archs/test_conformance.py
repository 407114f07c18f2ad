"""Every architecture and composition conforms, and what does not conform is told why."""

from functools import cache
from pathlib import Path

import pytest
import sample_backbones as sample
import torch
import wrong_backbones as wrong
from torch import nn

import archs
from archs.conformance import Conformance, learning
from archs.conformance.cost import counted
from harness.building import unsized
from harness.compose import compose

pytest_plugins = ["pytester"]

V = 61
ARCHS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "arch").glob("*.yaml"))
WINDOWED = ("arch/mixer=sliding", "mixer.window=3")
COMPOSED = {
    "rotary, grouped": (
        *("gpt", "arch/position=rope", "arch/norm=rms", "arch/mlp=swiglu"),
        *("dim=40", "head_dim=6", "kv_heads=2"),
    ),
    "alibi": ("gpt", "arch/position=alibi"),
    "sinusoidal": ("gpt", "arch/position=sinusoidal", "arch/head=untied"),
    "relative": ("gpt", "arch/position=t5_bias"),
    "post-norm": ("gpt", "post_norm=true", "embed_norm=true"),
    "window": ("gpt", *WINDOWED),
    "window, rotary": ("gpt", *WINDOWED, "arch/position=rope", "kv_heads=1"),
    "window, relative": ("gpt", *WINDOWED, "arch/position=t5_bias"),
    "s6": ("gpt", "arch/mixer=s6"),
    "experts": ("gpt", "arch/mlp=moe"),
    "bert, rotary": ("bert", "arch/position=rope"),
    "bert, relative": ("bert", "arch/position=t5_bias"),
    "bert, window": ("bert", *WINDOWED),
    "bert, window, alibi": ("bert", *WINDOWED, "arch/position=alibi"),
    "bert, s6": ("bert", "arch/mixer=s6_bidirectional"),
    "bert, ssd": ("bert", "arch/mixer=ssd_bidirectional"),
    "t5, narrow heads": ("t5", "head_dim=5", "hidden=50"),
    "t5, rotary": ("t5", "arch/position=rope", "arch/mixer=attention"),
}
# Borders inside the sequences that are checked, 12 tokens long.
SHORT = {
    "mistral": ("mixer.window=4",),
    "modernbert": ("mixers.local.window=4",),
    "hybrid": ("mixers.ssd.chunk=4",),
    "mamba2": ("mixer.chunk=4",),
}
ALL = {name: (name, *SHORT.get(name, ())) for name in ARCHS} | COMPOSED


@cache
def architecture(name):
    arch, *overrides = ALL[name]
    small = ("dim=24", "depth=2", "heads=4", *overrides)
    spelled = [o if o.startswith("arch/") else f"arch.{o}" for o in small]
    return unsized(compose("train", [f"arch={arch}", "size=null", *spelled]))


class TestEveryComposition(Conformance):
    @pytest.fixture(autouse=True, params=ALL)
    def _composition(self, request):
        self.architecture = architecture(request.param)

    def build(self, vocab_size):
        return self.architecture.build(vocab_size)

    def flops_beyond_products(self, T, S):
        return sum(SCANS[type(part)](part, T) for part in self.build(V).modules() if type(part) in SCANS)


class Tally:
    """A number that knows only how often one was added, multiplied or raised."""

    done = 0

    def _operation(self, *_):
        Tally.done += 1
        return self

    __add__ = __mul__ = exp = _operation


def s6_beyond_products(part, T):
    """Between its linear maps, activations aside, as the definition says it, one number at a time."""
    zero = past = bias = weight = delta = A = B = C = D = h = z = Tally()
    Tally.done = 0
    for _ in range(part.inner):
        v, y = bias, zero
        for _ in range(part.taps):
            v = v + weight * past
        drive = delta * v
        for _ in range(part.state):
            h = (delta * A).exp() * h + drive * B
            y = y + C * h
        y = (y + D * v) * z
    return T * Tally.done


def ssd_beyond_products(part, T):
    """The same of SSD, whose readout is a product, and whose states are passed on chunk by chunk.

    Decays inside a chunk count as little as the softmax of attention.
    """
    past = bias = weight = delta = B = D = decay = h = y = z = added = Tally()
    Tally.done = 0
    for _ in range(T * (part.inner + 2 * part.groups * part.state)):
        v = bias
        for _ in range(part.taps):
            v = v + weight * past
    for _ in range(T * part.inner):
        drive = delta * v
        y = (y + D * v) * z
    for _ in range(part.inner * part.state):
        if T == 1:
            h = decay * h + drive * B
        for _ in range(-(-T // part.chunk) if T > 1 else 0):
            h = decay * h + added
    return Tally.done


SCANS = {archs.S6: s6_beyond_products, archs.SSD: ssd_beyond_products}


class Alone(Conformance):
    """The suite on a class, to be called check by check."""

    def __init__(self, cls):
        self.cls = cls

    def build(self, vocab_size):
        return self.cls(vocab_size)


def complaints(alone):
    """Names of the checks that fail, and with what."""
    found = {}
    for name in dir(alone):
        if name.startswith("test_"):
            try:
                getattr(alone, name)()
            except pytest.skip.Exception:
                pass
            except Exception as error:
                found[name.removeprefix("test_")] = error
    return found


@pytest.mark.parametrize("cls", [sample.Running, sample.Everywhere])
def test_an_honest_backbone_passes(cls):
    assert complaints(Alone(cls)) == {}


STEPS = {"steps_are_one_forward", "steps_have_the_gradients_of_one_forward", "rows_go_on_by_themselves"}
PADS = {"pads_change_nothing_wherever_they_stand", "pads_leave_gradients_whole"}
WRONG = {
    wrong.SeesTheNextToken: {"no_token_sees_the_future", *PADS, *STEPS},  # a pad and a step's end hide it
    wrong.ForgetsThePast: {"the_past_is_read", *STEPS},
    wrong.LooksBackOnly: {"both_sides_are_read"},
    wrong.Deaf: {"both_sides_are_read", "every_parameter_gets_a_gradient"},
    wrong.CountsPads: {"pads_change_nothing_wherever_they_stand"},
    wrong.DividesByNothing: {"pads_leave_gradients_whole"},
    wrong.BalancesPads: {"pads_weigh_nothing_in_losses"},
    wrong.ForgetsItsCount: STEPS,
    wrong.DetachesItsState: {"steps_have_the_gradients_of_one_forward"},
    wrong.HoldsItsBatchSecond: {"a_state_follows_its_rows", "a_state_does_not_mix_rows"},
    wrong.CountsForAllRows: {"a_state_does_not_mix_rows", "rows_go_on_by_themselves"},
    wrong.OverwritesItsState: {"a_state_without_room_is_no_silent_error"},
    wrong.UnderstatesItsState: {"state_bytes_as_declared"},
    wrong.HoldsMoreThanItsState: {"state_bytes_as_declared"},
    wrong.UnderstatesItsWork: {"flops_as_counted", "flops_of_going_on"},
    wrong.IgnoresScored: {"flops_as_counted"},
    wrong.HoldsAnIdleMatrix: {"every_parameter_gets_a_gradient"},
    wrong.DecaysItsNorm: {"decay_spares_scales_and_biases"},
    wrong.DecaysItsRates: {"decay_spares_scales_and_biases"},
    wrong.SparesAMatrix: {"decay_spares_scales_and_biases"},
    wrong.StartsTooLarge: {"loss_starts_in_its_band"},
    wrong.HardlySpeaks: {"one_batch_is_learned_by_heart"},
    wrong.HasAWrongGradient: {"gradients_are_those_of_the_function"},
    wrong.RecomputesSomethingElse: {"recomputed_activations_change_nothing"},
    wrong.HeadReadsItsNeighbours: {"the_head_reads_each_position_by_itself"},
    wrong.HidesAWeight: {"weights_come_back_from_a_file"},
    wrong.HidesABuffer: {"the_meta_device_holds_its_shape"},
    wrong.TiesByAnotherName: {"weights_come_back_from_a_file"},
    wrong.SeedsItself: {"a_seed_says_how_weights_start"},
    wrong.StartsItsPartsAnew: {"parts_start_as_they_say"},
    wrong.SharesItsCopies: {"wrapping_changes_nothing"},
    wrong.TakesAnything: {"refuses_bad_tokens", "refuses_a_mismatched_mask"},
    wrong.WritesAnEssay: {"refuses_bad_tokens", "refuses_a_mismatched_mask"},
    wrong.TakesASource: {"refuses_a_source_that_does_not_fit"},
    wrong.TakesAnyState: {"refuses_a_state_that_does_not_fit"},
    wrong.HasNoEnd: {"refuses_bad_tokens"},
    wrong.NamesNoFamily: {"keeps_the_contract"},
    wrong.GivesAPair: {"gives_an_output"},
}


@pytest.mark.parametrize("cls", WRONG)
def test_what_is_wrong_is_found_and_nothing_else(cls):
    found = complaints(Alone(cls))
    assert found.keys() == WRONG[cls], found
    assert all(isinstance(error, AssertionError) for error in found.values()), found


def test_a_cache_on_the_module_is_found():
    with pytest.raises(AssertionError, match="state is passed, not stored"):
        Alone(wrong.RemembersTheLastCall).test_the_same_again()


@pytest.mark.parametrize("name", ["gpt", "window, relative", "bert, window", "t5"])
def test_the_formula_of_attention_is_put_in_place(name, monkeypatch):
    """Another formula in its place is noticed: the check reaches every call."""
    alone = Alone(architecture(name).build)
    alone.test_attention_is_its_formula()
    right = learning.eager
    monkeypatch.setattr(learning, "eager", lambda *args, **kwargs: 1.01 * right(*args, **kwargs))
    with pytest.raises(AssertionError, match="by its formula"):
        alone.test_attention_is_its_formula()


@pytest.mark.parametrize("name", ["gpt", "mamba", "t5"])
def test_single_precision_is_enough(name):
    """For an architecture that is bound to it."""
    alone = Alone(architecture(name).build)
    alone.dtype, alone.tolerance = torch.float32, 1e-4
    found = complaints(alone)
    assert found.keys() <= {"flops_as_counted", "flops_of_going_on"}, found  # a scan, which nobody declared


def test_torchs_own_layers_are_counted():
    T, D, hidden = 12, 24, 40
    layer = nn.TransformerEncoderLayer(D, 4, hidden, batch_first=True).eval()
    expected = 2 * T * (4 * D * D + 2 * D * hidden) + 4 * D * T * T
    assert counted(lambda: layer(torch.zeros(1, T, D))) == expected


def test_a_plugin_needs_one_method(pytester):
    """As in the documentation: tests are collected, and those without a meaning are skipped with a reason."""
    pytester.makepyfile(
        test_mine="""
        from sample_backbones import Everywhere
        from archs.conformance import Conformance

        class TestMine(Conformance):
            def build(self, vocab_size):
                return Everywhere(vocab_size)
        """
    )
    result = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
    assert result.parseoutcomes()["passed"] > 15
    assert "failed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines("*a backbone of family encoder carries no state")


def test_the_library_itself_needs_no_pytest():
    root = Path(archs.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent.name != "conformance":
            assert "pytest" not in path.read_text(), path
            assert "archs.conformance" not in path.read_text(), path
