"""An operator with a state of each kind, at changing parallelism, whose checkpoints go into a storage; and the model of its state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from hypothesis import strategies as st

from millstream import KeyedProcessFunction
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.contracts.key_groups import subtask_of_group
from millstream.plugins import PluginManager
from millstream.ports import LocalStorage, ManualClock
from millstream.testing import OperatorHarness
from millstream_testkit.storage_checkpoints import JOB, files_of, manifest_for
from millstream_testkit.suites.opened_tables import GROUP_OF, MAX_PARALLELISM
from millstream_testkit.suites.programs import Failed, described, steps, weighted
from millstream_testkit.suites.state_model import KEYS, KINDS, READS, TTL_MS, StateModel, Use, ask, handles_of, uses
from millstream_testkit.under_test import BACKEND, UnderTest

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStore

_START_MS: Final = 1_000_000
FATES: Final = ("completes",) * 4 + ("is given up", "dies unwritten", "dies half written", "dies unpublished", "dies published")
"""Of a checkpoint; where the process dies, the next one goes on at once."""

programs_of_pairings: Final[st.SearchStrategy[list[Any]]] = steps(
    weighted(
        (12, st.tuples(st.just("use"), st.sampled_from(KEYS), uses)),
        (4, st.tuples(st.just("checkpoint"), st.sampled_from(FATES), st.integers(1, 4))),
        (1, st.tuples(st.just("wait"), st.integers(1, TTL_MS))),
        (1, st.tuples(st.sampled_from(["restart", "retain"]), st.integers(1, 4))),
    ),
    80,
)


class QuickStorage(LocalStorage):
    """The machine's files; nothing is waited for, because nothing is lost when a process only seems to die."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        """Its names are there."""


class EveryKind(KeyedProcessFunction[str, Any, Any]):
    """Has a state of each kind, and does with them what its input says: (key, use)."""

    def __init__(self, *, typed: bool, ttl: bool) -> None:
        self._options: Any = {"typed": typed, "ttl": ttl}

    def open(self, context: Any) -> None:
        self._handles = handles_of(context, **self._options)

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect(ask(self._handles, value[1]))


class PairingMachine:
    """Runs one program.

    Args:
        storage: makes the checkpoint storage; a new one for each process.
        typed: the states have declared types.
        ttl: they expire.
        job_name: no other program has it.
    """

    def __init__(self, storage: Callable[[], CheckpointStorage], job_name: str, *, typed: bool, ttl: bool) -> None:
        self._storage = storage
        self._job_name = job_name
        self._options: Any = {"typed": typed, "ttl": ttl}
        self._plugins = PluginManager.with_plugins([UnderTest()])
        self._clock = ManualClock(_START_MS)
        self._empty = StateModel(ttl=ttl)
        self._models: dict[int, StateModel] = {}
        self._subtasks: list[OperatorHarness] = []
        self._attempt = 0
        self._done: list[str] = []
        self._go_on(1)

    def run(self, program: list[Any]) -> None:
        """All steps, then a last checkpoint and a restart from it.

        Raises:
            Failed: something differs from the model, or a call raised.
        """
        for name, *arguments in [*program, ("checkpoint", "completes", 1), ("restart", 3)]:
            self._done.append(described((name, *arguments)))
            try:
                getattr(self, name)(*arguments)
            except Exception as problem:
                raise Failed(self._done, problem) from problem

    def close(self) -> None:
        """Closes the operators."""
        while self._subtasks:
            self._subtasks.pop().close()

    def clean_up(self) -> None:
        """Closes everything, and deletes the checkpoints."""
        self.close()
        for checkpoint_id in [*self._store.published(), *self._store.unpublished()]:
            self._store.delete(checkpoint_id)
        self._store.close()

    def use(self, key: str, use: Use) -> None:
        """A record comes in."""
        subtask = self._subtasks[subtask_of_group(GROUP_OF(key), len(self._subtasks), MAX_PARALLELISM)]
        subtask.process((key, use))
        (answer,) = subtask.take()
        expected = self._model.use(key, use, self._clock.now_ms())
        assert answer == expected, f"the handle answered {answer}, not {expected}"

    def wait(self, milliseconds: int) -> None:
        """Time passes."""
        self._clock.advance(milliseconds / 1000)

    def checkpoint(self, fate: str, parallelism: int) -> None:
        """A barrier passes; what becomes of the checkpoint, and with how many subtasks the job goes on when it dies."""
        checkpoint_id = self._store.highest_id() + 1
        files = {f"task-0-{number}": subtask.snapshot(checkpoint_id) for number, subtask in enumerate(self._subtasks)}
        written = {"dies unwritten": 0, "dies half written": len(files) // 2}.get(fate, len(files))
        for name, data in list(files.items())[:written]:
            self._store.write_file(checkpoint_id, name, [data[:7], data[7:]])
        if fate in ("completes", "dies published"):
            self._store.publish(checkpoint_id, manifest_for(checkpoint_id, self._attempt, files))
            self._models[checkpoint_id] = copy.deepcopy(self._model)
        if fate.startswith("dies"):
            self._subtasks.clear()  # nothing of it is closed
            self._go_on(parallelism)
            return
        for subtask in self._subtasks:
            subtask.complete(checkpoint_id) if fate == "completes" else subtask.abort(checkpoint_id)
        if fate == "is given up":
            self._store.withdraw(checkpoint_id)

    def retain(self, count: int) -> None:
        """All but the newest checkpoints are deleted."""
        for checkpoint_id in list(self._store.published())[:-count]:
            self._store.delete(checkpoint_id)
            del self._models[checkpoint_id]

    def restart(self, parallelism: int) -> None:
        """The job stops without a last checkpoint, and goes on with another number of subtasks."""
        self.close()
        self._go_on(parallelism)

    def _go_on(self, parallelism: int) -> None:
        """A new process: everything is opened anew, and the newest checkpoint restored."""
        self._attempt += 1
        self._store: CheckpointStore = self._storage().open(CheckpointStorageContext(f"{JOB} {self._job_name}", QuickStorage()))
        self._store.fence()
        published = list(self._store.published())
        assert published == sorted(self._models), f"checkpoints {published} are there, not {sorted(self._models)}"
        saved = list(files_of(self._store, published[-1]).values()) if published else []
        self._model = copy.deepcopy(self._models[published[-1]] if published else self._empty)
        options = self._options
        self._subtasks = [
            OperatorHarness(
                lambda stream: stream.key_by(lambda row: row[0], key_type=str).process(EveryKind(**options)),
                subtask=subtask,
                parallelism=parallelism,
                max_parallelism=MAX_PARALLELISM,
                restore=saved,
                attempt=self._attempt,
                state_backend=BACKEND,
                clock=self._clock,
                plugins=self._plugins,
            )
            for subtask in range(parallelism)
        ]
        found = {(kind, key): self._read(kind, key) for kind in KINDS for key in KEYS}
        expected = self._model.everything(self._clock.now_ms())
        wrong = {each: (found[each], expected[each]) for each in found if found[each] != expected[each]}
        assert not wrong, f"restored by {parallelism} subtasks is, by state and key, (what is, what should be): {wrong}"

    def _read(self, kind: str, key: str) -> Any:
        subtask = self._subtasks[subtask_of_group(GROUP_OF(key), len(self._subtasks), MAX_PARALLELISM)]
        subtask.process((key, (kind, READS[kind], ())))
        (answer,) = subtask.take()
        return answer
