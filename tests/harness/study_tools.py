"""A study of tiny runs, executed in this process so that it takes seconds."""

import json

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

from harness import compose as composing
from harness import study, train
from harness.compose import compose
from harness.evaluate import test_all
from harness.record import read_record
from harness.searchpath import make_loader
from harness.study import launch, speed
from harness.study.expand import Job
from harness.supervise import Ended

TINY = {
    "size": None,
    "arch.dim": 16,
    "arch.depth": 1,
    "arch.heads": 2,
    "batch_size": 4,
    "evaluations": 2,
    "budget": "steps",
    "budget.steps": 4,
}
RECALL = {
    "task": "mqar",
    "task.vocab": 32,
    "task.length": 16,
    "task.pairs": 2,
    "task.validation_examples": 16,
    "task.test_examples": 16,
    "task.quick_examples": 8,
}


class Bench:
    """Runs studies: `self(node, *typed)` is `archs-compare study=mine typed...`, and returns its exit status.

    launched: titles of the runs that were executed, batch by batch. before(config) is called before each run,
    which is killed where it raises KeyboardInterrupt.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.launched, self.reported, self.timed = folder, [], [], 0
        self.runs = folder / "runs"
        self.before = lambda config: None
        (folder / "conf" / "study").mkdir(parents=True)
        monkeypatch.setattr(launch, "launch", self.launch)
        monkeypatch.setattr(speed, "measured_in_child", self.measured)
        monkeypatch.setattr(study.report, "build", lambda folder, command: self.reported.append(folder))
        monkeypatch.setattr(study, "test", lambda folders, *_, progress: test_all(folders) == 0)

    def __call__(self, node, *typed):
        (self.folder / "conf" / "study" / "mine.yaml").write_text(yaml.safe_dump(node, sort_keys=False))
        places = [
            f"results_dir={self.runs}",
            f"cache_dir={self.folder}/cache",
            "trainer=cpu",
            "progress=false",
        ]
        lines = ["study=mine", *places, *typed]
        loader = make_loader(str(self.folder / "conf"))
        composed = composing.load(loader, "compare", lines)
        HydraConfig.instance().set_config(composed)
        return study.run(composing.ready(composed, "compare", loader))

    def launch(self, config, jobs):
        self.launched.append([])
        ended = []
        for lines in jobs:
            title = next(line for line in lines if line.startswith("hydra.job.name="))
            self.launched[-1].append(title.split("'")[1])
            own = compose("train", [line for line in lines if not line.startswith("hydra.")])
            self.before(own)
            folders = []
            train.run(own, announce=folders.append)
            ended.append(Ended(read_record(folders[0])["status"]))
        return ended

    def measured(self, configs, threads):
        self.timed += len(configs)
        return [speed.Speed(1000.0, 1.0, 0.5) for _ in configs]

    def records(self, below=""):
        """{folder name: record} of the runs in a study's folder."""
        folders = sorted(path.parent for path in (self.runs / "mine" / below).glob("*/run.json"))
        return {folder.name: read_record(folder) for folder in folders}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    state = Singleton.get_state()
    yield Bench(tmp_path, monkeypatch)
    Singleton.set_state(state)


def mine(**changes):
    """A study of one architecture on recall, one seed at one rate."""
    node = {"name": "mine", "title": "Mine", "archs": ["gpt"], "seeds": [1], "shared": TINY}
    return (
        node
        | {"tasks": {"recall": {"overrides": RECALL, "lr": 1e-3}}, "test": False, "bench": None}
        | changes
    )


def swept(**changes):
    """The same with a sweep of two rates."""
    tasks = {"recall": {"overrides": RECALL}}
    return mine(tasks=tasks, sweep={"lr": [1e-3, 1e-2], "seeds": [100]}) | changes


def job(stage="final", task="recall", seed=1):
    return Job(stage, "gpt", task, (("arch.dim", 32),), None, seed, 1e-3, ())


def written(folder, **changes):
    folder.mkdir(exist_ok=True)
    known = {"version": 1, "identity": "i", "name": "n", "study": "s", "config": {}, "seed": 1}
    record = known | {"status": "running", "attempts": 1, "error": None} | changes
    (folder / "run.json").write_text(json.dumps(record))
    return folder
