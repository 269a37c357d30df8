"""What is demanded of write-ahead sinks, call by call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from millstream.checkpoint.write_ahead import LaneLog, WriteAheadLog
from millstream.contracts.write_ahead import Marker
from millstream.errors import TargetLostData
from millstream.state.serializers import serializer_for
from millstream_testkit.demands import declares, demand, kind
from millstream_testkit.suites.attempts import OTHER_RUN, rows
from millstream_testkit.suites.sink_contract import SinkContractBase, assert_seen, error_of

if TYPE_CHECKING:
    from millstream_testkit.suites.attempts import Attempts


class WriteAheadContract(SinkContractBase):
    """Write-ahead only."""

    @demand("The marker is where the last commit left it, and every later attempt finds it there.", when=kind("write_ahead"))
    def test_the_marker_moves_with_the_records(self, attempts: Attempts) -> None:
        writer = attempts.open()
        assert writer.client.read_marker(0) is None, "a lane that was never written has a marker"
        records = writer.logged(rows(0, 4))
        writer.client.commit_batch(0, 3, 0, records[:2])
        writer.client.commit_batch(0, 3, 1, records[2:])
        assert writer.client.read_marker(0) == Marker(3, 1)
        later = attempts.open(1)
        assert later.client.read_marker(0) == Marker(3, 1), "a later attempt of the same run does not find the marker"
        other = [attempts.open(run_id=OTHER_RUN), attempts.open(sink_uid="other"), attempts.open(lane=1, parallelism=2)]
        for attempt, name in zip(other, ("run", "sink", "lane")):
            assert attempt.client.read_marker(1 if name == "lane" else 0) is None, f"another {name} finds the marker of this one"
        assert_seen(attempts, rows(0, 4), "after two chunks")

    @demand(
        "The marker is read behind the fence: what an older attempt commits between opening and fencing is not committed again.",
        when=kind("write_ahead"),
    )
    def test_the_marker_is_read_behind_the_fence(self, attempts: Attempts) -> None:
        old = attempts.open(0)
        old.write(rows(0, 4))
        sealed = old.seal(1)
        new = attempts.open(1, fence=False)
        old.commit(sealed)
        new.fence()
        new.commit(sealed)
        assert_seen(
            attempts, rows(0, 4), "after an older attempt committed an epoch between open() and fence() of the next, which found it committed"
        )

    @demand("A target that has lost its markers stops the job: a missing marker is never taken for nothing to do.", when=kind("write_ahead"))
    def test_a_marker_that_is_behind_stops_the_job(self, attempts: Attempts) -> None:
        attempt: Any = attempts.open()
        serializer = serializer_for(None)
        log = WriteAheadLog(attempt.client, attempt._context, serializer, None)
        confirmed = msgspec.msgpack.encode(LaneLog(1, serializer.description(), 5, []))
        error = error_of(lambda: log.recover([(0, confirmed)], 6, rewound=False))
        assert isinstance(error, TargetLostData), (
            f"checkpoint 6 knows that checkpoint 5 was committed, the target is empty, and the recovery ended with {error!r}"
        )

    @demand("A commit that fails half way leaves neither records nor a marker.", when=[kind("write_ahead"), declares("atomic_marker")])
    def test_a_commit_that_fails_leaves_nothing(self, attempts: Attempts) -> None:
        most = attempts.harness.declared().max_commit_records or attempts.harness.oversized_records
        for attempt, count in enumerate((4, most)):
            writer = attempts.open(2 * attempt)
            records = writer.logged(rows(0, count - 1))
            error = error_of(lambda: writer.client.commit_batch(0, 1, 0, [*records, object()]))  # noqa: B023 - called at once
            if error is None:
                pytest.skip("not run: the target took an object() for a record, so this way to make it fail does not work")
            marker = attempts.open(2 * attempt + 1).client.read_marker(0)
            assert marker is None, f"commit_batch raised {error!r} at the last of {count:,} records, but the marker has moved to {marker}"
            assert_seen(attempts, [], f"after commit_batch raised {type(error).__name__} at the last of {count:,} records")
