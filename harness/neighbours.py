"""Runs of ours that share this machine: their timings say something about the neighbours too."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .lock import holder, run_lock

LOOK_EVERY = 2.0  # seconds between looks around


class Watch:
    """Whether others were at work on this machine while this process was. most: neighbours seen at a time."""

    def __init__(self, place: Path, own: Path) -> None:
        self.place, self.own = place, own
        self.most = 0

    @property
    def shared(self) -> bool:
        return self.most > 0

    def look(self) -> None:
        """Count the neighbours that are there now."""
        others = (folder for folder in self.place.iterdir() if folder != self.own)
        self.most = max(self.most, sum(holder(folder) is not None for folder in others))

    def keep_looking(self, until: threading.Event) -> None:
        while not until.wait(LOOK_EVERY):
            self.look()


@contextmanager
def present(place: Path | None = None) -> Iterator[Watch]:
    """Be seen by others while training here, and watch for them.

    Every run holds a lock in a folder that all runs of this user share (place: another one, for tests);
    locks of processes that are gone count for nothing.
    """
    place = registry() if place is None else place
    own = place / str(os.getpid())
    with run_lock(own) as first:  # not where another run of this very process is seen already
        watch, over = Watch(place, own), threading.Event()
        watch.look()
        thread = threading.Thread(target=watch.keep_looking, args=(over,), daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            over.set()
            thread.join()
            watch.look()
    if first:
        shutil.rmtree(own, ignore_errors=True)


def registry() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"archs-at-work-{user}"
