"""Durations as text."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.config import format_duration, milliseconds, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("500ms", 0.5),
        ("5 min", 300),
        ("1h", 3_600),
        ("1h 30min", 5_400),
        ("1h30m", 5_400),
        ("  2 days  ", 172_800),
        ("250us", 0.00025),
        ("1.5s", 1.5),
        ("0", 0),
        ("0s", 0),
        ("90", 90),
        ("0.25", 0.25),
        ("2 seconds", 2),
    ],
)
def test_durations_that_people_write(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "ten seconds",
        "10 parsecs",
        "-5s",
        "+5s",
        "1e3s",
        "5 10s",
        "5s 10",
        "10S",
        "nan",
        "inf",
        "1_000ms",
        "٣s",
        "1..5s",
        "5s,",
        "P1D",
        "9" * 30 + "d",
    ],
)
def test_texts_that_are_no_durations(text):
    with pytest.raises(ValueError, match=r"duration|century"):
        parse_duration(text)


def test_a_century_is_the_longest():
    assert parse_duration("36500d") == timedelta(days=36_500)
    with pytest.raises(ValueError, match="century"):
        parse_duration("36500d 1us")


@given(st.timedeltas(timedelta(0), timedelta(days=36_500)))
def test_written_durations_read_back_as_they_were(duration):
    assert parse_duration(format_duration(duration)) == duration


@given(st.timedeltas(timedelta(0), timedelta(days=36_500)))
def test_milliseconds_round_up_so_that_no_wait_becomes_zero(duration):
    assert timedelta(0) <= timedelta(milliseconds=milliseconds(duration)) - duration < timedelta(milliseconds=1)
