"""Counts as people write them: 5e6, 2M, 200k, 1_000."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12, "P": 10**15}
_COUNT = re.compile(r"\+?(\d[\d_]*\.?\d*(?:[eE]\+?\d{1,3})?)([kKMGBTP]?)")


def parse_count(value: object) -> int:
    """A whole number >= 0 from 2000000, 2e6, "2M" or "200k".

    Units: k, M, G or B, T, P (powers of 1000). Raises ValueError where the value is no whole number.
    """
    text = str(value)
    found = None if isinstance(value, bool) else _COUNT.fullmatch(text.strip())
    if found is not None:
        number = Fraction(found[1].replace("_", "")) * UNITS[found[2]]
        if number.denominator == 1:
            return number.numerator
    raise ValueError(f"{text!r} is not a count: write a whole number such as 2000000, 2e6, 2M or 200k")


def is_count(value: object) -> bool:
    """Whether `parse_count` takes it."""
    try:
        parse_count(value)
    except ValueError:
        return False
    return True


def format_length(length: float) -> str:
    """A length of context as it is called: 16384 is "16k", 1000 stays "1000"."""
    whole = round(length)
    return f"{whole // 1024}k" if whole >= 1024 and whole % 1024 == 0 else str(whole)


def format_count(count: int) -> str:
    """The shortest exact form: 2000000 is "2M", 1500000 "1.5M", 12345 stays "12345"."""
    for unit in "TGMk":
        tenths, rest = divmod(10 * count, UNITS[unit])
        if tenths >= 10 and rest == 0:
            return f"{tenths // 10}{f'.{tenths % 10}' if tenths % 10 else ''}{unit}"
    return str(count)
