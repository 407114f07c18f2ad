"""Cells and remarks of a length sweep: they say what its numbers do, and nothing that is not there."""

import pytest
from bench_tools import SMALL
from sample_records import sample_point

from harness.compose import compose
from harness.efficiency import records
from harness.efficiency.points import points
from harness.report.lengths import lengths, point_lines
from harness.report.points import read_point

AT = tuple(2**k for k in range(7, 17))


def part_of(*measured):
    (part,) = lengths(map(read_point, measured))
    return part


def swept(laws, at=AT, **changes):
    """Points whose training step takes what the laws say: {name: seconds of one sequence by its length}."""
    found = []
    for arch, law in laws.items():
        for length in at:
            point = sample_point(arch, length)
            seconds = {"train_step": point["batch"] * law(length)}
            found.append(point | {"seconds": seconds, "quartiles": {}} | changes)
    return found


def crossing_cells(part):
    """{(row, column): cell} of training time, as Markdown has it."""
    table = next(table for table in part.tables if table.name == "lengths-crossings-train")
    heads = [column.title for column in table.grid.columns]
    return {
        (row[0].text, head): str(cell)
        for row in table.grid.rows
        for head, cell in zip(heads, row, strict=True)
    }


def said(part, words):
    return any(words in line for line in part.remarks)


# ------------------------------------------------------------------------------------- where curves cross


def test_level_at_the_short_end_a_row_costs_less_from_there_on():
    """At 128 tokens gpt is 5% slower, which is within noise: "so far" would contradict the speeds."""
    laws = {
        "gpt": lambda t: 1e-6 * t * (1.05 if t == 128 else 1),
        "bert": lambda t: 1e-6 * t * (1 + t / 8000),
    }
    part = part_of(*swept(laws))
    cells = crossing_cells(part)
    length = cells["gpt", "bert"].removeprefix("from ").removesuffix(" (level below)")
    assert 300 < float(length.replace(",", "")) < 2000
    assert cells["bert", "gpt"].endswith(f" (level below {length})")
    (line,) = (
        line for line in point_lines([part]) if line["kind"] == "crossing" and "training time" in line["cost"]
    )
    assert line["less"] == "gpt"
    assert 300 < line["length"] < 2000


def test_level_at_the_long_end_a_row_costs_less_until_there():
    cells = crossing_cells(part_of(*swept({"gpt": lambda t: 1e-6 * t, "bert": lambda t: 1e-6 * (t + 500)})))
    assert cells["gpt", "bert"].startswith("until ")
    assert cells["gpt", "bert"].endswith("(level above)")
    assert "(level above " in cells["bert", "gpt"]


def test_a_tie_whose_exponents_differ_is_a_tie_with_what_they_say_beside_it():
    part = part_of(*swept({"gpt": lambda t: (t / 3000) ** 1.022, "bert": lambda t: t / 3000}))
    cells = crossing_cells(part)
    assert cells["bert", "gpt"].startswith("tie (from ≈ ")
    assert cells["gpt", "bert"].startswith("tie (not from ≈ ")
    (lines,) = (table.lines for table in part.tables if table.name == "lengths-crossings-train")
    assert any(line.startswith("≈") for line in lines)


def test_apart_everywhere_is_said_as_before():
    cells = crossing_cells(part_of(*swept({"gpt": lambda t: 1e-6 * t, "bert": lambda t: 1e-6 * t**1.3})))
    assert (cells["gpt", "bert"], cells["bert", "gpt"], cells["gpt", "gpt"]) == ("always", "never", "")


def test_one_length_has_neither_crossings_nor_exponents_nor_pictures_and_says_what_they_need():
    part = part_of(*swept({"gpt": lambda t: t, "bert": lambda t: t}, at=(4096,)))
    assert [table.name for table in part.tables] == ["lengths-train", "lengths-peak"]
    assert said(part, "No exponents: they need 4 lengths")
    assert not said(part, "In the pictures")


def test_pictures_are_explained_by_what_is_in_them():
    part = part_of(*swept({"gpt": lambda t: t, "bert": lambda t: t**1.3}))
    assert said(part, "In the pictures, T to some power")
    assert not said(part, "rings")
    assert not said(part, "a cross is")
    assert not said(part, "No exponents")
    few = part_of(*swept({"gpt": lambda t: (t / 900) ** 2, "bert": lambda t: t / 900}, at=AT[:6:2]))
    assert said(few, "In the pictures, rings are where curves cross.")


# ------------------------------------------------------------------------------------------- remarks


def test_what_an_encoder_decoder_does_less_of_is_said():
    part = part_of(*(sample_point("t5", length, side="source") for length in AT))
    assert said(part, "at 128 of a row, where a decoder has them at every token")


@pytest.mark.parametrize(("arch", "shown"), [("bert", False), ("gpt", True)])
def test_reading_into_a_cache_is_said_where_any_did(arch, shown):
    part = part_of(*(sample_point(arch, length, mode="single") for length in AT))
    assert said(part, "read into the cache or state") is shown


def test_precisions_that_are_not_the_settings_are_named():
    words = {"setting": "size 1M, 32-true"}
    same = swept({"gpt": lambda t: t}, precision="32-true", **words)
    half = swept({"mamba": lambda t: t}, precision="bf16-mixed", **words)
    assert said(part_of(*same, *half), "In a precision of their own: mamba (bf16-mixed).")
    assert not said(part_of(*same), "precision of their own")


@pytest.mark.parametrize("biased", [True, False, None])
def test_a_bias_on_scores_is_told_where_a_point_says_that_it_has_one(biased):
    changes = {} if biased is None else {"biased": biased}
    part = part_of(*swept({"gpt": lambda t: t}, **changes))
    assert said(part, "(T, T) numbers per head") is (biased is True)


def test_a_point_knows_of_its_bias_whatever_it_is_called(tmp_path):
    lines = [
        "archs=[gpt,mamba,t5]",
        "variants={a: ['arch=gpt', 'arch/position=t5_bias'], b: ['arch=gpt', 'arch/position=rope']}",
    ]
    asked = compose("bench", [*SMALL, *lines, "lengths=[16]"])
    found = {point.label: records.about(point)["biased"] for point in points(asked, tmp_path, pytest.fail)}
    assert found == {"gpt": False, "mamba": False, "t5": True, "a": True, "b": False}
