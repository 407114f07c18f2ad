"""The committed configurations of hub datasets: what they ask the hub for, and what they say without it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from datasets.exceptions import DatasetGenerationError, ManualDownloadError, NonMatchingChecksumError

from harness.building import built, make_task, unsized
from harness.compose import compose
from harness.strict import as_dict

ROOT = Path(__file__).parents[2]

WMT = [{"translation": {"en": f"one {i} two", "de": f"eins {i} zwei"}} for i in range(40)]
NEWS = [
    {"article": f"It was {i} today. More.", "highlights": f"It was {i}.", "id": str(i)} for i in range(40)
]
WIKI = [{"text": f" = Title {i} = \n" if i % 4 else ""} for i in range(200)]

TASKS = {
    "wmt14_en_de": (WMT, "wmt/wmt14", "de-en", ["train[:100000]", "validation", "test"], "bleu"),
    "cnn_dailymail": (
        *(NEWS, "abisee/cnn_dailymail", "3.0.0"),
        *(["train[:20000]", "validation", "test"], "rougeL"),
    ),
}


def made(tmp_path, *overrides):
    config = compose("train", ["size=null", "tokenizer=bytes", f"cache_dir={tmp_path}/cache", *overrides])
    return make_task(config, unsized(config))


@pytest.fixture
def hub(monkeypatch):
    """hub(rows): every split of every dataset holds these rows, told apart by the name of the split."""
    asked = []

    def serves(rows):
        def load_dataset(path, name=None, split=None):
            asked.append((path, name, split))
            return datasets.Dataset.from_list([marked(row, split) for row in rows])

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return serves


def marked(value, split):
    if isinstance(value, dict):
        return {key: marked(item, split) for key, item in value.items()}
    return value and f"{split[:4]} {value}"


@pytest.mark.parametrize("name", TASKS)
def test_pairs_of_the_hub(name, hub, tmp_path):
    rows, path, configuration, splits, primary = TASKS[name]
    asked = hub(rows)
    task = made(tmp_path, f"task={name}")
    assert asked == [(path, configuration, split) for split in splits]
    assert task.primary == primary
    first = task.examples("test")[0]
    key, inner = ("translation", "en") if name == "wmt14_en_de" else ("article", None)
    source = rows[0][key][inner] if inner else rows[0][key]
    assert task.tokenizer.decode(first.source) == f"test {source}"
    assert task.max_len <= 2 * task.answer_len + 64


def test_wikitext_is_split_as_published(hub, tmp_path):
    asked = hub(WIKI)
    corpus = built(as_dict(compose("train", ["corpus=wikitext103"]).corpus))
    names = ("train", "validation", "test")
    assert sorted(asked) == sorted(("Salesforce/wikitext", "wikitext-103-raw-v1", name) for name in names)
    for name in names:
        texts = [document.text for document in corpus.split(name)]
        assert texts == [marked(row["text"], name) for row in WIKI if row["text"]]


@pytest.mark.parametrize("override", ["task=wmt14_en_de", "task=cnn_dailymail", "corpus=wikitext103"])
def test_without_a_network_one_line_names_what_is_nearest(override, monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(ValueError, match=r"needs a network.*corpus=sotu") as refused:
        made(tmp_path, override)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), "scripts are no longer"),
        (
            DatasetGenerationError("An error occurred while generating the dataset"),
            "error occurred .*: row 7",
        ),
        (NonMatchingChecksumError("Checksums did not match\nof these files"), "Checksums did not match$"),
        (ManualDownloadError(""), "ManualDownloadError"),
    ],
)
def test_what_cannot_be_read_of_the_hub_is_one_line_that_names_it(error, said, monkeypatch, tmp_path):
    def failing(*_, **__):
        raise error from ValueError("row 7 is broken") if "generating" in str(error) else None

    monkeypatch.setattr(datasets, "load_dataset", failing)
    with pytest.raises(ValueError, match=rf"^task\.hub\.path=stanfordnlp/imdb .*: .*{said}") as refused:
        made(tmp_path, "task=imdb")
    assert "\n" not in str(refused.value)


def test_a_hub_out_of_reach_is_one_line_in_all(tmp_path):
    """In a process of its own, since libraries log past Python's errors. Nothing listens at the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        told = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        told |= {"HF_ENDPOINT": f"http://127.0.0.1:{bound.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", "from harness.commands import train; train()", "task=imdb", "trainer=cpu"],
            env={**told, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 2
    assert re.fullmatch(r"task.hub.path=stanfordnlp/imdb needs a network .*task=sotu_party.*\n", done.stderr)


def test_retrieval_without_files_says_which_are_needed(tmp_path):
    with pytest.raises(ValueError, match=r"^task.files is not set: .* on no hub.*task=sotu_party"):
        made(tmp_path, "task=lra_retrieval")
