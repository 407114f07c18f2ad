"""Points of length sweeps as archs-bench leaves them, checked before anything is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MODES = ("tokens", "single")  # a fixed number of tokens per batch; one sequence
STATUSES = {
    "ok": "ok",
    "out-of-memory": "out of memory",
    "over-time": "over time",
    "failed": "failed",
    "skipped": "skipped",
    "beyond-positions": "beyond its positions",
}  # as people read them
NEEDED = {"arch": str, "family": str, "length": int, "mode": str, "batch": int, "setting": str, "status": str}


class NoPoint(ValueError):
    """A file that is no point, in one line."""


@dataclass(frozen=True)
class Point:
    """What one architecture took at one length.

    side    "source" or "target": where an encoder-decoder's length is, the other side being `other` tokens
    precision  as "32-true"; "" where the point does not say. biased: whether positions add to scores
    model   digest of what makes points one curve: another under the same name was built or run otherwise
    seconds  of one call, by work: train_step, forward, prefill, decode
    spread  their quartiles; repeats: how many calls they are of
    ended   {work: status} of the kinds of work that were not timed
    memory  bytes above the baseline at the peak of that work: the allocator's or the system's count
    drift   of the machine's speed while it was measured, relative to its sweep
    copied  whether all of it is of the point with the same batch in mode tokens
    measured   when: seconds since 1970; without bounds below for what does not say
    """

    arch: str
    base: str
    family: str
    side: str | None
    other: int | None
    length: int
    mode: str
    batch: int
    setting: str
    precision: str
    biased: bool
    model: str
    status: str
    error: str | None
    ended: Mapping[str, str]
    seconds: Mapping[str, float]
    spread: Mapping[str, tuple[float, float]]
    repeats: Mapping[str, int]
    memory: Mapping[str, Mapping[str, float]]
    memory_method: str
    state_bytes: int | None
    flops: Mapping[str, float]
    peak_share: Mapping[str, float]
    drift: float
    copied: bool
    environment: Mapping[str, Any]
    measured: float

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def became(self, work: str) -> str:
        """The status of that work."""
        return self.ended.get(work, self.status)

    @property
    def curve(self) -> str:
        """ "t5 (source)": what its line is called."""
        return f"{self.arch} ({self.side})" if self.side else self.arch

    @property
    def tokens(self) -> int:
        """Of all sequences of a batch, along the length."""
        return self.batch * self.length


def read_point(content: Any) -> Point:
    """The point that a file holds. Raises NoPoint for one of an older form, or a damaged one."""
    if not isinstance(content, Mapping):
        raise NoPoint("not a point of a length sweep")
    if missing := [key for key in NEEDED if key not in content]:
        raise NoPoint(f"a point without {', '.join(missing)}; archs-bench measures it again")
    for key, kind in NEEDED.items():
        if not isinstance(content[key], kind) or isinstance(content[key], bool):
            raise NoPoint(f"a point whose {key} is {content[key]!r}")
    for key, allowed in (("mode", MODES), ("status", tuple(STATUSES))):
        if content[key] not in allowed:
            raise NoPoint(f"a point whose {key} is {content[key]}, none of {', '.join(allowed)}")
    if content["length"] < 1 or content["batch"] < 1:
        raise NoPoint(f"a point of length {content['length']} and batch {content['batch']}")
    seconds = _numbers(content.get("seconds"))
    if content["status"] == "ok" and not seconds:
        raise NoPoint("a point that is ok and has no seconds")
    return Point(
        **{key: content[key] for key in NEEDED},
        base=str(content.get("base") or content["arch"]),
        side=_word(content.get("side")),
        other=_whole(content.get("other_length")),
        precision=_word(content.get("precision")) or "",
        biased=content.get("biased") is True,
        model=_word(content.get("model")) or "",
        error=_word(content.get("error")),
        ended={work: status for work, status in _tree(content.get("ended")) if status in STATUSES},
        seconds=seconds,
        spread={key: (pair[0], pair[1]) for key, pair in _tree(content.get("quartiles")) if _is_pair(pair)},
        repeats={key: int(value) for key, value in _numbers(content.get("repeats")).items()},
        memory={key: _numbers(kinds) for key, kinds in _tree(content.get("memory"))},
        memory_method=str(content.get("memory_method") or ""),
        state_bytes=_whole(content.get("state_bytes")),
        flops=_numbers(content.get("flops")),
        peak_share=_numbers(content.get("peak_share")),
        drift=_share(content.get("drift")),
        copied=content.get("copied") is True,
        environment=dict(_tree(content.get("environment"))),
        measured=_time(content.get("measured")),
    )


def _share(value: Any) -> float:
    """How large a number is, whatever its sign; 0 for what is none."""
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return abs(float(value)) if real else 0.0


def _time(value: Any) -> float:
    """Of an ISO time, in UTC where it names no zone; before all others where there is none."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return -math.inf
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _tree(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _numbers(value: Any) -> dict[str, float]:
    """The positive numbers of a mapping."""
    return {
        key: float(number)
        for key, number in _tree(value)
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < math.inf
    }


def _is_pair(value: Any) -> bool:
    numbers = isinstance(value, Sequence) and len(value) == 2
    return numbers and all(isinstance(each, int | float) for each in value)
