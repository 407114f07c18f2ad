"""`size=` is met within 2%, by the sizing that each architecture's YAML declares, whatever parts it has."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archs import closest, parameter_counts, solve
from harness.building import architecture
from harness.compose import compose

CONF = Path(__file__).parents[2] / "conf" / "arch"
ARCHS = sorted(path.stem for path in CONF.glob("*.yaml"))
MIXERS = sorted(path.stem for path in (CONF / "mixer").glob("*.yaml"))
HYBRIDS = ("hybrid", "modernbert")
DECODERS = ("gpt", "llama", "mistral", "mixtral", "mamba", "mamba2")
# Widths as solved before heads grew with them: what stands in the identities of finished runs.
KNOWN = {
    ("gpt", "200k"): {"dim": 64, "depth": 4, "hidden": 256},
    ("gpt", "250k"): {"dim": 64, "depth": 4, "hidden": 353},
    ("bert", "250k"): {"dim": 64, "depth": 4, "hidden": 340},
    ("t5", "250k"): {"dim": 64, "depth": 2, "hidden": 295},
    ("mamba", "200k"): {"dim": 64, "depth": 6, "inner": 130},
    ("mamba2", "1M"): {"dim": 128, "depth": 8, "inner": 232},
    ("hybrid", "1M"): {"dim": 112, "depth": 5, "hidden": 317},
    ("gpt", "10M"): {"dim": 320, "depth": 8, "hidden": 1306},
    ("llama", "10M"): {"dim": 336, "depth": 8, "hidden": 903},
}


def sized(*overrides):
    """(the architecture at its size, its outline on the meta device)."""
    found = architecture(compose("train", list(overrides)), 2048)
    return found, found.build(2048, "meta")


def heads_of(model):
    """Widths of the heads of all parts that have some."""
    return {part.head_dim for part in model.modules() if hasattr(part, "head_dim")}


def check(found, outline, target):
    reached = parameter_counts(outline)["non_embedding"]
    assert abs(reached - target) <= 0.02 * target
    sizing = found.node["sizing"]
    width, fine = found.solved["dim"], found.solved.get(sizing["fine"])
    assert fine is None or width / 2 <= fine <= 9 * width  # still the shape of its kind
    assert max(heads_of(outline), default=0) <= 96


@pytest.mark.parametrize(("arch", "size"), KNOWN, ids=lambda value: value)
def test_sizes_of_finished_runs_are_solved_as_they_were(arch, size):
    assert sized(f"arch={arch}", f"size={size}")[0].solved == KNOWN[arch, size]


def cases():
    """Every architecture with every mixer, the quick ones at the smallest size."""
    for arch, mixer, size in itertools.product(ARCHS, [None, *MIXERS], ["200k", "1M", "10M"]):
        quick = size == "200k" and (mixer is None or (arch in ("mamba", "gpt") and "ssd" in mixer))
        yield pytest.param(arch, mixer, size, marks=() if quick else pytest.mark.slow)


def illegal(arch, mixer):
    """Why a pair has no meaning (all of this: tests/conf/test_swaps.py), or None."""
    if arch in HYBRIDS:
        return "gives its mixers names"
    if mixer.endswith("bidirectional"):
        return None if arch == "bert" else "only in an encoder"
    if mixer in ("s6", "ssd"):
        return None if arch in DECODERS else "only look back"
    return "both are none" if mixer == "none" and arch.startswith("mamba") else None


@pytest.mark.parametrize(("arch", "mixer", "size"), list(cases()))
def test_every_legal_swap_is_solved(arch, mixer, size):
    overrides = [f"arch={arch}", f"size={size}"]
    if mixer is not None:
        overrides += [f"arch/mixer={mixer}", "arch/position=learned"]
    if mixer is not None and (reason := illegal(arch, mixer)):
        with pytest.raises(ValueError, match=reason) as error:
            sized(*overrides)
        assert "\n" not in str(error.value)
        return
    found, outline = sized(*overrides)
    check(found, outline, {"200k": 200_000, "1M": 1_000_000, "10M": 10_000_000}[size])


@pytest.mark.parametrize("heads", [1, 3, 12])
def test_any_number_of_heads_divides_the_widths(heads):
    for arch, parts in (("llama", ["arch.kv_heads=1"]), ("mamba", ["arch/mixer=ssd"])):
        found, outline = sized(f"arch={arch}", f"arch.heads={heads}", *parts, "size=200k")
        assert abs(parameter_counts(outline)["non_embedding"] / 200_000 - 1) <= 0.02
        assert found.node["heads"] % heads == 0


def test_heads_grow_with_the_width_unless_their_width_is_written_down():
    found, outline = sized("arch=mamba2", "size=10M")
    assert found.solved["heads"] == 8
    assert heads_of(outline) == {74}
    for written in ("arch.sizing.heads=null", "arch.head_dim=128"):
        arch = "mamba2" if "sizing" in written else "gpt"
        found, outline = sized(f"arch={arch}", "size=10M", written)
        assert "heads" not in found.solved
        assert max(heads_of(outline)) >= 128


class Net(nn.Module):
    """dim^2 parameters a layer and dim x inner more; heads must divide both."""

    def __init__(self, dim, depth, inner=0, heads=1):
        super().__init__()
        if dim % heads or inner % heads:
            raise ValueError(f"heads={heads} must divide dim={dim} and inner={inner}")
        self.weights = nn.ParameterList([torch.empty(dim * (dim + inner)) for _ in range(depth)])


@settings(max_examples=50)
@given(target=st.integers(200_000, 10_000_000), heads=st.integers(1, 12), depth=st.integers(1, 12))
def test_the_fine_knob_lands_within_the_tolerance(target, heads, depth):
    def factory(**keys):
        return Net(heads=heads, **keys)

    rule = {"width": "dim", "multiple": 8, "fine": "inner", "depth": {1000: depth}}
    keys = solve(factory, target, **rule)
    assert abs(parameter_counts(factory(**keys))["non_embedding"] - target) <= 0.02 * target


def test_a_knob_without_effect_leaves_the_width_in_finer_steps_or_another_depth():
    rule = {"width": "dim", "multiple": 16, "fine": None, "depth": {1000: 6}}
    assert solve(Net, 200_000, **rule) in ({"dim": 184, "depth": 6}, {"dim": 182, "depth": 6})
    with pytest.raises(ValueError, match="fine_multiple=0"):
        solve(Net, 200_000, **rule | {"fine_multiple": 0})


def test_what_cannot_be_reached_names_the_nearest():
    rule = {"width": "dim", "multiple": 16, "fine": None, "depth": {1000: 1}}
    nearest = "size=10 cannot be reached within 2%: the nearest is 9 "
    with pytest.raises(ValueError, match=nearest) as refusal:
        solve(Net, 10, **rule | {"multiple": 4})
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="size=0"):
        solve(Net, 0, **rule)


def test_another_measure_is_met_as_parameters_are():
    rule = {"width": "dim", "multiple": 8, "fine": "inner", "depth": {1000: 2, 1_000_000: 7}}

    def cost(model):
        return 3.0 * sum(p.numel() for p in model.parameters())

    keys = solve(Net, 600_000.0, cost, 1000, **rule)
    assert keys["depth"] == 2  # of the size, not of what is measured
    assert abs(cost(Net(**keys)) / 600_000 - 1) <= 0.02


@given(st.integers(1, 3000), st.floats(0.5, 20), st.floats(0, 500), st.integers(1, 100_000))
def test_the_closest_value_is_found_in_few_measurements(limit, slope, offset, target):
    measured = []

    def measure(value):
        measured.append(value)
        if value > limit:
            raise ValueError("too large")
        return offset + slope * value

    found = closest(range(1, 4097), measure, target)
    best = min(range(1, limit + 1), key=lambda value: abs(offset + slope * value - target))
    miss = abs(offset + slope * found - target)
    assert miss <= max(abs(offset + slope * best - target) + 1e-6, 0.005 * target)
    assert len(measured) <= 40


def test_where_no_value_is_taken_its_refusal_is_raised():
    with pytest.raises(ValueError, match="never"):
        closest([1, 2, 3], lambda value: (_ for _ in ()).throw(ValueError("never")), 5.0)
