"""Pathfinder (Linsley et al. 2018, arXiv 1805.08315), an image as a sequence of pixels as in Long Range Arena
(Tay et al. 2020, arXiv 2011.04006); the images are drawn by a generator of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archs.contract import Family

from ..example import Examples
from ..tokenizer import N_SPECIAL
from .dashes import CLEAR, DASH, GAP, UNIT, encircled, inked, paths
from .guessing import uniform
from .kept import KeptTask
from .lengths import named, number, trained

DRAWN = 4096  # images drawn together; many are given up, or find no counterpart (see matched)
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
    one long path, or at one end of each. The classes are equally many for each look of the circles (see
    `looks`), so that little but following a path tells them apart. What is left is not nothing: a small
    network that is given the places of the circles and the first dash at each, and nothing else, names 66% of
    the images right with paths of 9 dashes, and 55% with paths of 14. Accuracies up to there are no sign of
    paths being followed.
    """

    name = "pathfinder"
    version = 2

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
            points, ends, leaves = paths(rng, DRAWN, self.size, dashes)
            joined = rng.integers(0, 2, len(points))
            where = np.arange(len(points))[:, None], *chosen(rng, joined)
            circles = ends[where]
            pick = rng.permutation(matched(joined, looks(circles, leaves[where], self.size)))
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


def chosen(rng: np.random.Generator, joined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of two circles the path and the end of it that each is at, both (N, 2): both ends of one of the first
    two paths where `joined` (N,), else one end of each, in random order."""
    path, end, other = rng.integers(0, 2, (3, len(joined)))
    paths = np.stack([path, np.where(joined, path, 1 - path)], axis=1)
    return paths, np.stack([end, np.where(joined, 1 - end, other)], axis=1)


def looks(circles: np.ndarray, leaves: np.ndarray, size: int) -> np.ndarray:
    """(N,) numbers, equal for images whose circles look alike: in how far they are apart (2 pixels), how far
    the middle between them is from the image's (3 pixels), how far the dash that sets out from each points
    away from the other one (eighths of a half turn), and whether both point to one side of the line between
    them. circles, leaves (N, 2, 2): centres, and these dashes."""
    across = circles[:, ::-1] - circles  # from each to the other
    along = (across * leaves).sum(axis=-1)
    aside = across[..., 0] * leaves[..., 1] - across[..., 1] * leaves[..., 0]
    # A little more, so that no angle that integers have lies on a border, where machines might differ
    away = (np.arctan2(np.abs(aside), along) + 0.01) * 8 // np.pi
    apart = np.sqrt((across[:, 0] ** 2).sum(axis=-1)) // (2 * UNIT)
    outside = np.sqrt(((circles.sum(axis=1) - size * UNIT) ** 2).sum(axis=-1)) // (2 * 3 * UNIT)
    one_side = aside.prod(axis=1) < 0  # seen from each towards the other, left is on different sides
    seen = np.column_stack([np.sort(away, axis=1), one_side, apart, outside])
    return np.unique(seen, axis=0, return_inverse=True)[1].ravel()


def matched(joined: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """Indices of images such that, of each look, as many are joined as not."""
    same = [
        np.flatnonzero((looks == look) & (joined == label)) for look in np.unique(looks) for label in (0, 1)
    ]
    pairs = zip(same[0::2], same[1::2], strict=True)
    return np.concatenate(
        [np.empty(0, dtype=np.int64)]
        + [side[: min(len(yes), len(no))] for no, yes in pairs for side in (no, yes)]
    )
