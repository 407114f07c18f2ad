"""Columns hold what may be compared: folds and seeds are one row, axes name rows, and the rest is refused."""

import numpy as np
import pytest
from sample_records import write_run, write_study

from harness.report.collect import collect
from harness.report.grouping import COMPARABLE, compare, together
from harness.report.labelling import natural, pretrained_name


def record(arch="gpt", seed=1, fold=None, value=0.8, **changes):
    """A completed run of a classification, tested on 20 documents."""
    rng = np.random.default_rng([seed, fold or 0])
    right = (rng.random(20) < value).astype(float)
    config = {"arch": {"_target_": "archs.Decoder", "dim": 32}, "task": {"length": 64, "fold": fold}}
    config |= {"optim": {"lr": 1e-3}, "budget": {"kind": "tokens", "tokens": 1000}, "tokenizer": {"vocab": 9}}
    clusters = {"names": [f"{fold}-{i}" for i in range(20)], "accuracy": {"total": right, "count": [1] * 20}}
    run = {
        "identity": f"{arch}{seed}{fold}{sorted(changes.items())}",
        "arch": arch,
        "task": "speeches",
        "seed": seed,
        "status": "completed",
        "digests": {"tokenizer": f"t{fold}", "examples": "e" * 64},
        "validation": {},
        "test": {"accuracy": right.mean(), "macro_f1": value, "clusters": clusters},
    }
    for key, changed in changes.items():
        *path, last = key.split("__")
        node = config if path[:1] == ["config"] else run
        for step in path[1:] if path[:1] == ["config"] else path:
            node = node.setdefault(step, {})
        node[last] = changed
    return run | {"config": config}


def folds(seeds=(1, 2, 3), **options):
    return [record(seed=seed, fold=fold, **options) for seed in seeds for fold in range(5)]


def test_folds_are_pooled_into_one_value_per_seed():
    (table,) = compare(folds())
    (row,) = table.rows
    assert table.title == "speeches"
    assert row.folds == {0, 1, 2, 3, 4}
    assert row.count == "15"
    values = row.values("accuracy")
    assert sorted(values) == [1, 2, 3]
    of_seed = [run["test"]["clusters"]["accuracy"]["total"] for run in row.runs if run["seed"] == 2]
    assert values[2] == pytest.approx(np.concatenate(of_seed).mean())
    assert row.values("macro_f1") == pytest.approx({1: 0.8, 2: 0.8, 3: 0.8})  # known by run alone: their mean


def test_baselines_of_folds_are_of_all_of_them():
    """Each fold has a test set of its own, and with it a baseline of its own."""
    shares = [0.5, 0.4, 0.6, 0.7, 0.3]
    runs = [
        record(seed=seed, fold=fold, test__baselines={"majority": {"accuracy": shares[fold]}})
        for seed in (1, 2)
        for fold in range(5)
    ]
    (table,) = compare(runs[:8])  # the second seed lacks two: a fold counts once, however often it was run
    assert table.baselines == {"majority": {"accuracy": pytest.approx(0.5)}}


def test_the_test_set_of_folds_is_all_of_their_documents():
    (row,) = compare(folds())[0].rows
    clusters = row.clusters("accuracy")
    assert len(clusters) == 100
    assert clusters.value == pytest.approx(np.mean(list(row.values("accuracy").values())))
    low, high = row.test_interval("accuracy")
    assert low < clusters.value < high
    assert high - low == pytest.approx(2 * 1.98 * np.std(clusters.total) / 10, rel=0.15)
    assert row.test_interval("macro_f1") is None


def test_a_seed_that_lacks_a_fold_is_missing():
    runs = [*folds(), *folds(arch="mamba")[:-1]]
    (table,) = compare(runs)
    gpt, mamba = table.rows
    assert sorted(gpt.values("accuracy")) == [1, 2, 3]
    assert sorted(mamba.values("accuracy")) == [1, 2]
    assert "mamba has no result for seed 3" in table.verdicts["accuracy"].reason


def test_a_table_of_some_folds_says_so():
    runs = [record(seed=seed, fold=0, config__task={"fold": 0, "folds": 5}) for seed in (1, 2)]
    (table,) = compare(runs)
    assert table.title == "speeches (fold 0 of 5)"
    assert sorted(table.rows[0].values("accuracy")) == [1, 2]


def test_folds_with_other_tokenizer_specifications_are_apart():
    runs = [*folds(), *folds(arch="mamba", config__tokenizer={"vocab": 7})]
    assert len(compare(runs)) == 2
    with pytest.raises(ValueError, match="tokenizer"):
        together(runs)


def test_labels_name_rows_and_axes_tell_them_apart():
    runs = [record(label="small gpt", seed=seed) for seed in (1, 2)]
    runs += [record(label="gpt-rope", seed=seed, config__arch={"dim": 64}) for seed in (1, 2)]
    runs += [
        record(label="gpt-rope", seed=seed, config__arch={"dim": 96}, config__optim={"lr": 3e-3})
        for seed in (1, 2)
    ]
    (table,) = compare(runs)
    assert [row.label for row in table.rows] == ["gpt-rope (dim=64)", "gpt-rope (dim=96)", "small gpt"]
    assert all(row.seeds == [1, 2] for row in table.rows)


def test_rows_along_an_axis_stand_in_its_order_and_are_named_by_it_alone():
    runs = [
        record(
            arch=f"gpt+rope+dim={dim}",
            label="attention",
            config__label="attention",
            config__arch={"dim": dim},
        )
        for dim in (128, 16, 32)
    ]
    (table,) = compare(runs)
    assert [row.label for row in table.rows] == [
        "attention (dim=16)",
        "attention (dim=32)",
        "attention (dim=128)",
    ]


def test_widths_that_follow_from_the_size_are_not_told():
    runs = [record(config__size=10**6), record(config__size=10**7, config__arch={"dim": 96, "heads": 8})]
    assert [row.label for row in together(runs, ["size"]).rows] == [
        "gpt (size=1M)",
        "gpt (size=10M)",
    ]


def test_defaults_of_later_keys_are_those_of_older_runs():
    older, newer = record(), record(seed=2, config__checkpoint="last", config__init_from=None)
    (table,) = compare([older, newer])
    assert [row.seeds for row in table.rows] == [[1, 2]]


def test_seeds_of_a_fine_tuned_row_start_from_runs_of_their_own():
    start = "results/runs/finetune/gpt-language-1M-s{}-0123456789ab"
    runs = [record(seed=seed, config__init_from=start.format(seed)) for seed in (1, 2, 3)]
    (table,) = compare([*runs, record(seed=1)])
    assert {row.label: row.seeds for row in table.rows} == {
        "gpt (init_from=none)": [1],
        "gpt (init_from=gpt-language-1M)": [1, 2, 3],
    }
    assert pretrained_name("elsewhere") == "elsewhere"


def test_runs_of_one_configuration_never_stand_for_the_same_seed():
    runs = [record(seed=s, identity=f"{copy}{s}", started=f"2026-0{copy}") for copy in (1, 2) for s in (1, 2)]
    (table,) = compare(runs)
    assert [(row.label, row.seeds) for row in table.rows] == [("gpt", [1, 2]), ("gpt [2]", [1, 2])]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"digests__tokenizer": "9876543210"}, "tokenizer: tokenizer tttttttt / tokenizer 98765432"),
        ({"digests__corpus": "abcdef0123"}, "corpus: corpus cccccccc / corpus abcdef01"),
        (
            {"config__budget": {"kind": "tokens", "tokens": "4M"}},
            "budget: budget.tokens=2M / budget.tokens=4M",
        ),
        ({"config__size": "10M"}, "size: size=1M / size=10M"),
        (
            {"config__task": {"_target_": "tasks.Task", "window": 512}},
            "task: task.window=256 / task.window=512",
        ),
    ],
)
def test_a_column_of_what_differs_is_refused_unless_asked_for(tmp_path, change, named):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "mamba", curves=False, **change)
    runs = sorted(collect(tmp_path).records, key=lambda run: run["arch"])
    with pytest.raises(ValueError, match="do not share a column") as refusal:
        together(runs)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)
    name = named.split(":")[0]
    assert f"allow=[{name}]" in str(refusal.value)
    assert [row.arch for row in together(runs, [name]).rows] == ["gpt", "mamba"]


def test_seeds_on_other_data_are_never_one_row(tmp_path):
    write_run(tmp_path, "gpt", 1, curves=False)
    write_run(tmp_path, "gpt", 2, curves=False, digests__corpus="abcdef0123")
    runs = collect(tmp_path).records
    rows = together(runs, ["corpus"]).rows
    assert {row.label for row in rows} == {"gpt (corpus=cccccccc)", "gpt (corpus=abcdef01)"}


def test_runs_that_failed_before_they_knew_their_data_are_still_there(tmp_path):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "gpt", 2, status="failed", digests={}, curves=False)
    (row,) = together(collect(tmp_path).records).rows
    assert row.count == "1 of 2, 1 failed"


def test_tasks_share_a_table_only_when_asked_to(tmp_path):
    write_study(tmp_path, curves=False)
    runs = collect(tmp_path).records
    with pytest.raises(ValueError, match="task: language / mqar"):
        together(runs)
    assert together(runs, list(COMPARABLE)).task == "language, mqar"


@pytest.mark.parametrize(
    ("runs", "allow", "said"),
    [
        ([], [], "no runs"),
        ([record()], ["tokeniser"], "allow=tokeniser: choose from task, .* nearest: tokenizer"),
    ],
)
def test_what_cannot_be_put_together_is_said(runs, allow, said):
    with pytest.raises(ValueError, match=said):
        together(runs, allow)


def test_tables_of_a_task_stand_in_the_order_of_what_sets_them_apart():
    budgets = [300_000, 3_000_000, 1_000_000]
    runs = [record(config__budget={"kind": "tokens", "tokens": tokens}) for tokens in budgets]
    told = [table.differs for table in compare(runs)]
    assert told == ["budget.tokens=300k", "budget.tokens=1M", "budget.tokens=3M"]
    assert sorted(["size=1M", "size=300k", "dim=64"], key=natural) == ["dim=64", "size=300k", "size=1M"]
