"""The registry of metrics: one meaning per key, parts of a task included."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
from archs.contract import Family
from harness.metrics import METRICS, along_axes, metric, part_of, scattered
from harness.report.grouping import compare
from tasks.synthetic.generated import GeneratedTask


def test_every_metric_has_a_name_a_unit_and_a_difference_that_matters():
    assert len({m.key for m in METRICS}) == len({m.title for m in METRICS}) == len(METRICS)
    for m in METRICS:
        assert metric(m.key) is m
        assert m.scale * m.minimum == (1.0 if m.unit == "%" else 0.01)
        assert m.difference == ("points" if m.unit == "%" else "bits/byte")
    assert {m.key for m in METRICS if m.lower_is_better} == {
        "continuation_bpb", "infill_bpb", "calibration_error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("accuracy_pairs_8", ("accuracy", "pairs", 8.0)),
        ("exact_match_length_128", ("exact_match", "length", 128.0)),
        ("accuracy_noise_0.4", ("accuracy", "noise", 0.4)),
        ("accuracy_depth_share_50", ("accuracy", "depth share", 50.0)),
        ("continuation_bpb_context_bytes_416", ("continuation_bpb", "context bytes", 416.0)),
        ("accuracy_length_128_pairs_8", ("accuracy", "length 128 pairs", 8.0)),
        ("accuracy", None),
        ("accuracy_8", None),
        ("accuracy_length_128_pairs", None),
        ("native_loss", None),
        ("speed_length_128", None),
    ],
)
def test_parts_of_a_task(key, part):
    assert part_of(key) == part
    if part:
        assert metric(key).title == f"{metric(part[0]).title} at {part[1]} {part[2]:g}"
        assert metric(key).minimum == metric(part[0]).minimum


def test_parts_of_a_table_are_in_order_of_their_number():
    values = {"accuracy": 0.5, "accuracy_pairs_16": 0.2, "accuracy_pairs_8": 0.8, "accuracy_length_64": 0.5}
    run = {"arch": "gpt", "task": "recall", "seed": 1, "status": "completed", "validation": values}
    (table,) = compare([run])
    assert [m.key for m in table.metrics] == ["accuracy"]
    assert list(table.parts) == [("accuracy", "pairs"), ("accuracy", "length")]
    assert list(table.parts["accuracy", "pairs"]) == [8.0, 16.0]
    assert metric("unheard_of") is None


FEW = {"validation_examples": 8, "test_examples": 8, "quick_examples": 8}
GENERATED = sorted(
    name
    for name in tasks.__all__
    if isinstance(kind := getattr(tasks, name), type)
    and issubclass(kind, GeneratedTask)
    and not inspect.isabstract(kind)
)


@pytest.mark.parametrize("name", GENERATED)
def test_what_tasks_call_their_parts_is_a_part_of_a_metric(name, tmp_path):
    kind = getattr(tasks, name)
    takes = inspect.signature(kind).parameters
    options = FEW | ({"cache_dir": tmp_path} if "cache_dir" in takes else {})
    if "beyond" in takes and not takes["beyond"].default:
        options["beyond"] = [[128, 4], [128, 8]] if name == "MQAR" else [512]
    task = kind(family=Family.DECODER, start=0, **options)
    for part in (*task.slices, *task.beyond):
        assert part_of(f"accuracy_{part}"), part
        assert metric(f"accuracy_{part}").title.startswith("accuracy at ")


def test_parts_at_two_numbers_lie_along_the_one_that_varies():
    keys = [
        "accuracy_pairs_2",
        "accuracy_pairs_4",
        "accuracy_length_32_pairs_2",
        "accuracy_length_64_pairs_2",
    ]
    found = along_axes(["native_loss", *keys], {"length": 16, "vocab": 64})
    assert found["accuracy", "length"] == {16: keys[0], 32: keys[2], 64: keys[3]}
    assert found["accuracy", "pairs"] == {2: keys[0], 4: keys[1]}
    assert not scattered(keys)
    (alone,) = along_axes(keys[2:3], {}).items()
    assert alone == (("accuracy", "length"), {32: keys[2]})


@given(st.sets(st.tuples(st.sampled_from((16, 32, 64)), st.sampled_from((2, 4, 8))), min_size=1))
def test_every_part_lies_along_an_axis_or_among_the_scattered(points):
    keys = {f"accuracy_length_{length}_pairs_{pairs}": (length, pairs) for length, pairs in points}
    along = [key for of in along_axes(keys, {"length": 8}).values() for key in of.values()]
    apart = {key: at for of in scattered(keys).values() for at, key in of.items()}
    assert sorted([*along, *apart]) == sorted(keys)
    assert all(keys[key] == at for key, at in apart.items())
