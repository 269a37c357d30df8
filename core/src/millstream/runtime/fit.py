"""Whether a checkpoint fits a job: all that can be known from its manifest and the job's graph, before anything is changed or started.

States that functions declare when they are opened are compared then, by the operator.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from millstream.checkpoint.pending_work import TWO_PHASE_COMMIT, WRITE_AHEAD, PendingWork, pending_work
from millstream.contracts.serializer import Verdict as Readable
from millstream.errors import StateIncompatible
from millstream.runtime.fit_model import Fit, OperatorFit, StateFit
from millstream.runtime.known_states import KnownStates, known_states
from millstream.state.keyed import ENGINE_PREFIX
from millstream.state.redistribution import split_list_states
from millstream.state.restoring import key_reader_of, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millstream.checkpoint.manifest import FileRef, Manifest, OperatorInfo, OperatorListRef
    from millstream.contracts.serializer import Serializer, SerializerDescription
    from millstream.graph.job_graph import ChainedOperator, JobGraph
    from millstream.runtime.fit_model import Verdict
    from millstream.state.keyed import StateDescription

_LANES = (TWO_PHASE_COMMIT, WRITE_AHEAD)
_ALLOW = "leave it behind with --allow-non-restored-state (setting job.allow_non_restored_state)"
_AFRESH = "or start afresh with --resume never"
_AT_OPEN = "declared when the operator opens"


@dataclass
class _Stored:
    """What the checkpoint holds of one operator, over all its subtasks."""

    tables: dict[str, list[StateDescription]] = field(default_factory=dict)
    entries: Counter[str] = field(default_factory=Counter)
    lists: dict[str, dict[int, OperatorListRef]] = field(default_factory=dict)
    enumerator: bytes = b""

    @property
    def is_empty(self) -> bool:
        """Whether a restore without the operator loses nothing."""
        return not (any(self.entries.values()) or self.lists or self.enumerator)


class _Fitting:
    """Compares; see `fit_of`."""

    def __init__(self, manifest: Manifest, job: JobGraph, where: str, pending: dict[str, PendingWork], *, allow: bool) -> None:
        self.fit = Fit(job.job_name, where, manifest.checkpoint_id, manifest.kind)
        self._manifest = manifest
        self._pending = pending
        self._allow = allow
        self._wanted = {operator.uid: (operator, vertex.parallelism) for vertex, operator in job.operators()}
        self._infos = {info.uid: info for info in manifest.operators}
        self._stored = {uid: _Stored(enumerator=manifest.enumerators.get(uid, b"")) for uid in self._infos}
        for task in manifest.tasks:
            for state in task.operators:
                stored = self._stored.setdefault(state.uid, _Stored())
                for name, description in state.tables.items():
                    known = stored.tables.setdefault(name, [])
                    if description not in known:
                        known.append(description)
                for chunk in state.chunks:
                    stored.entries[chunk.table] += chunk.entries
                for name, items in state.lists.items():
                    stored.lists.setdefault(name, {})[task.subtask] = items

    def run(self) -> Fit:
        if self._manifest.job_name != self.fit.job:
            self._refuse(f"it belongs to job {self._manifest.job_name!r}. Give the job that name, or resume from its own checkpoint.")
        self._compare_key_groups()
        for uid, info in self._infos.items():
            found = self._wanted.get(uid)
            if found is not None:
                self._matched(info, *found)
            elif info.keeps_state or not self._stored[uid].is_empty:
                self._dropped(info)
        for uid, (operator, parallelism) in self._wanted.items():
            if uid not in self._infos and operator.spec.keeps_state:
                self.fit.operators.append(OperatorFit(uid, operator.name, "new", None, parallelism, None, operator.max_parallelism))
        return self.fit

    def _refuse(self, sentence: str) -> None:
        self.fit.mismatches.append(sentence)

    # --- operators

    def _compare_key_groups(self) -> None:
        differing: dict[tuple[int, int], list[str]] = {}
        for uid, info in self._infos.items():
            found = self._wanted.get(uid)
            if found is not None and found[0].max_parallelism != info.max_parallelism and (info.keeps_state or self._stored[uid].lists):
                differing.setdefault((info.max_parallelism, found[0].max_parallelism), []).append(_operator(info))
        for (saved, wanted), operators in differing.items():
            self._refuse(
                f"{_and(operators)} {'was' if len(operators) == 1 else 'were'} saved with max_parallelism {saved} and the job now asks for "
                f"{wanted}. A key would be looked up in the wrong group. Set max_parallelism={saved}, {_AFRESH}."
            )

    def _matched(self, info: OperatorInfo, operator: ChainedOperator, parallelism: int) -> None:
        stored, known = self._stored[info.uid], known_states(operator.spec)
        states = [*self._keyed(info, stored, known), *self._lists(info, stored, known, parallelism), *self._lanes(info, stored, known, parallelism)]
        if stored.enumerator:
            if operator.source is None:
                states.append(self._lost(info, "enumerator", "of a source", 1, "the operator is no source any more"))
            else:
                states.append(StateFit("enumerator", "of a source", "matched", 1, "splits that are not assigned yet, in one piece"))
        if not (info.keeps_state or states):
            return
        found = {state.name for state in states}
        states += [StateFit(name, table.kind, "new") for name, table in (known.tables or {}).items() if name not in found]
        self.fit.operators.append(
            OperatorFit(
                info.uid, operator.name, "matched", info.parallelism, parallelism, info.max_parallelism, operator.max_parallelism, states
            )
        )  # fmt: skip

    def _dropped(self, info: OperatorInfo) -> None:
        stored = self._stored[info.uid]
        states = [StateFit(name, descriptions[-1].kind, "dropped", stored.entries[name]) for name, descriptions in stored.tables.items()]
        states += [StateFit(name, _list_kind(parts), "dropped", _count(parts)) for name, parts in stored.lists.items()]
        if stored.enumerator:
            states.append(StateFit("enumerator", "of a source", "dropped", 1))
        self.fit.operators.append(OperatorFit(info.uid, info.name, "dropped", info.parallelism, None, info.max_parallelism, None, states))
        work = self._pending.get(info.uid)
        if work is not None:
            what = f"sink {_named(info)}, which the job no longer has, left {_work_of(work)}"
            self._refuse(f"{what}. Nobody else could commit them, and they are never left behind. {_keep(info.uid)}")
        elif not stored.is_empty:
            what = f"it holds state of operator {_named(info)}, which the job no longer has"
            self._give_up(what, f"{self._renamed(info)}Give an operator uid={info.uid!r}, {_ALLOW}, {_AFRESH}.")

    def _renamed(self, info: OperatorInfo) -> str:
        """A new operator that may be the one that is missing."""
        new = {uid: operator for uid, (operator, _) in self._wanted.items() if uid not in self._infos and operator.spec.keeps_state}
        near = [uid for uid, operator in new.items() if operator.name == info.name] or get_close_matches(info.uid, list(new), n=1, cutoff=0.6)
        return f"Is it operator {new[near[0]].name!r}, whose uid {near[0]!r} is new? " if len(near) == 1 else ""

    def _give_up(self, what: str, fix: str) -> None:
        if self._allow:
            self.fit.left_behind.append(what)
        else:
            self._refuse(f"{what}. {fix}")

    def _lost(self, info: OperatorInfo, name: str, kind: str, entries: int, why: str) -> StateFit:
        """A state of an operator that is still there."""
        if entries:
            fix = f"Give the operator a new uid if it is another one, {_ALLOW}, {_AFRESH}."
            self._give_up(f"it holds state {name!r} ({kind}) of operator {_named(info)}, but {why}", fix)
        return StateFit(name, kind, "dropped", entries, why)

    # --- keyed state

    def _keyed(self, info: OperatorInfo, stored: _Stored, known: KnownStates) -> Iterator[StateFit]:
        for name, descriptions in stored.tables.items():
            kind, entries = descriptions[-1].kind, stored.entries[name]
            table = (known.tables or {}).get(name)
            if known.foreign:
                yield StateFit(name, kind, "at open", entries, _AT_OPEN)
            elif known.keys is None:
                yield self._lost(info, name, kind, entries, "the operator has no keyed state any more")
            elif table is None and (name.startswith(ENGINE_PREFIX) or not known.declares):
                yield self._lost(info, name, kind, entries, "the operator keeps no such state any more")
            elif table is not None and table.kind != kind:
                self._refuse(f"state {name!r} of operator {_named(info)} was stored as {kind} and is {table.kind} now. Give the operator a new uid.")
                yield StateFit(name, kind, "refused", entries, f"it is {table.kind} now")
            else:
                yield self._typed(info, name, descriptions, known.keys, table.values if table is not None else None, entries)

    def _typed(
        self,
        info: OperatorInfo,
        name: str,
        descriptions: list[StateDescription],
        keys: Serializer[object],
        values: Serializer[object] | None,
        entries: int,
    ) -> StateFit:
        """The keys, and the values where it is known what they are declared as."""
        kind = descriptions[-1].kind
        notes: list[str] = []
        try:
            for description in descriptions:
                key_reader_of(info.name, name, description.keys, keys)
                notes += _migration("keys", description.keys, keys)
                if values is not None:
                    reader_of(info.name, name, "values", description.values, values)
                    notes += _migration("values", description.values, values)
        except StateIncompatible as error:
            self._refuse(_incompatible(info, error))
            return StateFit(name, kind, "refused", entries, error.reason)
        if values is None:
            notes.append(_AT_OPEN)
        verdict: Verdict = "at open" if values is None else "retyped" if notes else "matched"
        return StateFit(name, kind, verdict, entries, "; ".join(dict.fromkeys(notes)))

    # --- operator state

    def _lists(self, info: OperatorInfo, stored: _Stored, known: KnownStates, parallelism: int) -> Iterator[StateFit]:
        old = info.parallelism
        split = {name: parts for name, parts in stored.lists.items() if _mode(parts) == "split"}
        by_subtask = [{name: range(len(parts[i].items)) if i in parts else range(0) for name, parts in split.items()} for i in range(old)]
        dealt = split_list_states(by_subtask, parallelism)
        for name, parts in stored.lists.items():
            mode, entries = _mode(parts), _count(parts)
            if mode == "lane":
                continue
            if not (known.foreign or known.declares or name in known.lists):
                yield self._lost(info, name, _list_kind(parts), entries, "the operator keeps no such state any more")
                continue
            if mode == "split":
                counts = [len(states[name]) for states in dealt]
                note = "each subtask its own" if old == parallelism else f"dealt out anew: {_runs(counts)}"
            elif mode == "union":
                note = "the whole for each subtask"
            else:
                note = f"subtask i takes copy i mod {old}"
            verdict: Verdict = "matched" if name in known.lists else "at open"
            yield StateFit(name, _list_kind(parts), verdict, entries, note if verdict == "matched" else f"{_AT_OPEN}; {note}")

    def _lanes(self, info: OperatorInfo, stored: _Stored, known: KnownStates, parallelism: int) -> Iterator[StateFit]:
        for name, parts in stored.lists.items():
            if _mode(parts) != "lane":
                continue
            entries, work = _count(parts), self._pending.get(info.uid)
            lanes = sorted({lane for ref in parts.values() for lane in ref.lanes})
            note = f"lane l goes to subtask l mod {parallelism}: lanes {_runs(lanes)}"
            if work is not None and work.contract == name:
                note += f"; {_work_of(work)} are committed before its first record"
            if known.foreign or known.contract == name:
                refused = next((error for error in self._unread_records(info, work, known)), None) if work is not None else None
                yield StateFit(name, "list by lane", "refused" if refused else "matched", entries, refused or note)
            elif known.contract or work is not None:
                left = _work_of(work) if work else "lanes"
                self._refuse(f"operator {_named(info)} was a {name} sink and left {left}; what it is now cannot take them over. {_keep(info.uid)}")
                yield StateFit(name, "list by lane", "refused", entries, "the sink has another contract now")
            else:
                yield self._lost(info, name, "list by lane", entries, "the operator is no such sink any more")

    def _unread_records(self, info: OperatorInfo, work: PendingWork, known: KnownStates) -> Iterator[str]:
        for description in work.records if known.records is not None else ():
            try:
                reader_of(info.name, "write-ahead log", "records", description, known.records)  # type: ignore[arg-type]  # looked at above
            except StateIncompatible as error:
                self._refuse(_incompatible(info, error))
                yield error.reason


def fit_of(manifest: Manifest, job: JobGraph, where: str, read: Callable[[FileRef], bytes], *, allow_non_restored_state: bool) -> Fit:
    """How a checkpoint fits a job.

    Args:
        manifest: the checkpoint.
        job: the job to be started from it.
        where: what to call the checkpoint in messages.
        read: gives the bytes of one of its files, verified.
        allow_non_restored_state: state that nobody takes over is left behind. Work that a sink has not committed never is.

    Raises:
        DamagedCheckpoint: a state file with work to be committed does not verify.
        TypeNotCarried: a type that the job declares cannot be written.
    """
    return _Fitting(manifest, job, where, pending_work(manifest, read, where), allow=allow_non_restored_state).run()


def _named(info: OperatorInfo) -> str:
    return f"{info.name!r} (uid {info.uid!r})"


def _operator(info: OperatorInfo) -> str:
    return f"operator {_named(info)}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _work_of(work: PendingWork) -> str:
    ids = sorted(set(work.checkpoints))
    return f"{work.size_bytes:,} bytes that it sealed for checkpoint{'s' * (len(ids) > 1)} {', '.join(map(str, ids))} and may not have committed"


def _keep(uid: str) -> str:
    return f"Let the job have that sink with uid={uid!r} once more, if only without input, until a checkpoint has completed, {_AFRESH}."


def _mode(parts: dict[int, OperatorListRef]) -> str:
    return next(iter(parts.values())).mode


def _list_kind(parts: dict[int, OperatorListRef]) -> str:
    return f"list by {_mode(parts)}"


def _count(parts: dict[int, OperatorListRef]) -> int:
    return sum(len(ref.items) for ref in parts.values())


def _runs(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown}, ..." if len(numbers) > 20 else shown


def _migration(part: str, stored: SerializerDescription, serializer: Serializer[object]) -> list[str]:
    found = serializer.compatibility(stored)
    return [f"{part}: {found.reason or 'migrated'}"] if found.verdict is Readable.AFTER_MIGRATION else []


def _incompatible(info: OperatorInfo, error: StateIncompatible) -> str:
    return (
        f"state {error.state!r} of operator {_named(info)} was stored as {error.stored} and is declared as {error.wanted} now, which cannot read "
        f"it: {error.reason} To give the state up instead, start afresh with --resume never."
    )
