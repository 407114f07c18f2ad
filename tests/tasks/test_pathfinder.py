"""Pathfinder: who is joined, checked by walking over the drawn points, and what must not tell."""

import numpy as np
import pytest
from drawn import check_splits, checksum, made, refused
from scipy import ndimage

from tasks import Pathfinder
from tasks.dashes import DASH, GAP, UNIT, encircled, inked, paths
from tasks.pathfinder import chosen, matched
from tasks.tokenizer import N_SPECIAL

LEVELS = 8


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return made(Pathfinder, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def images(task):
    """(pixels (N, 32, 32), whether joined (N,))."""
    examples = task.draw("path_length_9", np.random.default_rng(3), 5000)
    return (examples.source - N_SPECIAL).reshape(-1, 32, 32), examples.target[:, 0] - N_SPECIAL - LEVELS


def test_paths_are_dashed_and_keep_clear_of_each_other():
    """Along a path no step is longer than a gap; between paths every one is."""
    numbers = [9, 9, 3, 3]
    points, ends = paths(np.random.default_rng(0), 300, 32, numbers)
    assert len(points) > 200
    which = np.repeat(np.arange(4), 4 * np.array(numbers))
    for image, image_ends in zip(points / UNIT, ends / UNIT, strict=True):
        assert image.min() >= 2
        assert image.max() <= 30
        own = [image[which == k] for k in range(4)]
        for path, (first, last), dashes in zip(own, image_ends, numbers, strict=True):
            steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
            assert steps.max() == pytest.approx(GAP, abs=0.01)
            assert (steps > 0.6 * GAP).sum() == dashes - 1, "a gap between one dash and the next"
            assert steps.sum() == pytest.approx(dashes * (GAP + DASH) - GAP, abs=0.1)
            assert (path[[0, -1]] == [first, last]).all()
        for a in range(4):
            for b in range(a):
                apart = np.linalg.norm(own[a][:, None] - own[b], axis=-1).min()
                assert apart > GAP, "farther than the gaps"


def test_circles_stand_at_the_ends_that_the_label_says():
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 1000, (500, 4, 2, 2))
    joined = rng.integers(0, 2, 500)
    picked = set()
    for circles, four, label in zip(chosen(rng, ends, joined), ends, joined, strict=True):
        at = [np.argwhere((four[:2] == circle).all(axis=-1))[0].tolist() for circle in circles]
        assert (at[0][0] == at[1][0]) == bool(label)
        assert at[0] != at[1]
        picked.add((label, *map(tuple, at)))
    assert len(picked) == 2 + 4, "every path, and every choice of ends, occurs"


def test_distances_between_circles_tell_nothing():
    rng = np.random.default_rng(0)
    joined = rng.integers(0, 2, 3000)
    circles = rng.integers(0, 20 * UNIT, (3000, 2, 2)) // (1 + joined[:, None, None])
    kept = matched(joined, circles)
    away = (np.linalg.norm(circles[kept, 0] - circles[kept, 1], axis=1) / UNIT).astype(int)
    assert len(kept) > 1000
    assert len(set(kept.tolist())) == len(kept)
    both = [np.bincount(away[joined[kept] == label], minlength=30) for label in (0, 1)]
    assert (both[0] == both[1]).all()


def test_a_picture_is_its_ink_and_circles():
    """One point in the middle of a pixel inks that pixel; one between four inks each a quarter."""
    points = np.array([[[UNIT // 2 + 3 * UNIT, UNIT // 2 + 5 * UNIT]], [[4 * UNIT, 6 * UNIT]]])
    ink = inked(points, 8) / UNIT**2
    assert (np.argwhere(ink[0]).tolist(), ink[0, 3, 5]) == ([[3, 5]], 1.0)
    assert ink[1, 3:5, 5:7].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert ink[1].sum() == 1.0
    disc = encircled(points[:1], 8)[0]
    assert np.argwhere(disc).tolist() == [[i, j] for i in (2, 3, 4) for j in (4, 5, 6)]


def test_classes_are_balanced_and_both_circles_are_seen(images):
    pixels, joined = images
    assert joined.mean() == pytest.approx(0.5, abs=0.01)
    assert set(np.unique(pixels)) == set(range(LEVELS))
    plus = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    for picture in pixels[:300]:
        discs = ndimage.binary_erosion(picture == LEVELS - 1, plus)
        assert ndimage.label(ndimage.binary_dilation(discs, np.ones((3, 3))))[1] == 2


def test_simple_features_do_not_predict_the_label(images):
    """Brightness, how many pixels are of each grey, where ink lies, where circles are and how far apart: a
    quadratic fit to all of them, judged on other images, is hardly better than a coin."""
    pixels, joined = images
    white = pixels == LEVELS - 1
    counts = np.stack([(pixels == level).sum(axis=(1, 2)) for level in range(LEVELS - 1)], axis=1)
    tiles = pixels.reshape(-1, 4, 8, 4, 8).sum(axis=(2, 4)).reshape(-1, 16)
    discs = np.stack([ndimage.uniform_filter(w.astype(float), 3) > 0.5 for w in white])
    corners = np.array([(p.min(0), p.max(0), p.mean(0)) for p in map(np.argwhere, discs)]).reshape(-1, 6)
    apart = np.linalg.norm(corners[:, :2] - corners[:, 2:4], axis=1)[:, None]
    features = np.concatenate([counts, tiles, corners, apart], axis=1).astype(float)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    features = np.concatenate([np.ones((len(features), 1)), features, features**2], axis=1)
    weights = np.linalg.lstsq(features[:3500], 2.0 * joined[:3500] - 1, rcond=None)[0]
    right = ((features[3500:] @ weights > 0) == joined[3500:]).mean()
    assert right == pytest.approx(0.5, abs=0.05)


def test_splits_and_chance(task):
    check_splits(task)
    assert task.baselines("test") == {"chance": {"accuracy": 0.5, "exact_match": 0.5}}
    assert task.labels.tolist() == [N_SPECIAL + LEVELS, N_SPECIAL + LEVELS + 1]
    assert task.train_tokens() is None
    assert len(task.examples("test")[0].source) == 32 * 32


def test_a_number_of_training_examples_makes_an_epoch(tmp_path):
    task = made(Pathfinder, cache_dir=tmp_path, path_length=[6, 9], distractors=0, train_examples=8)
    assert task.train_tokens() == task.training(1, 0, 16).tokens == 16 * (32 * 32 + 1)


def test_the_data_of_a_seed_never_change(task):
    """A new checksum means that no result is comparable with those made before: raise Pathfinder.version."""
    assert (Pathfinder.version, *checksum(task)) == (1, "941782ff6f354abc", "dafe238b677a00e8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 16}, r"^task.size=16 must be at least 32 pixels$"),
        ({"path_length": 2}, r"^task.path_length=2 must be whole numbers of at least 3$"),
        ({"distractors": -1}, r"^task.distractors=-1 must be 0 or more$"),
        ({"levels": 1}, r"^task.levels=1 must be from 2 to 256$"),
        ({"path_length": 90}, r"^task.path_length=90 with task.distractors=3 does not fit task.size=32$"),
        (
            {"path_length": 20},
            r"^task.path_length=20 with task.distractors=3 .*: none of 64 images came out$",
        ),
    ],
)
def test_impossible_parameters_are_refused(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.pathfinder.DRAWN", 16)
    monkeypatch.setattr("tasks.pathfinder.PATIENCE", 4)
    refused(Pathfinder, message, cache_dir=tmp_path, **changes)
