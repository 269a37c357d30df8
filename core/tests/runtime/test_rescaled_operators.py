"""Operators from a number of subtasks to another and another: every key's state and timers are in one subtask, and nothing is there twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import KeyedProcessFunction, ListStateDescriptor, MapStateDescriptor, StateTtlConfig, ValueStateDescriptor
from millstream.contracts.key_groups import KeyGroups, key_group_range
from millstream.ports import ManualClock
from millstream.testing import OperatorHarness

GROUPS = 8
OF = KeyGroups(GROUPS)
PARALLELISM = st.integers(1, GROUPS)
KEYS = [f"k{number}" for number in range(12)]


class Timed(KeyedProcessFunction[str, Any, Any]):
    """Sets a timer of a domain for each record (key, domain, time), and tells when one fires. Keeps what came in state that expires."""

    def open(self, context: Any) -> None:
        ttl = StateTtlConfig(timedelta(milliseconds=500))
        self.times = context.get_list_state(ListStateDescriptor("times", int))
        self.by_domain = context.get_map_state(MapStateDescriptor("by domain", str, int))
        self.recent = context.get_state(ValueStateDescriptor("recent", int, ttl=ttl))

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        key, domain, time = value
        if domain == "ask":
            out.collect((key, sorted(self.times.get()), dict(sorted(self.by_domain.items())), self.recent.value()))
            return
        timers = ctx.timer_service()
        (timers.register_event_time_timer if domain == "event" else timers.register_processing_time_timer)(time)
        self.times.add(time)
        self.by_domain.put(domain, time)
        self.recent.update(time)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect((ctx.get_current_key(), ctx.time_domain(), timestamp))


class Subtasks:
    """All subtasks of the operator, of which there are `parallelism` now."""

    def __init__(self, parallelism: int, saved: list[bytes], now_ms: int) -> None:
        self.parallelism = parallelism
        self.clock = ManualClock(now_ms)
        self.each = [
            OperatorHarness(
                lambda stream: stream.key_by(lambda r: r[0]).process(Timed()),
                subtask=subtask, parallelism=parallelism, max_parallelism=GROUPS, restore=saved, clock=self.clock,
            )
            for subtask in range(parallelism)
        ]  # fmt: skip

    def process(self, record: Any) -> None:
        (owner,) = [number for number in range(self.parallelism) if OF(record[0]) in key_group_range(number, self.parallelism, GROUPS)]
        self.each[owner].process(record, 0)

    def take(self) -> list[Any]:
        return [value for harness in self.each for value in harness.take()]

    def save(self) -> list[bytes]:
        saved = [harness.snapshot() for harness in self.each]
        for harness in self.each:
            harness.close()
        return saved


RECORD = st.tuples(st.sampled_from(KEYS), st.sampled_from(["event", "processing"]), st.integers(1_001, 2_000))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(PARALLELISM, st.lists(RECORD, max_size=8), st.integers(1, 400)), min_size=2, max_size=5))
def test_every_timer_fires_once_and_every_state_is_with_its_key_at_any_parallelisms(lives: list[tuple[int, list[Any], int]]) -> None:
    saved: list[bytes] = []
    now_ms, pending, fired = 1_000, set[Any](), list[Any]()
    times: dict[str, list[int]] = {}
    domains: dict[str, dict[str, int]] = {}
    recent: dict[str, tuple[int, int]] = {}
    expected = Counter[Any]()
    for parallelism, records, passes_ms in lives:
        subtasks = Subtasks(parallelism, saved, now_ms)
        for key, domain, time in records:
            if time <= now_ms:
                continue  # would fire at once, or wait for the next rise: other tests are about that
            subtasks.process((key, domain, time))
            pending.add((key, domain, time))
            times.setdefault(key, []).append(time)
            domains.setdefault(key, {})[domain] = time
            recent[key] = time, now_ms
        assert subtasks.take() == []
        for key in KEYS:
            subtasks.process((key, "ask", 0))
        last, written = {key: recent.get(key, (None, 0)) for key in KEYS}, {}
        written = {key: value if now_ms - at < 500 else None for key, (value, at) in last.items()}
        answers = {row[0]: row[1:] for row in subtasks.take()}
        assert answers == {key: (sorted(times.get(key, [])), dict(sorted(domains.get(key, {}).items())), written[key]) for key in KEYS}
        now_ms += passes_ms
        for harness in subtasks.each:
            harness.watermark(now_ms)
        for harness in subtasks.each:
            harness.advance(passes_ms / 1000 if harness is subtasks.each[0] else 0)
        fired += subtasks.take()
        expected.update(timer for timer in pending if timer[2] <= now_ms)
        pending = {timer for timer in pending if timer[2] > now_ms}
        assert Counter(fired) == expected
        saved = subtasks.save()
    overdue = Subtasks(3, saved, 5_000)
    for harness in overdue.each:
        harness.watermark(5_000)
        harness.advance(0.001)
    assert Counter(overdue.take()) == Counter(pending)
