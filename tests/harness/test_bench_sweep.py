"""How a sweep goes on: what is kept, what ends a curve, what is tried again, and who waits for whom."""

import json
import threading

import pytest
from bench_tools import bench, finished, holding

from harness import errors
from harness.efficiency import measure, records
from harness.efficiency.table import remarks, short, tables
from harness.lock import holder, run_lock

assert bench  # a fixture
EVERY = [("Attention", 16), ("S6", 16), ("Attention", 32), ("S6", 32)]


def over(status, mixer="Attention", length=16):
    """An answer by which one mixer's curve ends from a length on."""

    def answer(spec):
        ends = spec["node"]["mixer"]["_target_"].endswith(mixer) and spec["length"] >= length
        return {"status": status, "error": "why"} if ends else finished()

    return answer


def test_finished_points_are_kept_and_a_longer_list_adds_to_them(bench):
    first = bench()
    assert bench.measured == EVERY
    assert bench() == first
    assert bench.measured == EVERY
    assert len(bench("lengths=[16,32,64]", "seconds_per_point=5.0")) == 6  # finished under any limits
    assert bench.measured[4:] == [("Attention", 64), ("S6", 64)]
    written = [json.loads(path.read_text()) for path in sorted(bench.folder.glob("*.json"))]
    assert len(written) == 6
    assert {point["arch"] for point in written} == {"gpt", "mamba"}
    assert all(point["status"] == "ok" and point["environment"]["threads"] == 1 for point in written)


@pytest.mark.parametrize("status", ["out-of-memory", "over-time", "failed"])
def test_what_ends_a_curve_is_a_result_and_tried_again_under_other_limits_alone(bench, status):
    bench.answer = over(status)
    results = bench()
    assert bench.measured == [("Attention", 16), ("S6", 16), ("S6", 32)]
    assert [r["status"] for r in results] == [status, "ok", "skipped", "ok"]
    assert results[2]["error"] == f"{status} at 16"
    bench()
    assert bench.measured[3:] == ([("Attention", 16)] if status == "failed" else [])
    done = len(bench.measured)
    bench.answer = lambda spec: finished()
    assert [r["status"] for r in bench("seconds_per_point=500.0")] == ["ok"] * 4
    assert bench.measured[done:] == [("Attention", 16), ("Attention", 32)]


def test_smaller_limits_try_nothing_again_and_no_times_are_lost(bench):
    late = {"seconds": {"forward": 0.1}, "error": "why", "ended": {"train_step": "over-time"}}
    bench.answer = lambda spec: finished() | late
    results = bench("archs=[gpt]", "seconds_per_point=600.0")
    bench.answer = lambda spec: {"status": "over-time", "error": "why"}
    assert bench("archs=[gpt]", "seconds_per_point=60.0", "memory=2G") == results
    assert len(bench.measured) == 2
    more = "seconds_per_point=700.0"  # where less is found than before, once
    for result in results:
        result["limits"] = {**result["limits"], "seconds": 700.0}
    assert bench("archs=[gpt]", more) == results
    assert bench("archs=[gpt]", more) == results
    assert len(bench.measured) == 4
    kept = [json.loads(path.read_text()) for path in sorted(bench.folder.glob("*.json"))]
    assert sorted(kept, key=lambda result: result["length"]) == results


def test_what_failed_once_is_tried_again_and_its_curve_goes_on(bench):
    bench.answer = over("failed")
    assert [records.failed(r) for r in bench()] == [True, False, False, False]
    bench.answer = lambda spec: finished()
    results = bench()
    assert bench.measured[3:] == [("Attention", 16), ("Attention", 32)]
    assert [(r["status"], r["ended"]) for r in results] == [("ok", {})] * 4


def test_curves_of_one_architecture_end_apart(bench):
    bench.answer = lambda spec: (
        {"status": "over-time", "error": None} if spec["mode"] == "tokens" else finished()
    )
    statuses = [r["status"] for r in bench("archs=[gpt]", "modes=[tokens,single]")]
    assert statuses == ["over-time", "ok", "skipped", "ok"]


def test_work_that_ends_is_skipped_at_longer_lengths_and_other_work_goes_on(bench):
    asked = []

    def answer(spec):
        asked.append(spec["ended"])
        late = {} if spec["ended"] else {"train_step": "over-time"}
        return {**finished(), "seconds": {"forward": 0.1}, "error": "why" if late else None, "ended": late}

    bench.answer = answer
    lines = ["archs=[gpt]", "lengths=[16,32,64]"]
    results = bench(*lines)
    assert asked == [{}, {"train_step": "skipped"}, {"train_step": "skipped"}]
    assert [r["status"] for r in results] == ["ok"] * 3
    assert [r["ended"]["train_step"] for r in results] == ["over-time", "skipped", "skipped"]
    assert bench(*lines) == results
    assert len(asked) == 3
    shown = next(table for table in tables(results) if "training step: peak" in table.title)
    assert [list(column.cells) for column in shown.columns[1:]] == [["4.00M"]] * 3
    assert remarks(results)[:2] == [
        "time over the time limit: a larger seconds_per_point tries again",
        "· not tried, since a shorter length ended so",
    ]
    bench.answer = lambda spec: {**finished(), "seconds": {"forward": 0.1, "train_step": 0.5}}
    assert [r["ended"] for r in bench(*lines, "seconds_per_point=500.0")] == [{}] * 3


def test_what_ran_out_of_all_there_was_is_tried_again_where_clearly_more_is_free(bench, monkeypatch):
    bench.answer = lambda spec: {"status": "out-of-memory", "error": "why", "free": 4 * 10**9}
    room = [4.5 * 10**9]
    monkeypatch.setattr(measure, "free", lambda device, threads: room[0])
    assert [r["status"] for r in bench("archs=[gpt]")] == ["out-of-memory", "skipped"]
    bench("archs=[gpt]")
    assert len(bench.measured) == 1
    room[0] = 8e9
    bench.answer = lambda spec: finished()
    assert [r["status"] for r in bench("archs=[gpt]")] == ["ok", "ok"]


def test_what_ran_out_of_all_there_was_is_tried_again_under_a_limit_above_that(bench):
    bench.answer = lambda spec: {"status": "out-of-memory", "error": "why", "free": 4 * 10**9}
    for limit in ("null", "3G"):
        bench("archs=[gpt]", f"memory={limit}")
    assert len(bench.measured) == 1
    bench.answer = lambda spec: finished()
    assert [r["status"] for r in bench("archs=[gpt]", "memory=5G")] == ["ok", "ok"]


def test_a_limit_that_was_given_stands_whatever_is_free(bench, monkeypatch):
    monkeypatch.setattr(measure, "free", lambda device, threads: 10**15)
    bench.answer = lambda spec: {"status": "out-of-memory", "error": "why", "free": 4 * 10**9}
    for _ in range(2):
        bench("archs=[gpt]", "memory=2G")
    assert len(bench.measured) == 1


def test_a_record_says_when_it_was_measured(bench, monkeypatch):
    clock = iter(["2030-01-01T00:00:00+00:00", *50 * ["2030-01-02T00:00:00+00:00"]])
    monkeypatch.setattr("harness.efficiency.sweep.now", lambda: next(clock))
    times = [r["measured"] for r in bench()]
    assert times == ["2030-01-01T00:00:00+00:00", *3 * ["2030-01-02T00:00:00+00:00"]]
    assert [r["measured"] for r in bench()] == times  # a result that stands keeps its time


def test_ctrl_c_keeps_what_is_finished(bench, capsys):
    def answer(spec):
        if len(bench.measured) == 3:
            raise KeyboardInterrupt
        return finished()

    bench.answer = answer
    errors.note.cache_clear()
    with pytest.raises(KeyboardInterrupt):
        bench()
    assert capsys.readouterr().err.splitlines()[-1] == (
        "stopped: 2 of 4 points are kept, and the same command goes on"
    )
    assert holder(bench.folder) is None
    bench.answer = lambda spec: finished()
    assert [r["status"] for r in bench()] == ["ok"] * 4
    assert bench.measured[3:] == EVERY[2:]


def test_what_is_to_be_measured_again_is_not_counted_as_kept(bench, capsys):
    def stop(spec):
        raise KeyboardInterrupt

    for arch, status in (("gpt", "over-time"), ("mamba", "failed")):
        bench.answer = lambda spec, status=status: {"status": status, "error": "why"}
        bench(f"archs=[{arch}]", "lengths=[16]")
    bench.answer = stop
    for limit, kept in ((60.0, 1), (500.0, 0)):
        errors.note.cache_clear()
        with pytest.raises(KeyboardInterrupt):
            bench("lengths=[16]", f"seconds_per_point={limit}")
        assert f"stopped: {kept} of 2 points are kept" in capsys.readouterr().err


def test_of_two_sweeps_in_a_folder_the_second_waits_and_finds_the_points_done(bench, monkeypatch):
    def child(what, *rest):
        started.append(what)
        return holding(1_000_000)()

    def note(line):
        said.append(line)
        waiting.set()

    results, started, said, waiting = [], [], [], threading.Event()
    monkeypatch.setattr(measure, "child", child)
    monkeypatch.setattr("harness.efficiency.sweep.note", note)
    with run_lock(bench.folder):
        second = threading.Thread(target=lambda: results.append(bench()))
        second.start()
        assert waiting.wait(60)
        assert bench.measured == started == []
    second.join()
    assert started == ["baseline"]
    assert said[0].startswith(f"{bench.folder} is being measured by process")
    assert bench.measured == EVERY
    assert [r["status"] for r in results[0]] == ["ok"] * 4


LOST = [None, "drift", "setting", "memory", "ended", "measured", "limits", "model", "precision"]


@pytest.mark.parametrize("lost", LOST)
def test_a_damaged_point_is_measured_again_and_said(bench, capsys, lost):
    bench()
    path = sorted(bench.folder.glob("gpt-16*.json"))[0]
    kept = {key: value for key, value in json.loads(path.read_text()).items() if key != lost}
    path.write_text(json.dumps(kept) if lost else "{")
    errors.note.cache_clear()
    bench()
    assert bench.measured == [*EVERY, ("Attention", 16)]
    assert path.name in capsys.readouterr().err


def test_a_limit_below_what_a_process_holds_is_refused_in_one_line(bench, monkeypatch, capsys):
    monkeypatch.setattr(measure, "child", holding(300_000_000))
    with pytest.raises(SystemExit) as left:
        bench("memory=200M")
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "memory=200000000: a process holds 300 MB before it has a model" in said
    monkeypatch.setattr(measure, "available", lambda: 250_000_000)
    with pytest.raises(SystemExit):
        bench()
    assert "memory=null: 250 MB are free" in capsys.readouterr().err
    assert bench.measured == []
    assert [r["limits"]["memory"] for r in bench("memory=2G")] == [2 * 10**9] * 4
    assert [r["status"] for r in bench()] == ["ok"] * 4  # and where there is nothing to measure none asks


def test_tables_show_what_there_is_and_mark_what_is_not(bench):
    bench.answer = over("out-of-memory", length=32)
    results = bench()
    shown = {table.title.splitlines()[-1]: table for table in tables(results)}
    assert list(shown) == ["training step: tokens/s", "training step: peak memory (bytes)"]
    [names, short_one, long_one] = [list(column.cells) for column in shown["training step: tokens/s"].columns]
    assert (names, short_one, long_one) == (["gpt", "mamba"], ["128", "128"], ["mem", "128"])
    assert list(shown["training step: peak memory (bytes)"].columns[1].cells) == ["4.00M", "4.00M"]
    assert remarks(results) == ["mem out of memory"]
    fallen = [
        {**result, "memory_method": "allocator: none; system: ru_maxrss over all"} for result in results
    ]
    assert remarks(fallen) == ["mem out of memory", "memory: allocator: none; system: ru_maxrss over all"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (9.4, "9"),
        (999.4, "999"),
        (999.6, "1.00k"),
        (12345, "12.3k"),
        (999_700, "1.00M"),
        (161e6, "161M"),
    ],
)
def test_a_number_is_three_digits(number, text):
    assert short(number) == text
