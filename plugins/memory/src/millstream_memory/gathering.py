"""What stands in for a table while a snapshot goes through its entries, slice by slice.

So long the dict keeps its keys, for it is being iterated over: new keys wait beside it, and deleted ones are only noted. A new value
goes into the dict at once; the former one is kept for the snapshot unless the snapshot has it already. Thus nothing is copied at the
barrier, however large the table.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from itertools import chain, filterfalse
from typing import Any, Generic, TypeVar

from millstream_memory.touched import Encode, Touched

K = TypeVar("K")
V = TypeVar("V")
_MISSING: Any = object()


class _KeepsKeys(MutableMapping[K, V], Generic[K, V]):
    """A dict whose keys stay as they are until `settle`.

    Args:
        live: the dict.
    """

    __slots__ = ("_fresh", "_gone", "_kept", "live")

    def __init__(self, live: dict[K, Any]) -> None:
        self.live = live
        self._kept = live
        self._fresh: dict[K, Any] = {}  # keys that came since, or came back
        self._gone: set[K] = set()  # keys of the dict that went since

    def _has(self, key: Any) -> bool:
        """Whether the dict holds the key, and holds it rightly."""
        return key in self._kept and key not in self._gone

    def __delitem__(self, key: K) -> None:
        if key in self._fresh:
            del self._fresh[key]
        elif self._has(key):
            self._gone.add(key)
        else:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return key in self._fresh or self._has(key)

    def __iter__(self) -> Iterator[K]:
        return chain(filterfalse(self._gone.__contains__, self._kept), self._fresh)

    def __len__(self) -> int:
        return len(self._kept) - len(self._gone) + len(self._fresh)

    def __repr__(self) -> str:
        kept = {key: value for key, value in self._kept.items() if key not in self._gone}
        return f"{type(self).__name__}({kept | self._fresh!r})"

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 - this is get

    def pop(self, key: K, default: Any = _MISSING) -> Any:
        if default is not _MISSING and key not in self:
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[K, V]:
        last = chain(reversed(self._fresh), filterfalse(self._gone.__contains__, reversed(self._kept)))
        for key in last:
            return key, self.pop(key)
        msg = "the table is empty"
        raise KeyError(msg)

    def clear(self) -> None:
        self._fresh.clear()
        self._gone.update(self._kept)

    def settle(self) -> None:
        """Brings the keys of the dict up to date. Whoever still holds this object reads and writes the dict from now on."""
        live = self.live
        for key in self._gone:
            del live[key]
        live.update(self._fresh)
        self._gone, self._kept, self._fresh = set(), {}, live


class GatheringTable(_KeepsKeys[Any, Any]):
    """A flat table, or the inside of one namespace. Hands out values that may be changed in place once they are encoded.

    Args:
        live: the dict.
        touched: shared with the snapshot.
    """

    __slots__ = ("touched",)

    def __init__(self, live: dict[Any, Any], touched: Touched) -> None:
        super().__init__(live)
        self.touched = touched

    def __getitem__(self, key: Any) -> Any:
        if key in self._fresh:
            return self._fresh[key]
        if key in self._gone:
            raise KeyError(key)
        value = self._kept[key]
        self.touched.secure(key, value)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        if key in self._fresh or not self._has(key):
            self._fresh[key] = value
        else:
            if key not in self.touched.written:
                self.touched.written[key] = self.live[key]
            self.live[key] = value


class GatheringNamespaces(_KeepsKeys[int, Any]):
    """A namespaced table. The dicts of namespaces that were there at the barrier are handed out as `GatheringTable`.

    Args:
        live: the table itself.
        touched: by namespace; shared with the snapshot.
        written: namespaces that hold another dict than at the barrier, with the former one; shared with the snapshot.
        encode: for `Touched`.
    """

    __slots__ = ("_encode", "_inner", "_touched", "_written")

    def __init__(self, live: dict[int, Any], touched: dict[int, Touched], written: dict[int, Any], encode: Encode) -> None:
        super().__init__(live)
        self._touched = touched
        self._written = written
        self._encode = encode
        self._inner: dict[int, GatheringTable] = {}

    def __getitem__(self, namespace: int) -> MutableMapping[Any, Any]:
        if namespace in self._fresh:
            return self._fresh[namespace]  # type: ignore[no-any-return]
        if namespace in self._gone:
            raise KeyError(namespace)
        inner = self._kept[namespace]
        return inner if namespace in self._written else self._guard(namespace, inner)

    def _guard(self, namespace: int, inner: dict[Any, Any]) -> GatheringTable:
        guard = self._inner.get(namespace)
        if guard is None:
            touched = self._touched[namespace] = Touched(self._encode)
            guard = self._inner[namespace] = GatheringTable(inner, touched)
        return guard

    def __setitem__(self, namespace: int, inner: Any) -> None:
        if namespace in self._fresh or not self._has(namespace):
            self._fresh[namespace] = inner
        elif inner is not self[namespace]:
            self._written.setdefault(namespace, self.live[namespace])
            self.live[namespace] = inner

    def setdefault(self, namespace: int, default: Any = None) -> Any:
        if namespace not in self:
            self[namespace] = default
        return self[namespace]

    def settle(self) -> None:
        for inner in self._inner.values():
            inner.settle()
        taken = [*self._fresh, *self._written]
        super().settle()
        for namespace in taken:  # there may be dicts that were taken from one namespace to another, and are guarded still
            inner_now = self.live.get(namespace)
            if type(inner_now) is GatheringTable:
                self.live[namespace] = inner_now.live
