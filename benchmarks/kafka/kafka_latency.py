"""How long a record takes from the call that produces it to the call that consumes it behind the job.

    python kafka_latency.py bare|millstream|commit BOOTSTRAP INPUT OUTPUT SECONDS

1,000 records a second, each with the time of its sending. One thread sends and one receives, in a process of their own; the loop or the job
is another process. `commit` measures an exactly-once job instead: from the moment a checkpoint is complete, by the job's own notice, until a
reader with read_committed has the records of it.

Prints JSON: `p50_ms`, `p99_ms`, `max_ms` and `records`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_cases import longer

PER_S = 1_000
PARTITIONS = 4
WARM_UP_S = 3.0
LINGER = {"linger.ms": 1}
QUICK = {"fetch.wait.max.ms": 10, "fetch.queue.backoff.ms": 5}


def bare(bootstrap: str, topic: str, output: str) -> None:
    """Consumes, maps, produces, until it is killed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bare", "enable.auto.commit": False, "auto.offset.reset": "earliest", **QUICK})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **LINGER})
    print("ready", flush=True)
    while True:
        for message in consumer.consume(500, 0.01):
            if message.error() is None:
                producer.produce(output, longer(message.value() or b""))
        producer.poll(0)


def millstream(bootstrap: str, topic: str, output: str, delivery: str = "at_least_once") -> None:
    """The same as a job, until it is killed."""
    import millstream_filesystem.plugin
    import millstream_memory.plugin
    from millstream import StreamExecutionEnvironment
    from millstream.plugins import PluginManager, hookimpl
    from millstream_kafka import KafkaSink, KafkaSource

    class Telling:
        """Says when a checkpoint is complete."""

        @hookimpl
        def millstream_checkpoint_completed(self, notice: Any) -> None:
            print(f"complete {time.time_ns()}", flush=True)

    plugins = PluginManager.with_plugins([millstream_filesystem.plugin, millstream_memory.plugin, Telling()])
    env = StreamExecutionEnvironment(plugins=plugins)
    env.configure("checkpoint.storage", tempfile.mkdtemp(prefix="millstream-bench-")).configure("checkpoint.interval", "1s")
    sink: KafkaSink[bytes] = KafkaSink(bootstrap, output, delivery=delivery, transactional_id_prefix=output, client=LINGER)  # type: ignore[arg-type]  # a str here, a Literal there
    source: KafkaSource[bytes] = KafkaSource(bootstrap, topic, client=QUICK)
    env.from_source(source, uid="in").map(longer).sink_to(sink, uid="out")
    print("ready", flush=True)
    env.execute("latency")


class Ends:
    """Sends and receives."""

    def __init__(self, bootstrap: str, topic: str, output: str) -> None:
        self.took_ns: list[tuple[int, int]] = []  # sent, received
        self.over = threading.Event()
        self._producer = Producer({"bootstrap.servers": bootstrap, **LINGER})
        settings = {"bootstrap.servers": bootstrap, "group.id": "receiver", "auto.offset.reset": "earliest", **QUICK}
        self._consumer = Consumer({**settings, "isolation.level": "read_committed"})
        self._consumer.assign([TopicPartition(output, number, 0) for number in range(PARTITIONS)])
        self._topic = topic
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]

    def run(self, seconds: float) -> None:
        """For so long."""
        for thread in self._threads:
            thread.start()
        time.sleep(seconds)  # what is measured is what happens in so long a time
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        begun_s, sent = time.perf_counter(), 0
        while not self.over.is_set():
            due = int((time.perf_counter() - begun_s) * PER_S)
            while sent < due:
                self._producer.produce(self._topic, str(time.time_ns()).encode(), partition=sent % PARTITIONS)
                sent += 1
            self._producer.poll(0)
            time.sleep(0.0005)  # the pace: half of the time between two records
        self._producer.flush(10)

    def _receive(self) -> None:
        while not self.over.is_set():
            for message in self._consumer.consume(500, 0.01):
                if message.error() is None:
                    self.took_ns.append((int((message.value() or b"")[:-1]), time.time_ns()))
        self._consumer.close()


def summary(took_ms: list[float]) -> dict[str, float]:
    """Percentiles."""
    if not took_ms:
        raise RuntimeError("nothing came out")
    ordered = sorted(took_ms)
    return {"p50_ms": ordered[len(ordered) // 2], "p99_ms": ordered[len(ordered) * 99 // 100], "max_ms": ordered[-1], "records": len(ordered)}


def commit_latencies(ends: Ends, complete_ns: list[int]) -> list[float]:
    """For each batch that became visible at once: how long after the last complete checkpoint its last record came."""
    found = []
    for number, complete in enumerate(complete_ns):
        until = complete_ns[number + 1] if number + 1 < len(complete_ns) else None
        came = [received for _, received in ends.took_ns if received >= complete and (until is None or received < until)]
        if came and until is not None:
            found.append((max(came) - complete) / 1e6)
    return found


def main() -> None:
    case, bootstrap, topic, output, seconds = sys.argv[1:6]
    if seconds == "run":
        if case == "bare":
            bare(bootstrap, topic, output)
        else:
            millstream(bootstrap, topic, output, "exactly_once" if case == "commit" else "at_least_once")
        return
    command = [sys.executable, str(Path(__file__)), case, bootstrap, topic, output, "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout is not None
            if job.stdout.readline() != "ready\n":
                raise RuntimeError(f"{case} did not start")
            lines: list[str] = []
            threading.Thread(target=lambda: lines.extend(job.stdout or ()), daemon=True).start()
            ends = Ends(bootstrap, topic, output)
            ends.run(WARM_UP_S + float(seconds))
        finally:
            job.kill()
    complete_ns = [int(line.split()[1]) for line in lines if line.startswith("complete")]
    warm_ns = int((time.time() - float(seconds)) * 1e9)
    if case == "commit":
        print(json.dumps(summary(commit_latencies(ends, complete_ns))))
    else:
        print(json.dumps(summary([(received - sent) / 1e6 for sent, received in ends.took_ns if sent > warm_ns])))


if __name__ == "__main__":
    main()
