"""Dashed paths that keep clear of one another and of themselves, drawn on many images at once.

All arithmetic is on integers (points in units of 1/1024 pixel, headings in 64ths of a turn), so that the same
random numbers give the same images on every machine. A point is (row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UNIT = 1024  # of a pixel
HEADINGS = 64
TURN = 14  # a dash turns by at most this many headings (79 degrees), so that a path soon forgets its heading
ATTEMPTS = 6  # at a path, before its image is given up
TRIES = 8  # next dashes that are tried at once; one with room ahead is taken
GAP, DASH = 1.5, 1.5  # pixels
POINTS = 4  # of a dash, from its first to its last
ENDS = POINTS - 1  # the step from its first to its last, which is all that needs to be kept clear of
AHEAD = 3  # points beyond it, a gap from one to the next, at which there had better be room
CLEAR = 2.9  # pixels that paths keep between each other: more than a gap, so that no gap is ambiguous
MARGIN = 2  # pixels from the edge that no path enters, room for a circle at its end
RADIUS = 1.6  # pixels, of a circle

PAD = 8  # pixels around the image, so that nothing near it falls off the mask of what is taken
_angle = 2 * np.pi * np.arange(HEADINGS) / HEADINGS
_along = np.append(np.linspace(GAP, GAP + DASH, POINTS), GAP + DASH + GAP * np.arange(1, AHEAD + 1))
# (HEADINGS, POINTS + AHEAD, 2): a dash in each direction, seen from the end of the dash before
DASHES = np.rint(UNIT * _along[:, None] * np.stack([np.sin(_angle), np.cos(_angle)], axis=1)[:, None]).astype(
    np.int64
)
REACH = 3  # pixels, more than CLEAR and RADIUS
_side = np.arange(-REACH, REACH + 1)
AROUND = np.stack(np.meshgrid(_side, _side, indexing="ij"), axis=-1).reshape(-1, 2)  # pixels that may be near
NEAR = AROUND[(AROUND**2).sum(axis=1) <= CLEAR**2]


class Paths(NamedTuple):
    """points (N, P, 2): where ink falls. ends (N, paths, 2, 2): of each path its first and its last point;
    leaves (N, paths, 2, 2): the dash that sets out from there, as a vector."""

    points: np.ndarray
    ends: np.ndarray
    leaves: np.ndarray


def paths(rng: np.random.Generator, count: int, size: int, dashes: Sequence[int]) -> Paths:
    """Images of size x size pixels with one path of each of these numbers of dashes.

    As many of `count` as come out: an image in which a path finds no way on is given up.
    """
    side = size + 2 * PAD
    taken = np.ones((count, side, side), dtype=bool)
    taken[:, PAD + MARGIN : -PAD - MARGIN, PAD + MARGIN : -PAD - MARGIN] = False
    points = np.empty((count, 0, 2), dtype=np.int64)
    ends = np.empty((count, 0, 2, 2, 2), dtype=np.int64)  # each with the other end of its dash
    for number in dashes:
        path, found = placed(rng, taken, size, number)
        both = path[:, None, [[0, ENDS], [-1, -1 - ENDS]]]
        points = np.concatenate([points, path], axis=1)[found]
        ends = np.concatenate([ends, both], axis=1)[found]
        taken = taken[found]
    return Paths(points, ends[:, :, :, 0], ends[:, :, :, 1] - ends[:, :, :, 0])


def placed(
    rng: np.random.Generator, taken: np.ndarray, size: int, dashes: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `walk`, trying again where a path finds no way on; what is taken there stays as it was."""
    path = np.zeros((len(taken), dashes * POINTS, 2), dtype=np.int64)
    left = np.arange(len(taken))
    for _ in range(ATTEMPTS):
        after = taken[left]
        walked, found = walk(rng, after, size, dashes)
        path[left[found]], taken[left[found]] = walked[found], after[found]
        left = left[~found]
    return path, ~np.isin(np.arange(len(taken)), left)


def walk(
    rng: np.random.Generator, taken: np.ndarray, size: int, dashes: int
) -> tuple[np.ndarray, np.ndarray]:
    """One path of `dashes` in each image: its points (N, dashes x POINTS, 2), and whether it was found (N,).

    taken (N, side, side) bool: pixels that are no place for it; what it takes is added.
    """
    count, rows = len(taken), np.arange(len(taken))
    found = np.ones(count, dtype=bool)
    path = np.empty((count, dashes, POINTS, 2), dtype=np.int64)
    place = rng.integers(MARGIN * UNIT, (size - MARGIN) * UNIT, (count, TRIES, 2))
    heading = rng.integers(0, HEADINGS, (count, TRIES))
    for i in range(dashes):
        if i:
            heading = heading + rng.integers(-TURN, TURN + 1, (count, TRIES))
        tried = place[:, :, None] + DASHES[heading % HEADINGS]  # (N, TRIES, POINTS + AHEAD, 2)
        blocked = look(taken, tried)
        room = np.where(blocked.any(axis=2), blocked.argmax(axis=2), POINTS + AHEAD)  # points before it
        choice = room.argmax(axis=1)
        found &= room[rows, choice] >= POINTS
        path[:, i] = tried[rows, choice, :POINTS]
        place, heading = path[:, i, None, -1], heading[rows, choice][:, None]
        if i:  # one dash late, since the next one begins beside the latest
            take(taken, path[:, i - 1, ::ENDS])
    take(taken, path[:, -1, ::ENDS])
    return path.reshape(count, dashes * POINTS, 2), found


def look(taken: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, ...) whether the pixels under points (N, ..., 2) are taken."""
    return taken.reshape(-1)[under(taken, points)]


def take(taken: np.ndarray, points: np.ndarray) -> None:
    """Mark the pixels under and near points (N, P, 2)."""
    near = NEAR @ [taken.shape[2], 1]
    taken.reshape(-1)[under(taken, points)[..., None] + near] = True


def under(taken: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, ...) where in `taken`, seen as one row, the pixels under points (N, ..., 2) are; far off the image
    is as at its edge."""
    count, side, _ = taken.shape
    row, column = np.moveaxis(np.clip(points // UNIT + PAD, REACH, side - 1 - REACH), -1, 0)
    first = side * side * np.arange(count).reshape(-1, *[1] * (points.ndim - 2))
    return first + side * row + column


def inked(points: np.ndarray, size: int) -> np.ndarray:
    """(N, size, size) ink, of which each of points (N, P, 2) gives UNIT^2, shared by the four pixels around
    it according to how near their centres are."""
    corner, part = np.divmod(points - UNIT // 2, UNIT)
    ink = np.zeros(len(points) * size * size)
    images = np.arange(len(points))[:, None] * size * size
    for down in (0, 1):
        for right in (0, 1):
            share = np.where([down, right], part, UNIT - part).prod(axis=-1)
            pixel = images + (corner[..., 0] + down) * size + corner[..., 1] + right
            ink += np.bincount(pixel.ravel(), share.ravel(), len(ink))  # whole numbers, hence exact
    return ink.reshape(-1, size, size).astype(np.int64)


def encircled(centres: np.ndarray, size: int) -> np.ndarray:
    """(N, size, size) bool, pixels whose centre is within RADIUS of one of the points `centres` (N, C, 2)."""
    out = np.zeros((len(centres), size, size), dtype=bool)
    pixels = (centres // UNIT)[:, :, None] + AROUND  # (N, C, 49, 2)
    away = pixels * UNIT + UNIT // 2 - centres[:, :, None]
    inside = (away**2).sum(axis=-1) <= (RADIUS * UNIT) ** 2
    image, circle, which = np.nonzero(inside)
    row, column = pixels[image, circle, which].T
    out[image, row, column] = True
    return out
