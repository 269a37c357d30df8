"""The conformance suite of state backends."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from millstream.contracts.key_groups import key_group_range
from millstream.contracts.state_backend import DROPPED, StateChunk, TableSpec
from millstream.contracts.state_chunks import decode_chunk, encode_chunk
from millstream.errors import DamagedState, StateNotEncodable
from millstream.state.serializers import serializer_for
from millstream_testkit.demands import Sampling, declares, demand
from millstream_testkit.suites.base import ConformanceSuite
from millstream_testkit.suites.handle_machine import HandleMachine, programs_of_handles
from millstream_testkit.suites.opened_tables import FLAT, GROUP_OF, MAX_PARALLELISM, OPERATOR, WINDOWS, Backend, Opened, opening
from millstream_testkit.suites.programs import Programs, programs, run_programs
from millstream_testkit.suites.resources import assert_nothing_grows
from millstream_testkit.suites.sink_contract import error_of
from millstream_testkit.suites.table_machine import KEYS, TableMachine, programs_of_tables
from millstream_testkit.suites.table_mutations import MUTATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from millstream_testkit.state_harness import StateBackendHarness

ANYTHING: Final = TableSpec("anything", "flat", serializer_for(str), serializer_for())
_STEPS: Final = 9
_MANY: Final = 20_000


def table_programs(harness: StateBackendHarness, sampling: Sampling) -> list[Programs]:
    """Programs on tables."""
    return [programs(sampling)]


def handle_programs(harness: StateBackendHarness, sampling: Sampling) -> list[Programs]:
    """Programs on handles, by how the states are declared."""
    return [programs(sampling, of, 0.5) for of in ("typed", "data codec", "typed with ttl", "data codec with ttl")]


def mutation_cases(harness: StateBackendHarness, sampling: Sampling) -> list[str]:
    """What is done to the tables while a snapshot is pending, and after how many slices."""
    places = range(_STEPS) if sampling.full else (0, 2, 5)
    return [f"{name} after {place} slices" for name in MUTATIONS for place in places]


def parallelism_cases(harness: StateBackendHarness, sampling: Sampling) -> list[str]:
    """Numbers of subtasks before and after."""
    pairs = [(a, b) for a in range(1, 5) for b in range(1, 5)] if sampling.full else [(1, 1), (1, 3), (3, 1), (2, 4), (4, 3)]
    return [f"{a} to {b}" for a, b in pairs]


def filled(opened: Opened) -> tuple[dict[str, list[int]], dict[int, dict[str, list[int]]]]:
    """Puts eight keys into the flat table and into two namespaces; returns what that is."""
    flat = {key: [number] for number, key in enumerate(KEYS)}
    windows = {namespace: {key: [namespace, number] for number, key in enumerate(KEYS)} for namespace in (0, -60_000)}
    for key, value in flat.items():
        opened[FLAT][key] = list(value)
    for namespace, inner in windows.items():
        for key, value in inner.items():
            opened.window(namespace)[key] = list(value)
    return flat, windows


class Unencodable:
    """Has no encoded form."""


class StateBackendSuite(ConformanceSuite):
    """Everything that is demanded of a state backend.

    Example:
        class TestMyBackend(StateBackendSuite):
            harness = MyBackendHarness
    """

    subject: ClassVar[str] = "state backend"
    complete = True

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        """The backend with a folder of its own."""
        with opening(self.made_harness(), tmp_path) as backend:
            yield backend

    # --- tables

    @demand("A state backend is a description that can be sent to a worker.")
    def test_description_travels(self, backend: Backend) -> None:
        made = backend.harness.backend(backend.folder)
        sent = pickle.loads(pickle.dumps(made))  # noqa: S301 - made here
        opened = Opened(sent, backend.harness.snapshot_limit_s)
        flat, windows = filled(opened)
        backend.assert_restores(opened.snapshot(), flat, windows, "by a backend that was pickled")
        opened.tables.close()

    @demand("A table behaves as a dict does, whatever is done to it.", cases=table_programs)
    def test_tables_behave_like_dicts(self, backend: Backend, case: Programs) -> None:
        self._run_on_tables(backend, case, snapshots=False)

    @demand("A value that was read and changed in place is changed, though nobody writes it back.")
    def test_what_is_changed_in_place_is_changed(self, backend: Backend) -> None:
        opened = backend.open()
        flat, windows = filled(opened)
        for entries, model in ((opened[FLAT], flat), (opened.window(0), windows[0])):
            for both in (entries, model):
                both["k0"].append(100)
                both.get("k1", []).append(101)
                both.setdefault("k2", []).append(102)
                for value in both.values():
                    value.append(103)
        assert opened.flat() == flat, "state handles change lists and dicts in place: what they do to the flat table must not be lost"
        assert opened.windows() == windows, "windows keep their records in lists that grow in place: what is done in a namespace must not be lost"
        backend.assert_restores(opened.snapshot(), flat, windows, "after values were changed in place")

    @demand("A key has a value of its own in each namespace, in the table and in its snapshots.")
    def test_namespaces_are_kept_apart(self, backend: Backend) -> None:
        opened = backend.open()
        windows: dict[int, dict[str, list[int]]] = {}
        for number, namespace in enumerate((0, 1, -1, 2**62, -(2**62))):
            for key in ("k0", "k1"):
                opened.window(namespace)[key] = [number]
                windows.setdefault(namespace, {})[key] = [number]
        del opened.window(1)["k0"]
        del windows[1]["k0"]
        assert opened.windows() == windows, f"the namespaced table is {opened.windows()}, not {windows}"
        backend.assert_restores(opened.snapshot(), {}, windows, "from five namespaces")

    @demand("The tables of operators, subtasks and attempts that share a worker are kept apart.")
    def test_operators_and_subtasks_are_kept_apart(self, backend: Backend) -> None:
        opened = [backend.open(operator_uid=uid, subtask=subtask) for uid in ("a", "b") for subtask in (0, 1)] + [backend.open(operator_uid="a")]
        for number, each in enumerate(opened):
            assert each.flat() == {}, "open() gave tables in which there is something"
            each[FLAT]["k"] = [number]
        chunks = [each.snapshot() for each in opened]
        backend.close(opened.pop(0))
        for number, each in enumerate(opened, start=1):
            assert each.flat() == {"k": [number]}
        for number, each_chunks in enumerate(chunks):
            backend.assert_restores(each_chunks, {"k": [number]}, {}, f"from tables {number} of five")

    # --- snapshots

    @demand("Random programs leave tables, snapshots, and what is restored from them as plain dicts and their copies are.", cases=table_programs)
    def test_tables_and_snapshots_match_a_model(self, backend: Backend, case: Programs) -> None:
        self._run_on_tables(backend, case, snapshots=True)

    @demand("State handles of every kind, with and without a time to live, match a model over snapshots and restores.", cases=handle_programs)
    def test_states_of_every_kind_match_a_model(self, backend: Backend, case: Programs) -> None:
        def run(program: list[Any]) -> None:
            machine = HandleMachine(backend, typed="typed" in case.of, ttl="ttl" in case.of)
            machine.run(program)
            machine.close()

        run_programs(case, programs_of_handles, run)

    def _run_on_tables(self, backend: Backend, case: Programs, *, snapshots: bool) -> None:
        def run(program: list[Any]) -> None:
            machine = TableMachine(backend)
            machine.run(program)
            machine.close()

        run_programs(case, programs_of_tables(snapshots=snapshots), run)

    @demand("A snapshot holds what there was at its barrier, whatever is done to tables and values meanwhile.", cases=mutation_cases)
    def test_a_snapshot_is_not_torn(self, backend: Backend, case: str) -> None:
        name, _, place = case.partition(" after ")
        opened = backend.open()
        flat, windows = filled(opened)
        snapshot = opened.begin()
        for _ in range(int(place.split()[0])):
            snapshot.advance(0.0)
        MUTATIONS[name](opened[FLAT])
        MUTATIONS[name](opened.window(0))
        if name.startswith("all"):
            opened[WINDOWS].pop(-60_000)
        changed = opened.flat(), opened.windows()
        backend.assert_restores(opened.finish(snapshot), flat, windows, f"when {case} the barrier")
        assert (opened.flat(), opened.windows()) == changed, "the end of the snapshot undid what was done while it was pending"
        backend.assert_restores(opened.snapshot(2), *changed, "in the next snapshot")

    @demand("What was deleted before a barrier is not in its snapshot, also when an earlier one had it.")
    def test_deleted_entries_do_not_come_back(self, backend: Backend) -> None:
        opened = backend.open()
        flat, windows = filled(opened)
        opened.snapshot(1)
        for entries, model in ((opened[FLAT], flat), (opened.window(0), windows[0])):
            for both in (entries, model):
                del both["k0"]
                both.pop("k1")
        opened[WINDOWS].pop(-60_000)
        windows.pop(-60_000)
        backend.assert_restores(opened.snapshot(2), flat, windows, "after entries and a namespace were deleted")
        opened[FLAT].clear()
        opened[WINDOWS].clear()
        backend.assert_restores(opened.snapshot(3), {}, {}, "after everything was deleted")

    @demand("Each chunk has entries of one table and one key group, as many as it says, in the form that every backend reads.")
    def test_chunks_have_the_key_group_of_their_keys(self, backend: Backend) -> None:
        opened = backend.open()
        filled(opened)
        for number in range(100):
            opened[FLAT][f"more-{number}"] = [number]
        for chunk in opened.snapshot():
            assert isinstance(chunk, StateChunk)
            spec = {"flat": FLAT, "windows": WINDOWS}[chunk.table]
            keys = [key for segment in decode_chunk(spec, chunk) for key in segment.keys]
            strays = {key: GROUP_OF(key) for key in keys if GROUP_OF(key) != chunk.key_group}
            assert not strays, f"the chunk of table {chunk.table!r} and key group {chunk.key_group} has keys of other groups: {strays}"
            assert len(keys) == chunk.entries, f"a chunk says that it has {chunk.entries} entries, and has {len(keys)}"

    @demand("A job that goes on with another number of subtasks finds each key once, where its key group belongs.", cases=parallelism_cases)
    def test_rescale(self, backend: Backend, case: str) -> None:
        before, after = map(int, case.split(" to "))
        chunks: list[StateChunk] = []
        flat: dict[str, list[int]] = {}
        for subtask in range(before):
            owned = key_group_range(subtask, before, MAX_PARALLELISM)
            opened = backend.open(subtask=subtask)
            for number in range(60):
                if GROUP_OF(f"key-{number}") in owned:
                    opened[FLAT][f"key-{number}"] = flat[f"key-{number}"] = [number]
            chunks += opened.snapshot()
        backend.assert_restores(chunks, flat, {}, f"by {after} subtasks from {before}", after)

    @demand("Chunks of several former subtasks add up, read by serializers and a transform of the restore's own.")
    def test_restores_add_up(self, backend: Backend) -> None:
        opened = backend.open()
        for number, key in enumerate(KEYS):
            # As another backend wrote it.
            opened.tables.restore(FLAT, [encode_chunk(FLAT, GROUP_OF(key), [key], [[number]])])
            opened.tables.restore(WINDOWS, [encode_chunk(WINDOWS, GROUP_OF(key), [key, key], [[number], [-number]], [7, -7])])
        odd = replace(FLAT, transform=lambda values: [value if value[0] % 2 else DROPPED for value in values])
        opened.tables.restore(odd, [encode_chunk(FLAT, GROUP_OF(key), [key], [value]) for key, value in (("even", [2]), ("odd", [3]))])
        flat = {**{key: [number] for number, key in enumerate(KEYS)}, "odd": [3]}
        windows = {sign * 7: {key: [sign * number] for number, key in enumerate(KEYS)} for sign in (1, -1)}
        assert (opened.flat(), opened.windows()) == (flat, windows)
        backend.assert_restores(opened.snapshot(), flat, windows, "after eight restores")

    @demand("A table's newest spec decides how the next snapshot writes it; what its transform drops is left out, and stays in the table.")
    def test_the_newest_spec_writes_the_snapshot(self, backend: Backend) -> None:
        opened = backend.open()
        flat, _ = filled(opened)
        opened[WINDOWS].clear()
        codec = TableSpec("flat", "flat", serializer_for(), serializer_for(), lambda values: [DROPPED if value[0] % 2 else value for value in values])
        opened.tables.table(codec)
        chunks = opened.snapshot()
        found = {
            key: value
            for chunk in chunks
            for keys, _, values in decode_chunk(replace(codec, transform=None), chunk)
            for key, value in zip(keys, values)
        }
        assert found == {key: value for key, value in flat.items() if value[0] % 2 == 0}
        assert sum(chunk.entries for chunk in chunks) == len(found), "entries that the transform dropped are counted"
        assert dict(opened.tables.table(codec).items()) == flat

    @demand("A chunk that is damaged is refused with DamagedState, never read as something else or as empty.")
    def test_damaged_chunks_are_refused(self, backend: Backend) -> None:
        opened = backend.open()
        filled(opened)
        chunk = max((chunk for chunk in opened.snapshot() if chunk.table == "flat"), key=lambda chunk: len(chunk.data))
        middle = len(chunk.data) // 2
        for data in (b"", chunk.data[:-1], chunk.data[:middle], chunk.data[:middle] + bytes([chunk.data[middle] ^ 1]) + chunk.data[middle + 1 :]):
            damaged = StateChunk(chunk.table, chunk.key_group, chunk.entries, data)
            tables = backend.open().tables
            error = error_of(lambda tables=tables, damaged=damaged: tables.restore(FLAT, [damaged]))  # type: ignore[misc]
            assert isinstance(error, DamagedState), f"restoring {len(data)} of {len(chunk.data)} bytes, or changed ones, ended with {error!r}"

    # --- the life of a snapshot

    @demand("A snapshot is taken a slice at a time: a call whose time is up does little, and enough calls finish it.", when=declares("sliced"))
    def test_a_snapshot_is_taken_in_slices(self, backend: Backend) -> None:
        counted = _Counting()
        opened = backend.open(key_group_of=counted.group_of)
        spec = counted.spec
        opened[spec].update({f"key-{number}": [number] for number in range(_MANY)})
        counted.work = 0
        snapshot = opened.begin()
        most, limit = counted.work, backend.harness.slice_entries
        assert most <= limit, (
            f"begin_snapshot() encoded or looked at {most:,} of {_MANY:,} entries; the task stands still meanwhile (limit {limit:,})"
        )
        done, calls = False, 0
        while not done:
            counted.work = 0
            done = snapshot.advance(0.0)
            most, calls = max(most, counted.work), calls + 1
            assert calls <= 100 * _MANY, f"{calls:,} calls of advance() have not finished a snapshot of {_MANY:,} entries"
        assert most <= limit, f"a call of advance() whose time was up encoded or looked at {most:,} of {_MANY:,} entries (limit {limit:,})"
        assert sum(chunk.entries for chunk in snapshot.chunks()) == _MANY
        snapshot.abandon()

    @demand("A key group in which nothing has changed gives the same bytes in the next snapshot.", when=declares("incremental"))
    def test_what_has_not_changed_gives_the_same_bytes(self, backend: Backend) -> None:
        opened = backend.open()
        for number in range(2_000):
            opened[FLAT][f"k{number}"] = [number]
            opened.window(number % 3)[f"k{number}"] = [number]
        before = {(chunk.table, chunk.key_group): chunk.data for chunk in opened.snapshot(1)}
        for change in (
            lambda: opened[FLAT].update({"k7": [-1]}),
            lambda: opened[FLAT].pop("k7"),
            lambda: opened[FLAT].update({"k7": [7]}),
            lambda: opened.window(7 % 3).pop("k7"),
        ):
            change()
            after = {(chunk.table, chunk.key_group): chunk.data for chunk in opened.snapshot(2)}
            changed = {group for (table, group), data in after.items() if before.get((table, group)) != data}
            assert changed <= {GROUP_OF("k7")}, f"something was done in key group {GROUP_OF('k7')}, and groups {sorted(changed)} have other bytes"
            before = after

    @demand("When another object stands for a table, on_swap was called: who takes a table anew only then loses nothing and tears nothing.")
    def test_swaps_are_announced(self, backend: Backend) -> None:
        opened = backend.open()
        for name in ("finished", "abandoned"):
            flat, windows = filled(opened)
            held, swaps = opened[FLAT], opened.swaps
            snapshot = opened.begin()
            silent = opened.swaps == swaps and opened.tables.table(FLAT) is not held
            opened[FLAT]["k0"].append(7)
            if name == "finished":
                torn = backend.restored(opened.finish(snapshot)) != (flat, windows)
                assert not (silent and torn), (
                    "begin_snapshot() put another object in a table's place and did not call on_swap: what is done to the object that users hold "
                    "tears the snapshot"
                )
            else:
                snapshot.abandon()
            opened[FLAT]["k0"].append(8)
            opened[FLAT]["new"] = [9]
            now = dict(opened.tables.table(FLAT).items())
            assert now == {**flat, "k0": [0, 7, 8], "new": [9]}, (
                f"a snapshot that was {name} left users with an object that is not the table any more: what they did to it is lost. Call on_swap"
            )
            opened[FLAT].clear()

    @demand("A value without an encoded form fails the snapshot with StateNotEncodable, which names the state; everything else goes on.")
    def test_a_value_that_cannot_be_encoded_is_named(self, backend: Backend) -> None:
        opened = backend.open()
        flat, windows = filled(opened)
        opened[ANYTHING]["good"] = 1
        for touched in (False, True):
            opened[ANYTHING]["bad"] = Unencodable()
            error = error_of(lambda touched=touched: self._snapshot_with(opened, touched))  # type: ignore[misc]
            assert isinstance(error, StateNotEncodable), (
                f"the snapshot ended with {error!r}; raise StateNotEncodable, so that the checkpoint is declined"
            )
            assert (error.operator, error.state) == (OPERATOR, "anything"), f"the error names state {error.state!r} of operator {error.operator!r}"
            assert type(opened[ANYTHING]["bad"]) is Unencodable, "the state was harmed"
            assert opened.flat() == flat
            del opened[ANYTHING]["bad"]
            backend.assert_restores(opened.snapshot(2), flat, windows, "in the snapshot after one that failed")

    @staticmethod
    def _snapshot_with(opened: Opened, touched: bool) -> None:
        snapshot = opened.begin()
        try:
            if touched:
                assert opened[ANYTHING].get("bad") is not None  # whoever touches the value is not to blame, and goes on
            opened.finish(snapshot)
        finally:
            snapshot.abandon()

    @demand("A snapshot after one that was given up, at whatever moment, holds what there is at its own barrier, and nothing else.")
    def test_a_snapshot_after_an_abandoned_one_is_whole(self, backend: Backend) -> None:
        opened = backend.open()
        flat, windows = filled(opened)
        for number, slices in enumerate((0, 1, 3, 1_000)):
            snapshot = opened.begin(slices)
            for _ in range(slices):
                if snapshot.advance(0.0):
                    break
            for both in (opened[FLAT], flat):
                both["k1"] = [slices]
                both.pop(f"k{number + 2}")
                both["k0"].append(slices)
            snapshot.abandon()
            snapshot.abandon()
            assert opened.flat() == flat
            backend.assert_restores(opened.snapshot(slices + 1), flat, windows, f"in the snapshot after one that was abandoned after {slices} slices")

    @demand("Opening, snapshots and closing, again and again, leave no thread and no open file behind, also with a snapshot pending.")
    def test_close_releases_everything(self, backend: Backend) -> None:
        def once(number: int) -> None:
            opened = backend.open(subtask=number % 2)
            filled(opened)
            opened.snapshot(1)
            if number % 2:
                opened.begin(2)
            backend.close(opened)

        assert_nothing_grows(once)


class _Counting:
    """Counts entries that are encoded, or whose key group is asked for."""

    def __init__(self) -> None:
        self.work = 0
        self.spec = TableSpec("many", "flat", _counted(FLAT.keys, lambda count: None), _counted(FLAT.values, self.add))

    def add(self, count: int) -> None:
        self.work += count

    def group_of(self, key: Any) -> int:
        self.work += 1
        return GROUP_OF(key)


def _counted(serializer: Any, add: Callable[[int], None]) -> Any:
    class Counted(type(serializer)):  # type: ignore[misc]
        def encode(self, value: Any) -> bytes:
            add(1)
            data: bytes = serializer.encode(value)
            return data

        def encode_many(self, values: Sequence[Any]) -> bytes:
            add(len(values))
            data: bytes = serializer.encode_many(values)
            return data

    counted = object.__new__(Counted)
    counted.__dict__.update(serializer.__dict__)
    return counted
