"""What may be done to a table between the barrier and the end of its snapshot, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def _changed(entries: Any) -> None:
    for key in ("k0", "k3", "k7"):
        entries[key].append(100)


def _got(entries: Any) -> None:
    for key in ("k0", "k3", "k7"):
        entries.get(key).clear()


def _iterated(entries: Any) -> None:
    for value in entries.values():
        value.append(100)
    for _, value in entries.items():
        value.append(101)


def _replaced(entries: Any) -> None:
    for key in ("k0", "k3", "k7"):
        entries[key] = [200]
        entries[key].append(201)


def _inserted(entries: Any) -> None:
    for number in range(40):
        entries[f"new-{number}"] = [number]
    entries.setdefault("newer", []).append(1)


def _deleted(entries: Any) -> None:
    del entries["k0"]
    value = entries.pop("k3")
    value.append(100)


def _moved(entries: Any) -> None:
    entries["k0"] = entries.pop("k7")
    entries["k0"].append(100)


def _inserted_again(entries: Any) -> None:
    for key in ("k0", "k7"):
        del entries[key]
        entries[key] = [300]


def _all_changed_and_deleted(entries: Any) -> None:
    for key in list(entries):
        entries.pop(key).append(100)


MUTATIONS: Final[dict[str, Callable[[Any], None]]] = {
    "values changed inside": _changed,
    "values emptied": _got,
    "values changed in a loop": _iterated,
    "values replaced": _replaced,
    "keys inserted": _inserted,
    "keys deleted": _deleted,
    "a value moved": _moved,
    "keys deleted and inserted": _inserted_again,
    "all changed and deleted": _all_changed_and_deleted,
}
