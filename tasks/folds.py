"""k-fold splits of grouped documents: each fold is the test set of one run, and all of them of a study.

Folds depend on the data alone, neither on a seed nor on an architecture, so that fold 3 of one architecture
is paired with fold 3 of every other.
"""

from __future__ import annotations

from collections.abc import Mapping

from .streams import sha256

HELD_BACK = 8  # of the groups outside the test fold, every eighth is for validation


def stratified(label_of: Mapping[str, str], parts: int, purpose: str) -> dict[str, int]:
    """Part (0 .. parts - 1) of each group, dealt out label by label in the order of the groups' hashes.

    label_of: the label of each group. The parts' numbers of groups differ by at most one, and so do, for
    every label, their numbers of groups of that label. purpose: parts of another name are independent.
    """
    order = sorted(label_of, key=lambda group: (label_of[group], sha256(purpose, group)))
    return {group: place % parts for place, group in enumerate(order)}


def fold_splits(label_of: Mapping[str, str], folds: int, fold: int) -> dict[str, str]:
    """Split of each group in run `fold` of `folds`: the fold is its test set, and an eighth of the other
    groups, again dealt out by label, its validation set."""
    if not 2 <= folds <= len(label_of) // 2:
        raise ValueError(f"task.folds={folds} is not between 2 and {len(label_of) // 2}")
    if not 0 <= fold < folds:
        raise ValueError(f"task.fold={fold} is not between 0 and {folds - 1} (task.folds={folds})")
    fold_of = stratified(label_of, folds, "fold")
    others = {group: label for group, label in label_of.items() if fold_of[group] != fold}
    held_back = stratified(others, HELD_BACK, "validation")
    split_of = dict.fromkeys(label_of, "test")
    return split_of | {group: "validation" if held_back[group] == 0 else "train" for group in others}
