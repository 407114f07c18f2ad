"""Where a sweep runs: the device, its precision, and the kernels that are chosen there."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from typing import Any

import torch

from archs import S6, SSD
from archs.kernels.scan import resolve

from ..errors import ConfigError

ATTENTION = "aten::_scaled_dot_product_"  # operators of torch's fused kernels: flash_attention, ...


def choose_device(asked: str) -> str:
    """ "cpu" or "cuda"; auto: CUDA where there is a device. Raises ConfigError where there is none."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        why = "PyTorch finds no device" if torch.version.cuda else "this PyTorch is built without CUDA"
        raise ConfigError(f"device=cuda: {why}; device=cpu, or auto for what there is")
    return asked


def choose_precision(asked: str, device: str) -> str:
    """auto: what the device is made for."""
    return asked if asked != "auto" else "bf16-mixed" if device == "cuda" else "32-true"


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


def limit_memory(device: str, limit: int | None) -> None:
    """Let this process take at most so many bytes: of its own data, or on a GPU of the device's memory."""
    if limit is None:
        return
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / torch.cuda.mem_get_info()[1]))
    elif sys.platform == "linux":  # elsewhere the limit does not count what is mapped
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("allocate memory", "out of memory", "std::bad_alloc")
    )


def kernels(module: torch.nn.Module, device: str, operators: Iterable[str] = ()) -> dict[str, Any]:
    """What computes attention and scans: {attention: [flash_attention_for_cpu], S6: numba}.

    operators: those that ran, as a profile names them; attention is not told before. Raises ValueError for
    a backend that cannot run there.
    """
    found: dict[str, Any] = {}
    fused = sorted(
        name.removeprefix(ATTENTION)
        for name in operators
        if name.startswith(ATTENTION) and not name.endswith("_backward")
    )
    if fused:
        found["attention"] = fused
    for part in module.modules():
        if isinstance(part, S6 | SSD):
            found[type(part).__name__] = resolve(part.backend, torch.device(device), torch.float32)
    return found
