"""Frames in a stream of bytes, and the elements in them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP, Barrier, EndOfInput, RecordBatch, Watermark, WatermarkStatus
from millstream.runtime.processes.elements import ElementCodec, NotSendable
from millstream.runtime.processes.frames import HEADER, MAX_PAYLOAD, BrokenOff, ForeignFrames, Frame, FrameReader, Kind, header

CHANNELS = st.integers(0, 2**64 - 1)
FRAMES = st.lists(st.builds(Frame, CHANNELS, st.sampled_from(Kind), st.binary(max_size=60)), max_size=12)


def written(frames: list[Frame]) -> bytes:
    return b"".join(header(frame.channel, frame.kind, len(frame.payload)) + frame.payload for frame in frames)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(FRAMES, st.lists(st.integers(0, 1_000), max_size=20))
def test_frames_come_back_however_the_bytes_are_cut(frames: list[Frame], places: list[int]) -> None:
    reader = FrameReader()
    assert [frame for part in cut(written(frames), places) for frame in reader.feed(part)] == frames
    reader.end()


@given(FRAMES.filter(bool), st.integers(1, 1_000))
def test_a_stream_that_ends_inside_a_frame_is_said_to_be_broken_off(frames: list[Frame], missing: int) -> None:
    data = written(frames)
    last = HEADER.size + len(frames[-1].payload)
    reader = FrameReader()
    assert list(reader.feed(data[: len(data) - 1 - missing % (last - 1)])) == frames[:-1]
    with pytest.raises(BrokenOff, match="the stream ended [0-9]+ bytes into a frame"):
        reader.end()


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 1_000), max_size=5))
def test_any_other_bytes_give_frames_or_a_clear_error_and_keep_no_memory_for_what_is_only_announced(data: bytes, places: list[int]) -> None:
    reader = FrameReader()
    said, read = "", []
    try:
        for part in cut(data, places):
            read += reader.feed(part)
    except ForeignFrames as error:
        said = str(error)
    assert said.startswith(("there is no kind of frame ", "a frame of ")) or data.startswith(written(read))
    assert len(reader._buffer) <= len(data)


def test_a_frame_that_announces_too_much_is_refused_and_cannot_be_written() -> None:
    with pytest.raises(ForeignFrames, match=f"a frame of {MAX_PAYLOAD + 1} bytes is announced, and {MAX_PAYLOAD} is the most"):
        list(FrameReader().feed(HEADER.pack(MAX_PAYLOAD + 1, 0, Kind.RECORDS)))
    with pytest.raises(ValueError, match="is longer than"):
        header(0, Kind.RECORDS, MAX_PAYLOAD + 1)


@dataclasses.dataclass(frozen=True)
class Order:
    user: str
    amounts: list[float]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
) | st.builds(Order, st.text(), st.lists(st.floats(allow_nan=False), max_size=3))
TIMES = st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP)


@st.composite
def batches(draw: Any) -> RecordBatch[Any]:
    values = draw(st.lists(VALUES, min_size=1, max_size=20))
    times = draw(st.none() | st.lists(TIMES, min_size=len(values), max_size=len(values)))
    return RecordBatch(values, times, max(times) if times and draw(st.booleans()) else None)


ELEMENTS = (
    batches()
    | st.builds(Watermark, TIMES)
    | st.builds(WatermarkStatus, st.booleans())
    | st.builds(
        Barrier, st.integers(1, 2**63 - 1), st.integers(0, 2**62), st.booleans(), st.booleans(), st.sampled_from(["", "/sp/größe-1", "s3://a/b"])
    )
    | st.just(EndOfInput())
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, list | tuple):
        return all(map(same, one, other))
    if isinstance(one, dict):
        return all(map(same, one.items(), other.items()))
    return True


@given(ELEMENTS)
def test_an_element_is_the_same_at_the_other_end(element: Any) -> None:
    (sent,) = ElementCodec().encode(element)
    received = ElementCodec().decode(*sent)
    assert same(received, element)
    if isinstance(element, RecordBatch):
        assert isinstance(received, RecordBatch)
        assert same(received.values, element.values)
        assert received.timestamps == element.timestamps
        assert received.highest == element.highest


@given(batches(), st.integers(60, 200))
def test_a_batch_too_large_for_a_frame_goes_in_parts_in_order(batch: RecordBatch[Any], longest: int) -> None:
    codec = ElementCodec(longest)
    try:
        sent = list(codec.encode(batch))
    except NotSendable:
        assert any(len(payload) > longest for value in batch.values for _, payload in ElementCodec().encode(RecordBatch([value], [0])))
        return
    assert all(len(payload) <= longest for _, payload in sent)
    parts: list[Any] = [codec.decode(kind, payload) for kind, payload in sent]
    assert [value for part in parts for value in part.values] == batch.values
    if batch.timestamps is not None:
        assert [time for part in parts for time in part.timestamps] == batch.timestamps


@given(ELEMENTS, st.data())
def test_a_payload_that_is_cut_or_changed_gives_an_element_or_a_clear_error(element: Any, data: st.DataObject) -> None:
    ((kind, payload),) = ElementCodec().encode(element)
    broken = bytearray(payload[: data.draw(st.integers(0, len(payload)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=3)):
        if broken and place < 13:  # the frame's own part; the values' bytes are the data codec's affair
            broken[place] = data.draw(st.integers(0, 255))
    with_error = None
    try:
        ElementCodec().decode(kind, bytes(broken))
    except ForeignFrames as error:
        with_error = error
    assert with_error is None or "frame of kind" in str(with_error) or "a batch of" in str(with_error)


class Plain:
    """No data class."""


def test_a_record_that_is_no_data_is_refused_by_name_with_the_fix() -> None:
    with pytest.raises(NotSendable, match="Plain") as raised:
        list(ElementCodec().encode(RecordBatch([1, (2, Plain()), 3])))
    assert raised.value.record.startswith("(2, <")


def test_bytes_that_name_a_function_are_refused_and_nothing_runs(tmp_path: Any) -> None:
    import pickle

    class Run:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "made"), "w")

    opcodes = b"\x10" + pickle.dumps([Run()], 5)
    with pytest.raises(ForeignFrames, match="cannot be read"):
        ElementCodec().decode(Kind.RECORDS, b"\x00" + (1).to_bytes(4, "big") + bytes(8) + opcodes)
    assert not (tmp_path / "made").exists()
