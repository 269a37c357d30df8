"""Fixtures for tests that need a server."""

from __future__ import annotations

import os

import pytest

from millstream_testkit.services.errors import ServiceUnavailable
from millstream_testkit.services.kafka import KafkaService, shared_kafka


def is_required(service: str) -> bool:
    """Whether MILLSTREAM_REQUIRE names the service: its absence is a failure then."""
    return service in os.environ.get("MILLSTREAM_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def millstream_kafka() -> KafkaService:
    """A Kafka broker, shared by all tests. Without one the test is skipped; with MILLSTREAM_REQUIRE=kafka it fails."""
    try:
        return shared_kafka()
    except ServiceUnavailable as error:
        if is_required("kafka"):
            raise
        pytest.skip(str(error))
