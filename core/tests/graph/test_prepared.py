"""Two-phase sinks whose targets drop what is prepared, against the checkpoints of the job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from millstream import StreamExecutionEnvironment
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import BaseSink
from millstream.errors import PreparedTooShort


@dataclass(frozen=True)
class Dropping(BaseSink[Any]):
    """A sink of which only the capabilities matter."""

    capabilities: SinkCapabilities

    def open(self, context: Any) -> NoReturn:
        raise NotImplementedError("jobs of this file are never run")


def job(kept_s: float | None, **checkpoint: str) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment()
    for name, value in checkpoint.items():
        env.configure(f"checkpoint.{name}", value)
    sink = Dropping(SinkCapabilities(kind="two_phase_commit", fencing=True, prepared_survives_disconnect=True, max_prepared_age_s=kept_s))
    env.from_collection([1], uid="in").sink_to(sink, uid="out", name="out")
    return env


@pytest.mark.parametrize(
    ("kept_s", "checkpoint"),
    [
        (60, {"interval": "10s", "timeout": "50s"}),
        (899, {"interval": "5m"}),
        (60, {"interval": "10s", "min_pause": "40s", "timeout": "20s"}),
    ],
    ids=["just as long", "default timeout", "pause"],
)
def test_a_target_that_drops_what_a_checkpoint_still_needs_is_refused_before_the_job_starts(kept_s: float, checkpoint: dict[str, str]) -> None:
    with pytest.raises(PreparedTooShort, match=r"out.* keeps what is prepared for .*checkpoint\.timeout") as raised:
        job(kept_s, **checkpoint).job_graph()
    assert raised.value.kept_s == kept_s
    assert "or set checkpoint.timeout below" in str(raised.value)


def test_an_interval_that_alone_is_too_long_is_to_be_shortened() -> None:
    with pytest.raises(PreparedTooShort, match=r"and take checkpoints more often \(checkpoint\.interval\)\.$"):
        job(900, interval="1h").job_graph()


@pytest.mark.parametrize(
    ("kept_s", "checkpoint"),
    [(61, {"interval": "10s", "timeout": "50s"}), (900, {"interval": "10s"}), (None, {"interval": "1h"}), (1, {})],
    ids=["a second longer", "defaults", "for ever", "no checkpoints"],
)
def test_a_target_that_keeps_it_long_enough_is_fine(kept_s: float | None, checkpoint: dict[str, str]) -> None:
    job(kept_s, **checkpoint).job_graph()


def test_what_the_error_names_helps() -> None:
    with pytest.raises(PreparedTooShort) as raised:
        job(60, interval="10s").job_graph()
    below = str(raised.value).rpartition("below ")[2].rstrip(".")
    assert below == "50s"
    job(60, interval="10s", timeout=f"{timedelta(seconds=49).seconds}s").job_graph()
