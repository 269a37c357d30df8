"""The `kafka` plugin: topics of Apache Kafka as a source and as a sink."""

from __future__ import annotations

from millstream_kafka.offsets import Offsets
from millstream_kafka.record import KafkaRecord
from millstream_kafka.registry import AvroFormat, ProtobufFormat, SchemaRegistry
from millstream_kafka.sink import KafkaSink
from millstream_kafka.source import KafkaSource

__all__ = ["AvroFormat", "KafkaRecord", "KafkaSink", "KafkaSource", "Offsets", "ProtobufFormat", "SchemaRegistry"]
