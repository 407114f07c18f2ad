"""A corpus and overrides small enough that a whole run takes a second."""

import os
import random

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported: no test asks the hub for anything

from harness.compose import compose

# An example that takes long says that the machine is busy, not that the code is wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

WORDS = [
    "the",
    "nation",
    "shall",
    "keep",
    "its",
    "peace",
    "and",
    "prosper",
    "under",
    "law",
    "while",
    "labour",
]


@pytest.fixture(scope="session")
def corpus_files(tmp_path_factory):
    """Forty short documents of real words, the same in every session."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(0)
    for number in range(40):
        sentences = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(30)]
        (folder / f"{number:02d}.txt").write_text(" ".join(sentences))
    return folder


@pytest.fixture
def tiny(corpus_files, tmp_path):
    """tiny("arch=gpt", ...) composes a run of a few steps that writes below tmp_path."""

    def composed(*overrides, text=True):
        """text: language modelling on the small corpus; otherwise the overrides say what."""
        language = [
            "corpus=text",
            f"corpus.files={corpus_files}/*.txt",
            "tokenizer=bytes",
            "task.window=48",
            "task.context_bytes=24",
            "task.scored_bytes=8",
            "task.windows=4",
            "task.quick_windows=2",
        ]
        small = [
            *(language if text else []),
            "size=null",
            "arch.dim=16",
            "arch.depth=1",
            "arch.heads=2",
            "batch_size=4",
            "evaluations=2",
            "trainer=cpu",
            f"results_dir={tmp_path}/runs",
            f"cache_dir={tmp_path}/cache",
            "progress=false",
        ]
        if not any(override.startswith("budget=") for override in overrides):
            small += ["budget=steps", "budget.steps=6"]
        return compose("train", [*small, *overrides])

    return composed
