"""How operator state is dealt out to subtasks, by mode: of items, whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


def _check(new_parallelism: int) -> None:
    if new_parallelism < 1:
        raise InvalidArgument(what="the parallelism to deal state out to", value=str(new_parallelism), allowed="1 or more")


def split_list_state(per_subtask_items: Sequence[Sequence[T]], new_parallelism: int, rotate_start: int) -> list[list[T]]:
    """Deals a list state out to subtasks.

    With the parallelism it was written with, each subtask gets its own back. Otherwise all items, in the order of the old subtasks,
    are cut into contiguous runs of total // n, one longer for the first total % n of them; run i goes to subtask (rotate_start + i) % n.

    Args:
        per_subtask_items: the items of each old subtask.
        new_parallelism: n, >= 1.
        rotate_start: the subtask that gets the first run, so that the longer ones of several states do not pile up; see `next_start`.

    Source: Flink's RoundRobinOperatorStateRepartitioner.

    >>> split_list_state([["a", "b"], ["c", "d", "e"]], 3, 1)
    [['e'], ['a', 'b'], ['c', 'd']]
    """
    _check(new_parallelism)
    if len(per_subtask_items) == new_parallelism:
        return [list(items) for items in per_subtask_items]
    together = [item for items in per_subtask_items for item in items]
    run, longer = divmod(len(together), new_parallelism)
    dealt: list[list[T]] = [[] for _ in range(new_parallelism)]
    at = 0
    for i in range(new_parallelism):
        size = run + (i < longer)
        dealt[(rotate_start + i) % new_parallelism] = together[at : at + size]
        at += size
    return dealt


def next_start(total_items: int, new_parallelism: int, rotate_start: int) -> int:
    """Where the first run of the next state goes: behind the last longer run of this one."""
    _check(new_parallelism)
    return (rotate_start + total_items % new_parallelism) % new_parallelism


def split_list_states(per_subtask: Sequence[Mapping[str, Sequence[T]]], new_parallelism: int) -> list[dict[str, list[T]]]:
    """Deals all list states of an operator out, in the order of their names, each starting where the one before ended.

    Args:
        per_subtask: the items of each old subtask, by state.
        new_parallelism: >= 1.
    """
    _check(new_parallelism)
    dealt: list[dict[str, list[T]]] = [{} for _ in range(new_parallelism)]
    start = 0
    for name in sorted({name for states in per_subtask for name in states}):
        parts = [states.get(name, ()) for states in per_subtask]
        for states, items in zip(dealt, split_list_state(parts, new_parallelism, start)):
            states[name] = items
        start = next_start(sum(map(len, parts)), new_parallelism, start)
    return dealt


def union_list_state(per_subtask_items: Sequence[Sequence[T]], new_parallelism: int) -> list[list[T]]:
    """Gives every subtask all items, in the order of the old subtasks."""
    _check(new_parallelism)
    together = [item for items in per_subtask_items for item in items]
    return [list(together) for _ in range(new_parallelism)]


def broadcast_state(copies: Sequence[T], new_parallelism: int) -> list[T]:
    """Gives subtask i the copy that old subtask i % len(copies) stored; all copies are equal."""
    _check(new_parallelism)
    if not copies:
        raise InvalidArgument(what="the number of stored copies of a broadcast state", value="0", allowed="one for each old subtask")
    return [copies[i % len(copies)] for i in range(new_parallelism)]


def by_lane(entries: Mapping[int, T], parallelism: int) -> list[dict[int, T]]:
    """Gives lane l and what belongs to it to subtask l % parallelism: no lane is lost when the parallelism sinks.

    >>> by_lane({0: "a", 1: "b", 2: "c"}, 2)
    [{0: 'a', 2: 'c'}, {1: 'b'}]
    """
    _check(parallelism)
    owned: list[dict[int, T]] = [{} for _ in range(parallelism)]
    for lane, entry in sorted(entries.items()):
        owned[lane % parallelism][lane] = entry
    return owned
