"""The `kafka` plugin: topics of Apache Kafka as a source and as a sink."""

from __future__ import annotations

from millstream_kafka.offsets import Offsets
from millstream_kafka.record import KafkaRecord
from millstream_kafka.sink import KafkaSink
from millstream_kafka.source import KafkaSource

__all__ = ["KafkaRecord", "KafkaSink", "KafkaSource", "Offsets"]
