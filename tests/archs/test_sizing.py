"""`size=` is met within 2%, by the sizing that each architecture's YAML declares."""

import inspect

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from archs import parameter_counts, solve

SUFFIX = {"k": 1_000, "M": 1_000_000}


@pytest.fixture
def sized(request):
    """sized("gpt", "arch/mlp=swiglu") -> (factory, sizing) from the YAML, as the harness would make them."""
    conf = request.path.parents[2] / "conf"

    def _sized(name, *overrides):
        with initialize_config_dir(str(conf), version_base="1.3"):
            node = compose(overrides=[f"+arch={name}", *overrides])

        def factory(**keys):
            chosen = OmegaConf.merge(node, {"arch": keys})
            OmegaConf.resolve(chosen)
            cls = get_class(chosen.arch._target_)
            accepted = inspect.signature(cls).parameters
            parts = {k: v for k, v in chosen.arch.items() if k in accepted}
            return cls(
                vocab_size=2048,
                **{k: instantiate(v) if OmegaConf.is_config(v) else v for k, v in parts.items()},
            )

        sizing = OmegaConf.to_container(node.arch.sizing, resolve=True)
        depth = {int(size[:-1]) * SUFFIX[size[-1]]: layers for size, layers in sizing.pop("depth").items()}
        return factory, {**sizing, "depth": depth}

    return _sized


@pytest.mark.parametrize("target", [200_000, 250_000, 500_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize(
    "name",
    [
        ("gpt",),
        ("bert",),
        ("t5",),
        ("mamba",),
        ("mamba2",),
        ("gpt", "arch/mlp=swiglu", "arch/position=rope", "arch/norm=rms"),
        ("gpt", "arch/mixer=s6"),
    ],
    ids=" ".join,
)
def test_sizes_are_met(sized, name, target):
    factory, sizing = sized(*name)
    keys = solve(factory, target, **sizing)
    with torch.device("meta"):
        reached = parameter_counts(factory(**keys))["non_embedding"]
    assert abs(reached - target) <= 0.02 * target
    assert keys["dim"] % 16 == 0
    assert keys[sizing["fine"]] % sizing.get("fine_multiple", 1) == 0
    assert keys["dim"] / 2 <= keys[sizing["fine"]] <= 8 * keys["dim"]  # still the shape of its kind


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_the_fine_knob_stays_a_multiple(sized, heads):
    factory, sizing = sized("mamba2", f"arch.heads={heads}")
    assert sizing["fine_multiple"] == heads
    assert solve(factory, 1_000_000, **sizing)["inner"] % heads == 0
    with pytest.raises(ValueError, match="fine_multiple=0"):
        solve(factory, 1_000_000, **sizing | {"fine_multiple": 0})


def test_a_knob_without_effect_leaves_the_width(sized):
    factory, sizing = sized("gpt", "arch/mlp=none")
    keys = solve(factory, 1_000_000, **sizing | {"multiple": 4})
    assert set(keys) == {"dim", "depth"}


def test_what_cannot_be_reached_names_the_nearest(sized):
    factory, sizing = sized("gpt", "arch/mlp=none")
    with pytest.raises(ValueError, match=r"nearest is \d") as refusal:
        solve(factory, 1_000_000, **sizing | {"multiple": 64})
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="size=10"):
        solve(factory, 10, **sizing)
    with pytest.raises(ValueError, match="size=0"):
        solve(factory, 0, **sizing)
