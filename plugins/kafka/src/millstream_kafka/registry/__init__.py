"""Avro and Protobuf with a schema registry. Importing this imports neither the client of the registry nor the libraries of the formats."""

from __future__ import annotations

from millstream_kafka.registry.avro import AvroFormat
from millstream_kafka.registry.protobuf import ProtobufFormat
from millstream_kafka.registry.settings import SchemaRegistry

__all__ = ["AvroFormat", "ProtobufFormat", "SchemaRegistry"]
