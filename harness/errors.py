"""Bad input is one line on standard error and exit status 2; a bug keeps its traceback."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NoReturn

BAD_INPUT = 2  # exit status


class ConfigError(ValueError):
    """Something the user wrote cannot be run. The message is one line and names the key or file."""


def nearest(wrong: str, valid: Iterable[str]) -> str | None:
    """The valid name that was most likely meant, or None where none is similar."""
    folded: dict[str, str] = {}
    for name in valid:
        folded.setdefault(name.lower(), name)
    found = difflib.get_close_matches(wrong.lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def suggestion(wrong: str, valid: Iterable[str], show: int = 12) -> str:
    """The end of an error line: the nearest valid name and, if they are few, all of them."""
    names = sorted(set(valid))
    near = nearest(wrong, names)
    listed = ", ".join(names[:show]) + (", ..." if len(names) > show else "")
    if near is None:
        return f"choose from: {listed}" if names else "there is none to choose from"
    return f"nearest: {near}" + (f" (of {listed})" if 1 < len(names) <= show else "")


def one_line(error: BaseException) -> str:
    """An exception's message on one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def fail(error: BaseException | str) -> NoReturn:
    """Print the one line and leave with exit status 2."""
    _say(one_line(error) if isinstance(error, BaseException) else error)
    raise SystemExit(BAD_INPUT)


@cache
def note(text: str) -> None:
    """One line on standard error, once per process, about what a command does without."""
    _say(text)


def _say(text: str) -> None:
    program = os.path.basename(sys.argv[0])
    prefix = f"{program}: " if program.startswith("archs-") else ""
    print(f"{prefix}{text}", file=sys.stderr)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Around what comes before the work: what is wrong with the input ends the command in one line.

    ValueError and OSError (a missing file, a folder that cannot be written) are the user's input, as is
    a failed import of something the configuration names; anything else is a bug and passes through.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        fail(error)
