"""Parts of a task by a number: lengths or depths that are trained in turn, and longer ones beyond them."""

from __future__ import annotations

from collections.abc import Sequence


def several(key: str, value: int | Sequence[int], least: int, *, even: bool | None = None) -> tuple[int, ...]:
    """A number or several as a tuple, in the order given.

    Raises ValueError, naming task.`key`, for what is no whole number of at least `least`, for numbers given
    twice, and, where `even` is True or False, for odd or even ones.
    """
    numbers = (value,) if isinstance(value, int) else tuple(value)
    kind = {True: "even ", False: "odd ", None: ""}[even]
    for number in numbers:
        fits = isinstance(number, int) and not isinstance(number, bool) and number >= least
        if not fits or (even is not None and (number % 2 == 0) is not even):
            shown = value if isinstance(value, int) else list(value)
            raise ValueError(f"task.{key}={shown} must be {kind}whole numbers of at least {least}")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"task.{key}={list(numbers)} names a number twice")
    return numbers


def trained(key: str, value: int | Sequence[int], least: int, *, even: bool | None = None) -> tuple[int, ...]:
    """As `several`, of which there must be one at least."""
    numbers = several(key, value, least, even=even)
    if not numbers:
        raise ValueError(f"task.{key}=[] must be a number or several")
    return numbers


def further(
    key: str, value: int | Sequence[int], base: str, trained: tuple[int, ...], *, even: bool | None = None
) -> tuple[int, ...]:
    """As `several`, all of them more than each of the numbers trained on, task.`base`."""
    numbers = several(key, value, 1, even=even)
    if numbers and min(numbers) <= max(trained):
        raise ValueError(f"task.{key}={list(numbers)} must be more than task.{base}={max(trained)}")
    return numbers


def named(axis: str, numbers: Sequence[int]) -> list[str]:
    """The names of parts: ["length_64", "length_128"]."""
    return [f"{axis}_{number}" for number in numbers]


def number(part: str) -> int:
    """64 of "length_64"."""
    return int(part.rpartition("_")[2])
