"""A bidirectional mixer is two mixers, of which one reads the sequence backwards."""

import pytest
import torch

from archs import Attention, Bidirectional, Position
from archs.bidirectional import reverse
from archs.context import Context


@pytest.fixture(scope="module", params=["s6", "ssd"])
def encoder(request, build, perturb):
    return perturb(build("bert", f"arch/mixer={request.param}_bidirectional", "depth=1").double())


def tokens(rows, length, seed=0):
    return torch.randint(61, (rows, length), generator=torch.Generator().manual_seed(seed))


def test_both_directions_are_added(encoder):
    mixer = encoder.stack.layers[0]["mixer"].fn
    x = torch.randn(2, 7, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ctx = Context(torch.arange(7)[None], None, Position(24, causal=False), 7)
    expected = mixer.forwards(x, ctx)[0] + mixer.backwards(x.flip(1), ctx)[0].flip(1)
    torch.testing.assert_close(mixer(x, ctx)[0], expected)
    assert mixer.flops(7) == 2 * mixer.forwards.flops(7)


def test_every_token_sees_both_sides(encoder):
    x = tokens(1, 6)
    y = x.clone()
    y[:, 2] = (y[:, 2] + 1) % 61
    assert ((encoder(x).hidden - encoder(y).hidden).abs().amax(-1) > 1e-6).all()


def test_pads_change_nothing(encoder):
    x = tokens(2, 6)
    keep = torch.tensor([[True] * 6, [False, True, True, False, True, False]])
    hidden = encoder(x, keep).hidden
    torch.testing.assert_close(hidden[1:, keep[1]], encoder(x[1:, keep[1]]).hidden)


def test_reverse_turns_the_kept_ones_and_is_its_own_inverse():
    x = torch.arange(5.0).view(1, 5, 1)
    keep = torch.tensor([[True, True, True, False, False]])
    assert reverse(x, keep).flatten().tolist() == [2, 1, 0, 3, 4]
    assert torch.equal(reverse(reverse(x, keep), keep), x)


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ValueError, match="read both sides"):
        build("gpt", "arch/mixer=s6_bidirectional")
    with pytest.raises(ValueError, match="not Attention"):
        Bidirectional(8, lambda dim, causal: Attention(dim, causal, heads=2))
