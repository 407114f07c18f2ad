"""The registry of metrics: one meaning per key, parts of a task included."""

import pytest

from harness.metrics import METRICS, metric, part_of
from harness.report.grouping import compare


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
        ("accuracy", None),
        ("accuracy_8", None),
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
