"""Every partitioner over two processes: which subtask gets which record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from millstream.contracts.key_groups import default_max_parallelism, key_group, subtask_of_group

COUNT = 60

PROGRAM = f"""
    import os
    from millstream import *

    class Place(MapFunction):
        def __init__(self, label):
            self.label = label
        def open(self, context):
            self.subtask = context.subtask
        def map(self, entry):
            return (self.label, *entry, self.subtask, os.getpid())

    class Sent(MapFunction):
        def open(self, context):
            self.subtask = context.subtask
        def map(self, number):
            return number, self.subtask

    def number(entry):
        return entry[0]

    def last_digit(key, subtasks):
        return key % 10 % subtasks

    def main():
        env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(4).configure("execution.processes", 2)
        sent = env.generate(lambda number: number, {COUNT}).map(Sent())
        apart = sent.disable_chaining()
        for label, stream, parallelism in (
            ("forward", apart.forward(), 4), ("hash", apart.key_by(number), 4), ("rebalance", apart.rebalance(), 4),
            ("rescale", apart.rescale(), 2), ("broadcast", apart.broadcast(), 4), ("global", apart.global_(), 4),
            ("shuffle", apart.shuffle(), 4), ("custom", apart.partition_custom(last_digit, number), 4),
        ):
            stream.map(Place(label)).disable_chaining().set_parallelism(parallelism).map(repr).set_parallelism(parallelism).print()
        env.execute("partitioners")

    if __name__ == "__main__":
        main()
"""

Seen = dict[str, list[tuple[int, int, int, int]]]
"""Of each partitioner: number, subtask that sent it, subtask that got it, process of that. Two of four subtasks are in each process."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder: Path = tmp_path_factory.mktemp("partitioners")
    (folder / "job.py").write_text(dedent(PROGRAM))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    done = subprocess.run([sys.executable, "job.py"], env=environment, cwd=folder, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    found: Seen = {}
    for line in done.stdout.splitlines():
        label, *entry = eval(line.partition("> ")[2], {})  # noqa: S307 - our own program's tuples
        found.setdefault(label, []).append(tuple(entry))
    return found


def numbers(entries: list[tuple[int, int, int, int]]) -> list[int]:
    return sorted(entry[0] for entry in entries)


def each_once(entries: list[tuple[int, int, int, int]]) -> bool:
    return numbers(entries) == list(range(COUNT))


def test_all_partitioners_send_from_both_processes_and_all_that_have_receivers_in_both_use_them(seen: Seen) -> None:
    assert len(seen) == 8
    for label, entries in seen.items():
        assert {sender for _, sender, _, _ in entries} == {0, 1, 2, 3}, label
        # The two subtasks behind rescale, and the first one of global, are neighbours in the first process.
        assert len({process for *_, process in entries}) == (1 if label in ("global", "rescale") else 2), label


def test_forward_stays_in_its_subtask(seen: Seen) -> None:
    assert each_once(seen["forward"])
    assert all(sender == receiver for _, sender, receiver, _ in seen["forward"])


def test_hash_brings_each_key_to_the_subtask_that_owns_its_group(seen: Seen) -> None:
    groups = default_max_parallelism(4)
    assert each_once(seen["hash"])
    assert all(receiver == subtask_of_group(key_group(number, groups), 4, groups) for number, _, receiver, _ in seen["hash"])


def test_rebalance_deals_evenly_from_each_sender(seen: Seen) -> None:
    assert each_once(seen["rebalance"])
    dealt = Counter((sender, receiver) for _, sender, receiver, _ in seen["rebalance"])
    for sender in range(4):
        shares = [dealt[sender, receiver] for receiver in range(4)]
        assert max(shares) - min(shares) <= 1


def test_rescale_sends_to_the_senders_own_receiver(seen: Seen) -> None:
    assert each_once(seen["rescale"])
    assert {(sender, receiver) for _, sender, receiver, _ in seen["rescale"]} == {(0, 0), (1, 0), (2, 1), (3, 1)}


def test_broadcast_brings_every_record_to_every_subtask(seen: Seen) -> None:
    for subtask in range(4):
        assert each_once([entry for entry in seen["broadcast"] if entry[2] == subtask])


def test_global_brings_all_to_the_first_subtask(seen: Seen) -> None:
    assert each_once(seen["global"])
    assert {receiver for _, _, receiver, _ in seen["global"]} == {0}


def test_shuffle_brings_each_record_to_one_subtask_and_uses_all(seen: Seen) -> None:
    assert each_once(seen["shuffle"])
    assert {receiver for _, _, receiver, _ in seen["shuffle"]} == {0, 1, 2, 3}


def test_custom_brings_each_record_where_its_function_says(seen: Seen) -> None:
    assert each_once(seen["custom"])
    assert all(receiver == number % 10 % 4 for number, _, receiver, _ in seen["custom"])
