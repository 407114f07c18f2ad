"""Folds: every group is tested once, every fold has every label, and nothing but the data decides."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.folds import fold_splits, stratified

LABELS = st.dictionaries(st.text("0123456789", min_size=1, max_size=6), st.sampled_from("abc"), min_size=12)


@given(LABELS, st.integers(2, 6))
def test_groups_are_dealt_out_evenly_and_by_label(label_of, folds):
    part = stratified(label_of, folds, "fold")
    assert part == stratified(dict(reversed(label_of.items())), folds, "fold")
    sizes = [sum(p == k for p in part.values()) for k in range(folds)]
    assert max(sizes) - min(sizes) <= 1
    for label in set(label_of.values()):
        counts = [sum(part[g] == k and label_of[g] == label for g in label_of) for k in range(folds)]
        assert max(counts) - min(counts) <= 1


@given(LABELS, st.integers(2, 6))
def test_every_group_is_tested_in_one_fold(label_of, folds):
    runs = [fold_splits(label_of, folds, fold) for fold in range(folds)]
    tested = Counter(group for run in runs for group, split in run.items() if split == "test")
    assert tested == dict.fromkeys(label_of, 1)
    for run in runs:
        assert set(run) == set(label_of)
        held = Counter(run.values())
        assert held["validation"] == -(-(held["train"] + held["validation"]) // 8)


def test_validation_is_not_what_another_fold_holds():
    """Validation is drawn anew among the training groups of each fold."""
    label_of = {str(i): "ab"[i % 2] for i in range(100)}
    runs = [fold_splits(label_of, 5, fold) for fold in range(5)]
    for run in runs:
        assert Counter(run.values()) == {"test": 20, "validation": 10, "train": 70}
        assert Counter(label_of[group] for group, split in run.items() if split == "validation") == {
            "a": 5,
            "b": 5,
        }


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (1, 0, "task.folds=1 is not between 2 and 6"),
        (7, 0, "task.folds=7 is not between 2 and 6"),
        (5, 5, r"task.fold=5 is not between 0 and 4 \(task.folds=5\)"),
        (5, -1, "task.fold=-1 is not between 0 and 4"),
    ],
)
def test_impossible_folds_are_refused(folds, fold, message):
    with pytest.raises(ValueError, match=message):
        fold_splits({str(i): "ab"[i % 2] for i in range(12)}, folds, fold)
