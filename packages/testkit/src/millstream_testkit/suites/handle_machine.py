"""The real state handles on tables of a backend, and their model, driven alike."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

from millstream.ports import ManualClock
from millstream.state.key_context import KeyContext
from millstream.state.keyed import KeyedStateStore
from millstream.state.serializers import serializer_for
from millstream_testkit.suites.opened_tables import GROUP_OF, OPERATOR, Opened
from millstream_testkit.suites.programs import Failed, described, steps, weighted
from millstream_testkit.suites.state_model import KEYS, KINDS, READS, TTL_MS, StateModel, Use, ask, handles_of, uses

if TYPE_CHECKING:
    from millstream.contracts.state_backend import StateChunk, TableSnapshot
    from millstream_testkit.suites.opened_tables import Backend

Step: TypeAlias = "tuple[str, Any] | tuple[str, str, Use]"
_START_MS: Final = 1_000_000

programs_of_handles: Final[st.SearchStrategy[list[Any]]] = steps(
    weighted(
        (12, st.tuples(st.just("use"), st.sampled_from(KEYS), uses)),
        (2, st.tuples(st.just("begin"), st.just(()))),
        (4, st.tuples(st.just("slice"), st.just(()))),
        (1, st.tuples(st.just("wait"), st.integers(1, TTL_MS))),
        (2, st.tuples(st.sampled_from(["finish", "abandon", "die"]), st.just(()))),
    ),
    80,
)


class Store:
    """A state store on new tables."""

    def __init__(self, backend: Backend, clock: ManualClock, *, typed: bool, ttl: bool, stored: Any = None) -> None:
        self.keyed: KeyedStateStore | None = None
        self.opened: Opened = backend.open(on_swap=self._rebind)
        self._context = KeyContext()
        self.keyed = KeyedStateStore(self.opened.tables, self._context, OPERATOR, serializer_for(str), serializer_for, clock, GROUP_OF)
        if stored is not None:
            chunks, descriptions = stored
            self.keyed.restore({name: [chunk for chunk in chunks if chunk.table == name] for name in descriptions}, descriptions)
        self._handles = handles_of(self.keyed, typed=typed, ttl=ttl)

    def _rebind(self) -> None:
        if self.keyed is not None:
            self.keyed.rebind()

    def use(self, key: str, use: Use) -> Any:
        """What a handle answers for a key."""
        self._context.key = key
        return ask(self._handles, use)

    def everything(self) -> dict[tuple[str, str], Any]:
        """The usual read of each state and key."""
        return {(kind, key): self.use(key, (kind, READS[kind], ())) for kind in KINDS for key in KEYS}

    def described(self) -> Any:
        """What a checkpoint says of the states."""
        assert self.keyed is not None
        return self.keyed.descriptions()


class HandleMachine:
    """Runs one program.

    Args:
        backend: whose tables they are.
        typed: the states have declared types.
        ttl: they expire.
    """

    def __init__(self, backend: Backend, *, typed: bool, ttl: bool) -> None:
        self._backend = backend
        self._options: Any = {"typed": typed, "ttl": ttl}
        self._clock = ManualClock(_START_MS)
        self._model = StateModel(ttl=ttl)
        self._store = Store(backend, self._clock, **self._options)
        self._pending: TableSnapshot | None = None
        self._at_barrier = copy.deepcopy(self._model)
        self._stored: tuple[tuple[list[StateChunk], Any], StateModel] | None = None
        self._done: list[str] = []

    def run(self, program: list[Any]) -> None:
        """All steps, then one last snapshot.

        Raises:
            Failed: something differs from the model, or a call raised.
        """
        for name, *arguments in [*program, ("finish", ()), ("begin", ()), ("finish", ())]:
            self._done.append(described((name, *arguments)))
            try:
                getattr(self, name)(*arguments)
            except Exception as problem:
                raise Failed(self._done, problem) from problem

    def close(self) -> None:
        """Closes what is open, pending or not."""
        self._backend.close(self._store.opened)

    def use(self, key: str, use: Use) -> None:
        """A function uses a state."""
        answer, expected = self._store.use(key, use), self._model.use(key, use, self._clock.now_ms())
        assert answer == expected, f"the handle answered {answer}, not {expected}"

    def wait(self, milliseconds: int) -> None:
        """Time passes."""
        self._clock.advance(milliseconds / 1000)

    def begin(self, _: object) -> None:
        """The barrier."""
        if self._pending is None:
            self._at_barrier = copy.deepcopy(self._model)
            self._pending = self._store.opened.begin(len(self._done))

    def slice(self, _: object) -> None:
        """A slice of the asynchronous part."""
        if self._pending is not None and self._store.opened.step(self._pending):
            self.finish(())

    def finish(self, _: object) -> None:
        """The rest of it; a new store restores what it holds."""
        if self._pending is None:
            return
        chunks = self._store.opened.finish(self._pending)
        self._pending = None
        self._stored = (chunks, self._store.described()), self._at_barrier
        other = Store(self._backend, self._clock, **self._options, stored=self._stored[0])
        found, expected = other.everything(), self._at_barrier.everything(self._clock.now_ms())
        wrong = {each: (found[each], expected[each]) for each in found if found[each] != expected[each]}
        assert not wrong, f"of what there was at the barrier is restored, by state and key, (what is, what should be): {wrong}"
        self._backend.close(other.opened)

    def abandon(self, _: object) -> None:
        """The checkpoint is given up."""
        if self._pending is not None:
            self._pending.abandon()
            self._pending = None

    def die(self, _: object) -> None:
        """The attempt ends, closing nothing, and the next one goes on from the last snapshot."""
        self._pending = None
        stored, model = self._stored or (None, StateModel(ttl=self._options["ttl"]))
        self._model = copy.deepcopy(model)
        self._store = Store(self._backend, self._clock, **self._options, stored=stored)
