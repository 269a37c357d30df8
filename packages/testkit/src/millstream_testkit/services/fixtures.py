"""Fixtures for tests that need a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from millstream_testkit.services.errors import ServiceUnavailable
from millstream_testkit.services.kafka import KafkaService, shared_kafka, shared_proxied_kafka

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def is_required(service: str) -> bool:
    """Whether MILLSTREAM_REQUIRE names the service: its absence is a failure then."""
    return service in os.environ.get("MILLSTREAM_REQUIRE", "").split(",")


def demanded(service: str, start: Callable[[], T]) -> T:
    """What `start` returns; where there is none, the test is skipped or fails."""
    try:
        return start()
    except ServiceUnavailable as error:
        if is_required(service):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def millstream_kafka() -> KafkaService:
    """A Kafka broker, shared by all tests. Without one the test is skipped; with MILLSTREAM_REQUIRE=kafka it fails."""
    return demanded("kafka", shared_kafka)


@pytest.fixture
def millstream_proxied_kafka() -> Iterator[KafkaService]:
    """A Kafka broker behind a network that fails when told to, shared by all tests and healed after each. A container, whatever address is given."""
    service = demanded("kafka", shared_proxied_kafka)
    yield service
    service.proxy.heal()
