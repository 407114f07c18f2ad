"""SSD by mamba_ssm's Triton kernels (Dao & Gu 2024), where that package is installed."""

from __future__ import annotations

from torch import Tensor


def scan(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, h: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor]:
    """As `archs.kernels.ssd.reference`; h may be None. The kernels differentiate both outputs."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    chunk = 1 << max(chunk - 1, 15).bit_length()  # the kernels' blocks: powers of two from 16
    y, last = mamba_chunk_scan_combined(
        x, delta, A, B, C, chunk, D=D, initial_states=h, return_final_states=True
    )
    return y, last
