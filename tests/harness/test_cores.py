"""What our commands tell OpenMP before PyTorch is loaded."""

import os
import subprocess
import sys

import pytest

SAID = "import harness, os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("user", "waits"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_fall_asleep_soon_unless_the_user_says_how_they_wait(user, waits):
    own = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    env = {name: value for name, value in os.environ.items() if name not in own} | user
    done = subprocess.run([sys.executable, "-c", SAID], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [waits, "False"]
