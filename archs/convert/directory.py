"""Models that transformers saved: a folder with config.json and safetensors. No pickle, no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import safe_open

from archs.convert.parts import Counterpart


def transformers() -> ModuleType:
    """The package, imported when it is needed."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            f"reading a transformers model needs that package ({error}): pip install 'archs[hf]'"
        ) from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar, and no remarks on what is looked at here anyway."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def weight_files(folder: Path) -> list[Path]:
    """Its safetensors. Raises ValueError where `folder` is not one that transformers saved a model to."""
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is not a folder: give one that a transformers model was saved to with "
            "save_pretrained (nothing is downloaded)"
        )
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json: it is not a saved transformers model")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt")))
        found = f"only {pickles[0]}, a pickle, which is never read: " if pickles else "none: "
        raise ValueError(f"{folder} has no safetensors but {found}save it again with save_pretrained")
    return files


def counterpart_in(folder: Path, known: Sequence[Counterpart]) -> tuple[Counterpart, Any]:
    """Which of ours the folder holds, and its configuration."""
    weight_files(folder)
    try:
        model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {error}") from None
    for counterpart in known:
        if counterpart.model_type == model_type:
            config_class = getattr(transformers(), counterpart.config_class)
            return counterpart, config_class.from_pretrained(folder, local_files_only=True)
    names = ", ".join(counterpart.model_type for counterpart in known)
    raise ValueError(f"{folder} holds a model of type {model_type!r}, which is none of {names}")


def same_weights(folder: Path, one: str, other: str) -> bool:
    """Whether two keys hold the same numbers in the folder's files; also where only one of them is saved."""
    found = []
    for file in weight_files(folder):
        with safe_open(file, "pt") as weights:
            found += [weights.get_tensor(name) for name in {one, other} & set(weights.keys())]
    return len(found) < 2 or torch.equal(*found)


def load(folder: Path, known: Sequence[Counterpart]) -> Any:
    """The transformers model in `folder`, all of its weights from there and all of those used."""
    counterpart, config = counterpart_in(folder, known)
    model_class = getattr(transformers(), counterpart.model_class)
    with quiet():
        model, info = model_class.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    missing = sorted(info["missing_keys"])
    unread = sorted(key for key in info["unexpected_keys"] if not key.startswith(counterpart.unread))
    wrong = sorted(str(key) for key in info["mismatched_keys"])
    for keys, what in (
        (missing, f"has no {', '.join(missing[:3])}"),
        (unread, f"has weights that {counterpart.model_class} does not have: {', '.join(unread[:3])}"),
        (wrong, f"has weights of other shapes than its config.json says: {', '.join(wrong[:3])}"),
    ):
        if keys:
            raise ValueError(f"{folder} {what}")
    return model.eval()
