import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.counts import UNITS, format_count, is_count, parse_count


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (5000000, 5000000),
        ("5e6", 5000000),
        (5000000.0, 5000000),
        ("2M", 2000000),
        ("200k", 200000),
        ("1.5M", 1500000),
        ("1_000", 1000),
        ("0", 0),
        ("2.5e1", 25),
        ("3G", 3 * 10**9),
        ("1e18", 10**18),
    ],
)
def test_the_ways_people_write_counts(written, meant):
    assert parse_count(written) == meant


@pytest.mark.parametrize(
    "wrong", ["", "M", "-3", -3, 1.5, "1.5", "0.0001k", "2 M", "2m", "2MB", True, None, "x"]
)
def test_what_is_no_count_is_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match="not a count") as error:
        parse_count(wrong)
    assert "\n" not in str(error.value)
    assert not is_count(wrong)


@given(st.integers(0, 10**18) | st.integers(0, 10**60) | st.integers(0, 40).map(lambda power: 10**power))
def test_formatting_loses_nothing(count):
    assert parse_count(format_count(count)) == count


@given(st.integers(0, 10**6), st.sampled_from(sorted(UNITS)))
def test_a_unit_multiplies(count, unit):
    assert parse_count(f"{count}{unit}") == count * UNITS[unit]
