"""The engine's half of write-ahead sinks: the log of each lane, sealed at barriers, replayed behind the target's marker.

Records are encoded as they come, so that nothing that happens to the objects later changes the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from millstream.contracts.serializer import Serializer, SerializerDescription
from millstream.contracts.versions import check_version
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import DamagedState, MillstreamError, RewoundTarget, TargetLostData
from millstream.ports import crash_point
from millstream.state.restoring import naming, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.sink import SinkContext


class SealedEpoch(msgspec.Struct):
    """Records of one checkpoint.

    Attributes:
        checkpoint_id: the checkpoint whose barrier sealed it.
        chunk_records: records per commit, None for all in one; kept so that a replay cuts the same chunks.
        batches: encoded batches, in order.
    """

    checkpoint_id: int
    chunk_records: int | None
    batches: list[bytes]


class LaneLog(msgspec.Struct):
    """The log of one lane as it is kept in a checkpoint.

    Attributes:
        version: of this record.
        records: what the batches were encoded with.
        confirmed: the last checkpoint known to be committed at the target, 0 for none.
        epochs: sealed epochs, oldest first.
    """

    version: int
    records: SerializerDescription
    confirmed: int
    epochs: list[SealedEpoch]


class WriteAheadLog:
    """The lanes of one sink subtask.

    Args:
        lanes: the open connector.
        context: who is writing.
        serializer: of the records.
        chunk_records: the most records the target takes in one commit; None for no limit.
    """

    def __init__(self, lanes: WriteAheadLanes[Any], context: SinkContext, serializer: Serializer[Any], chunk_records: int | None) -> None:
        self._lanes = lanes
        self._context = context
        self._serializer = serializer
        self._chunk_records = chunk_records
        self._open: list[bytes] = []
        self._logs: dict[int, LaneLog] = {lane: self._new_log() for lane in context.owned_lanes}
        context.metrics.gauge("pendingEpochs", lambda: sum(len(log.epochs) for log in self._logs.values()))
        context.metrics.gauge("walBytes", self._waiting_bytes)

    def _waiting_bytes(self) -> int:
        sealed = (len(batch) for log in self._logs.values() for epoch in log.epochs for batch in epoch.batches)
        return sum(sealed) + sum(map(len, self._open))

    def _new_log(self) -> LaneLog:
        return LaneLog(1, self._serializer.description(), 0, [])

    # --- recovery

    def recover(
        self, items: Sequence[tuple[int, bytes]], restored_id: int | None, *, rewound: bool, fenced: Callable[[], None] = lambda: None
    ) -> None:
        """Fences the lanes, reads their markers, and commits what the restored checkpoint holds beyond them.

        `fenced` is called when all lanes are fenced; what it raises ends the recovery before anything is changed.
        """
        readers = {}
        for lane, item in items:
            log = self._logs[lane] = self._decode(item)
            if log.epochs:
                readers[lane] = reader_of(self._context.sink_uid, "write-ahead log", "records", log.records, self._serializer)
        crash_point("sink.open.before_fence")
        for lane in self._logs:
            self._lanes.fence(lane)
        crash_point("sink.open.after_fence")
        fenced()
        markers = {lane: self._lanes.read_marker(lane) for lane in self._logs}
        if not rewound:
            for lane, log in self._logs.items():
                self._check_marker(lane, markers[lane], log, restored_id or 0)
        first = True
        for lane, log in self._logs.items():
            while log.epochs:
                with naming(self._context.sink_uid, "write-ahead log"):
                    self._commit_first(lane, log, markers[lane], readers.get(lane, self._serializer))
                if first:
                    crash_point("recovery.after_first_commit")
                    first = False
        crash_point("recovery.after")

    def _check_marker(self, lane: int, marker: Marker | None, log: LaneLog, restored_id: int) -> None:
        if marker is not None and marker.checkpoint_id > restored_id:
            raise RewoundTarget(sink_uid=self._context.sink_uid, lane=lane, marker=marker.checkpoint_id, restored=restored_id)
        if log.confirmed and (marker is None or marker.checkpoint_id < log.confirmed):
            raise TargetLostData(sink_uid=self._context.sink_uid, lane=lane, marker=marker.checkpoint_id if marker else None, confirmed=log.confirmed)

    def _decode(self, data: bytes) -> LaneLog:
        try:
            log = msgspec.msgpack.decode(data, type=LaneLog)
        except msgspec.MsgspecError as error:
            raise DamagedState(serializer="the log of a write-ahead sink", reason=str(error)) from error
        check_version(f"The log of write-ahead sink {self._context.sink_uid!r}", log.version, 1)
        return log

    # --- records

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None, sink: WriteAheadSink[Any]) -> None:
        """Adds records to the open epoch. Those that the sink refuses, or that have no encoded form, are rejected instead."""
        try:
            batch = self._encoded(values, timestamps, sink)
        except Exception:  # noqa: BLE001 - some record is at fault: which, is found by trying each
            one_by_one = range(len(values))
            stamps = [None if timestamps is None else timestamps[number : number + 1] for number in one_by_one]
            passed = [number for number in one_by_one if self._is_writable(values[number], stamps[number], sink)]
            values = [values[number] for number in passed]
            batch = self._encoded(values, None if timestamps is None else [timestamps[number] for number in passed], sink)
        if values:
            self._open.append(batch)
        crash_point("sink.write.mid_epoch")

    def _encoded(self, values: Sequence[Any], timestamps: Sequence[int] | None, sink: WriteAheadSink[Any]) -> bytes:
        sink.check(values)
        encode = self._serializer.encode_trusted if sink.trusted_log_form else self._serializer.encode_many
        return encode(sink.log_form(values, timestamps))

    def _is_writable(self, value: Any, stamp: Sequence[int] | None, sink: WriteAheadSink[Any]) -> bool:
        logged = None
        try:
            sink.check([value])
            logged = sink.log_form([value], stamp)
            self._serializer.encode_many(logged)
        except Exception as error:
            if logged is None and isinstance(error, MillstreamError):
                raise  # by contract not the record's fault: to skip the record would lose it
            self._context.reject(value, error)
            return False
        return True

    def seal(self, checkpoint_id: int) -> None:
        """Ends the open epoch. An empty one leaves nothing to commit."""
        crash_point("sink.prepare.before")
        if self._open:
            batches, self._open = self._open, []
            self._logs[self._context.lane].epochs.append(SealedEpoch(checkpoint_id, self._chunk_records, batches))
        crash_point("sink.prepare.after")

    def snapshot(self) -> list[tuple[int, bytes]]:
        """The log of every lane."""
        records = self._serializer.description()
        items = []
        for lane, log in self._logs.items():
            log.records = records
            if log.epochs or log.confirmed:
                items.append((lane, msgspec.msgpack.encode(log)))
        return items

    def complete(self, checkpoint_id: int) -> None:
        """The checkpoint is durable: commits every sealed epoch up to it, in order."""
        committed = 0
        for lane, log in self._logs.items():
            while log.epochs and log.epochs[0].checkpoint_id <= checkpoint_id:
                if committed:
                    crash_point("sink.commit.between_epochs")
                self._commit_first(lane, log, None, self._serializer)
                committed += 1

    def _commit_first(self, lane: int, log: LaneLog, marker: Marker | None, reader: Serializer[Any]) -> None:
        epoch = log.epochs[0]
        records = [record for batch in epoch.batches for record in reader.decode_many(batch)]
        step = epoch.chunk_records or len(records)
        for chunk, begin in enumerate(range(0, len(records), step)):
            if marker is not None and Marker(epoch.checkpoint_id, chunk) <= marker:
                continue
            crash_point("sink.commit.before")
            self._lanes.commit_batch(lane, epoch.checkpoint_id, chunk, records[begin : begin + step])
            crash_point("sink.commit.after")
        del log.epochs[0]
        log.confirmed = max(log.confirmed, epoch.checkpoint_id)
