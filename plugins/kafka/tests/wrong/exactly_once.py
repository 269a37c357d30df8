"""Write-ahead sinks for Kafka that break their promise, each by one mistake, with the suites that must catch them.

Not collected by itself: `test_wrong_sinks.py` runs it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from millstream.contracts.sink import SinkContext
from millstream.contracts.write_ahead import Marker
from millstream_kafka.exactly_once import ExactlyOnceKafkaSink, KafkaLanes
from millstream_kafka.message import OutgoingMessage
from millstream_kafka.producing import produce
from millstream_testkit import SinkSuite
from millstream_testkit.loading import load
from millstream_testkit.oracle import Row

pytestmark = pytest.mark.usefixtures("millstream_kafka")

# The target and the stranger who reads it are those of the right sink.
ExactlyOnceHarness: Any = load(f"{Path(__file__).parents[1] / 'test_conformance.py'}:ExactlyOnceHarness")


@dataclass(frozen=True)
class OtherLanes(ExactlyOnceKafkaSink[Row]):
    """The sink with other lanes."""

    lanes: type[KafkaLanes] = KafkaLanes

    def open(self, context: SinkContext) -> KafkaLanes:
        return self.lanes(self, context)


class OtherLanesHarness(ExactlyOnceHarness):
    """With the right lanes it is the right sink."""

    lanes: ClassVar[type[KafkaLanes]] = KafkaLanes

    def sink(self, target: str) -> OtherLanes:
        right = super().sink(target).resolve()
        return OtherLanes(right.target, right.prefix, right.marker_topic, right.timeout_s, self.lanes)


class _MarkerApart(KafkaLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[OutgoingMessage]) -> None:
        marker = self._markers.message(self._key(lane), Marker(checkpoint_id, chunk))
        self._commit(lane, records)
        self._commit(lane, [marker])

    def _commit(self, lane: int, messages: Sequence[OutgoingMessage]) -> None:
        producer = self._producers[lane]
        producer.begin_transaction()
        produce(producer, messages)
        producer.commit_transaction(30)


class MarkerApartHarness(OtherLanesHarness):
    """Two transactions for what must be one. It passes no crash point between them."""

    lanes = _MarkerApart


class _NoFence(KafkaLanes):
    def _transactional_id(self, lane: int) -> str:
        return f"{super()._transactional_id(lane)}-{uuid.uuid4().hex}"


class NoFenceHarness(OtherLanesHarness):
    """A transactional id of its own for each attempt: nobody is fenced by it."""

    lanes = _NoFence


class _OneIdForAll(KafkaLanes):
    def _transactional_id(self, lane: int) -> str:
        return self._sink.prefix


class OneIdForAllHarness(OtherLanesHarness):
    """One transactional id for all lanes, sinks and runs: they fence each other."""

    lanes = _OneIdForAll


class _OneMarkerForAll(KafkaLanes):
    def _key(self, lane: int) -> bytes:
        return b"every run, sink and lane"


class OneMarkerForAllHarness(OtherLanesHarness):
    lanes = _OneMarkerForAll


class TestMarkerApart(SinkSuite):
    harness = MarkerApartHarness


class TestNoFence(SinkSuite):
    harness = NoFenceHarness


class TestOneIdForAll(SinkSuite):
    harness = OneIdForAllHarness


class TestOneMarkerForAll(SinkSuite):
    harness = OneMarkerForAllHarness
