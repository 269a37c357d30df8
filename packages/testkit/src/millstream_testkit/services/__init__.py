"""Real servers for tests: at an address given from outside, else in a container, else a sentence that says what to install.

`MILLSTREAM_TEST_KAFKA=host:port` names a server that is there already. `MILLSTREAM_REQUIRE=kafka` makes the absence of a service a failure
instead of a skip. Needs the extra `millstream-testkit[kafka]`.
"""

from __future__ import annotations

from millstream_testkit.services.errors import ServiceUnavailable
from millstream_testkit.services.kafka import KafkaLogin, KafkaService, running_kafka, running_kafka_cluster, shared_kafka, shared_proxied_kafka
from millstream_testkit.services.kafka_topics import KafkaInput, KafkaOutput, messages_of
from millstream_testkit.services.network import NetworkProxy

__all__ = [
    "KafkaInput",
    "KafkaLogin",
    "KafkaOutput",
    "KafkaService",
    "NetworkProxy",
    "ServiceUnavailable",
    "messages_of",
    "running_kafka",
    "running_kafka_cluster",
    "shared_kafka",
    "shared_proxied_kafka",
]
