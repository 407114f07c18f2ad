"""Parts swap cleanly: every pair of architecture and part composes and trains a step, or says why not."""

from pathlib import Path

import pytest
import torch

from harness.building import architecture
from harness.compose import compose

CONF = Path(__file__).parents[2] / "conf" / "arch"
ARCHS = ["bert", "gpt", "mamba", "t5"]
SMALL = ["size=null", "arch.dim=16", "arch.depth=1", "arch.heads=2"]
LOOKS_BACK_ONLY = {"s6"}
INSIDE_MIXERS = {"rope", "alibi", "t5_bias"}  # schemes that only a mixer with positions can use


def options(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def pairs():
    for arch in ARCHS:
        for group in ("mixer", "mlp", "norm", "position", "head"):
            for option in options(group):
                yield arch, group, option


def refused(arch, group, option):
    """Why a pair has no meaning, or None."""
    default = {"mixer": {"mamba": "s6"}, "position": {"t5": "t5_bias"}, "mlp": {"mamba": "none"}}
    chosen = {part: default[part].get(arch, "attention") for part in default} | {group: option}
    if chosen["mixer"] in LOOKS_BACK_ONLY and arch in ("bert", "t5"):
        return "look back" if arch == "bert" else "S6"
    if arch == "t5" and chosen["mixer"] == "none":
        return "none"
    if chosen["position"] in INSIDE_MIXERS and chosen["mixer"] in (*LOOKS_BACK_ONLY, "none"):
        return "position"
    if chosen["mixer"] == chosen["mlp"] == "none":
        return "none"
    return None


@pytest.mark.parametrize(("arch", "group", "option"), list(pairs()))
def test_a_part_swaps_in_and_trains_or_is_refused_in_one_line(arch, group, option):
    config = compose("train", [f"arch={arch}", f"arch/{group}={option}", *SMALL])
    found = architecture(config, 120)
    why = refused(arch, group, option)
    if why is not None:
        with pytest.raises(ValueError, match=why) as error:
            found.build(120)
        assert "\n" not in str(error.value)
        return
    torch.manual_seed(0)
    model = found.build(120)
    tokens = torch.randint(120, (2, 9), generator=torch.Generator().manual_seed(0))
    source = tokens.flip(1) if arch == "t5" else None
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
