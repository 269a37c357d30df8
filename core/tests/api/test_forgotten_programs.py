"""Programs that were built and never executed, as `millstream run` and the end of a script tell of them."""

from __future__ import annotations

from millstream.api.environment import StreamExecutionEnvironment, take_forgotten


def test_an_environment_that_goes_away_takes_no_equal_one_along() -> None:
    take_forgotten()
    kept, gone = StreamExecutionEnvironment(), StreamExecutionEnvironment()
    del gone  # both are empty, and so equal
    kept.from_collection([1]).map(lambda x: x, name="kept")
    assert "kept" in take_forgotten()
