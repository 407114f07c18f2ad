"""Parts: what does not fit is refused in one line, and what each computes is what its paper says."""

import pytest
import torch

from archs import Alibi, RMSNorm, Rotary, T5Bias
from archs.context import Context


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (("gpt", "heads=5"), r"dim=24 .* heads=5"),
        (("gpt", "kv_heads=3"), r"heads=4 .* kv_heads=3"),
        (("gpt", "arch/mixer=none", "arch/mlp=none"), "both are none"),
        (("gpt", "arch/mixer=none", "arch/position=rope"), "Rotary acts inside mixers"),
        (("gpt", "arch/mixer=s6", "arch/position=alibi"), "Alibi acts inside mixers"),
        (("gpt", "arch/position=rope", "head_dim=5"), "even head_dim"),
        (("gpt", "arch/mixer=sliding", "mixer.window=0"), "window=0"),
        (("gpt", "mlp.act=gello"), "act='gello' is not one of"),
        (("gpt", "init=xavier"), "init='xavier' is not one of"),
        (("gpt", "depth=0"), "depth must be at least 1"),
        (("gpt", "dim=0"), "dim=0"),
        (("gpt", "heads=0"), "heads=0"),
        (("gpt", "kv_heads=0"), "kv_heads=0"),
        (("gpt", "head_dim=0"), "head_dim=0"),
        (("gpt", "hidden=0"), "hidden=0"),
        (("gpt", "arch/mlp=swiglu", "hidden=-8"), "hidden=-8"),
        (("gpt", "arch/position=alibi", "position.heads=0"), "Alibi: heads=0"),
        (("t5", "position.buckets=2"), "buckets=2 must be at least 4"),
        (("t5", "position.max_distance=8"), "max_distance=8 above the 8"),
    ],
    ids=" ".join,
)
def test_what_does_not_fit_is_refused(build, name, message):
    with pytest.raises(ValueError, match=message) as refusal:
        build(*name)(torch.zeros(1, 2, dtype=torch.int64))
    assert "\n" not in str(refusal.value)


def ids(*shape):
    return torch.zeros(*shape, dtype=torch.int64)


def test_bad_input_is_named(build):
    gpt, bert, t5 = build("gpt", "position.max_len=8"), build("bert"), build("t5")
    for call, message in [
        (lambda: gpt(ids(2, 0)), r"tokens are torch.int64 \(2, 0\): expected .* both at least 1"),
        (lambda: gpt(ids(0, 2)), r"tokens are torch.int64 \(0, 2\): expected .* both at least 1"),
        (lambda: gpt(ids(2, 3).float()), r"tokens are torch.float32 \(2, 3\): expected torch.int64"),
        (lambda: gpt(ids(3)), r"tokens are torch.int64 \(3,\)"),
        (lambda: gpt(ids(2, 3) + 61), "expected 0 to 60"),
        (lambda: gpt(ids(2, 3) - 1), "expected 0 to 60"),
        (lambda: gpt(ids(2, 9)), "9 tokens are more than the 8"),
        (lambda: gpt.start(1, max_len=9), "max_len=9"),
        (lambda: gpt(ids(2, 3), torch.ones(2, 4, dtype=torch.bool)), r"expected torch.bool \(2, 3\)"),
        (lambda: gpt(ids(2, 3), torch.ones(2, 3)), "expected torch.bool"),
        (lambda: gpt(ids(2, 3), source=ids(2, 3)), "takes no source"),
        (lambda: bert(ids(2, 3), state=gpt.start(2, max_len=4)), "takes no state"),
        (lambda: gpt.step(ids(2, 3), gpt.start(3, max_len=4)), "the state is of 3 rows, tokens of 2"),
        (lambda: gpt.step(ids(2, 3), gpt.start(2, max_len=2)), "room for 2 tokens, not 3"),
        (lambda: t5(ids(2, 3)), "needs source"),
        (lambda: t5(ids(2, 3), source=ids(3, 3)), "source has 3 rows, tokens 2"),
        (lambda: t5(ids(2, 3), source=ids(2, 3), source_keep=ids(2, 3)), "keep mask of source"),
        (lambda: t5.start(3, source=ids(2, 3), max_len=4), "batch=3, but source has 2"),
    ]:
        with pytest.raises(ValueError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_rms_norm_is_torchs():
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    norm = RMSNorm(16, eps=1e-6).double()
    torch.testing.assert_close(norm(x), torch.nn.functional.rms_norm(x, (16,), norm.weight, 1e-6))
    assert norm.bfloat16()(x.bfloat16()).dtype is torch.bfloat16


@pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 3, 16)])
def test_gradients_of_rms_norm_are_torchs(shape):
    """In float64, and in bfloat16 as near the truth as its own chain of operations gets."""
    generator = torch.Generator().manual_seed(0)
    # Numbers that bfloat16 can hold, and an eps as large as their squares: it must not get lost.
    x, dy, scale = (torch.randn(s, generator=generator).bfloat16().double() for s in (shape, shape, 16))
    norm = RMSNorm(16, eps=0.5)

    def gradients(function, dtype):
        x_, weight = x.to(dtype).requires_grad_(), scale.to(dtype).requires_grad_()
        return torch.autograd.grad(function(x_, weight), (x_, weight), dy.to(dtype))

    def ours(x, weight):
        return torch.func.functional_call(norm, {"weight": weight}, (x,))

    def chain(x, weight):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 0.5)).to(x.dtype)

    true = gradients(chain, torch.float64)
    for mine, expected in zip(gradients(ours, torch.float64), true, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)
    rough = zip(gradients(ours, torch.bfloat16), gradients(chain, torch.bfloat16), true, strict=True)
    for mine, other, expected in rough:
        assert (mine - expected).norm() <= 1.2 * (other - expected).norm() + 1e-3 * expected.norm()


@pytest.mark.parametrize(("fraction", "turning"), [(1.0, 12), (0.5, 6), (0.4, 4)])
def test_rotation_multiplies_by_complex_numbers(fraction, turning):
    """Pair (j, j + turning/2) as a number, times e^(i pos theta^(-2j / turning)); the rest stays as it is."""
    rotary = Rotary(dim=12, causal=True, theta=100.0, fraction=fraction)
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(2, 3, 5, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()
    pos = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]])

    y = rotary.rotate(x, Context(pos=pos, keep=None, position=rotary, end=12))
    angles = pos[:, None, :, None] * 100.0 ** (-torch.arange(0, turning, 2, dtype=torch.float64) / turning)
    first, second = x[..., :turning].chunk(2, -1)
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    expected = torch.cat([turned.real, turned.imag, x[..., turning:]], -1)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)  # tables are float32
    mine, other = (torch.autograd.grad(found, x, dy)[0] for found in (y, expected))
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


def test_rotation_knows_distances_only(build):
    """Attention of a model with rotary positions is the same, wherever the sequence begins."""
    model = build("gpt", "arch/position=rope").double()
    x = torch.randint(61, (1, 6), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids(1, 3), x], 1)
    keep = torch.arange(9)[None] >= 3
    torch.testing.assert_close(model(padded, keep).hidden[:, 3:], model(x).hidden)


def test_alibi_slopes_are_the_papers():
    eight = Alibi(8, causal=True, heads=8).slopes
    torch.testing.assert_close(torch.tensor(eight), torch.tensor([2.0**-i for i in range(1, 9)]))
    twelve = Alibi(8, causal=True, heads=12).slopes  # from the authors' released code
    extra = [2 ** (-i / 2) for i in (1, 3, 5, 7)]
    torch.testing.assert_close(torch.tensor(twelve), torch.tensor([2.0**-i for i in range(1, 9)] + extra))
    bias = Alibi(8, causal=True, heads=8).bias(torch.tensor([[4]]), torch.arange(5)[None])
    torch.testing.assert_close(bias[0, :, 0], -torch.tensor(eight)[:, None] * torch.tensor([4.0, 3, 2, 1, 0]))


@pytest.mark.parametrize("scheme", [Alibi, T5Bias])
@pytest.mark.parametrize("causal", [True, False])
def test_a_bias_is_the_same_in_any_order_of_positions(scheme, causal):
    """Positions that follow each other take another way; in value and in gradient."""
    position = scheme(8, causal, heads=4)
    position.reset_parameters()
    generator = torch.Generator().manual_seed(0)
    for q_pos, k_pos in ((torch.arange(7), torch.arange(7)), (torch.arange(5, 12), torch.arange(2, 12))):
        rows, columns = (torch.randperm(len(pos), generator=generator) for pos in (q_pos, k_pos))
        in_order = position.bias(q_pos[None], k_pos[None])
        mixed = position.bias(q_pos[rows][None], k_pos[columns][None])
        torch.testing.assert_close(in_order[:, :, rows][..., columns], mixed, rtol=0, atol=0)
        if scheme is T5Bias:
            weights = torch.randn(in_order.shape, generator=generator)
            mine = torch.autograd.grad((in_order * weights).sum(), position.table.weight)
            same = (mixed * weights[:, :, rows][..., columns]).sum()
            torch.testing.assert_close(mine, torch.autograd.grad(same, position.table.weight))
