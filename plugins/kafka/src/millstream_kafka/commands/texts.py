"""Transactions as people and as other programs read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.transaction import Description, Listed

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPACE: Final = "  "


def print_json(value: Any) -> None:
    """Prints it in one line on stdout."""
    click.echo(msgspec.json.encode(value))


def print_list(listed: Sequence[Listed]) -> None:
    """Prints a line for each id, below headings."""
    rows = [("transactional id", "producer id", "state"), *((one.transactional_id, str(one.producer_id), one.state) for one in listed)]
    wide, right = (max(len(row[index]) for row in rows) for index in (0, 1))
    for name, producer_id, state in rows:
        click.echo(f"{name:<{wide}}{_SPACE}{producer_id:>{right}}{_SPACE}{state}")


def print_description(found: Description, now_ms: int) -> None:
    """Prints a line for each fact."""
    rows = [
        ("transactional id", found.transactional_id),
        ("state", found.state),
        ("producer", f"{found.producer_id}, epoch {found.producer_epoch}"),
        ("timeout", duration_text(found.timeout_ms)),
        ("began", began_text(found, now_ms)),
        ("coordinator", f"broker {found.coordinator_id}"),
        ("writes to", partitions_text(found)),
    ]
    for name, value in rows:
        click.echo(f"{name:<16}{_SPACE}{value}")


def plain(found: Description, now_ms: int) -> dict[str, Any]:
    """A description for other programs, with its age."""
    return {**msgspec.structs.asdict(found), "age_ms": age_ms(found, now_ms)}


def age_ms(found: Description, now_ms: int) -> int | None:
    """For how long it has been open, in ms; None when nothing is. Never negative: the broker's clock may be ahead of this one."""
    if found.started_ms is None or not (found.is_open or found.is_under_way):
        return None
    return max(now_ms - found.started_ms, 0)


def began_text(found: Description, now_ms: int) -> str:
    """When it began, and how long ago that is if it is open; `-` when nothing was begun."""
    age = age_ms(found, now_ms)
    ago = f", {duration_text(age)} ago" if age is not None else ""
    return f"{moment_text(found.started_ms)}{ago}" if found.started_ms is not None else "-"


def moment_text(milliseconds: int) -> str:
    """A point in time, UTC.

    >>> moment_text(15_250)
    '1970-01-01 00:00:15.250Z'
    """
    return f"{_EPOCH + timedelta(milliseconds=milliseconds):%Y-%m-%d %H:%M:%S}.{milliseconds % 1_000:03d}Z"


def partitions_text(found: Description) -> str:
    """Each topic with its partitions; `-` for none.

    >>> from millstream_kafka.transaction import Description, TopicPartition
    >>> partitions = TopicPartition("a", 0), TopicPartition("a", 2), TopicPartition("b", 1)
    >>> partitions_text(Description("id", "Ongoing", 1, 0, 1_000, 5, 1, partitions))
    'a (partitions 0, 2), b (partition 1)'
    """
    topics: dict[str, list[str]] = {}
    for one in found.partitions:
        topics.setdefault(one.topic, []).append(str(one.partition))
    texts = [f"{topic} (partition{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})" for topic, numbers in topics.items()]
    return ", ".join(texts) or "-"


def duration_text(milliseconds: int) -> str:
    """A duration of a transaction.

    >>> [duration_text(ms) for ms in (250, 4_200, 75_000, 7_500_000, 200_000_000)]
    ['250 ms', '4.2 s', '1 min 15 s', '2 h 5 min', '2 d 7 h']
    """
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f} s"
    seconds = milliseconds // 1_000
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3_600} h {seconds % 3_600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3_600} h"
