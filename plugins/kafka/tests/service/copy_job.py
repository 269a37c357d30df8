"""A job that copies a topic for ever, for tests that kill it: `copy_job.py BOOTSTRAP SOURCE TOPIC MARKERS DELIVERY FOLDER`."""

from __future__ import annotations

import sys
from typing import Any

from millstream import StreamExecutionEnvironment
from millstream_kafka import KafkaSink, KafkaSource


def main(bootstrap: str, source: str, topic: str, markers: str, delivery: Any, folder: str) -> None:
    """Goes on from its newest checkpoint."""
    env = StreamExecutionEnvironment().configure("checkpoint.storage", folder).configure("checkpoint.interval", "20ms")
    env.configure("job.resume", "auto")
    sink = KafkaSink[bytes](bootstrap, topic, delivery=delivery, transactional_id_prefix=topic, marker_topic=markers)
    env.from_source(KafkaSource[bytes](bootstrap, source), uid="in").sink_to(sink, uid="out")
    env.execute("copy")


if __name__ == "__main__":
    main(*sys.argv[1:])
