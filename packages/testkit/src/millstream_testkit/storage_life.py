"""What a coordinator does with a checkpoint storage from its start to its end, with a journal of it; and what must be found afterwards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream_testkit.storage_checkpoints import FILES, Seen, look, manifest_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore

METHODS: Final = ("write_file", "publish", "delete", "withdraw", "close", "fence", "write_document", "create_document", "delete_document")
"""What changes the storage: a process may die in any of them."""


class Replaced(Exception):
    """A newer attempt has taken over."""


class Entry(msgspec.Struct, frozen=True):
    """A line of the journal.

    Attributes:
        attempt: who wrote it.
        what: `begin`, `done`, `failed` or `seen`.
        call: the method.
        about: id of the checkpoint, or name of the document.
        value: what is written to a document; whether it was created.
        seen: what a new leader found behind its fence.
    """

    attempt: int
    what: str
    call: str
    about: int | str = 0
    value: str | bool | None = None
    seen: Seen | None = None


class Life:
    """One attempt.

    Args:
        store: newly opened.
        attempt: 1 for the first; each one knows those before it only from the storage.
        note: adds a line to the journal.
    """

    def __init__(self, store: CheckpointStore, attempt: int, note: Callable[[Entry], None]) -> None:
        self._store = store
        self._attempt = attempt
        self._note = note

    def first(self) -> None:
        """A job that takes checkpoints, gives some up, and deletes old ones."""
        self._lead()
        self._document("run", "begun")
        for checkpoint_id in (1, 2, 3, 5):
            self._checkpoint(checkpoint_id)
            if checkpoint_id > 1:
                self._delete(checkpoint_id - 1)
            if checkpoint_id == 3:
                self._give_up(4)
            self._document("run", f"at {checkpoint_id}")
        self._do("delete_document", "note", None, lambda: self._store.delete_document("note"))

    def later(self) -> None:
        """A job that goes on after another attempt died."""
        self._lead()
        self._do("fence", 0, None, self._store.fence)
        seen = look(self._store)
        self._note(Entry(self._attempt, "seen", "fence", seen=seen))
        for checkpoint_id in seen.unpublished:
            self._delete(checkpoint_id)
        first = seen.highest + 1
        for checkpoint_id in (first, first + 1):
            self._checkpoint(checkpoint_id)
        for checkpoint_id in seen.published:
            self._delete(checkpoint_id)
        self._document("run", f"at {first + 1}")

    def _lead(self) -> None:
        self._do("create_document", f"leader-{self._attempt}", "", lambda: self._store.create_document(f"leader-{self._attempt}", b""))
        self._do("write_document", "note", "n", lambda: self._store.write_document("note", b"n"))

    def _document(self, name: str, text: str) -> None:
        # Longer than a write is likely to be cut at, so that half of one shows.
        whole = text * 2_000
        self._do("write_document", name, whole, lambda: self._store.write_document(name, whole.encode()))

    def _checkpoint(self, checkpoint_id: int) -> None:
        with suppress(OSError):  # a coordinator that is told of an error gives the checkpoint up, and goes on with the next
            for name in FILES:
                parts = parts_of(checkpoint_id, self._attempt, name)
                self._try("write_file", checkpoint_id, lambda name=name, parts=parts: self._store.write_file(checkpoint_id, name, parts))  # type: ignore[misc]
            manifest = manifest_of(checkpoint_id, self._attempt)
            self._try("publish", checkpoint_id, lambda: self._store.publish(checkpoint_id, manifest, self._check))
            return
        self._do("withdraw", checkpoint_id, None, lambda: self._store.withdraw(checkpoint_id))

    def _give_up(self, checkpoint_id: int) -> None:
        parts = parts_of(checkpoint_id, self._attempt, FILES[0])
        self._do("write_file", checkpoint_id, None, lambda: self._store.write_file(checkpoint_id, FILES[0], parts))
        self._do("withdraw", checkpoint_id, None, lambda: self._store.withdraw(checkpoint_id))

    def _delete(self, checkpoint_id: int) -> None:
        self._do("delete", checkpoint_id, None, lambda: self._store.delete(checkpoint_id))

    def _check(self) -> None:
        if self._store.read_document(f"leader-{self._attempt + 1}") is not None:
            raise Replaced

    def _do(self, call: str, about: int | str, value: str | None, act: Callable[[], Any]) -> None:
        with suppress(OSError):
            self._try(call, about, act, value)

    def _try(self, call: str, about: int | str, act: Callable[[], Any], value: str | None = None) -> None:
        self._note(Entry(self._attempt, "begin", call, about, value))
        try:
            result = act()
        except (OSError, Replaced):
            self._note(Entry(self._attempt, "failed", call, about, value))
            raise
        self._note(Entry(self._attempt, "done", call, about, result if call == "create_document" else value))


@dataclass
class Expected:
    """What may and must be in the storage, as far as the journal goes. What a call left open that did not return is open.

    Attributes:
        must: checkpoints that are there for sure.
        may: those, and such as may be there.
        documents: what each may hold; None for its absence.
        floor: the highest id that must not be used again.
        problems: what is wrong by the journal alone.
    """

    must: set[int] = field(default_factory=set)
    may: set[int] = field(default_factory=set)
    documents: dict[str, set[str | None]] = field(default_factory=dict)
    floor: int = 0
    problems: list[str] = field(default_factory=list)
    _fenced_below: int = 0

    @classmethod
    def by(cls, journal: Sequence[Entry]) -> Expected:
        """From a journal."""
        expected = cls()
        for entry in journal:
            expected._take(entry)
        return expected

    def _take(self, entry: Entry) -> None:
        if entry.what == "seen" and entry.seen is not None:
            self.problems += self.compare(entry.seen)
            self.must, self.may = set(entry.seen.published), set(entry.seen.published)
            self._fenced_below = max(self._fenced_below, entry.attempt)
            self.floor = max(self.floor, entry.seen.highest)
        elif isinstance(entry.about, str):
            self._take_document(entry, entry.about)
        elif entry.attempt >= self._fenced_below:
            self._take_checkpoint(entry, entry.about)
        elif (entry.call, entry.what) == ("publish", "done"):
            self.problems.append(f"attempt {entry.attempt} published checkpoint {entry.about} after attempt {self._fenced_below} had fenced it")

    def _take_checkpoint(self, entry: Entry, checkpoint_id: int) -> None:
        if entry.what == "done" and entry.call in ("write_file", "publish"):
            self.floor = max(self.floor, checkpoint_id)
        if entry.call == "publish" and entry.what == "begin":
            self.may.add(checkpoint_id)
        elif entry.call == "publish" and entry.what == "done":
            self.must.add(checkpoint_id)
        elif entry.call == "delete" and entry.what == "begin":
            self.must.discard(checkpoint_id)
        elif entry.call == "delete" and entry.what == "done":
            self.may.discard(checkpoint_id)

    def _take_document(self, entry: Entry, name: str) -> None:
        holds = self.documents.setdefault(name, {None})
        new = None if entry.call == "delete_document" else str(entry.value or "")
        if entry.what == "begin":
            holds.add(new)
        elif entry.what == "done":
            self.documents[name] = holds - {None} if entry.call == "create_document" else {new}

    def compare(self, seen: Seen) -> list[str]:
        """What is wrong with what somebody found."""
        found = set(seen.published)
        problems = [f"checkpoint {number} exists and cannot be restored: {problem}" for number, problem in seen.damaged.items()]
        problems += [f"checkpoint {number} was published and is gone" for number in sorted(self.must - found)]
        problems += [f"checkpoint {number} exists, though it was never published, or deleted" for number in sorted(found - self.may)]
        if seen.highest < self.floor:
            problems.append(f"highest_id() is {seen.highest}, though {self.floor} was used: the next checkpoint would get an old one's id")
        for name, allowed in self.documents.items():
            text = seen.documents.get(name)
            if text not in allowed:
                wanted = " or ".join(_short(each) for each in sorted(allowed, key=str))
                problems.append(f"document {name!r} is {_short(text)}, not {wanted}")
        return problems


def _short(text: str | None) -> str:
    return "absent" if text is None else f"{text[:10]!r} ({len(text)} characters)"
