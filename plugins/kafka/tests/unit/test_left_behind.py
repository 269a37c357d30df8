"""Which transactional ids a new attempt of the two-phase sink takes over."""

from __future__ import annotations

import pytest

from millstream_kafka.left_behind import left_behind
from millstream_kafka.transaction import Listed

LANE = "p-run-out-1-"


@pytest.mark.parametrize(
    ("name", "state", "taken"),
    [
        ("2-1", "Ongoing", True),
        ("0-7", "Ongoing", True),
        ("2-1", "PrepareAbort", True),
        ("2-1", "PrepareCommit", False),
        ("2-1", "CompleteCommit", False),
        ("2-2", "Empty", True),
        ("1-2", "Empty", False),
        ("3-1", "Empty", False),
        ("3-1", "Ongoing", True),
        ("5-1", "Empty", True),
        ("5-1", "CompleteCommit", False),
        ("0-0-2", "Ongoing", False),
        ("0", "Ongoing", False),
        ("x-1", "Ongoing", False),
    ],
)
def test_an_id_is_taken_over_when_an_earlier_attempt_of_the_lane_may_still_write_with_it(name: str, state: str, taken: bool) -> None:
    listed = [Listed(f"{LANE}2-9", 1, "CompleteCommit"), Listed(LANE + name, 2, state)]
    assert left_behind(listed, LANE, 3, ()) == (listed[1:] if taken else [])


def test_of_several_attempts_with_higher_numbers_the_newest_may_be_alive() -> None:
    listed = [Listed(f"{LANE}4-1", 1, "Empty"), Listed(f"{LANE}10-1", 2, "Empty")]
    assert left_behind(listed, LANE, 3, ()) == listed[1:]


def test_what_is_spared_is_left_alone() -> None:
    listed = [Listed(f"{LANE}2-1", 1, "Ongoing"), Listed(f"{LANE}2-2", 2, "Ongoing")]
    assert left_behind(listed, LANE, 3, {f"{LANE}2-1"}) == listed[1:]


def test_a_prefix_is_no_regular_expression() -> None:
    assert left_behind([Listed("p.run-out-1-0-1", 1, "Ongoing")], "p+run-out-1-", 3, ()) == []
