"""Pathfinder: who is joined, checked by walking over the drawn points, and what must not tell."""

import numpy as np
import pytest
from drawn import check_splits, checksum, made, refused
from scipy import ndimage

from tasks import Pathfinder
from tasks.synthetic.dashes import DASH, GAP, UNIT, encircled, inked, paths
from tasks.synthetic.pathfinder import chosen, looks, matched
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
    points, ends, leaves = paths(np.random.default_rng(0), 300, 32, numbers)
    assert len(points) > 200
    which = np.repeat(np.arange(4), 4 * np.array(numbers))
    assert np.linalg.norm(leaves / UNIT, axis=-1) == pytest.approx(DASH, abs=0.01)
    for image, image_ends, setting_out in zip(points / UNIT, ends / UNIT, leaves / UNIT, strict=True):
        assert image.min() >= 2
        assert image.max() <= 30
        own = [image[which == k] for k in range(4)]
        for path, (first, last), out, dashes in zip(own, image_ends, setting_out, numbers, strict=True):
            steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
            assert steps.max() == pytest.approx(GAP, abs=0.01)
            assert (steps > 0.6 * GAP).sum() == dashes - 1, "a gap between one dash and the next"
            assert steps.sum() == pytest.approx(dashes * (GAP + DASH) - GAP, abs=0.1)
            assert (path[[0, -1]] == [first, last]).all()
            assert (path[[3, -4]] == np.add([first, last], out)).all()
        for a in range(4):
            for b in range(a):
                apart = np.linalg.norm(own[a][:, None] - own[b], axis=-1).min()
                assert apart > GAP, "farther than the gaps"


def test_circles_stand_at_the_ends_that_the_label_says():
    rng = np.random.default_rng(0)
    joined = rng.integers(0, 2, 500)
    picked = set()
    for path, end, label in zip(*chosen(rng, joined), joined, strict=True):
        assert (path[0] == path[1]) == bool(label)
        assert (path[0], end[0]) != (path[1], end[1])
        picked.add((label, *path, *end))
    assert len(picked) == 4 + 8, "every path, and every choice of ends, in both orders"


def test_a_look_is_what_it_says():
    """Circles 10 pixels apart, beside each other in the middle; the dashes point at one another, or not."""
    circles = UNIT * np.array([[16, 11], [16, 21]])
    at_it, away, up, down = np.array([[0, 9], [0, -9], [9, 1], [-9, 1]])

    def look(*pictures):
        middles, dashes = zip(*pictures, strict=True)
        return looks(circles + UNIT * np.array(middles)[:, None], np.array(dashes), 32).tolist()

    here = (0, 0)
    same = look((here, (at_it, away)), ((0, 2), (at_it, away)), ((1, 0), (at_it, away)))
    assert len(set(same)) == 1, "a little to the side"
    turned = look((here, (up, at_it)), (here, (away, -up)))
    assert len(set(turned)) == 1, "the other way round"
    others = look(
        *((here, pair) for pair in ((at_it, away), (away, away), (up, up), (up, down), (at_it, up))),
        ((0, 4), (at_it, away)),
    )
    assert len(set(others)) == len(others)


def test_classes_are_equally_many_for_each_look():
    rng = np.random.default_rng(0)
    joined = rng.integers(0, 2, 3000)
    seen = rng.integers(0, 40, 3000) // (1 + joined)
    kept = matched(joined, seen)
    assert len(kept) > 1000
    assert len(set(kept.tolist())) == len(kept)
    both = [np.bincount(seen[kept][joined[kept] == label], minlength=40) for label in (0, 1)]
    assert (both[0] == both[1]).all()


def test_where_the_circles_are_and_how_paths_set_out_there_tells_little():
    """A fit to the looks of circles, in all degrees up to two, which is right without matching them."""
    rng = np.random.default_rng(0)
    _, ends, leaves = paths(rng, 6000, 32, [9, 9, 3, 3, 3])
    joined = rng.integers(0, 2, len(ends))
    where = np.arange(len(ends))[:, None], *chosen(rng, joined)
    circles, out = ends[where] / UNIT - 16, leaves[where] / UNIT
    across = circles[:, 1] - circles[:, 0]
    apart = np.linalg.norm(across, axis=1)
    toward = [(dash * across).sum(axis=1) / apart for dash in (out[:, 0], -out[:, 1])]
    aside = [
        (dash[:, 0] * across[:, 1] - dash[:, 1] * across[:, 0]) / apart for dash in np.moveaxis(out, 1, 0)
    ]
    plain = np.stack([apart, *toward, *aside, *np.abs(circles).reshape(-1, 4).T, np.ones(len(apart))], axis=1)
    features = np.einsum("ni,nj->nij", plain, plain).reshape(len(plain), -1)

    def right(which):
        fitted, judged = np.split(rng.permutation(which), [len(which) * 3 // 4])
        weights = np.linalg.lstsq(features[fitted], 2.0 * joined[fitted] - 1, rcond=None)[0]
        return ((features[judged] @ weights > 0) == joined[judged]).mean()

    matching = matched(joined, looks(ends[where], leaves[where], 32))
    assert right(np.arange(len(joined))) > 0.66
    assert right(matching) < 0.62


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
    assert (Pathfinder.version, *checksum(task)) == (2, "6b499aa224e5bcb3", "5563e02021bef159")


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
    monkeypatch.setattr("tasks.synthetic.pathfinder.DRAWN", 16)
    monkeypatch.setattr("tasks.synthetic.pathfinder.PATIENCE", 4)
    refused(Pathfinder, message, cache_dir=tmp_path, **changes)
