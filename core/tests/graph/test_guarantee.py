"""The guarantee of a job: the matrix of sources and sinks, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from millstream import DiscardingSink, Guarantee, StreamExecutionEnvironment
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import BaseSink
from millstream.errors import GuaranteeNotMet


@dataclass(frozen=True)
class Described(BaseSink[Any]):
    """A sink of which only the capabilities matter."""

    capabilities: SinkCapabilities = field(default=SinkCapabilities(kind="plain"))

    def open(self, context: Any) -> NoReturn:
        raise NotImplementedError("jobs of this file are never run")


PLAIN = SinkCapabilities(kind="plain")
IDEMPOTENT = SinkCapabilities(kind="idempotent")
WRITE_AHEAD = SinkCapabilities(kind="write_ahead", atomic_marker=True, fencing=True)
MARKER_APART = SinkCapabilities(kind="write_ahead", atomic_marker=False, fencing=True)
NO_FENCE = SinkCapabilities(kind="write_ahead", atomic_marker=True, fencing=False)
TWO_PHASE = SinkCapabilities(kind="two_phase_commit", fencing=True, prepared_survives_disconnect=True, prepared_survives_server_kill=True)
FORGETS = SinkCapabilities(kind="two_phase_commit", fencing=True, prepared_survives_disconnect=False)

AT_MOST, AT_LEAST, EXACTLY = Guarantee.AT_MOST_ONCE, Guarantee.AT_LEAST_ONCE, Guarantee.EXACTLY_ONCE


def environment(checkpoints: str | None = "files", mode: str = "exactly_once", folder: Path | str = "./checkpoints") -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment()
    if checkpoints is not None:
        env.enable_checkpointing(timedelta(seconds=1), mode=mode)
        env.checkpoint_config.set_checkpoint_storage("memory" if checkpoints == "memory" else folder)
    return env


def leg(env: StreamExecutionEnvironment, sink: SinkCapabilities, replayable: bool = True) -> Any:
    stream: Any = env.from_collection([1], uid="in") if replayable else env.socket_text_stream("localhost", 1, uid="in")
    stream.sink_to(Described(sink), uid="out")
    (found,) = env.guarantee_legs()
    return found


@pytest.mark.parametrize(
    ("sink", "wanted"),
    [
        (PLAIN, AT_LEAST),
        (IDEMPOTENT, EXACTLY),
        (WRITE_AHEAD, EXACTLY),
        (MARKER_APART, AT_LEAST),
        (NO_FENCE, AT_LEAST),
        (TWO_PHASE, EXACTLY),
        (FORGETS, AT_LEAST),
    ],
)
def test_behind_a_replayable_source_the_sink_decides(sink: SinkCapabilities, wanted: Guarantee) -> None:
    found = leg(environment(), sink)
    assert found.guarantee is wanted
    assert bool(found.reason and found.fix) == (wanted is not EXACTLY)


@pytest.mark.parametrize("sink", [PLAIN, IDEMPOTENT, WRITE_AHEAD, TWO_PHASE])
def test_a_source_that_cannot_be_rewound_makes_it_at_most_once(sink: SinkCapabilities) -> None:
    found = leg(environment(), sink, replayable=False)
    assert found.guarantee is AT_MOST
    assert found.reason.startswith("The source is not replayable")


@pytest.mark.parametrize("sink", [PLAIN, WRITE_AHEAD])
def test_without_durable_checkpoints_it_is_at_most_once(sink: SinkCapabilities) -> None:
    assert leg(environment(None), sink).guarantee is AT_MOST
    assert "in memory" in leg(environment("memory"), sink).reason


@pytest.mark.parametrize("sink", [PLAIN, IDEMPOTENT, WRITE_AHEAD, TWO_PHASE])
def test_at_least_once_mode_gives_no_more_than_its_name(sink: SinkCapabilities) -> None:
    assert leg(environment(mode="at_least_once"), sink).guarantee is AT_LEAST


def test_every_way_from_a_source_to_a_sink_is_a_leg() -> None:
    env = environment()
    a, b = env.from_collection([1], uid="a"), env.from_collection([2], uid="b")
    a.union(b).key_by(str).sum(uid="sum").sink_to(Described(WRITE_AHEAD), uid="both")
    b.map(str).sink_to(Described(PLAIN), uid="only b")
    found = {(leg.source.split("'")[3], leg.sink.split("'")[3], leg.guarantee) for leg in env.guarantee_legs()}
    assert found == {("a", "both", EXACTLY), ("b", "both", EXACTLY), ("b", "only b", AT_LEAST)}


def test_a_job_that_asks_for_more_than_a_leg_gives_is_refused_before_it_runs(tmp_path: Path) -> None:
    env = environment(folder=tmp_path).configure("job.guarantee", "exactly_once")
    stream = env.from_collection([1], uid="in")
    stream.sink_to(Described(WRITE_AHEAD), uid="ledger")
    stream.sink_to(DiscardingSink(), name="log", uid="log")
    with pytest.raises(
        GuaranteeNotMet, match=r"asks for exactly.once, but from source .*'in'.* to sink 'log' \(uid 'log'\) it gives at.least.once"
    ) as raised:
        env.execute("strict")
    assert raised.value.fix
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wanted", ["at_least_once", "at_most_once"])
def test_a_job_that_asks_for_no_more_runs(tmp_path: Path, wanted: str) -> None:
    env = environment(folder=tmp_path).configure("job.guarantee", wanted)
    env.from_collection([1], uid="in").sink_to(DiscardingSink(), uid="out")
    assert env.execute("modest").status.value == "finished"
