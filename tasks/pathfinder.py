"""Pathfinder (Linsley et al. 2018, arXiv 1805.08315), an image as a sequence of pixels as in Long Range Arena
(Tay et al. 2020, arXiv 2011.04006); the images are drawn by a generator of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archs.contract import Family

from .dashes import CLEAR, DASH, GAP, UNIT, encircled, inked, paths
from .example import Examples
from .guessing import uniform
from .kept import KeptTask
from .lengths import named, number, trained
from .tokenizer import N_SPECIAL

DRAWN = 1024  # images drawn together; many are given up
PATIENCE = 8  # such draws in a row without an image before there are none to be had
FULL = 5 * UNIT**2 // 4  # ink of a pixel that is white


class Pathfinder(KeptTask):
    """Two circles and dashed paths: does one path join the circles?

        . . . . . . . . . . .          . . . . . . . . . . .
        . O - - - . . . . . .          . O - - - . . . - - .
        . . . . . . - - . . .          . . . . . . - . . . .
        . - - . . . . . - O .          . . - - - . . . - - .
        . . . . - - - . . . .          . O . . . . - - . . .
        joined                         not joined

        source  size^2 grey levels, row by row, 0 is black
        target  one of two labels, joined or not                    follows the source

    In both classes an image holds two long paths of `path_length` dashes and `distractors` paths of a third
    of that, which keep farther from each other than the dashes of one path do. Circles stand at both ends of
    one long path, or at one end of each. The classes are equally many at every distance between the
    circles, so that nothing but following a path tells them apart.
    """

    name = "pathfinder"
    version = 1

    def __init__(
        self,
        *,
        family: Family,
        cache_dir: str | Path,
        start: int | None = None,
        size: int = 32,
        path_length: int | Sequence[int] = 9,
        distractors: int = 3,
        levels: int = 8,
        train_examples: int | None = None,
        validation_examples: int = 1000,
        test_examples: int = 1000,
        quick_examples: int = 256,
    ) -> None:
        """path_length: one, or several that are trained on in turn. levels: of grey. train_examples: how many
        of each length make an epoch; None for an endless supply."""
        lengths = trained("path_length", path_length, 3)
        if size < 32:
            raise ValueError(f"task.size={size} must be at least 32 pixels")
        if distractors < 0:
            raise ValueError(f"task.distractors={distractors} must be 0 or more")
        longest = max(lengths)
        if sum(numbers(longest, distractors)) * (GAP + DASH) * CLEAR > size**2:  # what they keep clear
            raise ValueError(
                f"task.path_length={longest} with task.distractors={distractors} does not fit "
                f"task.size={size}"
            )
        if not 2 <= levels <= 256:
            raise ValueError(f"task.levels={levels} must be from 2 to 256")
        self.size, self.distractors, self.levels = size, distractors, levels
        super().__init__(
            cache_dir=cache_dir,
            family=family,
            start=start,
            parameters={"size": size, "distractors": distractors, "levels": levels},
            alphabet=levels + 2,
            source_len=size * size,
            answer_len=1,
            in_place=False,
            slices=named("path_length", lengths),
            labels=N_SPECIAL + levels + np.arange(2),
            train_examples=train_examples,
            validation_examples=validation_examples,
            test_examples=test_examples,
            quick_examples=quick_examples,
        )

    def draw(self, part: str, rng: np.random.Generator, count: int) -> Examples:
        length = number(part)
        dashes = numbers(length, self.distractors)
        found: list[Examples] = []
        idle = 0
        while sum(map(len, found)) < count:
            points, ends = paths(rng, DRAWN, self.size, dashes)
            joined = rng.integers(0, 2, len(ends))
            circles = chosen(rng, ends, joined)
            pick = rng.permutation(matched(joined, circles))
            if len(pick):
                found.append(self.pictures(points[pick], circles[pick], joined[pick]))
            idle = 0 if len(pick) else idle + 1
            if idle == PATIENCE:
                raise ValueError(
                    f"task.path_length={length} with task.distractors={self.distractors} does not fit "
                    f"task.size={self.size}: none of {PATIENCE * DRAWN} images came out"
                )
        return Examples.concat(found).take(slice(count))

    def pictures(self, points: np.ndarray, circles: np.ndarray, joined: np.ndarray) -> Examples:
        """Ink on points (N, P, 2) and circles around (N, 2, 2), as grey levels."""
        white = self.levels - 1
        grey = np.minimum(inked(points, self.size) * white // FULL, white)
        grey[encircled(circles, self.size)] = white
        target = N_SPECIAL + self.levels + joined[:, None]
        return Examples(grey.reshape(len(grey), -1) + N_SPECIAL, target)

    def train_tokens(self) -> int | None:
        """All examples are of one length, so that none has to be drawn for this."""
        count = None if self.train_examples is None else sum(self.train_examples.values())
        return None if count is None else count * (self.size**2 + 1)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: either."""
        return {"chance": uniform(self.examples(split), 2)}


def numbers(path_length: int, distractors: int) -> list[int]:
    """Of dashes, of each path of an image; the first two are the long ones."""
    return [path_length, path_length, *[path_length // 3] * distractors]


def chosen(rng: np.random.Generator, ends: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """(N, 2, 2) centres of two circles: both ends of one of the first two paths where `joined` (N,), else one
    end of each. ends (N, paths, 2, 2)."""
    images = np.arange(len(ends))
    first, second = rng.integers(0, 2, (2, len(ends)))
    one = ends[images, np.where(joined, first, 0), np.where(joined, 0, second)]
    other = ends[images, np.where(joined, first, 1), np.where(joined, 1, first)]
    return np.stack([one, other], axis=1)


def matched(joined: np.ndarray, circles: np.ndarray) -> np.ndarray:
    """Indices of images such that, of each distance between the circles (in whole pixels), as many are joined
    as not."""
    away = np.sqrt(((circles[:, 0] - circles[:, 1]) ** 2).sum(axis=1)) // UNIT
    same = [np.flatnonzero((away == far) & (joined == label)) for far in np.unique(away) for label in (0, 1)]
    pairs = zip(same[0::2], same[1::2], strict=True)
    return np.concatenate(
        [np.empty(0, dtype=np.int64)]
        + [side[: min(len(yes), len(no))] for no, yes in pairs for side in (no, yes)]
    )
