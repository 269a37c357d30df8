"""Source that reads a Python collection.

Guarantee: exactly once, because a position is an index.

Needs: the same elements in the same order when a job is resumed by another run of the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.api.sources.enumerator import FixedEnumerator
from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, Fetched, ReaderContext, Source, SourceReader, Split
from millstream.errors import InvalidArgument, shorten
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

COLLECTION_CAPABILITIES: Final = SourceCapabilities(replayable=True)

_SPLIT_ID: Final = "collection"
_NEXT: Final = "next"


@dataclass(frozen=True, eq=False)
class CollectionSource(Source[T]):
    """Emits the elements of a collection, then ends. One split: more than one reader are of no use.

    Args:
        values: any iterable that ends; its elements are put into a list here and now. They are emitted as they are, not copied: a
            function that changes them changes what is read after a restart.

    Raises:
        InvalidArgument: `values` cannot be iterated over.
    """

    values: Iterable[T] = field(repr=False)
    bounded: bool = field(init=False, default=True, repr=False)
    capabilities: SourceCapabilities = field(init=False, default=COLLECTION_CAPABILITIES, repr=False)

    def __post_init__(self) -> None:
        values: Any = self.values
        if not isinstance(values, Iterable):
            raise InvalidArgument(what="CollectionSource(values=...)", value=shorten(values), allowed="a list, or another iterable")
        object.__setattr__(self, "values", list(values))

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> FixedEnumerator:
        return FixedEnumerator(context, [Split(_SPLIT_ID, {_NEXT: 0})], state)

    def create_reader(self, context: ReaderContext) -> CollectionReader[T]:
        values: list[T] = self.values  # type: ignore[assignment]  # made a list in __post_init__
        return CollectionReader(context, values)


class CollectionReader(SourceReader[T]):
    """Slices of a list, for the reader that has the split; nothing for the others."""

    def __init__(self, context: ReaderContext, values: list[T]) -> None:
        self._context = context
        self._values = values
        self._next: int | None = None
        self._last_start = 0
        self._no_more = False
        self._finished_splits: list[str] = []

    def start(self) -> None:
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        for split in splits:
            split.check_version()
            position: int = split.data[_NEXT]
            if position > len(self._values):
                raise InvalidArgument(
                    what="CollectionSource(values=...)",
                    value=f"a collection of {len(self._values)} elements, but the checkpoint stands behind element {position}",
                    allowed="the collection that the job was started with, or start afresh with --resume never",
                )
            self._next = position
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def fetch(self, max_records: int) -> Fetched[T] | None:
        start = self._next
        if start is None:
            return None
        values = self._values[start : start + max_records]
        if not values:
            self._next = None
            self._finished_splits.append(_SPLIT_ID)
            crash_point("source.split.finished_not_checkpointed")
            return None
        self._last_start, self._next = start, start + len(values)
        crash_point("source.split.mid")
        return Fetched(_SPLIT_ID, values)

    def position(self, split_id: str) -> str:
        # The split ends only after the last batch was processed.
        behind = self._next or 0
        return f"the collection, elements {self._last_start} to {behind - 1}"

    def finished(self) -> bool:
        return self._no_more and self._next is None

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished_splits = self._finished_splits, []
        return finished

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        return [] if self._next is None else [Split(_SPLIT_ID, {_NEXT: self._next})]
