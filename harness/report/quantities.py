"""What a run took, and how numbers are printed: 1.23M, 393 MiB, 61.3 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Quantity(NamedTuple):
    """A number of a record: title and unit as read by people, its place, how it is printed.

    timing: measured by a clock or a memory gauge, so that other runs on the machine disturb it.
    """

    title: str
    unit: str
    path: tuple[str, ...]
    style: str
    timing: bool = False

    @property
    def key(self) -> str:
        return "_".join(self.path)

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def show(self, value: float) -> str:
        return {"count": count, "bytes": size}.get(self.style, self.style.format)(value)


COST = (
    Quantity("learning rate", "", ("lr",), "{:.3g}"),
    Quantity("parameters", "non-embedding", ("parameters", "non_embedding"), "count"),
    Quantity("parameters", "total", ("parameters", "total"), "count"),
    Quantity("parameters", "active", ("parameters", "active"), "count"),
    Quantity("tokens", "", ("tokens",), "count"),
    Quantity("epochs", "", ("epochs",), "{:.2f}"),
    Quantity("training FLOPs", "", ("flops",), "{:.2g}"),
    Quantity("training", "s", ("seconds",), "{:.1f}", timing=True),
    Quantity("speed", "tokens/s", ("tokens_per_second",), "count", timing=True),
    Quantity("waiting for data", "of the time", ("waiting_share",), "{:.1%}", timing=True),
    Quantity("peak memory", "", ("peak_memory",), "bytes"),
    Quantity("state", "", ("state_bytes",), "bytes"),
)


def count(value: float) -> str:
    """1234567 -> "1.23M"."""
    return _scaled(value, 1000, ("", "k", "M", "G", "T"))


def size(value: float) -> str:
    """Bytes in powers of 1024: 1572864 -> "1.50 MiB"."""
    return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    power = 0
    while abs(value) >= base - 0.5 and power < len(units) - 1:
        value, power = value / base, power + 1
    digits = f"{value:.0f}" if power == 0 or value >= 100 else f"{value:#.3g}".rstrip(".")
    return digits + units[power]


def duration(seconds: float) -> str:
    """0.00123 -> "1.23 ms"."""
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:#.3g}".rstrip(".") + " s"
