"""Mamba-2's gated norm: its definition against torch, and compiled against it."""

import pytest
import torch

from archs.kernels import gated_rms_norm


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("rows", [1, 64, 150])
def test_the_compiled_gated_norm_equals_its_definition(groups, rows):
    torch.manual_seed(0)
    y, z, weight = (
        t.requires_grad_() for t in (torch.randn(2, rows, 96), 3 * torch.randn(2, rows, 96), torch.randn(96))
    )
    wide = [t.detach().double().requires_grad_() for t in (y, z, weight)]
    gate = wide[0] * torch.nn.functional.silu(wide[1])
    expected = (
        torch.cat(
            [torch.nn.functional.rms_norm(v, v.shape[-1:], eps=1e-2) for v in gate.chunk(groups, -1)], -1
        )
        * wide[2]
    )
    weights = torch.randn_like(expected)
    wanted = [expected, *torch.autograd.grad(expected, wide, weights)]
    for backend in ("torch", "numba"):
        out = gated_rms_norm(y, z, weight, groups, 1e-2, backend)
        found = [out, *torch.autograd.grad(out, (y, z, weight), weights.float())]
        for a, b in zip(found, wanted, strict=True):
            assert (a - b).abs().max() <= 2e-6 * b.abs().max()
    assert torch.allclose(gated_rms_norm(*wide, groups, 1e-2), expected)


def test_threads_share_the_rows_of_the_gated_norm():
    """Enough numbers for two threads, and an odd number of slices of rows."""
    torch.manual_seed(0)
    y, z, weight = torch.randn(5, 700, 96), torch.randn(5, 700, 96), torch.randn(96)
    weights, before, found = torch.randn(5, 700, 96), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (y, z, weight)]
            out = gated_rms_norm(*leaves, groups=2, eps=1e-5, backend="numba")
            found.append([out, *torch.autograd.grad(out, leaves, weights)])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-4)


def test_the_gated_norm_refuses_what_does_not_fit():
    y = torch.randn(2, 6)
    with pytest.raises(ValueError, match="groups=4"):
        gated_rms_norm(y, y, torch.ones(6), 4)
    with pytest.raises(ValueError, match="z has shape"):
        gated_rms_norm(y, y[:1], torch.ones(6))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_gated_norm_keeps_what_is_not_finite(value):
    y = torch.randn(3, 2000)
    y[1, 0] = value
    out = gated_rms_norm(y, torch.ones_like(y), torch.ones(2000), backend="numba")
    assert [bool(row.isfinite().all()) for row in out] == [True, False, True]
