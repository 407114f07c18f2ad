"""archs-eval at other lengths and on streams: finished runs, asked what they were not trained on."""

import itertools
import json
import random
import re
from types import SimpleNamespace

import numpy as np
import pytest

from harness import load
from harness.compose import compose
from harness.errors import ConfigError
from harness.evaluate import run as evaluate
from harness.plan import plan
from harness.streaming import cut, main, measure, read
from harness.train import run
from tasks.rows import Row
from tasks.scoring import row_costs
from tasks.tokenizer import BOS, N_SPECIAL

SMALL = ["size=null", "arch.dim=16", "arch.depth=1", "arch.heads=2", "batch_size=4", "evaluations=0"]
SMALL += ["budget=steps", "budget.steps=2", "trainer=cpu", "progress=false"]
LANGUAGE = [
    "corpus=text",
    "corpus.validation=0.2",
    "tokenizer=bytes",
    "task.window=64",
    "task.context_bytes=40",
    "task.windows=4",
]
LANGUAGE += ["task.scored_bytes=8", "task.quick_windows=2", "task.native_windows=8", "task.beyond_windows=5"]
COUNTS = [f"task.{split}_examples=10" for split in ("validation", "test", "quick")]
RUNS = {
    "mamba": ["arch=mamba", *LANGUAGE],
    "gpt": ["arch=gpt", *LANGUAGE, "task.beyond=[2]"],
    "bert": ["arch=bert", *LANGUAGE],
    "t5": ["arch=t5", *LANGUAGE],
    "mqar": ["arch=gpt", "task=mqar", "task.vocab=80", "task.length=16", "task.pairs=[1,2]", *COUNTS],
    "copy": ["arch=mamba", "task=copy", "task.length=8", "task.beyond=[]", *COUNTS],
    "needle": [
        *("arch=mamba", "task=needle", "corpus=text", "tokenizer=bytes", "task.length=100"),
        *("task.depths=[0,100]", "corpus.validation=0.2", *COUNTS),
    ],
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("longer"), random.Random(0)
    for number in range(30):
        words = draw.choices(["peace", "law", "trade", "war", "labour", "land"], k=120)
        (folder / f"{number}.txt").write_text(" ".join(words))
    return folder


@pytest.fixture(scope="module")
def finished(here):
    """finished("gpt"): the folder of a small run, trained once."""
    known = {}

    def made(name):
        if name not in known:
            overrides = [f"results_dir={here}/runs", f"cache_dir={here}/cache", *SMALL, *RUNS[name]]
            overrides += [f"corpus.files={here}/*.txt"] if "corpus=text" in overrides else []
            config = compose("train", overrides)
            assert run(config) == 0
            known[name] = plan(config).folder
        return known[name]

    return made


@pytest.fixture
def shown(capsys):
    """shown("run=...", ...): what archs-eval prints, as {first cell: the others}, titles and all."""

    def printed(*overrides):
        capsys.readouterr()
        assert evaluate(compose("eval", [str(override) for override in overrides])) == 0
        lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
        return {cells[0]: cells[1:] for cells in lines if cells != [""]}

    return printed


@pytest.mark.parametrize("name", ["mamba", "gpt", "bert", "t5"])
def test_language_at_longer_contexts(finished, shown, name):
    table = shown(f"run={finished(name)}", "length=[60,200]")
    assert table["bytes of context"] == ["continuation_bpb"]
    assert 0 < float(table["40"][0]) < 20
    learned = name in ("gpt", "bert")  # of 1,024 positions, 64 are trained
    assert (table["200"] == ["–"]) == (table["60"] == ["–"]) == learned
    assert any("than its table of positions was trained to, 64 tokens" in cell for cell in table) == learned
    decoder = name in ("mamba", "gpt")
    assert ("tokens before it" in table) == decoder
    if decoder:
        assert "32 to 63" in table
        assert ("128 to 255" in table) == (name == "mamba")


def test_what_was_reported_is_what_is_asked_again(finished, shown):
    """A run trained with task.beyond=[2], asked at the same lengths."""
    recorded = json.loads((finished("gpt") / "run.json").read_text())["validation"]
    table = shown(f"run={finished('gpt')}", "length=80")
    for context in ("40", "80"):
        value = recorded[f"continuation_bpb_context_bytes_{context}"]
        assert (value is None) == (context == "80"), "80 bytes and 8 more are more than was trained on"
        assert table[context] == [f"{value:.4f}" if value is not None else "–"]


def test_recall_at_longer_lengths_for_every_number_of_pairs(finished, shown):
    table = shown(f"run={finished('mqar')}", "length=[16,32,64]", "split=test")
    parts = ["trained", "pairs_1", "pairs_2"]
    parts += [f"length_{length}_pairs_{pairs}" for length in (32, 64) for pairs in (1, 2)]
    assert [part for part in table if part in parts] == parts
    for part in parts:
        assert (table[part][0] == "–") == part.startswith("length"), "trained to 16 positions"


def test_copying_and_needles_by_length_and_by_depth(finished, shown):
    table = shown(f"run={finished('copy')}", "length=[16]")
    assert table["part"] == ["0", "20", "40", "60", "80"]
    assert len(table["length_16"]) == 5
    table = shown(f"run={finished('needle')}", "length=[120]")
    assert table["part"] == ["0", "100"]
    assert {"trained", "depth_0", "depth_100", "length_120"} <= set(table)


@pytest.mark.parametrize("how", ["joined", "documents"])
def test_a_split_as_a_stream_costs_what_one_pass_says(finished, shown, how):
    loaded = load(finished("mamba"))
    ids = np.asarray(loaded.task.stream("validation").ids).astype(np.int64)
    begins = np.flatnonzero(ids == BOS)
    streams = [ids] if how == "joined" else np.split(ids, begins[1:])
    nats = length = 0.0
    for stream in streams:
        at = np.flatnonzero(stream[1:] >= N_SPECIAL)
        (costs,) = row_costs(loaded.backbone, [Row(stream[:-1], at, stream[1:][at])])
        nats, length = nats + costs.sum(), length + len(at)
    table = shown(f"run={finished('mamba')}", f"stream={how}")
    assert float(table["bits per byte"][0]) == pytest.approx(nats / np.log(2) / length, abs=1e-4)
    assert table["streams"] == [str(len(streams))]
    assert len(begins) > 1
    assert table["bytes scored"] == [f"{int(length):,}"]


def test_a_file_as_a_stream(finished, shown, here):
    file = here / "0.txt"
    table = shown(f"run={finished('mamba')}", f"text={file}")
    assert table["bytes scored"] == [f"{file.stat().st_size:,}"]
    assert 0 < float(table["bits per byte"][0]) < 20


def test_streams_are_cut_where_documents_begin():
    ids = np.array([BOS, 200, 201, 3, BOS, 202, 3])
    joined, documents = ([list(np.concatenate(list(s))) for s in cut(ids, each)] for each in (False, True))
    assert joined == [list(ids)]
    assert documents == [[BOS, 200, 201, 3], [BOS, 202, 3]]


def test_tokens_per_second_and_peaks_are_measured_round_by_round(finished, monkeypatch):
    model, seconds = load(finished("mamba")).backbone, itertools.count()
    monkeypatch.setattr("harness.streaming.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    rounds = list(measure(model, tokens=430, length=8))
    # Of 43 tokens that take a second, 5 sequences have 40, and the last of each is not read.
    assert [(stream, short) for stream, short, _ in rounds] == [(43, 35)] * 10
    assert all(peak > 0 for _, _, peak in rounds)


REFUSED = [
    ("gpt", ["stream=joined"], r"run=\S+: its state grows with what it has read"),
    ("bert", ["stream=documents"], r"run=\S+: an encoder cannot stream"),
    ("mqar", ["stream=joined"], "was trained on mqar: only language is streamed"),
    ("mqar", ["length=8"], r"length=\[8\]: run=\S+ was trained on 16; give longer ones"),
    ("mqar", ["length=[31]"], r"length=\[31\]: task.length=31 .* must be even"),
    ("mqar", ["length=[512]"], r"length=\[512\]: task.vocab=80 must be more than"),
    ("needle", ["length=90000"], r"length=\[90000\]: task.length=100 and task.beyond=\[90000\] must"),
    ("mamba", ["length=5000"], r"length=\[5000\]: the validation split .* has room for 0 "),
    ("mamba", ["length=80", "stream=joined"], "length= and stream= exclude each other"),
    ("mamba", ["text={here}/0.txt", "length=80"], "length= and text= exclude each other"),
    ("mamba", ["text={here}/empty.txt"], r"text=\S+ is empty"),
]


@pytest.mark.parametrize(("name", "overrides", "words"), REFUSED, ids=[f"{n} {o[-1]}" for n, o, _ in REFUSED])
def test_what_a_run_cannot_be_asked_is_one_line(finished, here, capsys, name, overrides, words):
    (here / "empty.txt").touch()
    config = compose("eval", [f"run={finished(name)}", *(text.format(here=here) for text in overrides)])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        evaluate(config)
    error = capsys.readouterr().err.strip()
    assert re.search(words, error), error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("length=0", "length takes a whole number of at least 1, or a list"),
        ("length=[]", "length takes a whole number"),
        ("length=[64,-1]", "length takes a whole number"),
        ("stream=all", "stream takes one of documents, joined, or null"),
        ("text=/no/such/file", "text takes a text file that exists"),
    ],
)
def test_wrong_values_are_refused_before_any_work(override, words):
    with pytest.raises(ConfigError, match=words):
        compose("eval", ["run=r", override])
    assert compose("list", ["length=64"]).length == 64
    with pytest.raises(ConfigError):
        compose("list", ["length=[64,128]"])


@pytest.mark.parametrize(
    "override",
    ["trainer.threads=1", "trainer.precision=bf16-mixed", "tokenizer=bytes", "seed=3", "match=flops"],
)
def test_a_measurement_takes_no_override_that_it_would_ignore(monkeypatch, capsys, override):
    monkeypatch.setattr("sys.argv", ["streaming", "arch=mamba", "arch/norm=layer", "size=200k", override])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{override} changes nothing here; what is measured takes arch=NAME")
    assert said.count("\n") == 1


def test_a_measurement_reads_what_it_was_asked_for(monkeypatch, capsys):
    small = ["arch=mamba", "arch.dim=16", "arch.depth=1", "size=null", "tokenizer.vocab_size=300"]
    monkeypatch.setattr("sys.argv", ["streaming", *small, "--tokens", "40", "--length", "4"])
    main()
    said = capsys.readouterr().out
    assert all(override in said for override in small)


def test_only_models_that_can_are_read_at_all(finished):
    with pytest.raises(ValueError, match="its state grows"):
        read(load(finished("gpt")).backbone, np.ones(400), [])
