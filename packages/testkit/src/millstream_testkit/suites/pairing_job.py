"""A real job with a state of each kind, whose function fails again and again, and what it finds in its states in the end."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from millstream import KeyedProcessFunction, RestartStrategies, StreamExecutionEnvironment, WatermarkStrategy
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.plugins import PluginManager
from millstream_testkit.epoch_source import EpochSource
from millstream_testkit.suites.state_model import KEYS, KINDS, READS, StateModel, Use, ask, handles_of
from millstream_testkit.under_test import BACKEND, STORAGE, UnderTest

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS: Final = 2
_THE_END: Final = 10**12

_programs: dict[str, list[Use]] = {}
_failures: dict[str, set[int]] = {}
_calls: Counter[str] = Counter()
_found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
"""By job: in this process, all attempts of a job share them."""


def key_of(number: int) -> str:
    """The key of a number; all numbers of a key are in one split, so that they come in order."""
    return KEYS[number % SPLITS + SPLITS * (number // SPLITS % (len(KEYS) // SPLITS))]


class UseAndFail(KeyedProcessFunction[str, int, Any]):
    """Does with its states what the program says for a number, and raises at some calls. In the end it tells what is in them."""

    def __init__(self, job: str) -> None:
        self._job = job

    def open(self, context: Any) -> None:
        self._handles = handles_of(context, typed=True, ttl=False)

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        ctx.timer_service().register_event_time_timer(_THE_END)
        ask(self._handles, _programs[self._job][value])
        _calls[self._job] += 1
        if _calls[self._job] in _failures[self._job]:
            msg = f"failure at call {_calls[self._job]}"
            raise RuntimeError(msg)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect((ctx.get_current_key(), {kind: ask(self._handles, (kind, READS[kind], ())) for kind in KINDS}))


class _Writer(SinkWriter[Any]):
    def __init__(self, job: str) -> None:
        self._job = job

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        _found[self._job] += values

    def flush(self) -> None:
        """All is written."""


class _Found(Sink[Any]):
    capabilities = SinkCapabilities(kind="plain")

    def __init__(self, job: str) -> None:
        self._job = job

    def open(self, context: SinkContext) -> _Writer:
        return _Writer(self._job)


def run_job(job: str, program: list[Use], failures: set[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs a job to its end.

    Args:
        job: its name, which no other has.
        program: the use of each number.
        failures: which calls of the function raise, counted over all attempts.

    Returns:
        What is in the states of each key in the end, and what should be.
    """
    _programs[job], _failures[job], _found[job] = program, failures, []
    env = StreamExecutionEnvironment({"state.backend": BACKEND}, plugins=PluginManager.with_plugins([UnderTest()]))
    env.set_parallelism(2)
    env.set_max_parallelism(8)
    env.enable_checkpointing(timedelta(milliseconds=10))
    env.checkpoint_config.set_checkpoint_storage(STORAGE)
    env.set_restart_strategy(RestartStrategies.fixed_delay(len(failures) + 1, timedelta(milliseconds=1)))
    source = EpochSource(len(program), per_epoch=5, splits=SPLITS)
    numbers = env.from_source(source, watermark_strategy=WatermarkStrategy.for_monotonous_timestamps(), uid="numbers")
    numbers.key_by(key_of, key_type=str).process(UseAndFail(job), uid="use").sink_to(_Found(job), uid="found")
    env.execute(job)
    model = StateModel(ttl=False)
    for number, use in enumerate(program):
        model.use(key_of(number), use, 0)
    everything = model.everything(0)
    seen = {key_of(number) for number in range(len(program))}
    return dict(_found[job]), {key: {kind: everything[kind, key] for kind in KINDS} for key in seen}
