"""Angles of positions, far out in a stream."""

import numpy as np
import pytest
import torch

from archs import Rotary, Sinusoidal
from archs.context import Context

FAR = [0, 1, 1000, 10**5 + 1, 10**6 + 1, 2**24 + 1]


def angles(dim):
    """(len(FAR), dim / 2): in integers and extended precision, less whole turns."""
    frequencies = np.longdouble(10000.0) ** (-np.arange(0, dim, 2, dtype=np.longdouble) / dim)
    return np.array(FAR, dtype=np.longdouble)[:, None] * frequencies


def context(position):
    return Context(pos=torch.tensor([FAR]), keep=None, position=position, end=FAR[-1] + 1)


def test_sines_are_exact_at_any_position():
    position = Sinusoidal(dim=16, causal=True)
    found = position.embed(torch.zeros(1, len(FAR), 16), context(position))[0].numpy()
    expected = np.concatenate([np.sin(angles(16)), np.cos(angles(16))], -1)
    assert found == pytest.approx(expected.astype(float), abs=1e-6)


def test_a_rotation_is_exact_at_any_position():
    position = Rotary(dim=16, causal=True)
    x = torch.tensor([1.0] * 8 + [0.0] * 8).expand(1, 1, len(FAR), 16)  # turns to (cos, sin)
    found = position.rotate(x, context(position))[0, 0].numpy()
    expected = np.concatenate([np.cos(angles(16)), np.sin(angles(16))], -1)
    assert found == pytest.approx(expected.astype(float), abs=1e-6)
