"""The YAML of a study: which runs it is made of, and what is refused of it, in one line."""

import pytest

from harness.compose import compose
from harness.studies import STUDY
from harness.study import expand
from harness.study.expand import Expansion, folded, refuse_own, typed
from harness.study.spec import order, read, tried

BLOCK = {"overrides": {"task": "mqar"}}
NODE = {
    "name": "s",
    "title": "S",
    "archs": ["gpt", "mamba"],
    "seeds": [1, 2],
    "shared": {"size": "200k"},
    "tasks": {
        "language": {"overrides": {"task": "language"}, "lr": {"gpt": 1e-3, "mamba": [1e-3, 3e-3]}},
        "recall": {"overrides": {"task": "mqar"}, "lr": {"gpt": 1e-3, "mamba": 1e-3}},
    },
}
SWEEP = {"lr": [1e-3, 1e-2], "seeds": [100]}
SWEPT = NODE | {"tasks": {"recall": BLOCK, "copy": BLOCK}, "sweep": SWEEP}


def expansion(node, user=(), folds=()):
    return Expansion(read(node), list(user), "s", frozenset(folds))


def finals(node, user=(), folds=(), rates=()):
    made = expansion(node, user, folds)
    return [job for task in made.study.tasks for job in made.finals(task, dict(rates))]


def test_a_study_is_every_architecture_on_every_task_seed_by_seed():
    jobs = finals(NODE)
    assert len(jobs) == 2 * (3 + 2)
    language = [job for job in jobs if job.task == "language"]
    assert [job.seed for job in language] == [1, 1, 1, 2, 2, 2]
    assert sum("arch=mamba" in job.overrides for job in jobs) == 6


def test_what_the_user_typed_wins_over_the_study():
    for job in finals(NODE, ["size=1M"]):
        assert job.overrides.index("size=1M") > job.overrides.index("size=200k")


def test_variants_are_labels_with_overrides():
    rope = ["arch=gpt", "arch/position=rope"]
    jobs = finals(
        NODE | {"archs": {"gpt": ["arch=gpt"], "gpt rope": rope}, "tasks": {"r": BLOCK | {"lr": 1e-3}}}
    )
    assert {job.label for job in jobs} == {"gpt", "gpt rope"}
    of_rope = [job for job in jobs if job.label == "gpt rope"]
    assert all({*rope, "label='gpt rope'"} <= set(job.overrides) for job in of_rope)


def test_axes_are_crossed_with_everything_and_held_in_the_sweep():
    node = SWEPT | {
        "grid": {"arch.dim": [32, 64], "task.pairs": [2, 4]},
        "sweep": SWEEP | {"at": {"task.pairs": 2}},
    }
    made = expansion(node)
    trials = list(made.trials("recall", {}))
    assert len(trials) == 2 * 2 * 2  # architectures, widths, rates; one seed, pairs held
    assert all("task.pairs=2" in job.overrides and job.seed == 100 for job in trials)
    rates = {made.choice(job.label, job.task, job.axes): job.lr for job in trials if job.lr == 1e-2}
    assert len(rates) == 4
    assert len(list(made.finals("recall", rates))) == 2 * 2 * 4
    assert list(made.finals("copy", rates)) == []  # nothing was chosen for it


def test_a_rate_chosen_on_one_task_serves_all():
    made = expansion(SWEPT | {"sweep": SWEEP | {"on": "recall"}})
    assert tried(made.study) == {"recall"}
    rates = {("gpt", "recall", ()): 1e-3, ("mamba", "recall", ()): 1e-2}
    jobs = list(made.finals("copy", rates))
    assert {(job.label, job.lr) for job in jobs} == {("gpt", 1e-3), ("mamba", 1e-2)}


def test_runs_of_the_sweep_stand_apart_and_may_differ():
    made = expansion(SWEPT | {"sweep": SWEEP | {"overrides": {"budget.tokens": "10k"}}})
    rates = {(label, "recall", ()): 1e-3 for label in ("gpt", "mamba")}
    for job in made.trials("recall", {}):
        assert {"study_name=s/sweep", "budget.tokens=10k"} <= set(job.overrides)
    for job in made.finals("recall", rates):
        assert "study_name=s" in job.overrides
        assert "budget.tokens=10k" not in job.overrides


def test_a_task_starts_from_the_run_of_the_same_architecture_and_seed():
    tasks = {"tuned": BLOCK | {"lr": 1e-4, "init_from": "pre"}, "pre": BLOCK | {"lr": 1e-3}}
    made = expansion(NODE | {"tasks": tasks})
    assert order(made.study) == [["pre"], ["tuned"]]
    for job in made.finals("tuned", {}):
        assert (job.start.task, job.start.label, job.start.seed) == ("pre", job.label, job.seed)
        assert job.start in list(made.finals("pre", {}))
        assert f"label='{job.label} from pre'" in job.overrides


def test_folds_multiply_the_tasks_that_have_them_and_the_sweep_takes_the_first():
    made = expansion(SWEPT | {"folds": 3}, folds=["recall"])
    rates = {(label, task, ()): 1e-3 for label in ("gpt", "mamba") for task in ("recall", "copy")}
    assert sorted(job.fold for job in made.finals("recall", rates)) == [0] * 4 + [1] * 4 + [2] * 4
    assert {job.fold for job in made.finals("copy", rates)} == {None}
    assert {job.fold for job in made.trials("recall", {})} == {0}


def test_tasks_with_folds_are_found_by_their_key():
    tasks = {"recall": BLOCK | {"lr": 1e-3}, "party": {"overrides": {"task": "sotu_party"}, "lr": 1e-3}}
    assert folded(read(NODE | {"tasks": tasks, "folds": 2}), []) == {"party"}
    with pytest.raises(ValueError, match=r"none of recall has a key task\.fold"):
        folded(read(NODE | {"tasks": {"recall": BLOCK | {"lr": 1e-3}}, "folds": 2}), [])


def test_runs_that_differ_in_seed_rate_and_fold_are_composed_once_and_as_each_by_itself(monkeypatch):
    tasks = {"votes": {"overrides": {"task": "sotu_party"}, "lr": [1e-3, 3e-3]}}
    jobs = finals(NODE | {"tasks": tasks, "folds": 2}, ["optim.warmup=0.2"], folds={"votes"})
    times, known = [], {}
    monkeypatch.setattr(expand, "compose", lambda *asked: times.append(asked) or compose(*asked))
    for job in jobs:
        assert expand.composed(job, known=known) == compose("train", job.overrides)
    assert (len(jobs), len(times)) == (2 * 2 * 2 * 2, 2)  # once for each architecture


def test_a_scale_is_merged_over_the_study_and_what_was_typed_over_both():
    large = {
        "seeds": [7, 8, 9],
        "shared": {"size": "1M"},
        "tasks": {"recall": {"overrides": {"task.pairs": 8}}},
    }
    node = NODE | {"scales": {"large": large}}
    study = read(node, "large")
    assert (study.name, study.seeds, study.shared) == ("s-large", [7, 8, 9], {"size": "1M"})
    assert study.tasks["recall"].overrides == {"task": "mqar", "task.pairs": 8}
    assert read(node, "large", ["study.seeds=[4]"]).seeds == [4]
    assert read(node).seeds == [1, 2]


def test_what_a_study_may_leave_out_is_nothing():
    bare = {**NODE, "tasks": {"recall": {"lr": 1e-3}}, "shared": None}
    study = read(bare)
    assert (study.bench, study.test, study.shared, study.sweep) == (None, False, {}, None)
    assert len(finals(bare)) == 4


def test_the_bare_word_on_is_a_key_whatever_yaml_makes_of_it():
    assert read(SWEPT | {"sweep": SWEEP | {True: "recall"}}).sweep.on == "recall"


REFUSED = {
    "study.name takes the name of a folder": {"name": "a/b"},
    "unknown key study.scales.big.seds; nearest: study.scales.big.seeds": {"scales": {"big": {"seds": [1]}}},
    r"study.shared.optim.lr: a study sets optim.lr run by run, .*; write study.tasks.NAME.lr": {
        "shared": {"optim.lr": 1e-3}
    },
    "study.archs.a: seed=4: a study sets seed run by run": {"archs": {"a": ["arch=gpt", "seed=4"]}},
    "unknown key study.titel; nearest: study.title": {"titel": "T"},
    "unknown key study.sweep.seed; nearest: study.sweep.seeds": {"sweep": {"lr": [1e-3], "seed": [3]}},
    "unknown key study.tasks.recall.override; nearest: study.tasks.recall.overrides": {
        "tasks": {"recall": {"override": {}, "lr": 1e-3}}
    },
    "study.seeds takes a list of distinct whole numbers": {"seeds": [1, 1]},
    "study.archs takes a list of names": {"archs": {"gpt": "arch=gpt"}},
    "study.grid takes axes with lists": {"grid": {"arch.dim": 32}},
    "study.sweep.lr takes a list of distinct numbers above 0": {"sweep": SWEEP | {"lr": ["fast"]}},
    "study.tasks.recall.lr takes a number above 0": {"tasks": {"recall": {"lr": -1}}},
    "lacks study.title, study.tasks.recall.lr": {"title": None, "tasks": {"recall": BLOCK}},
    r"share \[2\]: choosing on a seed that is reported": {"sweep": SWEEP | {"seeds": [2]}},
    "study.sweep.on=recal: no task of this study; nearest: recall": {"sweep": SWEEP | {"on": "recal"}},
    "study.sweep.at=arch.dim: no axis of study.grid": {"sweep": SWEEP | {"at": {"arch.dim": 8}}},
    "init_from=langage: no task of this study; nearest: language": {
        "tasks": {**NODE["tasks"], "recall": BLOCK | {"lr": 1e-3, "init_from": "langage"}}
    },
    "a, b start from each other": {
        "tasks": {"a": {"lr": 1e-3, "init_from": "b"}, "b": {"lr": 1e-3, "init_from": "a"}}
    },
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_mistake_is_one_line_that_names_the_key(said):
    with pytest.raises(ValueError, match=said) as refused:
        read(NODE | REFUSED[said])
    assert "\n" not in str(refused.value)


def test_an_unknown_scale_and_a_missing_rate_are_named():
    with pytest.raises(ValueError, match="scale=larg: study=s has no such scale; nearest: scale=large"):
        read(NODE | {"scales": {"large": {}}}, "larg")
    with pytest.raises(ValueError, match="no rate for bert"):
        finals(NODE | {"archs": ["bert"]})


@pytest.mark.parametrize("override", ["seed=5", "arch=gpt", "optim.lr=1e-3", "init_from=x"])
def test_what_the_study_sets_itself_is_not_typed_for_every_run(override):
    with pytest.raises(ValueError, match=r"a study sets .* run by run; write study"):
        refuse_own(["size=1M", override])


def test_values_are_written_as_they_are_typed():
    assert typed([1, None, True, "a b"]) == "[1,null,true,'a b']"
    assert typed({"a": 1e-3}) == "{a:0.001}"
    assert typed("results/runs/x-1+y") == "results/runs/x-1+y"


def test_every_key_that_a_study_may_have_stands_in_a_shipped_one():
    """Or strict configuration would refuse it in a user's own."""
    from harness.schema import shipped
    from harness.searchpath import conf_dir

    assert {key for study in shipped(conf_dir()).options["study"].values() for key in study} == set(STUDY)
