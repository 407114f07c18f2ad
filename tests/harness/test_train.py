"""A run from configuration to folder: finished, skipped, continued, diverged, refused."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.lock import run_lock
from harness.plan import plan
from harness.train import BUSY, run


class Bomb:
    """A heartbeat that sends this process a signal at the nth beat."""

    def __init__(self, beat, number=signal.SIGTERM):
        self.left, self.number = beat, number

    def touch(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def folder_of(config):
    return plan(config).folder


def record_of(config):
    return json.loads((folder_of(config) / "run.json").read_text())


@pytest.mark.parametrize("arch", ["gpt", "bert", "t5", "mamba"])
def test_every_family_trains_and_leaves_what_tables_and_tools_need(tiny, arch):
    config = tiny(f"arch={arch}")
    assert run(config) == 0
    record = record_of(config)
    assert record["status"] == "completed"
    assert record["steps"] == 6
    assert record["tokens"] == 6 * 4 * 48
    assert math.isfinite(record["validation"]["continuation_bpb"])
    assert math.isfinite(record["validation"]["infill_bpb"])
    assert {"unigram", "bigram"} <= record["baselines"].keys()
    assert record["peak_memory"] > 0
    assert 0 < record["waiting_share"] < 1, "what fetching batches took"
    names = {path.name for path in folder_of(config).iterdir()}
    assert {"run.json", "metrics.jsonl", "config.yaml", "tokenizer.json", "model.safetensors"} <= names
    assert "last.ckpt" not in names


def test_every_family_consumes_the_same_corpus_tokens_in_the_same_order(tiny):
    tasks = [plan(tiny(f"arch={arch}")).task for arch in ("gpt", "bert", "t5", "mamba")]
    consumed = {task.batch(seed=1, index=3, size=4).consumed for task in tasks}
    assert consumed == {4 * 48}


def test_the_same_command_skips_what_is_completed(tiny):
    run(tiny())
    path = folder_of(tiny()) / "run.json"
    before = path.read_bytes()
    assert run(tiny()) == 0
    assert path.read_bytes() == before


WINDOWED = ["arch/mixer=sliding", "arch.mixer.window=20"]


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["arch.dropout=0.1", "trainer.accumulate_grad_batches=2"],
        ["arch=mamba", "task.segments=4"],
        ["arch=mamba2", "task.segments=6", "trainer.precision=bf16-mixed"],
        [*WINDOWED, "task.segments=2", "arch.dropout=0.1", "trainer.activation_checkpointing=true"],
    ],
)
def test_an_interrupted_run_goes_on_bit_for_bit(tiny, extra):
    straight, stopped = tiny("study_name=a", *extra), tiny("study_name=b", *extra)
    assert run(straight) == 0
    assert run(stopped, heartbeat=Bomb(3)) == 130
    assert record_of(stopped)["status"] == "interrupted"
    assert run(stopped) == 0
    assert record_of(stopped)["attempts"] == 2
    assert record_of(stopped)["tokens"] == record_of(straight)["tokens"]
    ours, theirs = (load_file(folder_of(c) / "model.safetensors") for c in (stopped, straight))
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name


def test_a_loss_that_is_no_number_is_a_result(tiny):
    config = tiny("optim.lr=1e30", "optim.clip=null", "budget.steps=20")
    assert run(config) == 3
    assert record_of(config)["status"] == "diverged"
    assert record_of(config)["steps"] < 20


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(tiny, precision):
    config = tiny(f"trainer.precision={precision}")
    assert run(config) == 0
    assert math.isfinite(record_of(config)["validation"]["continuation_bpb"])


def test_the_norm_of_the_gradient_is_clipped(tiny):
    free, held = tiny("optim.clip=null", "study_name=a"), tiny("optim.clip=1e-12", "study_name=b")
    run(free)
    run(held)
    assert record_of(free)["validation"] != record_of(held)["validation"]


def test_a_bug_is_recorded_and_the_next_attempt_is_counted(tiny, monkeypatch):
    config = tiny()
    monkeypatch.setattr("harness.module.Training.training_step", lambda *a: 1 / 0)
    assert run(config) == 1
    assert record_of(config)["error"].startswith("ZeroDivisionError")
    monkeypatch.undo()
    assert run(config) == 0
    assert record_of(config)["attempts"] == 2


def test_budgets_pay_for_whole_steps_only(tiny):
    assert plan(tiny("budget=tokens", "budget.tokens=1000")).steps == 1000 // (4 * 48)
    flops = plan(tiny()).per_step.flops
    assert plan(tiny("budget=flops", f"budget.flops={int(flops * 3.5)}")).steps == 3
    assert plan(tiny("budget=seconds", "budget.seconds=1")).steps is None


def test_a_budget_of_seconds_ends(tiny):
    config = tiny("budget=seconds", "budget.seconds=0.5", "evaluations=1")
    assert run(config) == 0
    assert record_of(config)["seconds"] >= 0.5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["arch=bert", "objective=causal"], "causal"),
        (["task.window=5000", "arch.position.max_len=64"], "position"),
        (["budget=tokens", "budget.tokens=10"], "less than one step"),
        (["corpus.files=nowhere/*.txt"], "nowhere"),
    ],
)
def test_what_cannot_run_is_one_line_and_nothing_is_written(tiny, tmp_path, capsys, overrides, said):
    with pytest.raises(SystemExit) as ended:
        run(tiny(*overrides))
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert not (tmp_path / "runs").exists()


def test_another_logger_is_the_same_run_and_another_byte_of_corpus_is_not(tiny, corpus_files, tmp_path):
    same = {folder_of(tiny(*o)) for o in ([], ["logger=csv"], ["progress=true"], ["trainer.num_workers=1"])}
    assert len(same) == 1
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in corpus_files.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    first = changed / "00.txt"
    first.write_bytes(first.read_bytes().replace(b".", b"!", 1))
    assert folder_of(tiny(f"corpus.files={changed}/*.txt")) not in same


def test_a_run_that_another_process_holds_is_left_to_it(tiny):
    config = tiny()
    with run_lock(folder_of(config)):
        assert run(config) == BUSY
    assert not (folder_of(config) / "run.json").exists()


def test_a_gpu_that_is_not_there_is_one_line(tiny, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        run(tiny("trainer=gpu"))
    assert ended.value.code == 2
    assert "trainer=cpu" in capsys.readouterr().err


def test_groups_that_a_task_does_not_read_are_no_part_of_what_a_run_is(tiny):
    recall = ["task=mqar", "task.vocab=32", "task.length=16"]
    runs = {
        folder_of(tiny(*recall, *more, text=False)) for more in ([], ["corpus=python"], ["tokenizer=bpe"])
    }
    assert len(runs) == 1


def test_a_damaged_record_is_reported_and_left_alone(tiny, capsys):
    run(tiny())
    path = Path(folder_of(tiny())) / "run.json"
    path.write_text('{"status": "comp')
    with pytest.raises(SystemExit) as ended:
        run(tiny())
    assert ended.value.code == 2
    assert str(path) in capsys.readouterr().err
    assert path.read_text() == '{"status": "comp'
