"""Datasets of the Hugging Face hub: asked for once, or what an earlier download has left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import datasets
import huggingface_hub as hub
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

PATIENCE = 10.0  # seconds that the hub may take for its first answer


def read(path: str, name: str | None, split: str, asked: str, missing: str) -> datasets.Dataset:
    """A split of a dataset, downloaded the first time.

    path, name, split: as `datasets.load_dataset` takes them. asked: what the user set, for errors; missing:
    what is said where there is neither a network nor an earlier download.

    Raises ValueError in one line for these, for what the hub does not have and for what cannot be read of it.
    """
    try:
        with nullcontext() if reachable(path) else offline():
            return datasets.load_dataset(path, name, split=split)
    except ConnectionError:
        raise ValueError(missing) from None
    # No such dataset, configuration or split; one that is a script; files that do not fit each other.
    except (ValueError, FileNotFoundError, RuntimeError, DatasetsError) as error:
        raise ValueError(f"{asked}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """The first line of what it says, and of what it was raised from: of damaged files that says more."""
    told = [str(each).strip() for each in (error, error.__cause__) if each is not None]
    return ": ".join(text.splitlines()[0] for text in told if text) or type(error).__name__


def reachable(path: str) -> bool:
    """Whether the hub answers at all, be it that it has no such dataset. One request, which is not repeated:
    `load_dataset` would ask six times in half a minute, and log each."""
    try:
        hub.HfApi().dataset_info(path, timeout=PATIENCE)
    except HfHubHTTPError:
        return True
    except Exception:  # of the network, or of the offline mode: by whatever client the library has
        return False
    return True


@contextmanager
def offline() -> Iterator[None]:
    """The libraries' own offline mode, HF_HUB_OFFLINE: what is downloaded already is read, quietly."""
    before = hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        with quiet():
            yield
    finally:
        hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing from the loggers of `datasets` and the hub: they log what they then raise."""
    before = datasets.logging.get_verbosity(), hub.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    hub.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before[0])
        hub.logging.set_verbosity(before[1])
