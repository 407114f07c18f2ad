"""Operations that need more than a few tensor calls, each with a readable definition and faster backends."""

from archs.kernels.convolution import causal_convolution
from archs.kernels.gated_norm import gated_rms_norm
from archs.kernels.scan import BACKENDS, full_precision, selective_scan
from archs.kernels.ssd import ssd

__all__ = ["BACKENDS", "causal_convolution", "full_precision", "gated_rms_norm", "selective_scan", "ssd"]
