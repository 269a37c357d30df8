"""What stands in for a table from when a snapshot has listed its entries until the last of them is encoded.

A guarded table holds no data of its own: it reads and writes the live dict, and encodes an entry as it was at the barrier before it
hands out the entry's value, which the caller may then change in place. Assigning needs no such care, since the snapshot keeps a
reference to the old value.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, MutableMapping
from typing import Any

from millstream_memory.touched import Encode, Touched

_MISSING: Any = object()


class GuardedTable(MutableMapping[Any, Any]):
    """A flat table, or the inside of one namespace.

    Args:
        live: the table itself.
        touched: shared with the snapshot.
    """

    __slots__ = ("live", "touched")

    def __init__(self, live: dict[Any, Any], touched: Touched) -> None:
        self.live = live
        self.touched = touched

    def __getitem__(self, key: Any) -> Any:
        value = self.live[key]
        self.touched.secure(key, value)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self.touched.written[key] = None
        self.live[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.live[key]

    def __contains__(self, key: object) -> bool:
        return key in self.live

    def __iter__(self) -> Iterator[Any]:
        return iter(self.live)

    def __len__(self) -> int:
        return len(self.live)

    def __repr__(self) -> str:
        return f"GuardedTable({self.live!r})"

    def keys(self) -> KeysView[Any]:
        return self.live.keys()

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self.live else default

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        if default is not _MISSING and key not in self.live:
            return default
        value = self.live.pop(key)
        self.touched.secure(key, value)
        return value

    def popitem(self) -> tuple[Any, Any]:
        key, value = self.live.popitem()
        self.touched.secure(key, value)
        return key, value

    def clear(self) -> None:
        self.live.clear()


class GuardedNamespaces(MutableMapping[int, Any]):
    """A namespaced table: hands out guarded what was there at the barrier.

    Args:
        live: the table itself.
        touched: by namespace; shared with the snapshot.
        written: namespaces that hold another dict than at the barrier, whatever they are given as values here.
        encode: for `Touched`.
    """

    __slots__ = ("_encode", "_touched", "_written", "live")

    def __init__(self, live: dict[int, Any], touched: dict[int, Touched], written: dict[int, Any], encode: Encode) -> None:
        self.live = live
        self._touched = touched
        self._written = written
        self._encode = encode

    def _guard(self, namespace: int, inner: Any) -> MutableMapping[Any, Any]:
        if namespace in self._written:
            return inner  # type: ignore[no-any-return]
        touched = self._touched.get(namespace)
        if touched is None:
            touched = self._touched[namespace] = Touched(self._encode)
        return GuardedTable(inner, touched)

    def __getitem__(self, namespace: int) -> MutableMapping[Any, Any]:
        return self._guard(namespace, self.live[namespace])

    def __setitem__(self, namespace: int, inner: Any) -> None:
        if type(inner) is GuardedTable and inner.live is self.live.get(namespace):
            return  # what is there already
        self._written[namespace] = None
        self.live[namespace] = inner

    def __delitem__(self, namespace: int) -> None:
        del self.live[namespace]

    def __contains__(self, namespace: object) -> bool:
        return namespace in self.live

    def __iter__(self) -> Iterator[int]:
        return iter(self.live)

    def __len__(self) -> int:
        return len(self.live)

    def __repr__(self) -> str:
        return f"GuardedNamespaces({self.live!r})"

    def keys(self) -> KeysView[int]:
        return self.live.keys()

    def pop(self, namespace: int, default: Any = _MISSING) -> Any:
        if default is not _MISSING and namespace not in self.live:
            return default
        return self._guard(namespace, self.live.pop(namespace))

    def popitem(self) -> tuple[int, MutableMapping[Any, Any]]:
        namespace, inner = self.live.popitem()
        return namespace, self._guard(namespace, inner)

    def setdefault(self, namespace: int, default: Any = None) -> Any:
        if namespace not in self.live:
            self[namespace] = default
        return self[namespace]

    def clear(self) -> None:
        self.live.clear()

    def settle(self) -> None:
        """Takes the guards away from dicts that were taken from one namespace to another."""
        for namespace in self._written:
            inner = self.live.get(namespace)
            if type(inner) is GuardedTable:
                self.live[namespace] = inner.live
