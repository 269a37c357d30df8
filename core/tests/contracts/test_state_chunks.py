from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.state_backend import StateChunk, TableSpec
from millstream.contracts.state_chunks import assemble, decode_chunk, encode_chunk, encode_segment
from millstream.errors import DamagedState, ValueNotOfType
from millstream.state.serializers import serializer_for

FLAT = TableSpec("count", "flat", serializer_for(str), serializer_for(int))
NAMESPACED = TableSpec("windows", "namespaced", serializer_for(str), serializer_for(int))

# fmt: off
# magic, version, layout, segments | entries, alone | keys | values | one value alone | checksum
GOLDEN_FLAT = bytes.fromhex(
    "4d535343 01 00 00000001"
    "00000003 00000001"
    "0000000000000007 93a161a162a163"
    "0000000000000003 920102"
    "0000000000000001 03"
    "eb9183f3"
)
# magic, version, layout, segments | entries, alone | keys | namespaces | values | checksum
GOLDEN_NAMESPACED = bytes.fromhex(
    "4d535343 01 01 00000001"
    "00000002 00000000"
    "0000000000000005 92a161a162"
    "ffffffffffffffff 0000000000003a98"
    "0000000000000005 9201cd012c"
    "4e87a19c"
)
# fmt: on


def chunk_of(spec: TableSpec, data: bytes, entries: int) -> StateChunk:
    return StateChunk(table=spec.name, key_group=3, entries=entries, data=data)


def entries_of(spec: TableSpec, chunk: StateChunk) -> list[tuple[int | None, str, int]]:
    return [
        entry for keys, namespaces, values in decode_chunk(spec, chunk) for entry in zip(namespaces or [None] * len(keys), keys, values, strict=True)
    ]


def with_checksum(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "big")


def test_a_flat_chunk_is_written_as_every_release_before_wrote_it():
    segment = encode_segment(FLAT, ["a", "b", "c"], [1, 2], alone=[FLAT.values.encode(3)])
    assert assemble("flat", [segment]) == GOLDEN_FLAT


def test_a_namespaced_chunk_is_written_as_every_release_before_wrote_it():
    chunk = encode_chunk(NAMESPACED, 3, ["a", "b"], [1, 300], [-1, 15_000])
    assert chunk == chunk_of(NAMESPACED, GOLDEN_NAMESPACED, 2)


def test_chunks_of_every_release_before_are_read():
    assert entries_of(FLAT, chunk_of(FLAT, GOLDEN_FLAT, 3)) == [(None, "a", 1), (None, "b", 2), (None, "c", 3)]
    assert entries_of(NAMESPACED, chunk_of(NAMESPACED, GOLDEN_NAMESPACED, 2)) == [(-1, "a", 1), (15_000, "b", 300)]


INT64 = st.integers(-(2**63), 2**63 - 1)
ENTRIES = st.lists(st.tuples(INT64, st.text(max_size=5), INT64), max_size=6)


@given(st.lists(st.tuples(ENTRIES, st.integers(0, 6)), max_size=4), st.booleans())
def test_what_is_written_in_several_segments_is_read_in_order(segments: list[tuple[list[tuple[int, str, int]], int]], flat: bool):
    spec = FLAT if flat else NAMESPACED
    encoded = []
    for entries, alone in segments:
        namespaces = None if flat else [namespace for namespace, _, _ in entries]
        keys, values = [key for _, key, _ in entries], [value for _, _, value in entries]
        first_alone = max(0, len(entries) - alone)
        encoded.append(encode_segment(spec, keys, values[:first_alone], namespaces, [spec.values.encode(v) for v in values[first_alone:]]))
    written = [(None if flat else namespace, key, value) for entries, _ in segments for namespace, key, value in entries]
    assert entries_of(spec, chunk_of(spec, assemble(spec.layout, encoded), len(written))) == written


@pytest.mark.parametrize(("spec", "data", "entries"), [(FLAT, GOLDEN_FLAT, 3), (NAMESPACED, GOLDEN_NAMESPACED, 2)])
def test_a_chunk_with_any_byte_changed_or_missing_is_refused(spec: TableSpec, data: bytes, entries: int):
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
        for damaged in (changed, data[:at], data[:at] + data[at + 1 :], data + data[at:]):
            with pytest.raises(DamagedState, match=f"key group 3 of state '{spec.name}'"):
                entries_of(spec, chunk_of(spec, damaged, entries))


def test_a_chunk_whose_number_of_entries_was_noted_differently_is_refused():
    with pytest.raises(DamagedState, match="3 entries instead of 4"):
        entries_of(FLAT, chunk_of(FLAT, GOLDEN_FLAT, 4))


def test_a_chunk_of_a_later_release_is_refused_with_both_versions():
    later = with_checksum(GOLDEN_FLAT[:4] + b"\x02" + GOLDEN_FLAT[5:-4])
    with pytest.raises(DamagedState, match="its version is 2; this release reads version 1"):
        entries_of(FLAT, chunk_of(FLAT, later, 3))


def test_a_chunk_of_the_other_layout_is_refused():
    with pytest.raises(DamagedState, match="the table is namespaced"):
        entries_of(NAMESPACED, chunk_of(NAMESPACED, GOLDEN_FLAT, 3))


def test_a_chunk_with_fewer_keys_than_values_is_refused():
    segment = encode_segment(FLAT, ["a"], [1, 2])
    with pytest.raises(DamagedState, match="1 entries have 1 keys and 2 values"):
        entries_of(FLAT, chunk_of(FLAT, assemble("flat", [segment]), 1))


def test_a_chunk_with_more_after_its_last_segment_is_refused():
    with pytest.raises(DamagedState, match="2 bytes follow the last segment"):
        entries_of(FLAT, chunk_of(FLAT, with_checksum(GOLDEN_FLAT[:-4] + b"ab"), 3))


def test_values_that_would_not_come_back_equal_are_refused_when_the_chunk_is_written():
    with pytest.raises(ValueNotOfType):
        encode_chunk(FLAT, 0, ["a"], [1.5])
