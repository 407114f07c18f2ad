"""Arguments of the selective scan, and what it makes of them, for the tests beside this file."""

import torch

from archs.kernels import selective_scan


def inputs(batch, T, E, N, seed=0, dtype=torch.float32):
    """x, delta, A, B, C, D, h0, as a freshly started Mamba has them: decays from slow to fast."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    delta = torch.nn.functional.softplus(normal(batch, T, E) - 2)
    A = -(torch.arange(1, N + 1) * (1 + 0.1 * normal(E, N).abs()))
    out = (
        normal(batch, T, E),
        delta,
        A,
        normal(batch, T, N),
        normal(batch, T, N),
        normal(E),
        normal(batch, E, N),
    )
    return [t.to(dtype).requires_grad_() for t in out]


def with_gradients(backend, args, seed=1):
    """y, last h, and the gradient of a random combination of both with respect to every argument."""
    y, h = selective_scan(*args, backend=backend)
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype) for t in (y, h)]
    return [y, h, *torch.autograd.grad([y, h], args, weights)]
