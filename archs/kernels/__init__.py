"""Operations that need more than a few tensor calls, each with a readable definition and faster backends."""

from archs.kernels.convolution import causal_convolution
from archs.kernels.scan import BACKENDS, full_precision, selective_scan

__all__ = ["BACKENDS", "causal_convolution", "full_precision", "selective_scan"]
