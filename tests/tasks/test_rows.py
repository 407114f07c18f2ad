"""Rows side by side."""

import numpy as np
import torch

from tasks import Row
from tasks.rows import IGNORE, PAD, collate


def test_collate_pads_on_the_right_and_places_targets():
    batch = collate(
        [
            Row(np.array([7, 8, 9]), np.array([0, 2]), np.array([11, 12]), np.array([5])),
            Row(np.array([7]), np.array([0]), np.array([13]), np.array([5, 6])),
        ],
        consumed=9,
    )
    assert batch.tokens.tolist() == [[7, 8, 9], [7, PAD, PAD]]
    assert batch.targets.tolist() == [[11, IGNORE, 12], [13, IGNORE, IGNORE]]
    assert batch.keep.tolist() == [[True, True, True], [True, False, False]]
    assert batch.source.tolist() == [[5, PAD], [5, 6]]
    assert batch.source_keep.tolist() == [[True, False], [True, True]]
    assert batch.consumed == 9


def test_rows_of_one_length_need_no_mask():
    batch = collate([Row(np.array([7, 8], dtype=np.uint16), np.array([1]), np.array([9]))] * 3)
    assert (batch.keep, batch.source, batch.source_keep) == (None, None, None)
    assert batch.tokens.dtype == batch.targets.dtype == torch.int64


def test_a_batch_moves_whole():
    batch = collate([Row(np.array([7, 8]), np.array([1]), np.array([9]), np.array([3]))], consumed=2).to(
        "meta"
    )
    assert {batch.tokens.device.type, batch.targets.device.type, batch.source.device.type} == {"meta"}
    assert batch.consumed == 2
