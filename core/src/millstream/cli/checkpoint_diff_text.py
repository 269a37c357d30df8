"""The differences of two checkpoints, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from millstream.cli.checkpoint_contents import position_text, types_of
from millstream.cli.tables import print_table
from millstream.cli.texts import duration_text, size_text, time_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.cli.checkpoint_diff import CheckpointDiff, Compared, Difference
    from millstream.cli.checkpoint_facts import OperatorFacts, PendingFacts, StateFacts

_GOES_TO = " -> "


def print_diff(diff: CheckpointDiff) -> None:
    """Prints the two checkpoints and a table for each kind of thing that differs."""
    before, after = diff.before, diff.after
    click.echo(f"From  {_head(before)}\nTo    {_head(after)}")
    if before.job != after.job:
        click.echo(f"These are checkpoints of different jobs: {before.job!r} and {after.job!r}.")
    elif before.run_id != after.run_id:
        click.echo(f"These are checkpoints of different runs: {before.run_id} and {after.run_id}.")
    tables = [
        ("Operators", ["uid", "change", "operator", "subtasks", "key groups"], [_operator(one) for one in diff.operators if _not_only_time(one)]),
        ("Watermarks", ["uid", "watermark", "moved"], [_watermark(one) for one in diff.operators if _time(one.before) != _time(one.after)]),
        ("States", ["uid", "state", "change", "entries", "size", "written as"], [_state(one) for one in diff.states]),
        ("Positions of sources", ["uid", "split", "change", "position"], [_position(one) for one in diff.positions]),
        ("State of enumerators", ["uid", "change", "size"], [[one.key, one.change, _both(one, size_text)] for one in diff.enumerators]),
        ("Work that sinks have yet to commit", ["uid", "contract", "sealed by checkpoints", "size"], [_pending(one) for one in diff.pending]),
    ]
    for title, columns, rows in tables:
        if rows:
            click.echo()
            print_table(columns, rows, title=title)
    if not any(rows for _, _, rows in tables):
        click.echo("Both hold the same operators, states, positions, watermarks and work for sinks.")


def _head(one: Compared) -> str:
    return f"{one.path}: {one.kind} {one.checkpoint_id} of job {one.job!r}, {time_text(one.completed_ms)}, {size_text(one.state_bytes)}"


def _operator(one: Difference[str, OperatorFacts]) -> list[str]:
    columns: list[Callable[[OperatorFacts], str]] = [lambda it: it.name, lambda it: str(it.parallelism), lambda it: str(it.max_parallelism)]
    return [one.key, one.change, *(_both(one, column) for column in columns)]


def _not_only_time(one: Difference[str, OperatorFacts]) -> bool:
    def rest(facts: OperatorFacts | None) -> object:
        return facts and (facts.name, facts.parallelism, facts.max_parallelism)

    return rest(one.before) != rest(one.after)


def _time(facts: OperatorFacts | None) -> int | None:
    return facts.watermark_ms if facts is not None else None


def _watermark(one: Difference[str, OperatorFacts]) -> list[str]:
    old, new = _time(one.before), _time(one.after)
    moved = f"{'+' if new > old else ''}{duration_text((new - old) / 1_000)}" if old is not None and new is not None else ""
    return [one.key, _GOES_TO.join("none" if at is None else time_text(at) for at in (old, new)), moved]


def _state(one: Difference[tuple[str, str], StateFacts]) -> list[str]:
    # A type may have another structure under the same name.
    written = _both(one, _types)
    if one.change == "retyped" and _GOES_TO not in written:
        written += " (another structure)"
    grown = f" ({one.after.entries - one.before.entries:+,})" if one.before is not None and one.after is not None else ""
    entries = _both(one, lambda state: f"{state.entries:,}")
    return [*one.key, one.change, entries + (grown if _GOES_TO in entries else ""), _both(one, lambda state: size_text(state.size_bytes)), written]


def _types(state: StateFacts) -> str:
    kind, keys, values = types_of(state)
    return kind + (f", keys {keys}" if keys else "") + (f", values {values}" if values else "")


def _position(one: Difference[tuple[str, str], dict[str, Any]]) -> list[str]:
    # A reader gives up a split that it has read to the end.
    change = {"added": "new", "removed": "done or elsewhere", "changed": "moved"}[one.change]
    return [*one.key, change, _both(one, position_text)]


def _pending(one: Difference[str, PendingFacts]) -> list[str]:
    def ids(facts: PendingFacts | None) -> str:
        return ", ".join(map(str, facts.checkpoints)) if facts is not None else "none"

    contracts = [facts.contract for facts in (one.before, one.after) if facts is not None]
    size = _GOES_TO.join(size_text(facts.size_bytes if facts is not None else 0) for facts in (one.before, one.after))
    return [one.key, contracts[-1], f"{ids(one.before)}{_GOES_TO}{ids(one.after)}", size]


def _both(one: Difference[Any, Any], text: Callable[[Any], str]) -> str:
    """The text of before and after, once where they are the same or one of them is not there."""
    texts = [text(facts) for facts in (one.before, one.after) if facts is not None]
    return texts[0] if texts[0] == texts[-1] else _GOES_TO.join(texts)
