"""The committed studies: every run of every one composes and can be planned, at every scale."""

import pytest
import yaml
from omegaconf import OmegaConf

from harness.compose import compose
from harness.plan import plan
from harness.searchpath import conf_dir
from harness.strict import as_dict
from harness.study.expand import Expansion, composed, folded
from harness.study.spec import read, swept

FILES = sorted((conf_dir() / "study").glob("*.yaml"))
SCALED = [
    (path.stem, scale)
    for path in FILES
    for scale in (None, *(yaml.safe_load(path.read_text()).get("scales") or {}))
]


def kinds(name, scale):
    """One job of every kind that a study has: label, task, point of the grid, stage."""
    study = read(as_dict(compose("compare", [f"study={name}"]).study, resolve=True), scale)
    made = Expansion(study, [], study.name, folded(study, []))
    rates = {}
    if study.sweep is not None:
        points = [
            (label, task, axes)
            for label in study.archs
            for task in swept(study)
            for axes in made.axes("final")
        ]
        rates = {made.choice(*point): study.sweep.lr[0] for point in points}
    jobs = [job for task in study.tasks for job in made.finals(task, rates)]
    jobs += [job for task in swept(study) for job in made.trials(task, rates)]
    return study, list({job.shape: job for job in jobs}.values())


@pytest.mark.parametrize(("name", "scale"), SCALED)
def test_every_task_of_a_study_composes(name, scale):
    study, jobs = kinds(name, scale)
    assert {job.task for job in jobs} == set(study.tasks)
    assert {job.label for job in jobs} == set(study.archs)
    for job in {(job.task, job.axes[-1:]): job for job in jobs}.values():
        composed(job)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_run_of_a_study_can_be_planned(name, corpus_files, tmp_path):
    """On a small corpus; widths are solved, budgets pay for steps, lengths fit."""
    jobs = kinds(name, None)[1]
    ends = {(job.label, job.task): job for job in [*jobs, *reversed(jobs)]} | {
        (job.label, job.task, "last"): job for job in jobs if job.axes
    }
    for job in ends.values():
        config = composed(job)
        if "LanguageTask" in config.task._target_:
            corpus = compose("train", ["corpus=text", f"corpus.files={corpus_files}/*.txt"]).corpus
            OmegaConf.update(config, "corpus", corpus, merge=False)
            config.tokenizer.vocab_size, config.cache_dir = 400, str(tmp_path)
            config.task.windows = config.task.quick_windows = config.task.beyond_windows = 4
            config.task.beyond = config.task.beyond[:1]  # documents are short
        planned = plan(config)
        assert planned.steps is not None
        assert planned.steps >= 20, job.title


@pytest.mark.parametrize("scale", [scale for name, scale in SCALED if name == "mechanistic"])
def test_the_mechanistic_frame_has_two_layers_at_every_scale(scale):
    jobs = {job.label: job for job in kinds("mechanistic", scale)[1]}
    for job in jobs.values():
        node = plan(composed(job)).arch.node
        assert (node["depth"], node.get("decoder_depth") or 2) == (2, 2), job.title


def test_the_studies_that_answer_the_known_questions_are_there():
    names = {path.stem for path in FILES}
    assert names >= {
        "quickstart",
        "recall",
        "mechanistic",
        "state_tracking",
        "language",
        "finetune",
        "scaling",
        "parts",
        "long_context",
    }


def test_scaling_has_twelve_points_over_a_decade_of_each_and_the_others_three_seeds():
    study, jobs = kinds("scaling", None)
    points = {job.axes for job in jobs if job.stage == "final"}
    assert len(points) >= 12
    for axis, values in study.grid.items():
        plain = [compose("train", [f"{axis}={value}"]) for value in (values[0], values[-1])]
        low, high = (float(OmegaConf.select(config, axis)) for config in plain)
        assert high >= 10 * low, axis
    for path in FILES:
        if not path.stem.startswith("quickstart"):
            assert len(yaml.safe_load(path.read_text())["seeds"]) >= 3
