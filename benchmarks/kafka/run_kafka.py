"""Measures the Kafka plugin against hand-written loops on the same broker, and prints ratios.

    python benchmarks/kafka/run_kafka.py                       1 M records, 3 rounds, in a container or at MILLSTREAM_TEST_KAFKA
    python benchmarks/kafka/run_kafka.py --quick               200,000 records, one round
    python benchmarks/kafka/run_kafka.py --only source latency

Every measurement is a fresh process; the cases take turns, round by round, so that a busy machine hits all alike. Imports, and the input, are
made before. A ratio is what the loop by hand takes, divided by what the job takes for the same records: of CPU seconds of the process
(the broker's are not in it) and of wall seconds, medians over the rounds. The number of records in the output topic is checked each time.

quixstreams is compared when it is installed (`pip install quixstreams`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # documented to be there
from kafka_cases import FEW

from millstream_testkit.services import running_kafka

HERE = Path(__file__).parent
PARTITIONS = 4
GROUPS = {
    "source": ("bare_source", "millstream_source"),
    "json": ("bare_json", "millstream_json"),
    "pipe": ("bare_pipe", "millstream_at_least_once", "millstream_exactly_once", "millstream_exactly_once_2pc", "quix_pipe"),
}
GOALS = {"millstream_source": 0.8, "millstream_json": 0.8, "millstream_at_least_once": 0.7, "millstream_exactly_once": 0.45}
LATENCIES = ("bare", "millstream")


class Failed(Exception):
    """A measurement that cannot be used."""


class Bench:
    """All measurements on one broker."""

    def __init__(self, bootstrap: str, options: argparse.Namespace) -> None:
        self.bootstrap, self.options = bootstrap, options
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.timings: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.latencies: dict[str, list[dict[str, float]]] = defaultdict(list)

    def topic(self) -> str:
        name = f"bench-{uuid.uuid4().hex[:12]}"
        self.admin.create_topics([NewTopic(name, PARTITIONS, 1, config={"retention.ms": "-1"})])[name].result(60)
        return name

    def fill(self, records: int) -> str:
        """The input: JSON of some 70 bytes."""
        topic, chance = self.topic(), random.Random(1)
        settings = {"bootstrap.servers": self.bootstrap, "linger.ms": 50, "enable.idempotence": True}
        producer = Producer({**settings, "queue.buffering.max.messages": 2_000_000})
        for number in range(records):
            value = {"id": f"sensor-{number % 1000}", "timestamp": 1_700_000_000_000 + number, "temperature": round(chance.gauss(20, 5), 2)}
            producer.produce(topic, json.dumps(value), partition=number % PARTITIONS)
            if number % 10_000 == 0:
                producer.poll(0)
        if producer.flush(120):
            raise Failed("the input was not written")
        return topic

    def count(self, topic: str) -> int:
        """Committed records of a topic."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed"}
        consumer = Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found, left = 0, PARTITIONS
        while left:
            for message in consumer.consume(10_000, 0.2):
                error = message.error()
                found += error is None
                left -= error is not None and error.code() == KafkaError._PARTITION_EOF
        consumer.close()
        return found

    def measured(self, script: str, *arguments: str) -> dict[str, Any]:
        print(f"  {' '.join(arguments[:1])} ...", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(HERE / script), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"{script} {' '.join(arguments)} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def run(self) -> None:
        """Measures everything."""
        groups = [group for group in GROUPS if group in self.options.only]
        few, source = (self.fill(FEW), self.fill(self.options.records)) if groups else ("", "")
        for group in groups:
            cases = [case for case in GROUPS[group] if case != "quix_pipe" or importlib.util.find_spec("quixstreams")]
            for _ in range(self.options.rounds):
                for case in cases:
                    self.timings[case].append(self._timed(case, few, source, is_pipe=group == "pipe"))
        if "latency" in self.options.only:
            for _ in range(self.options.rounds):
                for case in LATENCIES:
                    self.latencies[case].append(self._latency(case))
        if "commit" in self.options.only:
            self.latencies["commit"].append(self._latency("commit"))

    def _timed(self, case: str, few: str, source: str, *, is_pipe: bool) -> dict[str, float]:
        output = self.topic() if is_pipe else "-"
        result = self.measured("kafka_cases.py", case, self.bootstrap, few, source, output, str(self.options.records))
        found = self.count(output) if is_pipe else result["records"]
        expected = self.options.records + (FEW if is_pipe and case != "quix_pipe" else 0)
        if found != expected:
            raise Failed(f"{case}: {found:,} records instead of {expected:,}")
        if is_pipe:
            self.admin.delete_topics([output])[output].result(60)
        return result

    def _latency(self, case: str) -> dict[str, float]:
        return self.measured("kafka_latency.py", case, self.bootstrap, self.topic(), self.topic(), str(self.options.seconds))

    def show(self) -> None:
        """Prints the tables."""
        if self.timings:
            print("| case | records/s | CPU µs/record | ratio of CPU | ratio of wall | goal |\n|---|---|---|---|---|---|")
        for group in GROUPS.values():
            bare = group[0]
            for case in group:
                if case in self.timings:
                    self._show_row(case, bare)
        for case, rounds in ((case, rounds) for case, rounds in self.latencies.items() if rounds):
            figures = {name: statistics.median(result[name] for result in rounds) for name in rounds[0]}
            print(f"{case}: " + ", ".join(f"{name} {value:,.2f}" for name, value in figures.items()))

    def _show_row(self, case: str, bare: str) -> None:
        wall, cpu = (statistics.median(result[name] for result in self.timings[case]) for name in ("wall_s", "cpu_s"))
        bare_wall, bare_cpu = (statistics.median(result[name] for result in self.timings[bare]) for name in ("wall_s", "cpu_s"))
        records = self.options.records
        goal = f"{GOALS[case]:.2f}" if case in GOALS else ""
        print(f"| {case} | {records / wall:,.0f} | {cpu / records * 1e6:.2f} | {bare_cpu / cpu:.2f} | {bare_wall / wall:.2f} | {goal} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a measurement of latency")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=(*GROUPS, "latency", "commit"), default=(*GROUPS, "latency", "commit"), metavar="PART")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.records, options.rounds, options.seconds = 200_000, 1, 5.0
    with running_kafka(frugal=False) as broker:
        bench = Bench(broker.bootstrap, options)
        print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {options.records:,} records, {options.rounds} rounds", flush=True)
        try:
            bench.run()
        except Failed as error:
            print(f"benchmarks/kafka: {error}", file=sys.stderr)
            return 1
        finally:
            bench.show()
    if options.json:
        options.json.write_text(json.dumps({"timings": bench.timings, "latencies": bench.latencies}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
