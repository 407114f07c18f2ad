"""Parts swap cleanly: every pair of architecture and part composes and trains a step, or says why not."""

from pathlib import Path

import pytest
import torch
import yaml

from archs.contract import Family
from harness.building import architecture
from harness.compose import compose

CONF = Path(__file__).parents[2] / "conf" / "arch"
ARCHS = sorted(path.stem for path in CONF.glob("*.yaml"))
SMALL = ["size=null", "arch.dim=16", "arch.depth=2", "arch.heads=2"]
# The others are of the same wirings and parts: all of their pairs only in `make test-all`.
QUICK = {"bert", "gpt", "hybrid", "mamba", "modernbert", "t5"}
PARTS = ("mixer", "mlp", "norm", "position", "head")
RECURRENT = {"s6", "ssd"}  # look back only
BOTH_SIDES = {"s6_bidirectional", "ssd_bidirectional"}
WITHOUT_POSITIONS = RECURRENT | BOTH_SIDES | {"none"}


def defaults(arch):
    """{group as overridden: option}, e.g. {"mixer@arch.mixers.ssd": "ssd", "mlp": "swiglu"}."""
    listed = yaml.safe_load((CONF / f"{arch}.yaml").read_text())["defaults"]
    pairs = (next(iter(entry.items())) for entry in listed if isinstance(entry, dict))
    return {group.replace("@", "@arch."): option for group, option in pairs}


def pairs():
    for arch in ARCHS:
        for group in defaults(arch):
            for path in sorted((CONF / group.split("@")[0]).glob("*.yaml")):
                slow = () if arch in QUICK else pytest.mark.slow
                yield pytest.param(arch, group, path.stem, marks=slow)


def refused(arch, family, group, option):
    """Why a pair has no meaning, or None."""
    chosen = defaults(arch) | {group: option}
    mixers = {value for name, value in chosen.items() if name.startswith("mixer")}
    if mixers & RECURRENT and family is not Family.DECODER:
        return "only look back"
    if mixers & BOTH_SIDES and family is Family.DECODER:
        return "read both sides"
    acts_in_mixers = chosen["position"].startswith("rope") or chosen["position"] in ("alibi", "t5_bias")
    if acts_in_mixers and mixers <= WITHOUT_POSITIONS:
        return "acts inside mixers"
    if mixers & BOTH_SIDES and family is Family.ENCODER_DECODER:
        return "read both sides"
    if mixers == {"none"} and chosen["mlp"] == "none":
        return "both are none"
    return None


@pytest.mark.parametrize("arch", ARCHS)
def test_an_architecture_lists_all_its_parts(arch):
    assert {group.split("@")[0] for group in defaults(arch)} == set(PARTS)


@pytest.mark.parametrize(("arch", "group", "option"), list(pairs()))
def test_a_part_swaps_in_and_trains_or_is_refused_in_one_line(arch, group, option):
    config = compose("train", [f"arch={arch}", f"arch/{group}={option}", *SMALL])
    found = architecture(config, 120)
    why = refused(arch, found.family, group, option)
    if why is not None:
        with pytest.raises(ValueError, match=why) as error:
            found.build(120)
        assert "\n" not in str(error.value)
        return
    torch.manual_seed(0)
    model = found.build(120)
    tokens = torch.randint(120, (2, 9), generator=torch.Generator().manual_seed(0))
    source = tokens.flip(1) if found.family is Family.ENCODER_DECODER else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        logits = model.head(model(tokens, source=source).hidden)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("arch=modernbert", "arch.pattern=[full]"), "must use each of the mixers full, local"),
        (("arch=modernbert", "arch.pattern=[full,lokal]"), "must use each of the mixers"),
        (("arch=modernbert", "arch.depth=1"), "over depth=1 layers"),
    ],
    ids=" ".join,
)
def test_a_pattern_that_does_not_fit_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        architecture(compose("train", [*SMALL, *overrides]), 120).build(120)
