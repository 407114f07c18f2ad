"""Start a command from a small process, and end it with its time or its starter's life.

    python -I -S launcher.py STARTER SECONDS COMMAND ...

The peak that a system tells of a process may be inherited from the one that started it: this one imports
nothing large. It exits as the command does, with 128 + n where signal n ended it, and with 124 when the
seconds are over. When the process STARTER is gone that started this one, or sends SIGTERM, the command ends
too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

OVER = 124  # exit status, as that of timeout(1)
POLL = 0.01  # seconds between looks at the command, which may be over in 2 s


def launch(starter: int, seconds: float, command: list[str]) -> int:
    """Run the command; its exit status."""
    deadline = time.monotonic() + seconds
    with subprocess.Popen(command) as child:
        try:
            while child.poll() is None:
                if time.monotonic() > deadline:
                    return OVER
                if os.getppid() != starter:
                    return 128 + signal.SIGTERM
                time.sleep(POLL)
        finally:
            child.kill()  # nothing, if it has ended
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        raise SystemExit(launch(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
