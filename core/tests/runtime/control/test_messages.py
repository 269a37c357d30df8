"""What comes over the socket is taken as it is meant, or refused; nothing else happens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import ControlRequestInvalid
from millstream.runtime.control.messages import (
    Accepted,
    Cancel,
    Follow,
    Look,
    Refused,
    Reported,
    Savepoint,
    SavepointTaken,
    Stop,
    Waiting,
    decode_answer,
    decode_request,
    encode,
)
from millstream.runtime.job_report import JobReport

REPORT = JobReport(job_name="j", run_id="r", status="running", pid=1, started_ms=0, now_ms=0, elapsed_s=0.0)
REQUESTS = [Look(), Look(subtasks=False), Follow(every_s=0.5), Cancel(), Stop(), Stop(drain=True, savepoint="/s"), Stop(savepoint=True), Savepoint()]
ANSWERS = [Accepted(), SavepointTaken("/s/1"), Refused("no"), Waiting(1.5), Reported(REPORT)]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_arrives_as_it_was_sent(request_: Any) -> None:
    line = encode(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line) == request_


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_arrives_as_it_was_sent(answer: Any) -> None:
    assert decode_answer(encode(answer)) == answer


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `request`"),
        (b'{"request":"pickle"}', "Invalid value 'pickle'"),
        (b'{"request":"look","subtasks":"yes"}', "Expected `bool`"),
        (b'{"request":"look","version":2}', "it is of version 2 of the protocol, and version 1 is spoken here"),
        (b'{"request":"follow","every_s":0}', "every_s is 0.0, and must be 0.05 to 3600"),
        (b'{"request":"follow","every_s":1e999}', "out of range"),
        (b'{"request":"look"}{"request":"cancel"}', "trailing characters"),
        (b"[" * 100_000, ""),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ControlRequestInvalid) as refused:
        decode_request(line)
    assert reason in refused.value.reason


def test_fields_of_a_later_version_are_ignored() -> None:
    assert decode_request(b'{"request":"look","colour":"red"}') == Look()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(["request", "answer", "version", "subtasks", "every_s", "report", "for_s", "reason", "drain", "savepoint", "target", "path"]),
    PLAIN,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary() | FIELDS.map(msgspec.json.encode))
def test_any_bytes_are_a_request_or_refused(line: bytes) -> None:
    for decode, kinds in (
        (decode_request, (Look, Follow, Cancel, Stop, Savepoint)),
        (decode_answer, (Accepted, Refused, SavepointTaken, Waiting, Reported)),
    ):
        with suppress(ControlRequestInvalid):
            assert isinstance(decode(line), kinds)


@given(st.sampled_from([encode(message) for message in [*REQUESTS, *ANSWERS]]), st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_message_with_any_byte_changed_or_cut_off_is_a_message_or_refused(line: bytes, place: int, byte: int, cut: bool) -> None:
    place %= len(line)
    broken = line[:place] if cut else line[:place] + bytes([byte]) + line[place + 1 :]
    test_any_bytes_are_a_request_or_refused.hypothesis.inner_test(broken)  # type: ignore[attr-defined]
