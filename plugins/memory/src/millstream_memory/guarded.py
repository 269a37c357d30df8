"""What stands in for a table while a snapshot of it is pending.

A guarded table holds no data of its own: it reads and writes the live dict, and encodes an entry as it was at the barrier before it
hands out the entry's value, which the caller may then change in place. Assigning needs no such care, since the snapshot keeps a
reference to the old value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView, MutableMapping
from typing import Any

_MISSING: Any = object()

Encode = Callable[[Any, Any], bytes]


class GuardedTable(MutableMapping[Any, Any]):
    """A flat table, or the inside of one namespace.

    Args:
        live: the table itself.
        pending: what there was at the barrier, by key; shared with the snapshot.
        early: what was encoded ahead of its turn, by key; shared with the snapshot.
        encode: encodes one value, given its key first.
    """

    __slots__ = ("_early", "_encode", "_live", "_pending")

    def __init__(self, live: dict[Any, Any], pending: dict[Any, Any], early: dict[Any, bytes], encode: Encode) -> None:
        self._live = live
        self._pending = pending
        self._early = early
        self._encode = encode

    def _secure(self, key: Any) -> None:
        if key not in self._early:
            value = self._pending.get(key, _MISSING)
            if value is not _MISSING:
                self._early[key] = self._encode(key, value)

    def moved_to(self, pending: dict[Any, Any] | None) -> dict[Any, Any]:
        """The live dict, about to be known under the namespace of `pending`, where no guard would know what this one guards."""
        if self._pending and pending is not self._pending:
            for key in self._live:
                self._secure(key)
        return self._live

    def __getitem__(self, key: Any) -> Any:
        value = self._live[key]
        self._secure(key)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._live[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._live[key]

    def __contains__(self, key: object) -> bool:
        return key in self._live

    def __iter__(self) -> Iterator[Any]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def __repr__(self) -> str:
        return f"GuardedTable({self._live!r})"

    def keys(self) -> KeysView[Any]:
        return self._live.keys()

    def get(self, key: Any, default: Any = None) -> Any:
        value = self._live.get(key, _MISSING)
        if value is _MISSING:
            return default
        self._secure(key)
        return value

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        if default is not _MISSING and key not in self._live:
            return default
        value = self._live.pop(key)
        self._secure(key)
        return value

    def popitem(self) -> tuple[Any, Any]:
        key, value = self._live.popitem()
        self._secure(key)
        return key, value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        value = self._live.setdefault(key, default)
        self._secure(key)
        return value

    def clear(self) -> None:
        self._live.clear()

    def update(self, *args: Any, **entries: Any) -> None:
        self._live.update(*args, **entries)


class GuardedNamespaces(MutableMapping[int, Any]):
    """A namespaced table: hands out its inner dicts guarded, for as long as something in them is pending.

    Args:
        live: the table itself.
        pending: what there was at the barrier, by namespace and key; shared with the snapshot.
        early: what was encoded ahead of its turn, by namespace and key; shared with the snapshot.
        encode: encodes one value, given its key first.
    """

    __slots__ = ("_early", "_encode", "_live", "_pending")

    def __init__(
        self,
        live: dict[int, dict[Any, Any]],
        pending: dict[int, dict[Any, Any]],
        early: dict[int, dict[Any, bytes]],
        encode: Encode,
    ) -> None:
        self._live = live
        self._pending = pending
        self._early = early
        self._encode = encode

    def _guard(self, namespace: int, inner: dict[Any, Any]) -> MutableMapping[Any, Any]:
        pending = self._pending.get(namespace)
        if not pending:
            return inner
        return GuardedTable(inner, pending, self._early.setdefault(namespace, {}), self._encode)

    def _bare(self, namespace: int, inner: Any) -> dict[Any, Any]:
        return inner.moved_to(self._pending.get(namespace)) if type(inner) is GuardedTable else inner

    def __getitem__(self, namespace: int) -> MutableMapping[Any, Any]:
        return self._guard(namespace, self._live[namespace])

    def __setitem__(self, namespace: int, inner: Any) -> None:
        self._live[namespace] = self._bare(namespace, inner)

    def __delitem__(self, namespace: int) -> None:
        del self._live[namespace]

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._live

    def __iter__(self) -> Iterator[int]:
        return iter(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def __repr__(self) -> str:
        return f"GuardedNamespaces({self._live!r})"

    def keys(self) -> KeysView[int]:
        return self._live.keys()

    def pop(self, namespace: int, default: Any = _MISSING) -> Any:
        if default is not _MISSING and namespace not in self._live:
            return default
        return self._guard(namespace, self._live.pop(namespace))

    def popitem(self) -> tuple[int, MutableMapping[Any, Any]]:
        namespace, inner = self._live.popitem()
        return namespace, self._guard(namespace, inner)

    def setdefault(self, namespace: int, default: Any = None) -> Any:
        return self._guard(namespace, self._live.setdefault(namespace, self._bare(namespace, default)))

    def clear(self) -> None:
        self._live.clear()
