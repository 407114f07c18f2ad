"""Parts: what does not fit is refused in one line, and what each computes is what its paper says."""

import pytest
import torch

from archs import Alibi, RMSNorm


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
